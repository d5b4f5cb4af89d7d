/* SPDX-License-Identifier: Apache-2.0 */
/* Connections on a loopback. */
#ifndef CLINUX_DIAL_H
#define CLINUX_DIAL_H
#include "clinux_base.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What became of a connection that was begun: 1 there is one, 0 not yet, -errno. Never blocks. */
static inline long lx_dial_state(int fd) {
        struct pollfd state = {.fd = fd, .events = POLLOUT};
        int error = 0;
        socklen_t size = sizeof error;
        if (poll(&state, 1, 0) < 0) return -errno;
        if (!state.revents) return 0;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return -errno;
        return error ? -error : 1;
}
/* A socket, or a file or folder. */
static inline int lx_is_what_was_wanted(int fd, int is_socket) {
        struct stat status;
        if (fstat(fd, &status) < 0) return 0;
        return is_socket ? S_ISSOCK(status.st_mode) : S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);
}
static inline long lx_dial_at(int family, const struct sockaddr *address, socklen_t size) {
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return -errno;
        long result = connect(fd, address, size) < 0 && errno != EINPROGRESS ? -errno : 0;
        if (result == 0) result = lx_dial_state(fd);
        if (result >= 0) return fd;
        (void)close(fd);
        return result;
}
/* A non-blocking socket, connected or about to be, to a port of 127.0.0.1 or, where nobody listens there, of ::1. A refusal on a
 * loopback is known at once. */
static inline long lx_dial_loopback(uint16_t port) {
        struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
        struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        six.sin6_addr.s6_addr[15] = 1;
        long fd = lx_dial_at(AF_INET, (const struct sockaddr *)&four, sizeof four);
        if (fd != -ECONNREFUSED) return fd;
        fd = lx_dial_at(AF_INET6, (const struct sockaddr *)&six, sizeof six);
        return fd >= 0 ? fd : -ECONNREFUSED;
}
#endif
