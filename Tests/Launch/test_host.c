/* SPDX-License-Identifier: Apache-2.0 */
/* The launch as the host feels it: whatever its threads, signals, descriptors and memory are like. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int child_signals;
static void on_child(int number) {
        (void)number;
        child_signals++;
}

static void sleep_ms(long ms) {
        struct timespec time = {ms / 1000, ms % 1000 * 1000000};
        while (nanosleep(&time, &time) < 0)
                ;
}

static int exit_code(const char *code) {
        plan p;
        sandbox(&p);
        finish(&p, "exit", code, NULL);
        return run_to_end(&p, NULL, NULL).code;
}

static void stays_unseen(void) {
        struct sigaction action = {.sa_handler = on_child};
        sigaction(SIGCHLD, &action, NULL);
        /* The probe sees a child of one's own. */
        sigset_t block, before;
        sigemptyset(&block);
        sigaddset(&block, SIGCHLD);
        sigprocmask(SIG_BLOCK, &block, &before);
        if (fork() == 0) _exit(0);
        while (!child_signals) sigsuspend(&before);
        sigprocmask(SIG_SETMASK, &before, NULL);
        expect(waitpid(-1, NULL, __WALL) > 0, "the probe is blind");
        child_signals = 0;
        for (int i = 0; i < 20; i++) {
                plan p;
                worker w;
                sandbox(&p);
                finish(&p, "exit", "0", NULL);
                expect_equal(start(&w, &p, NULL), 0);
                expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is seen while it runs");
                expect_equal(hear(&w).kind, STARTED);
                expect(ended(&w, 5000), "init does not end");
                expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is seen after its end");
                expect_equal(claunch_reap(w.pidfd), -ECHILD);
                forget(&w);
        }
        expect_equal(child_signals, 0);
        expect_equal(prctl(PR_GET_DUMPABLE), 1);
        struct sigaction now;
        sigset_t mask;
        sigaction(SIGCHLD, NULL, &now);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        expect(now.sa_handler == on_child, "the host's handler is changed");
        expect_equal(sigismember(&mask, SIGCHLD), 0);
}

static void sigchld_ignored(void) {
        signal(SIGCHLD, SIG_IGN);
        signal(SIGPIPE, SIG_IGN);
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "describe", NULL);
        expect_equal(run_to_end(&p, NULL, &text).code, 0);
        expect_text(text, "blocked 0 ignored 0 ");
}

static void sigchld_blocked(void) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "describe", NULL);
        expect_equal(run_to_end(&p, NULL, &text).code, 0);
        expect_text(text, "blocked 0 ignored 0 ");
}

static void no_leak(void) {
        plan p;
        worker w;
        int before = count_descriptors();
        int fd = open("/dev/null", O_RDONLY);
        expect_equal(count_descriptors(), before + 1);
        close(fd);
        for (int i = 0; i < 5; i++) expect_equal(exit_code("0"), 0);
        expect_equal(count_descriptors(), before);
        /* Failures, of the launch and of the plan. */
        sandbox(&p);
        finish(&p, "exit", "0", NULL);
        expect_equal(start(&w, &p, &(options){.bad_init = 1}), -EACCES);
        expect_equal(w.result.stage, CLAUNCH_STAGE_EXEC);
        expect_equal(w.result.pidfd, -1);
        plan_begin(&p);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, FAILED);
        forget(&w);
        expect_equal(count_descriptors(), before);
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is left");
}

static void tells_stages(void) {
        int init = claunch_init_open(), before = count_descriptors();
        int closed[] = {0, 1, 999};
        claunch_result result;
        claunch_request request = {
            .network = -1, .group = -1, .init_fd = init, .descriptors = closed, .descriptor_count = 3};
        expect_equal(claunch_spawn(&request, &result), -EBADF);
        expect_equal(result.stage, CLAUNCH_STAGE_DESCRIPTORS);
        request.descriptor_count = 2;
        request.namespaces = 1;
        expect_equal(claunch_spawn(&request, &result), -EINVAL);
        expect_equal(result.stage, CLAUNCH_STAGE_REQUEST);
        request.namespaces = CLONE_NEWUSER;
        request.uid_map = request.gid_map = "nonsense";
        expect_equal(claunch_spawn(&request, &result), -EINVAL);
        expect_equal(result.stage, CLAUNCH_STAGE_UID_MAP);
        expect_equal(result.error, EINVAL);
        if (!is_root()) {
                char map[64];
                snprintf(map, sizeof map, "%d %d 1", getuid(), getuid());
                request.uid_map = map;
                snprintf(map, sizeof map, "%d %d 1", getuid(), getuid());
                request.gid_map = "0 0 1";
                request.deny_setgroups = 1;
                expect_equal(claunch_spawn(&request, &result), -EPERM);
                expect_equal(result.stage, CLAUNCH_STAGE_GID_MAP);
                request.namespaces = CLONE_NEWNET;
                request.uid_map = request.gid_map = NULL;
                request.deny_setgroups = 0;
                expect_equal(claunch_spawn(&request, &result), -EPERM);
                expect_equal(result.stage, CLAUNCH_STAGE_CLONE);
        }
        expect_equal(count_descriptors(), before);
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is left");
        expect_equal(claunch_idmap_namespace("nonsense", "0 0 1"), -EINVAL);
        expect_equal(count_descriptors(), before);
}

static void *spawn_some(void *argument) {
        (void)argument;
        for (int i = 0; i < 15; i++) expect_equal(exit_code("3"), 3);
        return NULL;
}

static void *fork_often(void *argument) {
        volatile int *stop = argument;
        while (!*stop) {
                pid_t pid = fork();
                if (pid == 0) {
                        sleep_ms(3);
                        _exit(0);
                }
                waitpid(pid, NULL, 0);
        }
        return NULL;
}

static void many_threads(void) {
        enum { COUNT = 6 };
        pthread_t threads[COUNT], forker;
        volatile int stop = 0;
        int before = count_descriptors();
        pthread_create(&forker, NULL, fork_often, (void *)&stop);
        for (int i = 0; i < COUNT; i++) pthread_create(&threads[i], NULL, spawn_some, NULL);
        for (int i = 0; i < COUNT; i++) pthread_join(threads[i], NULL);
        stop = 1;
        pthread_join(forker, NULL);
        expect_equal(count_descriptors(), before);
}

static worker threads_worker;
static void *spawn_and_end(void *argument) {
        expect_equal(start(&threads_worker, argument, NULL), 0);
        return NULL;
}

static void thread_ends(void) {
        plan p;
        pthread_t thread;
        sandbox(&p);
        finish(&p, "wait", NULL);
        pthread_create(&thread, NULL, spawn_and_end, &p);
        pthread_join(thread, NULL);
        expect_equal(hear(&threads_worker).kind, STARTED);
        expect(!ended(&threads_worker, 200), "the worker ended with the thread that started it");
        order(&threads_worker, SIGTERM, 0);
        expect_equal(hear(&threads_worker).signal, SIGTERM);
        forget(&threads_worker);
}

static void no_standard_descriptors(void) {
        int saved = fcntl(2, F_DUPFD_CLOEXEC, 20);
        close(0);
        close(1);
        close(2);
        int code = exit_code("9");
        const char *text;
        plan p;
        sandbox(&p);
        finish(&p, "describe", NULL);
        run_to_end(&p, NULL, &text);
        dup2(saved, 2);
        expect_equal(code, 9);
        expect_text(text, "fds 0 1 2\n");
}

static void many_descriptors(void) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        int wanted = limit.rlim_max > 12100 ? 12000 : (int)limit.rlim_max - 60;
        expect(wanted > 10000 || !is_root(), "only %d descriptors to be had", wanted);
        for (int i = 0; i < wanted; i++)
                if (dup(0) < 0) { /* inheritable ones, on purpose */
                        expect(0, "dup: %s", strerror(errno));
                        return;
                }
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "describe", NULL);
        run_to_end(&p, NULL, &text);
        expect_text(text, "fds 0 1 2\n");
}

static void large_host(void) {
        size_t size = (size_t)(getenv("LAUTER_TEST_GIB") ? atoi(getenv("LAUTER_TEST_GIB")) : 1) << 30;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(memory, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
        plan p;
        sandbox(&p);
        finish(&p, "exit", "0", NULL);
        packet last = run_to_end(&p, NULL, NULL);
        expect_equal(last.code, 0);
        expect(last.peak_kib < 8 << 10, "the host's memory is counted as the worker's: %llu KiB",
               (unsigned long long)last.peak_kib);
}

/* As PID 1 of a container without an init would find itself. */
static void subreaper(void) {
        struct sigaction action = {.sa_handler = on_child};
        plan p;
        worker w;
        sigaction(SIGCHLD, &action, NULL);
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        sandbox(&p);
        finish(&p, "exit", "6", NULL);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, STARTED);
        expect_equal(hear(&w).code, 6);
        while (!ended(&w, 5000))
                ;
        expect_equal(claunch_reap(w.pidfd), 1);
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a zombie is left");
        forget(&w);
}

/* In a host that is going to be killed. Tells init's pid through `tell`. */
static void host_with_worker(int tell, const char *token, int with_fork) {
        plan p;
        worker w;
        char line[16];
        sandbox(&p);
        execution e = {.candidates = {PROBE}, .arguments = {token, "spread", "3"}};
        end_building(&p);
        step_execute(&p, &e);
        if (start(&w, &p, NULL) < 0 || hear(&w).kind != STARTED || read(w.output, line, 7) != 7) _exit(1);
        if (with_fork && fork() == 0) { /* keeps the control socket open */
                close(tell);
                sleep_ms(1500);
                _exit(0);
        }
        if (write(tell, &w.pid, sizeof w.pid) != sizeof w.pid) _exit(1);
        for (;;) pause();
}

static void kill_host(int with_fork) {
        for (int i = 0; i < 10; i++) {
                char token[32];
                int tell[2], pid = 0;
                snprintf(token, sizeof token, "probe-%d-%d", getpid(), i);
                if (pipe(tell) < 0) abort();
                pid_t host = fork();
                if (host == 0) host_with_worker(tell[1], token, with_fork);
                close(tell[1]);
                expect_equal(read(tell[0], &pid, sizeof pid), sizeof pid);
                close(tell[0]);
                expect_equal(count_processes(token), 7); /* the worker, three children, three grandchildren */
                kill(host, SIGKILL);
                waitpid(host, NULL, 0);
                int left = 7;
                for (int ms = 0; ms < 1000 && (left = count_processes(token)) > 0; ms += 5) sleep_ms(5);
                expect_equal(left, 0);
        }
}
static void host_killed(void) { kill_host(0); }
static void host_killed_with_fork(void) { kill_host(1); }

static void control_closed(void) {
        plan p;
        worker w;
        sandbox(&p);
        finish(&p, "wait", NULL);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, STARTED);
        close(w.control);
        w.control = -1;
        expect(ended(&w, 2000), "init outlives its host's end of the socket");
        forget(&w);
}

static void orphans_die(void) {
        plan p;
        char token[32];
        snprintf(token, sizeof token, "probe-%d-o", getpid());
        sandbox(&p);
        execution e = {.candidates = {PROBE}, .arguments = {token, "spread-and-exit", "3"}};
        end_building(&p);
        step_execute(&p, &e);
        packet last = run_to_end(&p, NULL, NULL); /* waits for the end of all output: all have closed it */
        expect_equal(last.code, 0);
        expect_equal(count_processes(token), 0);
}

/* A process tree of its own and nothing more: what an unconfined worker has. Only an ordinary user's needs
 * a user namespace, to make the others. */
static void unconfined(void) {
        plan p;
        const char *text;
        char path[256], line[64];
        uint64_t without = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
        snprintf(path, sizeof path, "%s/probe", probe_folder);
        execution e = {.candidates = {path}, .arguments = {"probe", "describe"}, .directory = "/tmp"};
        plan_begin(&p);
        step_private_mounts(&p);
        step_proc(&p, "/proc", "");
        if (!is_root()) step_drop_privilege(&p, 40);
        step_execute(&p, &e);
        packet last = run_to_end(&p, &(options){.without = without | (is_root() ? CLONE_NEWUSER : 0)}, &text);
        expect_equal(last.code, 0);
        snprintf(line, sizeof line, "pid 2 uid %d gid %d", getuid(), getgid());
        expect_text(text, line);
        expect_text(text, "in /tmp\n");
        expect_text(text, is_root() ? "NoNewPrivs:\t0" : "CapEff:\t0000000000000000");
}

/* Without a process namespace the kernel kills nobody; init ends the worker's group. */
static void no_process_namespace(void) {
        plan p;
        worker w;
        char path[256], token[32], line[8];
        snprintf(path, sizeof path, "%s/probe", probe_folder);
        snprintf(token, sizeof token, "probe-%d-n", getpid());
        execution e = {.candidates = {path}, .arguments = {token, "count-interrupts", "1"}};
        plan_begin(&p);
        step_execute(&p, &e);
        expect_equal(start(&w, &p, &(options){.without = ~(uint64_t)0}), 0);
        expect_equal(hear(&w).kind, STARTED);
        expect(read(w.output, line, 7) == 7, "the worker is not ready");
        expect_equal(count_processes(token), 1);
        close(w.control);
        w.control = -1;
        expect(ended(&w, 2000), "init outlives its host's end of the socket");
        int left = 1;
        for (int ms = 0; ms < 1000 && (left = count_processes(token)) > 0; ms += 5) sleep_ms(5);
        expect_equal(left, 0);
        forget(&w);
}

void host_tests(void) {
        test("the host sees no child, no SIGCHLD, and stays dumpable", stays_unseen);
        test("SIGCHLD ignored in the host does not leak", sigchld_ignored);
        test("every signal blocked in the host does not leak", sigchld_blocked);
        test("launches, good and bad, leave no descriptor and no child", no_leak);
        test("a launch that fails says at which stage", tells_stages);
        test("many threads launch at once while another one forks", many_threads);
        test("a worker outlives the thread that started it", thread_ends);
        test("a host without descriptors 0, 1 and 2 can launch", no_standard_descriptors);
        test("ten thousand inheritable descriptors stay in the host", many_descriptors);
        test("a large host's memory is neither copied nor counted", large_host);
        test("a host that orphans come back to can reap init", subreaper);
        test("a killed host leaves no process", host_killed);
        test("a killed host leaves no process though its fork holds the socket", host_killed_with_fork);
        test("closing the control socket ends the worker", control_closed);
        test("what the worker leaves behind dies with init", orphans_die);
        test("a worker without a sandbox runs as the host does", unconfined);
        test("a worker without a process namespace dies with init", no_process_namespace);
}
