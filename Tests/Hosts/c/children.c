/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts that have their own ways with children: SIGCHLD in every form, orphans that come to them, nobody who reaps. */
#include "host.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIVES = 10, OWN = 20 };

static volatile sig_atomic_t signals, reaped, strangers;
static volatile pid_t own[OWN];

static void handle(int number, void (*handler)(int), int flags) {
        struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
        expect(sigaction(number, &action, NULL) == 0, "sigaction");
}

/* As many servers do it. */
static void reap_all(int number) {
        int saved = errno;
        (void)number;
        signals++;
        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG)) > 0;) {
                int i = 0;
                while (i < OWN && own[i] != pid) i++;
                if (i < OWN)
                        reaped++;
                else
                        strangers++;
        }
        errno = saved;
}

static void count_signal(int number) {
        (void)number;
        signals++;
}

static void set_blocked(int number, int blocked) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, number);
        sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

void children_by_handler(void) {
        lauter_host *host = new_host();
        handle(SIGCHLD, reap_all, SA_RESTART);
        for (int i = 0; i < OWN; i++) {
                set_blocked(SIGCHLD, 1); /* until it is in the list */
                own[i] = child_exits(i);
                set_blocked(SIGCHLD, 0);
                one_life(host);
        }
        for (double end = now() + 10; reaped < OWN && now() < end;) pause();
        expect(reaped == OWN && strangers == 0, "%d own children, %d strangers", (int)reaped, (int)strangers);
        int before = signals;
        expect(before > 0, "the probe is blind");
        for (int i = 0; i < LIVES; i++) one_life(host);
        expect(signals == before, "%d SIGCHLDs came of workers", (int)signals - before);
        lauter_host_free(host);
}

/* Where nobody wants to hear of children the kernel reaps them. */
static void unheard(void) {
        lauter_host *host = new_host();
        lauter_worker worker = spawn(host);
        pid_t child = child_exits(3);
        expect(waitpid(child, NULL, 0) == -1 && errno == ECHILD, "the kernel leaves children to be waited for");
        for (int i = 0; i < LIVES; i++) one_life(host);
        echo(host, worker);
        end_with(host, worker, 9);
        lauter_host_free(host);
}

void sigchld_ignored(void) {
        handle(SIGCHLD, SIG_IGN, 0);
        unheard();
}

void sigchld_unwaited(void) {
        handle(SIGCHLD, count_signal, SA_NOCLDWAIT | SA_RESTART);
        unheard();
        expect(signals == 1, "%d SIGCHLDs for one child", (int)signals);
}

static int is_pending(int number) {
        sigset_t pending;
        sigpending(&pending);
        return sigismember(&pending, number);
}

void sigchld_blocked(void) {
        lauter_host *host = new_host();
        set_blocked(SIGCHLD, 1);
        for (int i = 0; i < LIVES; i++) one_life(host);
        expect(!is_pending(SIGCHLD), "a SIGCHLD waits");
        pid_t child = child_exits(3);
        expect(waitpid(child, NULL, 0) == child && is_pending(SIGCHLD), "the probe is blind");
        lauter_host_free(host);
}

/* ----------------------------------------------------------------------------------------- those who get orphans -- */

/* Run `body` as PID 1 of a process namespace of its own, with a /proc of that. Returns its exit code. */
static int as_pid_1(void (*body)(void)) {
        int status;
        expect(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0, "unshare");
        pid_t child = fork();
        expect(child >= 0, "fork");
        if (child == 0) {
                expect(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "mount /");
                expect(mount("proc", "/proc", "proc", 0, NULL) == 0, "mount /proc");
                expect(getpid() == 1, "this is not PID 1");
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is given up takes it along */
                body();
                _exit(0);
        }
        expect(waitpid(child, &status, 0) == child && WIFEXITED(status), "PID 1 ended by a signal");
        return WEXITSTATUS(status);
}

/* Who orphans are given to. The library reaps its inits, and nobody else's children. */
static void adopts(void) {
        lauter_host *host = new_host();
        handle(SIGCHLD, count_signal, SA_RESTART);
        pid_t child = child_exits(9);
        for (double end = now() + 10; count_zombies() < 1 && now() < end;) sched_yield();
        expect(count_zombies() == 1, "the probe sees no zombie");
        for (int i = 0; i < LIVES; i++) one_life(host);
        expect(count_zombies() == 1, "%ld zombies beside the host's own child", count_zombies() - 1);
        int status;
        expect(waitpid(-1, &status, 0) == child && WEXITSTATUS(status) == 9, "the host's own child was reaped");
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD,
               "there is a child that the host did not make");
        /* One each at most, and the child's: what the header says of such hosts. */
        expect(signals >= 1 && signals <= LIVES + 1, "%d SIGCHLDs", (int)signals);
        lauter_worker worker = spawn(host);
        echo(host, worker);
        lauter_host_free(host);
        expect(count_zombies() == 0, "freeing the host leaves a zombie");
}

void is_pid_1(void) { expect(as_pid_1(adopts) == 0, "see above"); }

static void has_a_subreaper(void) {
        int status;
        pid_t host = fork();
        expect(host >= 0, "fork");
        if (host == 0) {
                prctl(PR_SET_CHILD_SUBREAPER, 1);
                adopts();
                _exit(0);
        }
        expect(waitpid(-1, &status, 0) == host && WIFEXITED(status), "the host ended by a signal");
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "orphans came past the subreaper");
        _exit(WEXITSTATUS(status));
}

void is_subreaper(void) { expect(as_pid_1(has_a_subreaper) == 0, "see above"); }

static void lives_below(int is_subreaper) {
        if (is_subreaper) prctl(PR_SET_CHILD_SUBREAPER, 1);
        lauter_host *host = new_host();
        for (int i = 0; i < LIVES; i++) one_life(host);
        lauter_host_free(host);
        _exit(4);
}

/* PID 1 waits for the host and for nobody else. */
static void waits_for_one_only(void) {
        for (int is_subreaper = 0; is_subreaper < 2; is_subreaper++) {
                int status;
                long before = count_zombies();
                pid_t host = fork();
                expect(host >= 0, "fork");
                if (host == 0) lives_below(is_subreaper);
                expect(waitpid(host, &status, 0) == host && WIFEXITED(status) && WEXITSTATUS(status) == 4,
                       "the host: %x", status);
                /* As the header says: one for each worker, unless the host is a subreaper. */
                long left = count_zombies() - before;
                expect(left == (is_subreaper ? 0 : LIVES), "%ld zombies of %d workers", left, LIVES);
        }
}

void is_below_a_lazy_pid_1(void) { expect(as_pid_1(waits_for_one_only) == 0, "see above"); }
