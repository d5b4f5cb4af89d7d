/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts whose threads end, and fork, and execute programs, while we launch. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static lauter_host *host;

/* ------------------------------------------------------------------------------------------- threads that end -- */

static pid_t bound_child;

static void *make_bound_child(void *ignored) {
        int ready[2];
        char byte;
        expect(pipe(ready) == 0, "pipe");
        bound_child = fork();
        if (bound_child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (write(ready[1], "", 1) == 1)
                        for (;;) pause();
                _exit(1);
        }
        expect(read(ready[0], &byte, 1) == 1, "read");
        close(ready[0]);
        close(ready[1]);
        return ignored;
}

static void *spawn_and_end(void *place) {
        *(lauter_worker *)place = spawn(host);
        return NULL;
}

static void in_a_thread(void *(*what)(void *), void *argument) {
        pthread_t thread;
        expect(pthread_create(&thread, NULL, what, argument) == 0, "pthread_create");
        pthread_join(thread, NULL);
}

void threads_end(void) {
        enum { COUNT = 12 };
        lauter_worker workers[COUNT];
        int status;
        /* The trap is there: who is bound to his parent by PR_SET_PDEATHSIG dies with the *thread* that made him. */
        in_a_thread(make_bound_child, NULL);
        expect(waitpid(bound_child, &status, 0) == bound_child && WIFSIGNALED(status),
               "the end of a thread kills nobody");
        host = new_host();
        for (int i = 0; i < COUNT; i++) in_a_thread(spawn_and_end, &workers[i]);
        expect(count_threads() == 1, "%ld threads", count_threads());
        /* The same again, so that whoever was to die has had the time. */
        in_a_thread(make_bound_child, NULL);
        expect(waitpid(bound_child, &status, 0) == bound_child && WIFSIGNALED(status),
               "the end of a thread kills nobody");
        for (int i = 0; i < COUNT; i++) echo(host, workers[i]);
        for (int i = 0; i < COUNT; i++) end_with(host, workers[i], i);
        lauter_host_free(host);
}

/* ---------------------------------------------------------------------------------- children that are executed -- */

static atomic_int stop, children, leaks;
static int ordinary; /* descriptors that a child of ours has by right */

/* Our own program, which counts the descriptors that it was born with. */
static char *const counter[] = {(char *)"/proc/self/exe", (char *)"count-descriptors", NULL};

static int descriptors_of(pid_t child) {
        int status;
        while (waitpid(child, &status, 0) < 0) expect(errno == EINTR, "waitpid");
        expect(WIFEXITED(status), "the counter ended by signal %d", WTERMSIG(status));
        return WEXITSTATUS(status);
}

static int by_fork(void) {
        pid_t child = fork();
        expect(child >= 0, "fork");
        if (child == 0) {
                execv(counter[0], counter);
                _exit(127);
        }
        return descriptors_of(child);
}

static int by_spawn(void) {
        pid_t child;
        expect(posix_spawn(&child, counter[0], NULL, NULL, counter, environ) == 0, "posix_spawn");
        return descriptors_of(child);
}

static void *execute_often(void *how) {
        int (*const run)(void) = how ? by_fork : by_spawn;
        while (!stop) {
                leaks += run() != ordinary;
                children++;
        }
        return NULL;
}

void forks_and_execs(void) {
        pthread_t threads[2];
        /* The probe sees what is inherited. */
        ordinary = by_fork();
        int inherited = dup(0);
        expect(by_fork() == ordinary + 1 && by_spawn() == ordinary + 1, "the probe is blind");
        close(inherited);
        host = new_host();
        pthread_create(&threads[0], NULL, execute_often, NULL);
        pthread_create(&threads[1], NULL, execute_often, &stop);
        for (int i = 0; i < 60 || children < 60; i++) one_life(host);
        stop = 1;
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        expect(leaks == 0, "%d of %d children had a descriptor that is not theirs", leaks, children);
        lauter_host_free(host);
}

/* --------------------------------------------------------------------------------------- forks during a launch -- */

static int said;

static void say(pid_t pid) { expect(write(said, &pid, sizeof pid) == sizeof pid, "write"); }

/* Children that hold copies of whatever the launch had open at that moment. */
static void *fork_often(void *ignored) {
        for (int i = 0; i < 150 && !stop; i++) {
                pid_t child = fork();
                expect(child >= 0, "fork");
                if (child == 0)
                        for (;;) pause();
                say(-child);
                children++;
        }
        return ignored;
}

static void be_the_true_host(void) {
        enum { COUNT = 30 };
        pthread_t thread;
        host = new_host();
        pthread_create(&thread, NULL, fork_often, NULL);
        for (int i = 0; i < COUNT; i++) {
                int32_t pid;
                lauter_worker worker = spawn(host);
                expect(lauter_worker_pid(host, worker, &pid, NULL) == LAUTER_OK, "a pid");
                say(pid);
        }
        stop = 1;
        pthread_join(thread, NULL);
        say(0);
        for (;;) pause();
}

static int is_over(int pidfd, int timeout) {
        struct pollfd ends = {.fd = pidfd, .events = POLLIN};
        return poll(&ends, 1, timeout) == 1;
}

void forks_during_launch(void) {
        int ends[2], inits[256], forks[256];
        int init_count = 0, fork_count = 0;
        pid_t pid;
        /* So that the children of the killed host are ours to end. */
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        expect(pipe(ends) == 0, "pipe");
        pid_t true_host = fork();
        if (true_host == 0) {
                said = ends[1];
                be_the_true_host();
        }
        close(ends[1]);
        while (read(ends[0], &pid, sizeof pid) == sizeof pid && pid != 0) {
                int pidfd = (int)syscall(SYS_pidfd_open, pid < 0 ? -pid : pid, 0);
                expect(pidfd >= 0, "pidfd_open");
                if (pid < 0)
                        forks[fork_count++] = pidfd;
                else
                        inits[init_count++] = pidfd;
        }
        expect(init_count == 30 && fork_count > 10, "%d workers, %d forks", init_count, fork_count);
        for (int i = 0; i < init_count; i++) expect(!is_over(inits[i], 0), "worker %d is gone too early", i);
        kill(true_host, SIGKILL);
        for (int i = 0; i < init_count; i++) expect(is_over(inits[i], 5000), "worker %d outlives its host", i);
        /* They do hold the sockets and the memory of the host: what ended the workers is its death alone. */
        for (int i = 0; i < fork_count; i++) {
                expect(!is_over(forks[i], 0), "fork %d is gone: it showed nothing", i);
                syscall(SYS_pidfd_send_signal, forks[i], SIGKILL, NULL, 0);
        }
        while (waitpid(-1, NULL, 0) > 0)
                ;
        expect(errno == ECHILD, "waitpid");
}

/* ------------------------------------------------------------------------------------ forks, and goes on in both -- */

void forks_and_goes_on(void) {
        int status;
        host = new_host();
        lauter_worker worker = spawn(host);
        echo(host, worker);
        pid_t child = fork();
        expect(child >= 0, "fork");
        if (child == 0) {
                lauter_worker other;
                lauter_event event = {.size = sizeof event};
                lauter_error *refused = NULL;
                expect(lauter_host_next(host, &event, &refused) == LAUTER_ERROR_FORKED, "the old host can be used");
                expect(lauter_error_code(refused) == LAUTER_ERROR_FORKED, "the error is another");
                lauter_error_free(refused);
                expect(try_spawn(host, &other) == LAUTER_ERROR_FORKED, "the old host can spawn");
                lauter_host *mine = new_host();
                one_life(mine);
                lauter_worker lasting = spawn(mine);
                lauter_host_free(host); /* its workers are the parent's */
                echo(mine, lasting);
                lauter_host_free(mine);
                _exit(7);
        }
        for (int i = 0; i < 10; i++) one_life(host);
        expect(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7,
               "the child's status: %x", status);
        echo(host, worker);
        end_with(host, worker, 3);
        lauter_host_free(host);
}
