/* SPDX-License-Identifier: Apache-2.0 */
/* A C program with an epoll loop of its own: its children by SIGCHLD and waitpid(-1), signals by signalfd, a timer, and a
 * sandboxed Python worker in the same loop.
 *
 *     epoll PYTHON
 */
#include <lauter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 20 };

static lauter_error *error;
static lauter_call endless;
static pid_t children[CHILDREN];
static int started, ended, right, ticks, done, gone;

static void must(int32_t code) {
        if (code >= 0) return;
        fprintf(stderr, "%s: %s\n", lauter_code_name(code), lauter_error_message(error));
        exit(EXIT_FAILURE);
}

static void start_child(void) {
        children[started] = fork();
        if (children[started] == 0) _exit(started % 8);
        started++;
}

/* Whether it is a child that we started, and ended as it should. */
static int child_is(pid_t child, int status) {
        for (int i = 0; i < started; i++)
                if (children[i] == child) return WIFEXITED(status) && WEXITSTATUS(status) == i % 8;
        return 0;
}

static void take(lauter_host *host, const lauter_event *event) {
        if (event->kind == LAUTER_EVENT_STREAM) { /* it says that it runs */
                must(lauter_call_interrupt(host, endless, &error));
        } else if (event->kind == LAUTER_EVENT_DONE) {
                done++;
                printf("call %d: %.*s\n", (int)event->call_cookie,
                       event->status == LAUTER_OK ? (int)event->parts[0].size : (int)strlen(event->name),
                       event->status == LAUTER_OK ? (const char *)event->parts[0].data : event->name);
                if (done == 2) must(lauter_worker_stop(host, event->worker, 5000, 1000, &error));
        } else if (event->kind == LAUTER_EVENT_EXITED) {
                printf("worker: %s\n", event->report->why);
                gone = 1;
        }
}

/* begin: loop */
static void run(lauter_host *host, int signals, int timer) {
        int loop = epoll_create1(EPOLL_CLOEXEC);
        int watched[3] = {lauter_host_fd(host), signals, timer};
        for (int i = 0; i < 3; i++)
                epoll_ctl(loop, EPOLL_CTL_ADD, watched[i], &(struct epoll_event){EPOLLIN, {.fd = watched[i]}});
        while (!gone || ended < CHILDREN) {
                struct epoll_event ready;
                if (epoll_wait(loop, &ready, 1, -1) != 1) continue; /* EINTR: somebody's signal handler ran */
                if (ready.data.fd == lauter_host_fd(host)) {
                        lauter_event event = {.size = sizeof event};
                        if (lauter_host_next(host, &event, NULL) > 0) take(host, &event);
                        lauter_event_clear(&event); /* if there are more, the descriptor is still readable */
                } else if (ready.data.fd == signals) {
                        struct signalfd_siginfo info;
                        if (read(signals, &info, sizeof info) != sizeof info) continue;
                        int status; /* of all children that there are: the workers are none of them */
                        for (pid_t child; (child = waitpid(-1, &status, WNOHANG)) > 0; ended++)
                                right += child_is(child, status);
                } else {
                        uint64_t expirations;
                        if (read(timer, &expirations, sizeof expirations) > 0) ticks++;
                        if (started < CHILDREN) start_child();
                }
        }
        close(loop);
}
/* end: loop */

int main(int count, char **arguments) {
        if (count != 2) return EXIT_FAILURE;
        const char *cells[2] = {"print('on')\nwhile True: pass", "6 * 7"};
        lauter_host *host;
        lauter_policy *policy;
        lauter_launch *launch;
        lauter_worker worker;
        lauter_call calls[2];
        sigset_t mask; /* what is read by signalfd is blocked; a worker does not inherit that */
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        timerfd_settime(timer, 0, &(struct itimerspec){{0, 2000000}, {0, 2000000}}, NULL);

        must(lauter_host_new(&host, &error));
        must(lauter_policy_new("notebook", &policy, &error));
        must(lauter_launch_new("python", &launch, &error));
        must(lauter_launch_set(launch, "interpreter", arguments[1], &error));
        must(lauter_spawn(host, policy, launch, 0, &worker, &error));
        for (int i = 0; i < 2; i++) {
                lauter_part source = {"text/x-python", cells[i], strlen(cells[i])};
                must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "execute", &source, 1, -1, (uint64_t)i,
                                       &calls[i], &error));
        }
        endless = calls[0];
        run(host, signals, timer);
        printf("children: %d of %d\n", right, ended);
        printf("ticks: %s\n", ticks >= CHILDREN ? "enough" : "too few");
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        lauter_host_free(host);
        close(signals);
        close(timer);
        return EXIT_SUCCESS;
}
