/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that are short of something: of stack, of descriptors, of standard streams, of /proc, of system calls. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ signals on a stack of their own -- */

static char *alternate;
static size_t alternate_size;
static pid_t host_pid;
static volatile sig_atomic_t rings, elsewhere, off_stack;

static void ring(int number) {
        char here;
        (void)number;
        rings++;
        /* A handler of ours in a process that shares our memory would be the end of us. */
        elsewhere += syscall(SYS_getpid) != host_pid;
        off_stack += &here < alternate || &here >= alternate + alternate_size;
}

static void *live_often(void *host) {
        for (int i = 0; i < 20; i++) one_life(host);
        return NULL;
}

void signals_on_own_stack(void) {
        pthread_t thread;
        struct sigaction action = {.sa_handler = ring, .sa_flags = SA_ONSTACK | SA_RESTART};
        struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
        stack_t stack = {.ss_flags = 0}, after;
        alternate_size = stack.ss_size = 65536;
        alternate = stack.ss_sp = malloc(alternate_size);
        expect(alternate && sigaltstack(&stack, NULL) == 0, "sigaltstack");
        host_pid = getpid();
        sigaction(SIGALRM, &action, NULL);
        lauter_host *host = new_host();
        alarm(0); /* it shares a clock with this timer */
        setitimer(ITIMER_REAL, &often, NULL);
        /* A timer's signals go to any thread that takes them: that one has no stack for them. */
        sigset_t set, before;
        sigfillset(&set);
        pthread_sigmask(SIG_BLOCK, &set, &before);
        pthread_create(&thread, NULL, live_often, host);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        for (int i = 0; i < 40; i++) one_life(host);
        pthread_join(thread, NULL);
        setitimer(ITIMER_REAL, &never, NULL);
        expect(rings > 100, "%d signals", (int)rings);
        expect(elsewhere == 0 && off_stack == 0, "of %d handlers %d ran elsewhere, %d off the stack", (int)rings,
               (int)elsewhere, (int)off_stack);
        expect(sigaltstack(NULL, &after) == 0 && after.ss_sp == stack.ss_sp && after.ss_size == stack.ss_size,
               "the stack is another");
        lauter_host_free(host);
}

/* ------------------------------------------------------------------------------------------------- descriptors -- */

void has_many_descriptors(void) {
        struct rlimit limit;
        expect(getrlimit(RLIMIT_NOFILE, &limit) == 0, "getrlimit");
        limit.rlim_cur = limit.rlim_max;
        expect(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
        rlim_t wanted = limit.rlim_max > 10200 ? 10000 : limit.rlim_max - 200;
        expect(wanted > 1500, "only %ld descriptors are to be had", (long)wanted);
        for (rlim_t i = 0; i < wanted; i++) expect(eventfd(0, i % 2 ? EFD_CLOEXEC : 0) >= 0, "eventfd");
        long before = count_descriptors();
        expect(before > (long)wanted, "%ld descriptors", before);
        lauter_host *host = new_host();
        lauter_worker workers[3];
        for (int i = 0; i < 3; i++) workers[i] = spawn(host);
        for (int i = 0; i < 20; i++) one_life(host);
        for (int i = 0; i < 3; i++) echo(host, workers[i]);
        lauter_host_free(host);
        expect(count_descriptors() == before, "%ld descriptors are left over", count_descriptors() - before);
}

/* What descriptor 0 of a worker is that was to inherit the host's. */
static void read_stdin_of(lauter_host *host, char *text, size_t size) {
        lauter_policy *policy;
        lauter_launch *launch;
        lauter_worker worker;
        lauter_event event = {.size = sizeof event};
        expect(lauter_policy_new("notebook", &policy, NULL) == 0 && lauter_launch_new("program", &launch, NULL) == 0 &&
                   lauter_launch_set(launch, "argument", "readlink", NULL) == 0 &&
                   lauter_launch_set(launch, "argument", "/proc/self/fd/0", NULL) == 0 &&
                   lauter_launch_set(launch, "stdin", "inherit", NULL) == 0,
               "a launch");
        expect(lauter_spawn(host, policy, launch, 0, &worker, &error) == 0, "%s", lauter_error_message(error));
        text[0] = 0;
        do {
                expect(lauter_host_wait(host, 20000, &error) == 1, "nothing happens");
                if (lauter_host_next(host, &event, &error) != 1) continue;
                if (event.kind == LAUTER_EVENT_STREAM)
                        snprintf(text, size, "%.*s", (int)event.parts[0].size, (const char *)event.parts[0].data);
        } while (event.kind != LAUTER_EVENT_EXITED);
        lauter_event_clear(&event);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
}

void has_no_streams(void) {
        char text[256];
        int output = fcntl(1, F_DUPFD_CLOEXEC, 100), errors = fcntl(2, F_DUPFD_CLOEXEC, 100), pipe_ends[2];
        for (int fd = 0; fd < 3; fd++) close(fd);
        lauter_host *host = new_host();
        /* What lies where a stream should be is not the worker's. */
        read_stdin_of(host, text, sizeof text);
        dup2(errors, 2);
        expect(strcmp(text, "/dev/null\n") == 0, "the worker has a descriptor of ours: %s", text);
        expect(pipe(pipe_ends) == 0 && pipe_ends[0] == 0, "descriptor 0 was taken");
        read_stdin_of(host, text, sizeof text);
        expect(strncmp(text, "pipe:", 5) == 0, "the probe is blind: %s", text);
        for (int fd = 0; fd < 3; fd++) close(fd);

        lauter_worker worker = spawn(host);
        /* The host may open them at any time: they are neither ours nor our workers'. */
        int opened = open("/dev/null", O_RDWR);
        echo(host, worker);
        one_life(host);
        end_with(host, worker, 2);
        lauter_host_free(host);
        dup2(errors, 2);
        expect(opened == 0, "descriptor 0 was taken: a new one is %d", opened);
        dup2(output, 1);
}

/* ------------------------------------------------------------------------------------------------ refused things -- */

/* That `code` is an error whose message has all of `words`. Takes `error`. */
static void expect_named(int32_t code, const char *const words[]) {
        expect(code < 0, "nothing was refused");
        for (int i = 0; words[i]; i++)
                expect(strstr(lauter_error_message(error), words[i]), "no \"%s\" in: %s", words[i],
                       lauter_error_message(error));
        lauter_error_free(error);
        error = NULL;
}

static void in_a_child(void (*what)(void)) {
        int status;
        pid_t child = fork();
        expect(child >= 0, "fork");
        if (child == 0) {
                what();
                _exit(0);
        }
        expect(waitpid(child, &status, 0) == child && status == 0, "see above");
}

/* Where there is no /proc to count them in: those below 1,024. */
static long count_by_trial(void) {
        long count = 0;
        for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
        return count;
}

static void no_proc_at_all(void) {
        lauter_host *host, *before = new_host();
        lauter_worker worker;
        expect(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "unshare");
        long descriptors = count_by_trial();
        expect(mount("none", "/proc", "tmpfs", 0, NULL) == 0, "mount");
        expect_named(lauter_host_new(&host, &error),
                     (const char *[]){"making a host", "lauter-init", "ENOENT", "there is no /proc here", NULL});
        expect_named(try_spawn(before, &worker),
                     (const char *[]){"write /proc/PID/uid_map", "ENOENT", "there is no /proc here", NULL});
        expect(count_by_trial() == descriptors, "a descriptor is left over");
        expect(umount("/proc") == 0, "umount");
        one_life(before);
        lauter_host_free(before);
}

/* A root folder in which nothing is. */
static void nothing_at_all(void) {
        char folder[] = "/tmp/lauter-chroot-XXXXXX";
        lauter_host *host, *before = new_host();
        lauter_worker worker;
        expect(mkdtemp(folder), "mkdtemp");
        expect(chroot(folder) == 0 && chdir("/") == 0, "chroot");
        long descriptors = count_by_trial();
        expect_named(lauter_host_new(&host, &error), (const char *[]){"/dev/null", "making a host", NULL});
        expect_named(try_spawn(before, &worker), (const char *[]){worker_program, NULL});
        expect(count_by_trial() == descriptors, "a descriptor is left over");
        lauter_host_free(before);
}

void has_no_proc(void) {
        in_a_child(no_proc_at_all);
        in_a_child(nothing_at_all);
}

/* From now on `number` fails with `refusal`, in this process and in whatever it starts. */
static void refuse(int number, int refusal) {
        struct sock_filter program[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)refusal),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {sizeof program / sizeof *program, program};
        expect(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS");
        expect(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0, "PR_SET_SECCOMP");
}

static void lives_with_a_modest_filter(void) {
        refuse(SYS_ptrace, EPERM);
        refuse(SYS_kexec_load, EPERM);
        refuse(SYS_add_key, ENOSYS);
        lauter_host *host = new_host();
        for (int i = 0; i < 3; i++) one_life(host);
        lauter_host_free(host);
}

static void cannot_be_made_without_pidfds(void) {
        lauter_host *host;
        refuse(SYS_pidfd_open, ENOSYS);
        expect_named(lauter_host_new(&host, &error), (const char *[]){"pidfd_open", "ENOSYS", NULL});
}

/* A filter that comes while there are workers: they live on, the next one is refused, by name. */
static void refused_later(int number, int refusal, const char *const words[]) {
        lauter_worker next;
        lauter_host *host = new_host();
        lauter_worker worker = spawn(host);
        long before = count_descriptors();
        refuse(number, refusal);
        int32_t code = try_spawn(host, &next);
        if (code == LAUTER_OK) {
                /* Not in the host's process, but in init's, which told it. */
                code = lauter_worker_wait_ready(host, next, 20000, &error);
                lauter_event event = {.size = sizeof event};
                expect(lauter_worker_wait_exit(host, next, 20000, &event, NULL) == LAUTER_OK, "it does not end");
                expect(event.report->reason == LAUTER_REASON_LAUNCH, "it ended otherwise: %s", event.report->why);
                lauter_event_clear(&event);
        }
        expect_named(code, words);
        expect(count_descriptors() == before, "%ld descriptors are left over", count_descriptors() - before);
        echo(host, worker);
        end_with(host, worker, 1);
        lauter_host_free(host);
}

static void no_exec(void) {
        refused_later(SYS_execveat, EPERM, (const char *[]){"execveat lauter-init", "EPERM", NULL});
}
static void no_close_range(void) { refused_later(SYS_close_range, ENOSYS, (const char *[]){"ENOSYS", NULL}); }
static void no_memfd(void) { /* files in folders stand in */
        refuse(SYS_memfd_create, EPERM);
        lauter_host *host = new_host();
        for (int i = 0; i < 3; i++) one_life(host);
        lauter_host_free(host);
}
static void no_pivot(void) { refused_later(SYS_pivot_root, EPERM, (const char *[]){"step ", "root", "EPERM", NULL}); }
static void no_landlock(void) {
        refused_later(SYS_landlock_restrict_self, EPERM, (const char *[]){"step ", "Landlock", "EPERM", NULL});
}
static void no_clone(void) { refused_later(SYS_clone, EPERM, (const char *[]){"clone", "EPERM", NULL}); }

void has_a_filter(void) {
        in_a_child(lives_with_a_modest_filter);
        in_a_child(cannot_be_made_without_pidfds);
        in_a_child(no_exec);
        in_a_child(no_close_range);
        in_a_child(no_memfd);
        in_a_child(no_pivot);
        in_a_child(no_landlock);
        in_a_child(no_clone);
}
