/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's side of a session needs: its descriptors, its page, and threads that wait for each other. */
#ifndef CLINUX_SESSION_H
#define CLINUX_SESSION_H
#include "clinux_base.h"
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

enum { LX_FUTEX_WAIT_PRIVATE = 128, LX_FUTEX_WAKE_PRIVATE = 129 };
/* Sleep while `*word` is `seen`. Always with a time, so that a signal's handler ends it: without one the kernel would go on. */
static inline long lx_futex_wait(uint32_t *word, uint32_t seen, int64_t timeout_ns) {
        struct timespec time = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
        return lx_result(syscall(SYS_futex, word, LX_FUTEX_WAIT_PRIVATE, seen, &time, NULL, 0));
}
static inline void lx_futex_wake_all(uint32_t *word) {
        (void)syscall(SYS_futex, word, LX_FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

/* Never blocks, never raises SIGPIPE. */
static inline long lx_send_vector_now(int fd, const struct iovec *vector, size_t count) {
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)vector, .msg_iovlen = count};
        return lx_result(sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static inline int lx_is_stream(int fd) {
        int domain = 0, type = 0;
        socklen_t size = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0) return 0;
        size = sizeof type;
        return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && domain == AF_UNIX && type == SOCK_STREAM;
}
static inline long lx_close_on_exec(int fd) { return lx_result(fcntl(fd, F_SETFD, FD_CLOEXEC)); }
/* Of a file; 0 for what is none. */
static inline int64_t lx_regular_size(int fd) {
        struct stat status;
        return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? (int64_t)status.st_size : 0;
}
/* The control page. NULL if it is none. */
static inline const void *lx_map_page(int fd) {
        if (lx_regular_size(fd) < 4096) return NULL;
        void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        return page == MAP_FAILED ? NULL : page;
}

/* Whether call `id`, which owns the slot as far as it is still the call's, has been asked to stop more often than was claimed; it
 * is claimed then. Async-signal-safe. */
static inline int lx_claim(const void *slot, uint64_t id, uint32_t *claimed) {
        const uint32_t *requests = (const uint32_t *)slot + 2;
        uint32_t asked = __atomic_load_n(requests, __ATOMIC_ACQUIRE);
        /* After that: by now the slot may have another owner, and then what was read is not ours. */
        if (__atomic_load_n((const uint64_t *)slot, __ATOMIC_ACQUIRE) != id) return 0;
        uint32_t had = __atomic_load_n(claimed, __ATOMIC_RELAXED);
        while (asked > had)
                if (__atomic_compare_exchange_n(claimed, &had, asked, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return 1;
        return 0;
}
#endif
