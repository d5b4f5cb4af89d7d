/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: their ids, signals, programs and ends. */
#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H
#include "clinux_base.h"
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
static inline long lx_getpid(void) { return getpid(); }
static inline long lx_getppid(void) { return getppid(); }
/* vfork(2) that is safe to call from anywhere: the child runs `body` on a stack of its own, in the caller's memory and with
 * the caller's table of descriptors (until lx_own_descriptors, or an exec), while the caller sleeps until it has exec'd or
 * exited. */
static inline long lx_vfork(int (*body)(void *), void *stack_top, void *argument) {
        return lx_result(clone(body, stack_top, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, argument));
}
/* fork(2), without what libc does for threads: for a process that has one. */
static inline long lx_fork(void) { return lx_result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }
__attribute__((noreturn)) static inline void lx_exit(int code) { _exit(code); }
static inline long lx_set_name(const char *name) { return lx_result(prctl(PR_SET_NAME, name, 0, 0, 0)); }
static inline long lx_setsid(void) { return lx_result(setsid()); }
static inline long lx_kill(int pid, int number) { return lx_result(kill(pid, number)); }
static inline long lx_dup3(int from, int to, int flags) { return lx_result(dup3(from, to, flags)); }
static inline long lx_close_range(unsigned first, unsigned last, unsigned flags) {
        return lx_result(syscall(SYS_close_range, first, last, flags));
}
/* Leave a table of descriptors that is shared for a copy of one's own. As unshare(CLONE_FILES), for who may not call that:
 * CLOSE_RANGE_UNSHARE, with a range in which there is nothing to close. */
static inline long lx_own_descriptors(void) { return lx_result(syscall(SYS_close_range, ~0u, ~0u, 2)); }
static inline long lx_umask(unsigned mask) { return umask(mask); }
static inline long lx_sethostname(const char *name, size_t size) { return lx_result(sethostname(name, size)); }
static inline long lx_execve(const char *path, char *const *arguments, char *const *environment) {
        return lx_result(execve(path, arguments, environment));
}
/* The system calls themselves: libc's functions change the ids of all threads, and init has one. */
static inline long lx_setgroups_none(void) { return lx_result(syscall(SYS_setgroups, 0, NULL)); }
static inline long lx_setresgid(uint32_t gid) { return lx_result(syscall(SYS_setresgid, gid, gid, gid)); }
static inline long lx_setresuid(uint32_t uid) { return lx_result(syscall(SYS_setresuid, uid, uid, uid)); }

/* Scheduling of the calling thread, by the system calls themselves: musl's functions refuse. */
static inline long lx_sched_policy(void) { return lx_result(syscall(SYS_sched_getscheduler, 0)); }
/* Real time or with deadlines: before all ordinary processes. The bit above is SCHED_RESET_ON_FORK. */
static inline int lx_sched_is_urgent(long policy) {
        policy &= ~0x40000000L;
        return policy == SCHED_FIFO || policy == SCHED_RR || policy == 6 /* SCHED_DEADLINE */;
}
static inline long lx_sched_become_other(void) {
        int priority = 0;
        return lx_result(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &priority));
}
/* 20 minus the nice value, as the kernel returns it: 1 to 40, more is better. */
static inline long lx_nice_by_twenty(void) { return lx_result(syscall(SYS_getpriority, PRIO_PROCESS, 0)); }
static inline long lx_set_nice(int nice) { return lx_result(syscall(SYS_setpriority, PRIO_PROCESS, 0, nice)); }
/* Of the calling thread (IOPRIO_WHO_PROCESS, 0); the class is in the upper bits. */
enum { LX_IO_CLASS_SHIFT = 13, LX_IO_CLASS_REAL_TIME = 1 };
static inline long lx_io_priority(void) { return lx_result(syscall(SYS_ioprio_get, 1, 0)); }
static inline long lx_set_io_priority(int priority) { return lx_result(syscall(SYS_ioprio_set, 1, 0, priority)); }
static inline long lx_personality(unsigned long persona) { return lx_result(syscall(SYS_personality, persona)); }
/* A new session keyring without a name, of which nobody else knows. */
static inline long lx_join_session_keyring(void) { return lx_result(syscall(SYS_keyctl, 1, NULL)); }

/* Signals: a set is the kernel's, bit `number - 1`. */
static inline long lx_sigprocmask(int how, uint64_t set) {
        return lx_result(syscall(SYS_rt_sigprocmask, how, &set, NULL, sizeof set));
}
static inline long lx_signal_ignore(int number, int ignore) {
        return signal(number, ignore ? SIG_IGN : SIG_DFL) == SIG_ERR ? -(long)errno : 0;
}
static inline long lx_signalfd(uint64_t set, int flags) {
        return lx_result(syscall(SYS_signalfd4, -1, &set, sizeof set, flags));
}

/* A child's end or stop, whatever it was. */
typedef struct lx_end {
        int32_t pid;     /* 0: nobody ended */
        int32_t code;    /* 0…255, or -1 if a signal ended it */
        int32_t signal;  /* that signal, or 0 */
        int32_t core;    /* 1 if it left a core */
        int32_t stopped; /* 1 if `signal` stopped it, and it goes on to be there */
} lx_end;
static inline long lx_wait_any(lx_end *end) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL);
        end->pid = pid > 0 ? pid : 0;
        end->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        end->stopped = pid > 0 && WIFSTOPPED(status);
        end->signal = end->stopped ? WSTOPSIG(status) : WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        end->core = WIFSIGNALED(status) && WCOREDUMP(status) ? 1 : 0;
        return pid < 0 ? -(long)errno : pid;
}

/* What the ended and reaped children used. */
typedef struct lx_usage {
        uint64_t user_us, system_us, peak_kib;
} lx_usage;
static inline long lx_usage_of_children(lx_usage *usage) {
        struct rusage r;
        if (getrusage(RUSAGE_CHILDREN, &r) < 0) return -(long)errno;
        usage->user_us = (uint64_t)r.ru_utime.tv_sec * 1000000 + (uint64_t)r.ru_utime.tv_usec;
        usage->system_us = (uint64_t)r.ru_stime.tv_sec * 1000000 + (uint64_t)r.ru_stime.tv_usec;
        usage->peak_kib = (uint64_t)r.ru_maxrss;
        return 0;
}

/* CPU time that a process of the caller's namespace has used, all its threads, in nanoseconds; of a zombie too. Exact,
 * and asked without /proc. */
static inline long lx_process_cpu(int pid, uint64_t *ns) {
        struct timespec used;
        /* clock_getcpuclockid(3) without its checks: the process's scheduler clock. */
        long result = lx_result(syscall(SYS_clock_gettime, (int)(((~(unsigned)pid) << 3) | 2u), &used));
        if (result == 0) *ns = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
        return result;
}

/* How many processors a process here can be given: those that the caller may ask for, whatever it was pinned to. */
static inline long lx_processors(void) {
        enum { WORDS = 128 }; /* 8192 processors */
        unsigned long before[WORDS] = {0}, all[WORDS];
        long count = 0, size = lx_result(syscall(SYS_sched_getaffinity, 0, sizeof before, before));
        if (size < 0) return size;
        memset(all, 0xff, sizeof all);
        /* The kernel takes what the caller's cpuset allows of it. */
        if (syscall(SYS_sched_setaffinity, 0, sizeof all, all) == 0) {
                if (syscall(SYS_sched_getaffinity, 0, sizeof all, all) < 0) memcpy(all, before, sizeof all);
                (void)syscall(SYS_sched_setaffinity, 0, (size_t)size, before);
        } else {
                memcpy(all, before, sizeof all);
        }
        for (long i = 0; i < size / (long)sizeof *all; i++) count += __builtin_popcountl(all[i]);
        return count;
}

/* Whether two processes have one memory: 1 or 0, or -errno where it may not be asked. KCMP_VM. */
static inline long lx_have_same_memory(int one, int other) {
        long result = lx_result(syscall(SYS_kcmp, one, other, 1, 0, 0));
        return result < 0 ? result : result == 0;
}

/* Packets of the control socket, never raising SIGPIPE. */
static inline long lx_send_packet(int fd, const void *data, size_t size) {
        return lx_result(send(fd, data, size, MSG_NOSIGNAL));
}
static inline long lx_send_packet_now(int fd, const void *data, size_t size) {
        return lx_result(send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}
static inline long lx_receive_packet(int fd, void *data, size_t size) {
        return lx_result(recv(fd, data, size, MSG_DONTWAIT | MSG_TRUNC));
}

/* Bring up the loopback interface of the calling thread's network namespace. */
static inline long lx_loopback_up(void) {
        struct ifreq request = {.ifr_name = "lo"};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0) return -(long)errno;
        long result = lx_result(ioctl(fd, SIOCGIFFLAGS, &request));
        request.ifr_flags |= IFF_UP | IFF_RUNNING;
        if (result == 0) result = lx_result(ioctl(fd, SIOCSIFFLAGS, &request));
        close(fd);
        return result;
}
#endif
