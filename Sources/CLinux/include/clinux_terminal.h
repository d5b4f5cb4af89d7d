/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals, and the descriptor of one on its way from init to the host. */
#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H
#include "clinux_base.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static inline long lx_terminal_unlock(int master) {
        int no = 0;
        return lx_result(ioctl(master, TIOCSPTLCK, &no));
}
/* The other end, opened without a path: nothing that is mounted over it can stand in for it. */
static inline long lx_terminal_peer(int master) {
        return lx_result(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}
static inline long lx_terminal_resize(int fd, uint16_t rows, uint16_t columns) {
        struct winsize size = {.ws_row = rows, .ws_col = columns};
        return lx_result(ioctl(fd, TIOCSWINSZ, &size));
}
/* Lines are edited by characters of UTF-8, as every terminal has them today; the kernel begins with bytes. */
static inline long lx_terminal_utf8(int fd) {
        struct termios modes;
        if (tcgetattr(fd, &modes) < 0) return -(long)errno;
        modes.c_iflag |= IUTF8;
        return lx_result(tcsetattr(fd, TCSANOW, &modes));
}
/* The character that ends the input, as whoever uses the terminal has set it; 0 for none. */
static inline long lx_terminal_end(int fd) {
        struct termios modes;
        return tcgetattr(fd, &modes) < 0 ? -(long)errno : modes.c_cc[VEOF];
}
/* Make it the controlling terminal of the calling session leader, which has none. */
static inline long lx_terminal_control(int fd) { return lx_result(ioctl(fd, TIOCSCTTY, 0)); }
static inline long lx_terminal_group(int fd) {
        pid_t group = 0;
        return ioctl(fd, TIOCGPGRP, &group) < 0 ? -(long)errno : group;
}
static inline long lx_terminal_set_group(int fd, int group) {
        pid_t value = group;
        return lx_result(ioctl(fd, TIOCSPGRP, &value));
}
static inline long lx_setpgid(int pid, int group) { return lx_result(setpgid(pid, group)); }

/* Whether `fd` is the host's end of a pseudo-terminal: what /dev/ptmx is, and one that was opened. */
static inline int lx_is_terminal_master(int fd) {
        struct stat st;
        int number = 0;
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode)) return 0;
        return st.st_rdev == makedev(5, 2) && ioctl(fd, TIOCGPTN, &number) == 0;
}

/* Packets that a descriptor comes with, never raising SIGPIPE. */
static inline long lx_send_descriptor_with(int socket, const void *data, size_t size, int fd, int flags) {
        struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control;
        memset(&control, 0, sizeof control);
        struct msghdr message = {
            .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
        return lx_result(sendmsg(socket, &message, MSG_NOSIGNAL | flags));
}
static inline long lx_send_descriptor(int socket, const void *data, size_t size, int fd) {
        return lx_send_descriptor_with(socket, data, size, fd, 0);
}
static inline long lx_send_descriptor_now(int socket, const void *data, size_t size, int fd) {
        return lx_send_descriptor_with(socket, data, size, fd, MSG_DONTWAIT);
}
/* At most one descriptor is received (the kernel drops more), close-on-exec; `*fd` is -1 without one. `*cut` is 1 if
 * something was dropped: with no descriptor, for want of a free number. Never blocks. */
static inline long lx_recv_descriptor(int socket, void *data, size_t size, int *fd, int *cut) {
        struct iovec io = {.iov_base = data, .iov_len = size};
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control;
        /* Not CMSG_SPACE: its padding has room for a second one. */
        struct msghdr message = {
            .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = CMSG_LEN(sizeof(int))};
        *fd = -1;
        *cut = 0;
        ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (count < 0) return -(long)errno;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len >= CMSG_LEN(sizeof(int)))
                memcpy(fd, CMSG_DATA(header), sizeof *fd);
        *cut = (message.msg_flags & MSG_CTRUNC) != 0;
        return count;
}
#endif
