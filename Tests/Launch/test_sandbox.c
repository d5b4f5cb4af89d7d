/* SPDX-License-Identifier: Apache-2.0 */
/* What the steps make: roots, mounts, masks, filters. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void builds_the_root(void) {
        plan p;
        const char *text;
        char folder[] = "/tmp/launch-test-XXXXXX", path[128];
        mkdtemp(folder);
        chmod(folder, 0777);
        snprintf(path, sizeof path, "%s/secret", folder);
        close(open(path, O_CREAT | O_WRONLY, 0644));
        chmod(path, 0666);
        snprintf(path, sizeof path, "%s/hidden", folder);
        mkdir(path, 0755);

        int slot = 1;
        plan_begin(&p);
        step_private_mounts(&p);
        step_open_tree(&p, 0, probe_folder);
        step_open_tree(&p, slot, folder);
        step_open_tree(&p, slot + 1, folder);
        step_identity(&p, is_root() ? 1000 : getuid(), is_root() ? 1000 : getgid(), is_root());
        step_new_root(&p, 1 << 20);
        step_attach(&p, 0, "/bin", READ, 1);
        step_attach(&p, slot, "/deep/er/read", READ, 1);
        step_attach(&p, slot + 1, "/write", WRITE, 1);
        step_directory(&p, "/made/with/parents", 0750);
        step_file(&p, "/etc/hosts", 0644, "127.0.0.1 localhost\n");
        step_symlink(&p, "/link", "write");
        step_symlink(&p, "/absolute", "/write");
        step_mask(&p, "/absolute/secret", 0); /* the plan's own link is followed */
        step_mask(&p, "/write/hidden", 1);
        step_tmpfs(&p, "/tmp", 65536, 01777);
        step_tmpfs(&p, "/late", 65536, 0755);
        step_read_only(&p, "/late");
        step_proc(&p, "/proc", "masked");
        step_devpts(&p, "/dev/pts");
        end_building(&p);
        static const char *const tries[] = {"read /deep/er/read/secret",
                                            "write /deep/er/read/new",
                                            "write /write/new",
                                            "read /etc/hosts",
                                            "write /etc/new",
                                            "write /link/other",
                                            "list /made/with/parents",
                                            "read /write/secret",
                                            "chmod /write/secret",
                                            "list /write/hidden",
                                            "chmod /write/hidden",
                                            "write /tmp/x",
                                            "write /late/x",
                                            "read /proc/keys",
                                            "chmod /proc/sys/kernel",
                                            "list /proc/acpi",
                                            "read /proc/cpuinfo",
                                            "read /dev/pts/ptmx",
                                            "stat /usr",
                                            "stat /.lauter-mask"};
        size_t count = sizeof tries / sizeof *tries;
        uint32_t steps = p.steps;
        size_t size = p.size;
        static char all[8192];
        for (size_t i = 0; i < count; i++) {
                char word[16], *space;
                static char where[128];
                snprintf(word, sizeof word, "%s", tries[i]);
                if ((space = strchr(word, ' '))) *space = 0;
                snprintf(where, sizeof where, "%s", strchr(tries[i], ' ') + 1);
                execution run = {.candidates = {PROBE}, .arguments = {"probe", "try", word, where}};
                p.size = size;
                p.steps = steps;
                step_execute(&p, &run);
                run_to_end(&p, NULL, &text);
                strncat(all, text, sizeof all - strlen(all) - 1);
        }
        expect_text(all, "read /deep/er/read/secret: done");
        expect_text(all, "write /deep/er/read/new: Read-only file system");
        expect_text(all, "write /write/new: done");
        expect_text(all, "read /etc/hosts: done");
        expect_text(all, "write /etc/new: Read-only file system");
        expect_text(all, "write /link/other: done");
        expect_text(all, "list /made/with/parents: done");
        expect_text(all, "read /write/secret: Permission denied");
        expect_text(all, "chmod /write/secret: Read-only file system");
        expect_text(all, "list /write/hidden: Permission denied");
        expect_text(all, "chmod /write/hidden: Read-only file system");
        expect_text(all, "write /tmp/x: done");
        expect_text(all, "write /late/x: Read-only file system");
        expect_text(all, "read /proc/keys: Permission denied");
        expect_text(all, "chmod /proc/sys/kernel: Read-only file system");
        expect_text(all, "read /proc/cpuinfo: done");
        expect_text(all, "read /dev/pts/ptmx: done");
        expect_text(all, "stat /usr: No such file");
        expect_text(all, "stat /.lauter-mask: No such file");
        snprintf(path, sizeof path, "%s/new", folder);
        expect(access(path, F_OK) == 0, "the file that was written is not there");
        expect(stat(path, &(struct stat){0}) == 0, "stat");
        snprintf(path, sizeof path, "rm -rf %s", folder);
        if (system(path) != 0) expect(0, "cannot clean up");
}

static void restricts_the_worker(void) {
        plan p;
        const char *text;
        /* Landlock: reading files allowed below /bin alone. */
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "try", "read", "/bin/plain", "read", "/etc/x"}};
        sandbox(&p);
        step_file(&p, "/etc/x", 0644, "x");
        end_building(&p);
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        expect_text(text, "read /bin/plain: Permission denied"); /* its mode is 000: not Landlock's doing */
        expect_text(text, "read /etc/x: done");
        e.arguments[3] = "/bin/garbage";
        sandbox(&p);
        step_file(&p, "/etc/x", 0644, "x");
        end_building(&p);
        step_landlock(&p, 1 << 2, "/bin", 1 << 2);
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        expect_text(text, "read /bin/garbage: done");
        expect_text(text, "read /etc/x: Permission denied");
        /* seccomp: kill(2) is ENOSYS; without it the same call works. */
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        execution describe = {.candidates = {PROBE}, .arguments = {"probe", "describe"}};
        sandbox(&p);
        end_building(&p);
        step_limit(&p, RLIMIT_CORE, 1, 1);
        step_seccomp(&p, filter, sizeof filter);
        step_execute(&p, &describe);
        run_to_end(&p, NULL, &text);
        expect_text(text, "core 1 ");
        expect_text(text, "Seccomp:\t2");
        expect_no_text(text, "host worker");
}

/* A filter that lets a program begin only with the plan's password, which nobody else knows. */
static void passes_the_filter(void) {
        plan p;
        uint64_t pass = 0x1122334455667788;
        struct sock_filter filter[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 6, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 4),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x11223344, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4]) + 4),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x55667788, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        };
        for (int right = 0; right < 2; right++) {
                execution e = {.candidates = {"/bin/nothing", PROBE},
                               .arguments = {"probe", "exit", "8"},
                               .pass = right ? pass : pass + 1};
                sandbox(&p);
                end_building(&p);
                step_seccomp(&p, filter, sizeof filter);
                uint32_t number = step_execute(&p, &e);
                if (right)
                        expect_equal(run_to_end(&p, NULL, NULL).code, 8);
                else
                        expect_failure(&p, number, EPERM);
        }
}

static void loopback(void) {
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "loopback", NULL);
        run_to_end(&p, NULL, &text);
        expect_text(text, "lo down");
        sandbox(&p);
        step_loopback(&p);
        finish(&p, "loopback", NULL);
        run_to_end(&p, NULL, &text);
        expect_text(text, "lo up");
}

static void adopts_an_id_mapped_tree(void) {
        plan p;
        const char *text;
        char folder[] = "/tmp/launch-test-XXXXXX", path[64];
        mkdtemp(folder); /* root's, mode 0700 */
        int space = claunch_idmap_namespace("0 60001 1", "0 60001 1");
        expect(space >= 0, "no namespace: %s", strerror(-space));
        int tree = (int)syscall(428, AT_FDCWD, folder, 1 | O_CLOEXEC);
        struct {
                uint64_t set, clear, propagation, space;
        } attr = {.set = 0x100000, .space = (uint64_t)space};
        expect(syscall(442, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0, "no id map: %s", strerror(errno));
        for (int mapped = 0; mapped < 2; mapped++) {
                plan_begin(&p);
                step_private_mounts(&p);
                step_open_tree(&p, 0, probe_folder);
                if (mapped)
                        step_adopt_tree(&p, 1, 9);
                else
                        step_open_tree(&p, 1, folder);
                step_identity(&p, 1000, 1000, 1);
                step_new_root(&p, 1 << 20);
                step_attach(&p, 0, "/bin", READ, 1);
                step_attach(&p, 1, "/data", WRITE, 1);
                finish(&p, "try", "write", "/data/x", NULL);
                run_to_end(&p, &(options){.trees = &tree, .tree_count = 1}, &text);
                expect_text(text, mapped ? "write /data/x: done" : "write /data/x: Permission denied");
        }
        struct stat st = {.st_uid = 1};
        snprintf(path, sizeof path, "%s/x", folder);
        expect(stat(path, &st) == 0 && st.st_uid == 0, "the file is not root's");
        unlink(path);
        rmdir(folder);
        close(space);
        close(tree);
}

/* What the worker of a host with these says of itself, with the step or without. */
static const char *inherited(int is_ordinary) {
        plan p;
        const char *text;
        plan_begin(&p);
        step_private_mounts(&p);
        step_open_tree(&p, 0, probe_folder);
        step_identity(&p, is_root() ? 1000 : getuid(), is_root() ? 1000 : getgid(), is_root());
        if (is_ordinary) step_ordinary(&p, is_root());
        step_new_root(&p, 1 << 20);
        step_attach(&p, 0, "/bin", READ, 1);
        end_building(&p);
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "inherited"}};
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        return text;
}

static void puts_off_what_it_inherits(void) {
        enum { OTHER = 0, FIFO = 1, RANDOMIZE_NOT = 0x0040000 };
        int priority = 1;
        char keyring[32], state[160];
        struct rlimit nice, real_time;
        long mine = syscall(SYS_keyctl, 1, NULL), slack = prctl(PR_GET_TIMERSLACK);
        int has_keys = mine > 0;
        personality(RANDOMIZE_NOT);
        prctl(PR_SET_TIMERSLACK, 1234567);
        if (is_root()) {
                /* Refused where a container's root has no CAP_SYS_RESOURCE. */
                setrlimit(RLIMIT_NICE, &(struct rlimit){40, 40});
                setrlimit(RLIMIT_RTPRIO, &(struct rlimit){9, 9});
                syscall(SYS_ioprio_set, 1, 0, 1 << 13 | 4);
                setpriority(PRIO_PROCESS, 0, -5);
        }
        /* Not every container lets even its root have real time. */
        int is_urgent = is_root() && syscall(SYS_sched_setscheduler, 0, FIFO, &priority) == 0;
        const char *text = inherited(0);
        snprintf(keyring, sizeof keyring, "keyring %ld\n", mine);
        getrlimit(RLIMIT_NICE, &nice);
        getrlimit(RLIMIT_RTPRIO, &real_time);
        int priority_now = getpriority(PRIO_PROCESS, 0);
        /* As the host has it: the probe can see it all. Who runs in real time has no timer slack. */
        snprintf(state, sizeof state, "policy %d nice %d io %d personality 40000 slack %d rights %llu %llu ",
                 is_urgent ? FIFO : OTHER, priority_now, is_root() ? 1 : 0, is_urgent ? 0 : 1234567,
                 (unsigned long long)nice.rlim_max, (unsigned long long)real_time.rlim_max);
        expect_text(text, state);
        if (has_keys) expect_text(text, keyring);
        text = inherited(1);
        /* Who is less than ordinary stays so. */
        snprintf(state, sizeof state, "policy 0 nice %d io 0 personality 0 slack 50000 rights 0 0 ",
                 priority_now > 0 ? priority_now : 0);
        expect_text(text, state);
        if (has_keys && is_root()) expect_no_text(text, keyring);

        priority = 0;
        if (is_urgent) syscall(SYS_sched_setscheduler, 0, OTHER, &priority);
        if (is_root()) {
                setpriority(PRIO_PROCESS, 0, 0);
                syscall(SYS_ioprio_set, 1, 0, 0);
        }
        prctl(PR_SET_TIMERSLACK, slack);
        personality(0);
}

void sandbox_tests(void) {
        test("the new root holds what was put there, as it was asked", builds_the_root);
        test("limits, Landlock and a filter bind the worker", restricts_the_worker);
        test("a program passes a filter that lets nobody else execute", passes_the_filter);
        test("a worker puts off what it would inherit of its host", puts_off_what_it_inherits);
        test("the loopback interface comes up when asked", loopback);
        if (is_root()) test("an id-mapped tree that the host made is writable", adopts_an_id_mapped_tree);
}
