/* SPDX-License-Identifier: Apache-2.0 */
/* Uses things up: CPU time in several ways, descriptors, files. Says "here" once everything that it starts is there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void say(const char *text) {
        printf("%s\n", text);
        fflush(stdout);
}

static long used_ms(void) {
        struct timespec used;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

static void burn(long ms) {
        for (long end = used_ms() + ms; used_ms() < end;)
                ;
}

static _Noreturn void burn_for_ever(void) {
        for (volatile unsigned long i = 0;; i++)
                ;
}

static pid_t child_that_burns(void) {
        pid_t pid = fork();
        if (pid == 0) burn_for_ever();
        return pid;
}

static int burn_some(char **a) { /* so many ms */
        burn(atol(a[0]));
        say("done");
        return 0;
}

static _Noreturn int burn_tree(char **a) { /* so many children that burn for ever */
        for (int i = atoi(a[0]); i > 0; i--) child_that_burns();
        say("here");
        for (;;) pause();
}

static void take_name(const char *name) { /* which /proc shows in the middle of its numbers */
        if (name) prctl(PR_SET_NAME, name);
}

static _Noreturn int burn_relay(char **a) { /* one child after the other burns so many ms and is waited for; its name */
        take_name(a[1]);
        say("here");
        for (;;) {
                if (fork() == 0) {
                        burn(atol(a[0]));
                        _exit(0);
                }
                wait(NULL);
        }
}

static _Noreturn int burn_hidden(char **a) { /* for ever, as nobody who may be looked into */
        (void)a;
        prctl(PR_SET_DUMPABLE, 0);
        say("here");
        burn_for_ever();
}

static _Noreturn int burn_then_idle(char **a) { /* so many ms */
        burn(atol(a[0]));
        say("here");
        for (;;) pause();
}

static _Noreturn int deaf_to_limit(char **a) { /* burns for ever and ignores what can be ignored */
        (void)a;
        for (int number = 1; number < NSIG; number++) signal(number, SIG_IGN);
        say("here");
        burn_for_ever();
}

static _Noreturn int jobs(char **a) { /* a child that burns, and one that was stopped as a shell would; their name */
        take_name(a[0]);
        pid_t burning = child_that_burns(), stopped = child_that_burns();
        int status;
        kill(stopped, SIGSTOP);
        waitpid(stopped, &status, WUNTRACED);
        printf("%d %d\n", burning, stopped);
        fflush(stdout);
        for (;;) pause();
}

static volatile sig_atomic_t ticks;
static void tick(int number) {
        (void)number;
        ticks++;
}

static void continue_each(long ms) { /* by the kernel, over and over */
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
        struct itimerspec spec = {.it_interval = {.tv_nsec = ms * 1000000}, .it_value = {.tv_nsec = ms * 1000000}};
        timer_t timer;
        signal(SIGCONT, tick); /* a timer whose signal is ignored goes off once */
        if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 || timer_settime(timer, 0, &spec, NULL) < 0) _exit(1);
}

static _Noreturn int restarts(char **a) { /* burns for ever, and is continued after so many ms, over and over */
        continue_each(atol(a[0]));
        say("here");
        burn_for_ever();
}

static char state_of_first_thread(void) {
        char stat[512] = "";
        int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, stat, sizeof stat - 1) < 0) _exit(2);
        close(fd);
        return strrchr(stat, ')')[2];
}

static void *work_a_little(void *state) { /* a byte each 100 ms, once the first thread is in that state */
        const struct timespec moment = {.tv_nsec = 1000000}, pause = {.tv_nsec = 100000000};
        while (state_of_first_thread() != *(const char *)state) nanosleep(&moment, NULL);
        say("here");
        for (;;) {
                nanosleep(&pause, NULL);
                if (write(1, "x", 1) < 0) _exit(3);
        }
}

static _Noreturn int
thrifty(char **a) { /* works a little and is continued; its first thread sleeps, has exited or waits */
        static char state;
        state = !strcmp(a[0], "exited") ? 'Z' : !strcmp(a[0], "waits") ? 'D' : 'S';
        continue_each(20);
        pthread_t thread;
        if (pthread_create(&thread, NULL, work_a_little, &state) != 0) _exit(4);
        if (state == 'Z') pthread_exit(NULL);
        if (state == 'D' && vfork() == 0) {
                for (;;) pause();
        }
        for (;;) pause();
}

static _Noreturn int echo_signals(char **a) { /* says each SIGUSR1 that it gets */
        (void)a;
        sigset_t usr1, none;
        sigemptyset(&none);
        sigemptyset(&usr1);
        sigaddset(&usr1, SIGUSR1);
        sigprocmask(SIG_BLOCK, &usr1, NULL);
        signal(SIGUSR1, tick);
        say("here");
        for (;;) {
                sigsuspend(&none);
                if (ticks) say("usr1");
                ticks = 0;
        }
}

static int descriptors(char **a) { /* as many as there are, after asking for more */
        (void)a;
        int count = 0;
        while (open("/dev/null", O_RDONLY) >= 0) count++;
        printf("%d %s\n", count, strerrorname_np(errno));
        return 0;
}

static int grow(char **a) { /* a file, by so many bytes */
        long left = atol(a[1]);
        char block[4096] = {0};
        int fd = open(a[0], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (a[2]) signal(SIGXFSZ, SIG_IGN);
        if (fd < 0) return 1;
        while (left > 0) {
                ssize_t n = write(fd, block, left < 4096 ? (size_t)left : sizeof block);
                if (n < 0) return say(strerrorname_np(errno)), 2;
                left -= n;
        }
        say("ok");
        return 0;
}

static const struct {
        const char *name;
        int arguments;
        int (*run)(char **);
} ways[] = {
    {"some", 1, burn_some},
    {"tree", 1, burn_tree},
    {"relay", 1, burn_relay},
    {"hidden", 0, burn_hidden},
    {"then-idle", 1, burn_then_idle},
    {"deaf", 0, deaf_to_limit},
    {"jobs", 0, jobs},
    {"restarts", 1, restarts},
    {"thrifty", 1, thrifty},
    {"signals", 0, echo_signals},
    {"descriptors", 0, descriptors},
    {"grow", 2, grow},
};

int main(int count, char **arguments) {
        for (size_t i = 0; count > 1 && i < sizeof ways / sizeof *ways; i++)
                if (!strcmp(arguments[1], ways[i].name) && count - 2 >= ways[i].arguments)
                        return ways[i].run(arguments + 2);
        return 94;
}
