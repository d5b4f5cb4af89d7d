/* SPDX-License-Identifier: Apache-2.0 */
/* One failing plan for each kind of step there is: init tells its number, what it called, and the errno. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODES = 64 };
static uint8_t is_covered[CODES];

/* `run` reads them from the core's own table: a kind of step that is not covered here fails the test. */
static const struct {
        int code;
        const char *name;
} kinds[] = {STEP_KINDS};

/* The step that fails is the last one begun; what follows it is never reached. */
static void fails(plan *p, uint64_t without, const char *call, int error) {
        uint32_t number = p->steps;
        is_covered[p->codes[number - 1]] = 1;
        if (p->codes[number - 1] != 22) step_execute(p, &(execution){.candidates = {PROBE}, .arguments = {"probe"}});
        expect_failure_of(p, &(options){.without = without}, number, call, error);
}

static void inside(plan *p) {
        sandbox(p);
        end_building(p);
}

static void each_kind_fails(void) {
        plan p;
        int before = count_descriptors();

        /* Another namespace's owner is asked for what init wants to change. */
        plan_begin(&p);
        step_private_mounts(&p);
        fails(&p, CLONE_NEWNS, "mount", EPERM);
        plan_begin(&p);
        step_read_only_root(&p);
        fails(&p, CLONE_NEWNS, "mount_setattr", EPERM);
        plan_begin(&p);
        step_private_mounts(&p);
        step_loopback(&p);
        fails(&p, CLONE_NEWNET, "ioctl", EPERM);

        plan_begin(&p);
        step_private_mounts(&p);
        step_open_tree(&p, 0, "/no/such/path");
        fails(&p, 0, "open_tree", ENOENT);
        plan_begin(&p);
        step_adopt_tree(&p, 0, 900);
        fails(&p, 0, "fcntl", EBADF);
        plan_begin(&p);
        step_identity(&p, 4242, 4242, 0);
        fails(&p, 0, "setresgid", EINVAL);
        plan_begin(&p);
        step_hostname(&p, "a-name-of-more-than-sixty-four-bytes-which-no-kernel-takes-for-a-host");
        fails(&p, 0, "sethostname", EINVAL);

        plan_begin(&p);
        step_quota(&p, "nothing", 1);
        fails(&p, 0, "openat", ENOENT);
        /* Nothing that a plan says can be wrong with it: Tests/Faults fails its calls one by one. */
        is_covered[35] = 1;
        /* Likewise, where there are no namespaces: to give up capabilities, and to count a user's processes (which for root are
         * none). Tests/Integration has both done. */
        is_covered[46] = is_covered[47] = 1;
        plan_begin(&p);
        step_scratch(&p, "/no/such/path", 1);
        fails(&p, 0, "open", ENOENT);
        plan_begin(&p);
        step(&p, 48); /* keep signals within: the host, in another process namespace, does not show that they are */
        fails(&p, 0, "landlock_restrict_self", EOPNOTSUPP);

        sandbox(&p);
        step_new_root(&p, 0);
        fails(&p, 0, "plan", EBUSY);
        sandbox(&p);
        step_directory(&p, "/dev/null/x", 0755);
        fails(&p, 0, "openat2", ENOTDIR);
        sandbox(&p);
        step_file(&p, "/bin/x", 0644, "x"); /* on a read-only tree, as those that follow */
        fails(&p, 0, "openat", EROFS);
        sandbox(&p);
        step_symlink(&p, "/bin/x", "y");
        fails(&p, 0, "symlinkat", EROFS);
        sandbox(&p);
        step_tmpfs(&p, "/bin/x", 4096, 0755);
        fails(&p, 0, "mkdirat", EROFS);
        sandbox(&p);
        step_devpts(&p, "/bin/x");
        fails(&p, 0, "mkdirat", EROFS);
        sandbox(&p);
        step_attach(&p, 7, "/x", READ, 1);
        fails(&p, 0, "plan", EBADF);
        sandbox(&p);
        step_mask(&p, "/nothing", 0);
        fails(&p, 0, "openat2", ENOENT);
        /* A link in what is shown, which the plan has not made, leads no cover and no mount elsewhere. */
        sandbox(&p);
        step_mask(&p, "/bin/link/plain", 0);
        fails(&p, 0, "openat2", ELOOP);
        sandbox(&p);
        step_tmpfs(&p, "/bin/link/x", 4096, 0755);
        fails(&p, 0, "openat2", ELOOP);
        sandbox(&p);
        step_read_only(&p, "/nothing");
        fails(&p, 0, "openat2", ENOENT);
        sandbox(&p);
        step_read_only(&p, "/bin/probe"); /* there, but no mount */
        fails(&p, 0, "mount_setattr", EINVAL);
        sandbox(&p);
        step_no_execution(&p, "/nothing");
        fails(&p, 0, "openat2", ENOENT);
        sandbox(&p);
        step_proc(&p, "/proc", "nonsense=1");
        fails(&p, 0, "fsconfig", EINVAL);
        plan_begin(&p);
        step_private_mounts(&p);
        step_enter_root(&p); /* there is no new one */
        fails(&p, 0, "pivot_root", EINVAL);
        inside(&p);
        step_terminal(&p, "/nothing", 24, 80);
        fails(&p, 0, "open", ENOENT);
        inside(&p);
        step_terminal(&p, "/dev/null", 24, 80);
        fails(&p, 0, "ioctl TIOCSPTLCK", ENOTTY);

        sandbox(&p);
        step_enter_root(&p);
        step_drop_privilege(&p, 200);
        fails(&p, 0, "prctl", EINVAL);
        inside(&p);
        step_join_group(&p, 900, "memory"); /* no such descriptor */
        fails(&p, 0, "write", EBADF);
        /* What init is to look at while the worker runs: nothing is done on the way. Tests/Integration/test_memory.py */
        is_covered[41] = is_covered[42] = is_covered[43] = 1;
        inside(&p);
        step_limit(&p, 999, 1, 1);
        fails(&p, 0, "setrlimit", EINVAL);
        inside(&p);
        step_landlock(&p, 1 << 2, "/nothing", 1 << 2);
        fails(&p, 0, "open", ENOENT);
        inside(&p);
        step_landlock_of(&p, 1 << 2, "/bin", 1 << 2, 1, 1); /* another than was meant */
        fails(&p, 0, "open", ESTALE);
        inside(&p);
        step_seccomp(&p, "12345678", 8);
        fails(&p, 0, "seccomp", EINVAL);
        inside(&p);
        step_execute(&p, &(execution){.candidates = {"/bin/nothing"}, .arguments = {"nothing"}});
        fails(&p, 0, "execve", ENOENT);

        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
                expect(is_covered[kinds[i].code], "no failing plan for the step %s", kinds[i].name);
        expect(sizeof kinds / sizeof *kinds >= 24, "the table of steps was not read");
        expect_equal(count_descriptors(), before);
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is left");
}

void step_tests(void) {
        test("every kind of step that there is fails with its number, its call and its errno", each_kind_fails);
}
