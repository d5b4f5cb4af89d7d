/* SPDX-License-Identifier: Apache-2.0 */
/* System calls without libc: the processes made here share the host's memory, hence its thread's `errno`
 * too. */
#ifndef CLAUNCH_RAW_H
#define CLAUNCH_RAW_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The thread sanitizer replaces clone() by one that takes the child for a fork. Package.swift says so where it runs. */
#ifdef CLAUNCH_BARE_CLONE
extern int __clone(int (*body)(void *), void *stack, int flags, void *argument, ...);
#define clone __clone
#endif

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#define RAW_CLONE_INTO_CGROUP 0x200000000ULL
#define RAW_P_PIDFD 3
#define RAW_CLOSE_RANGE_UNSHARE 2
#define RAW_CLOSE_RANGE_CLOEXEC 4

/* The result, or -errno. */
static inline long raw(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
        long result;
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = f;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return result;
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = number;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = f;
        __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
        return x0;
#else
#error "CLaunch knows the system call instruction of x86_64 and aarch64 only"
#endif
}

struct raw_clone3_arguments {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
            cgroup;
};

/* clone3(2) of a child that calls `body` on a stack of its own and exits with what it returns. libc has no function for it. */
static inline long raw_clone3(struct raw_clone3_arguments *arguments, int (*body)(void *), void *argument) {
#if defined(__x86_64__)
        long result;
        register int (*r8)(void *) __asm__("r8") = body;
        register void *r9 __asm__("r9") = argument;
        __asm__ volatile("syscall\n\t"
                         "test %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xor %%ebp, %%ebp\n\t"
                         "mov %%r9, %%rdi\n\t"
                         "call *%%r8\n\t"
                         "mov %%eax, %%edi\n\t"
                         "mov $60, %%eax\n\t" /* exit */
                         "syscall\n"
                         "1:"
                         : "=a"(result)
                         : "0"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return result;
#elif defined(__aarch64__)
        register long x8 __asm__("x8") = SYS_clone3;
        register long x0 __asm__("x0") = (long)arguments;
        register long x1 __asm__("x1") = sizeof *arguments;
        register int (*x10)(void *) __asm__("x10") = body;
        register void *x11 __asm__("x11") = argument;
        __asm__ volatile("svc #0\n\t"
                         "cbnz x0, 1f\n\t"
                         "mov x29, #0\n\t"
                         "mov x0, x11\n\t"
                         "blr x10\n\t"
                         "mov x8, #93\n\t" /* exit */
                         "svc #0\n"
                         "1:"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x10), "r"(x11)
                         : "memory");
        return x0;
#endif
}

static inline void raw_close(int fd) { raw(SYS_close, fd, 0, 0, 0, 0, 0); }

/* The kernel's set has 64 signals; libc's sigfillset() leaves out the two that libc keeps for itself,
 * whose handlers (thread cancellation, setuid of all threads) must not run in a process that only looks
 * like the thread either.
 * 0, with what was blocked before in `*old`, or -errno (a filter of the host's): then nothing may be cloned. */
static inline long raw_block_signals(uint64_t *old) {
        uint64_t all = ~(uint64_t)0;
        return raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)old, sizeof all, 0, 0);
}

static inline long raw_restore_signals(uint64_t old) {
        return raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&old, 0, sizeof old, 0, 0);
}

/* Not FUTEX_PRIVATE: the kernel's own wake of CLONE_CHILD_CLEARTID is a shared one, and would miss a
 * private waiter. */
static inline void raw_futex_wait_while(const uint32_t *word, uint32_t value) {
        while (__atomic_load_n(word, __ATOMIC_ACQUIRE) == value) raw(SYS_futex, (long)word, FUTEX_WAIT, value, 0, 0, 0);
}

static inline void raw_futex_set(uint32_t *word, uint32_t value) {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
        raw(SYS_futex, (long)word, FUTEX_WAKE, 1, 0, 0, 0);
}

/* Wait for a child with exit signal 0; its status is of no interest. */
static inline void raw_reap(int pidfd) {
        while (raw(SYS_waitid, RAW_P_PIDFD, pidfd, 0, WEXITED | __WALL, 0, 0) == -EINTR)
                ;
}

/* Write `text` to /proc/`pid`/`name`; 0 or -errno. One write: the kernel takes a map only whole. */
int claunch_write_proc(int pid, const char *name, const char *text) __attribute__((visibility("hidden")));

/* `setgroups`, `uid_map` and `gid_map` of a child in a new user namespace; 0, or -errno and the
 * claunch_stage. */
int claunch_write_maps(int pid, const char *uid_map, const char *gid_map, int deny_setgroups, int *stage)
    __attribute__((visibility("hidden")));

#endif
