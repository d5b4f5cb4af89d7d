/* SPDX-License-Identifier: Apache-2.0 */
/* A process, described: what a library that is a guest in it leaves alone. */
#include "loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fenv.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* As the kernel has them: libc hides two signals and its own flag. */
static void describe_signals(FILE *out) {
        for (int number = 1; number <= 64; number++) {
                struct {
                        unsigned long handler, flags, restorer, mask;
                } action;
                memset(&action, 0, sizeof action);
                syscall(SYS_rt_sigaction, number, NULL, &action, 8);
                /* Where nothing is called only these mean something. */
                if (action.handler <= 1) action.flags &= SA_NOCLDWAIT | SA_NOCLDSTOP, action.restorer = action.mask = 0;
                fprintf(out, "signal %d: %lx %lx %lx %lx\n", number, action.handler, action.flags, action.restorer,
                        action.mask);
        }
        unsigned long mask = 0, pending = 0;
        syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
        syscall(SYS_rt_sigpending, &pending, 8);
        stack_t stack;
        sigaltstack(NULL, &stack);
        fprintf(out, "mask %lx, pending %lx, stack %p %d %zu\n", mask, pending, stack.ss_sp, stack.ss_flags,
                stack.ss_size);
}

static void describe_floating_point(FILE *out) {
        fprintf(out, "rounding %d, exceptions enabled %x\n", fegetround(), fegetexcept());
#ifdef __x86_64__
        unsigned sse;
        unsigned short x87;
        __asm__ volatile("stmxcsr %0" : "=m"(sse));
        __asm__ volatile("fnstcw %0" : "=m"(x87));
        /* Without the six bits that say what was inexact: any sum may set them. */
        fprintf(out, "mxcsr %x, x87 %x\n", sse & ~0x3fu, x87);
#endif
}

static void describe_limits(FILE *out) {
        for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
                struct rlimit limit = {0, 0};
                getrlimit(resource, &limit);
                fprintf(out, "limit %d: %lu %lu\n", resource, (unsigned long)limit.rlim_cur,
                        (unsigned long)limit.rlim_max);
        }
        for (int timer = 0; timer < 3; timer++) {
                struct itimerval value;
                getitimer(timer, &value);
                fprintf(out, "timer %d: %d %ld\n", timer, value.it_value.tv_sec > 0, (long)value.it_interval.tv_sec);
        }
}

/* What of /proc/self/status stays the same of itself. */
static void describe_status(FILE *out) {
        static const char *const names[] = {"Name:",         "Umask:",           "Tgid:",
                                            "PPid:",         "TracerPid:",       "Uid:",
                                            "Gid:",          "Groups:",          "Threads:",
                                            "CapInh:",       "CapPrm:",          "CapEff:",
                                            "CapBnd:",       "CapAmb:",          "NoNewPrivs:",
                                            "Seccomp:",      "Seccomp_filters:", "Speculation_Store_Bypass:",
                                            "Cpus_allowed:", "Mems_allowed:",    "CoreDumping:",
                                            "THP_enabled:"};
        char line[8192];
        FILE *status = fopen("/proc/self/status", "r");
        expect(status, "/proc/self/status");
        while (fgets(line, sizeof line, status))
                for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                        if (strncmp(line, names[i], strlen(names[i])) == 0) fputs(line, out);
        fclose(status);
}

static void describe_prctl(FILE *out) {
        int subreaper = -1, death = -1;
        prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
        prctl(PR_GET_PDEATHSIG, &death);
        fprintf(
            out,
            "dumpable %d, keepcaps %d, securebits %x, subreaper %d, death signal %d, slack %d, no new privileges %d\n",
            prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS), (unsigned)prctl(PR_GET_SECUREBITS), subreaper, death,
            prctl(PR_GET_TIMERSLACK), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void describe_place(FILE *out) {
        char folder[4096];
        expect(getcwd(folder, sizeof folder), "getcwd");
        for (char **variable = environ; *variable; variable++) fprintf(out, "%s\n", *variable);
        fprintf(out, "environment at %p\n", (void *)environ);
        fprintf(out, "in %s, locale %s, time zone %ld %s\n", folder, setlocale(LC_ALL, NULL), timezone, tzname[0]);
        fprintf(out, "nice %d, scheduler %d, io %ld, personality %x\n", getpriority(PRIO_PROCESS, 0),
                sched_getscheduler(0), syscall(SYS_ioprio_get, 1, 0), (unsigned)personality(0xffffffff));
        fprintf(out, "group %d, session %d\n", (int)getpgid(0), (int)getsid(0));
        static const char *const namespaces[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup", "time"};
        for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
                char path[64], target[64] = "";
                snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
                (void)!readlink(path, target, sizeof target - 1);
                fprintf(out, "%s\n", target);
        }
}

static void describe_allocator(FILE *out) {
        static const char *const names[] = {"malloc",        "free", "calloc",   "realloc",
                                            "aligned_alloc", "fork", "sigaction"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
                fprintf(out, "%s at %p\n", names[i], dlsym(RTLD_DEFAULT, names[i]));
}

char *describe_process(void) {
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        expect(out, "open_memstream");
        describe_signals(out);
        describe_floating_point(out);
        describe_limits(out);
        describe_status(out);
        describe_prctl(out);
        describe_place(out);
        describe_allocator(out);
        fclose(out);
        return text;
}

/* ------------------------------------------------------------------------------------------- that it would see -- */

static char *before;

/* Called after a change, and again after it was undone. */
static void expect_change(int is_changed, const char *what) {
        char *after = describe_process();
        expect((strcmp(before, after) != 0) == is_changed, is_changed ? "it does not see: %s" : "it was not undone: %s",
               what);
        free(after);
}

#define SEES(what, change, undo)                                                                                       \
        do {                                                                                                           \
                change;                                                                                                \
                expect_change(1, what);                                                                                \
                undo;                                                                                                  \
                expect_change(0, what);                                                                                \
        } while (0)

void check_description(void) {
        struct rlimit limit, lower;
        sigset_t some;
        sigemptyset(&some);
        sigaddset(&some, SIGUSR1);
        getrlimit(RLIMIT_CORE, &limit);
        /* What cannot be undone is done at the beginning: these are no values that a process is born with. */
        prctl(PR_SET_NAME, "guest's host");
        setenv("LAUTER_TEST", "1", 1);
        before = describe_process();
        lower = limit;
        lower.rlim_cur = limit.rlim_cur == 0 ? 1 : 0;
        if (lower.rlim_cur <= lower.rlim_max)
                SEES("a limit", setrlimit(RLIMIT_CORE, &lower), setrlimit(RLIMIT_CORE, &limit));
        SEES("a handler", signal(SIGUSR1, SIG_IGN), signal(SIGUSR1, SIG_DFL));
        SEES("the mask", sigprocmask(SIG_BLOCK, &some, NULL), sigprocmask(SIG_UNBLOCK, &some, NULL));
        SEES("rounding", fesetround(FE_UPWARD), fesetround(FE_TONEAREST));
        SEES("the name", prctl(PR_SET_NAME, "another"), prctl(PR_SET_NAME, "guest's host"));
        SEES("being dumpable", prctl(PR_SET_DUMPABLE, 0), prctl(PR_SET_DUMPABLE, 1));
        SEES("the mode mask", umask(0777), umask(022));
        SEES("the folder", expect(chdir("/tmp") == 0, "chdir"), expect(chdir("/") == 0, "chdir"));
        SEES("the environment", setenv("LAUTER_TEST", "2", 1), setenv("LAUTER_TEST", "1", 1));
        SEES("the subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1), prctl(PR_SET_CHILD_SUBREAPER, 0));
        free(before);
}
