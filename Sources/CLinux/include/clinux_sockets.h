/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors to talk, wait and be woken through, and the lock that any host may take. */
#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H
#include "clinux_base.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static inline long lx_socketpair_stream(int fds[2]) {
        return lx_result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}
static inline long lx_socketpair_seqpacket(int fds[2]) {
        return lx_result(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
}
/* Never blocks, never raises SIGPIPE. */
static inline long lx_send_now(int fd, const void *data, size_t size) {
        return lx_result(send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL));
}
/* Descriptors that a worker sends along are not asked for: without room for control data the kernel drops them. */
static inline long lx_recv_now(int fd, void *data, size_t size) {
        return lx_result(recv(fd, data, size, MSG_DONTWAIT));
}
/* A sender of descriptors gets EPERM from now on (Linux 6.16). Where the kernel does not know it, they are dropped at
 * recv. */
static inline void lx_refuse_descriptors(int fd) {
        int no = 0;
        (void)setsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &no, sizeof no);
}
static inline long lx_pipe(int fds[2]) { return lx_result(pipe2(fds, O_CLOEXEC)); }
static inline long lx_set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);
        return lx_result(flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}
static inline long lx_fchown(int fd, unsigned uid, unsigned gid) { return lx_result(fchown(fd, uid, gid)); }
static inline long lx_dup_above(int fd, int least) { return lx_result(fcntl(fd, F_DUPFD_CLOEXEC, least)); }
static inline long lx_fd_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }
static inline long lx_fd_flags(int fd) { return lx_result(fcntl(fd, F_GETFD)); }

static inline long lx_epoll_create(void) { return lx_result(epoll_create1(EPOLL_CLOEXEC)); }
static inline long lx_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t key) {
        struct epoll_event event = {.events = events, .data.u64 = key};
        return lx_result(epoll_ctl(epoll, operation, fd, &event));
}
static inline long lx_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout) {
        return lx_result(epoll_wait(epoll, events, count, timeout));
}
static inline long lx_poll(struct pollfd *fds, size_t count, int64_t timeout_ns) {
        struct timespec time = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
        return lx_result(ppoll(fds, count, timeout_ns < 0 ? NULL : &time, NULL));
}
static inline long lx_eventfd(void) { return lx_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
static inline long lx_timerfd(void) { return lx_result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); }
/* 0 disarms. */
static inline long lx_timerfd_at(int fd, uint64_t when_ns) {
        struct itimerspec spec = {
            .it_value = {.tv_sec = (time_t)(when_ns / 1000000000u), .tv_nsec = (long)(when_ns % 1000000000u)}};
        return lx_result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL));
}
static inline uint64_t lx_now(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
/* Since 1970, as files have it. */
static inline int64_t lx_clock(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int lx_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) > 0; }

/* A word that reads 1 here and 0 in every forked child. */
static inline volatile uint32_t *lx_fork_mark(void) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return NULL;
        if (madvise(page, 4096, MADV_WIPEONFORK) < 0) {
                (void)munmap(page, 4096);
                return NULL;
        }
        *(volatile uint32_t *)page = 1;
        return (volatile uint32_t *)page;
}
static inline uint32_t lx_fork_mark_read(volatile uint32_t *mark) { return *mark; }
static inline void lx_fork_mark_free(volatile uint32_t *mark) { (void)munmap((void *)mark, 4096); }

static inline long lx_pidfd_open(int pid) { return lx_result(syscall(SYS_pidfd_open, pid, 0)); }
static inline long lx_pidfd_send_signal(int pidfd, int signal) {
        return lx_result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

/* A write to a pipe whose reader is gone raises SIGPIPE, and pipes have no MSG_NOSIGNAL: block it, write, consume it.
 * A SIGPIPE that was pending before is the host's and stays. */
static inline long lx_write_pipe(int fd, const void *data, size_t size) {
        sigset_t pipe_only, old, pending;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        sigpending(&pending);
        int was_pending = sigismember(&pending, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
        long result = lx_result(write(fd, data, size));
        if (result == -EPIPE && !was_pending) {
                struct timespec none = {0, 0};
                while (sigtimedwait(&pipe_only, NULL, &none) < 0 && errno == EINTR) {
                }
        }
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return result;
}

/* 16-byte aligned, NULL when memory is short. */
static inline void *lx_malloc(size_t size) { return malloc(size ? size : 1); }
static inline void lx_free(void *memory) { free(memory); }

#ifdef __GLIBC__
#include <dlfcn.h>
/* The folder of the shared object (or program) that this code is in; free it with lx_free. NULL, and why in `*error`. */
static inline char *lx_object_directory(int *error) {
        *error = ENOENT;
        Dl_info info;
        if (!dladdr((const void *)(uintptr_t)lx_object_directory, &info) || !info.dli_fname) return NULL;
        char *path = realpath(info.dli_fname, NULL);
        *error = path ? 0 : errno;
        if (!path) return NULL;
        char *slash = strrchr(path, '/');
        if (slash) *slash = 0;
        return path;
}
#endif

typedef struct lx_mutex {
        pthread_mutex_t mutex;
} lx_mutex;
static inline lx_mutex *lx_mutex_new(void) {
        lx_mutex *lock = malloc(sizeof *lock);
        if (lock) pthread_mutex_init(&lock->mutex, NULL);
        return lock;
}
static inline void lx_mutex_lock(lx_mutex *lock) { pthread_mutex_lock(&lock->mutex); }
static inline void lx_mutex_unlock(lx_mutex *lock) { pthread_mutex_unlock(&lock->mutex); }
static inline void lx_mutex_free(lx_mutex *lock) {
        pthread_mutex_destroy(&lock->mutex);
        free(lock);
}
#endif
