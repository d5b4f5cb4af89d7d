/* SPDX-License-Identifier: Apache-2.0 */
/* Networks and sockets of every kind. */
#include "escape.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static int internet(int kind, const char *host, const char *port) { /* a connection, or a route to there */
        struct sockaddr_in to4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
        struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
        bool six = strchr(host, ':');
        inet_pton(six ? AF_INET6 : AF_INET, host, six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr);
        int fd = socket(six ? AF_INET6 : AF_INET, kind | SOCK_CLOEXEC, 0);
        if (fd < 0) return -1;
        struct timeval bound = {2, 0};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
        int done =
            six ? connect(fd, (struct sockaddr *)&to6, sizeof to6) : connect(fd, (struct sockaddr *)&to4, sizeof to4);
        return done < 0 ? -1 : fd;
}

static int tcp(char **a) { return worked(internet(SOCK_STREAM, a[0], a[1]) >= 0); }

static int udp(char **a) { /* asks the neighbour, and waits for its answer */
        int fd = internet(SOCK_DGRAM, a[0], a[1]);
        char answer[16];
        struct pollfd ready = {fd, POLLIN, 0};
        if (fd < 0 || send(fd, "?", 1, 0) != 1) return worked(false);
        if (poll(&ready, 1, 1000) != 1) return note("no answer"), CONTAINED;
        return worked(recv(fd, answer, sizeof answer, 0) > 0);
}

static int route(char **a) { return worked(internet(SOCK_DGRAM, a[0], "53") >= 0); } /* sends nothing */

static int open_socket(char **a) { /* family, type, protocol: it is there at all */
        int fd = socket(atoi(a[0]), atoi(a[1]), atoi(a[2]));
        if (fd >= 0) return OPEN;
        /* Refused by the kernel's own check of privilege, or by a filter: the caller's twin tells them apart. */
        return worked(false);
}

static int local(const char *name, int kind) { /* a path, or @NAME in the abstract namespace */
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        strncpy(to.sun_path, name, sizeof to.sun_path - 1);
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path));
        if (to.sun_path[0] == '@')
                to.sun_path[0] = 0;
        else
                size++;
        int fd = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
        return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, size);
}

static int unix_stream(char **a) { return worked(local(a[0], SOCK_STREAM) == 0); }

static int unix_datagram(char **a) { return worked(local(a[0], SOCK_DGRAM) == 0); }

static int unix_any(char **a) {
        for (; *a; a++)
                if (local(*a, SOCK_STREAM) == 0 || local(*a, SOCK_DGRAM) == 0 || errno == EPROTOTYPE)
                        return note("%s", *a), OPEN;
        return worked(false);
}

static int unix_unnamed_send(char **a) { /* sendto needs no connection */
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        strncpy(to.sun_path + 1, a[0] + 1, sizeof to.sun_path - 2);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(a[0]));
        return worked(fd >= 0 && sendto(fd, "x", 1, 0, (struct sockaddr *)&to, size) == 1);
}

static int netlink(char **a) { return worked(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, atoi(a[0])) >= 0); }

static int interfaces(char **a) { /* any address but those of a loopback */
        struct ifaddrs *all = NULL;
        (void)a;
        if (getifaddrs(&all) < 0) return worked(false);
        for (struct ifaddrs *one = all; one; one = one->ifa_next)
                if (!(one->ifa_flags & IFF_LOOPBACK)) return note("%s", one->ifa_name), OPEN;
        note("none but a loopback");
        return CONTAINED;
}

static int make_interface(char **a) { /* a dummy, by NETLINK_ROUTE */
        struct {
                struct nlmsghdr header;
                struct ifinfomsg info;
                char attributes[64];
        } ask = {.header = {.nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK}};
        (void)a;
        /* IFLA_LINKINFO { IFLA_INFO_KIND "bridge" } */
        struct rtattr *outer = (struct rtattr *)(void *)ask.attributes;
        struct rtattr *inner = (struct rtattr *)RTA_DATA(outer);
        inner->rta_type = IFLA_INFO_KIND, inner->rta_len = RTA_LENGTH(6);
        memcpy(RTA_DATA(inner), "bridge", 6);
        outer->rta_type = IFLA_LINKINFO, outer->rta_len = (unsigned short)RTA_LENGTH(RTA_ALIGN(inner->rta_len));
        ask.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof ask.info) + RTA_ALIGN(outer->rta_len));
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        struct {
                struct nlmsghdr header;
                struct nlmsgerr error;
                char rest[256];
        } answer = {0};
        if (fd < 0 || send(fd, &ask, ask.header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
                return worked(false);
        errno = -answer.error.error;
        return worked(answer.error.error == 0 || errno == EOPNOTSUPP || errno == EEXIST);
}

static int one_of_a_pair(void) { /* the one kind of socket that every preset gives */
        int ends[2];
        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ? -1 : ends[0];
}

static int bring_up(char **a) { /* the loopback */
        struct ifreq request = {.ifr_name = "lo"};
        (void)a;
        int fd = one_of_a_pair();
        if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return worked(false);
        return worked(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
}

static int linger(char **a) { /* on a socket that is sent along: whoever closes it waits */
        struct linger long_one = {1, 65535};
        (void)a;
        int fd = one_of_a_pair();
        return worked(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &long_one, sizeof long_one) == 0);
}

static int force_buffer(char **a) { /* SO_RCVBUFFORCE: beyond the machine's bound */
        int size = 1 << 28;
        (void)a;
        int fd = one_of_a_pair();
        return worked(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) == 0);
}

static int false_credentials(char **a) { /* send as another: what D-Bus and systemd believe */
        int ends[2];
        char byte = 'x', control[CMSG_SPACE(sizeof(struct ucred))] = {0};
        (void)a;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return BROKEN;
        struct iovec data = {&byte, 1};
        struct msghdr message = {
            .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *with = CMSG_FIRSTHDR(&message);
        struct ucred who = {.pid = 1, .uid = getuid(), .gid = getgid()};
        with->cmsg_level = SOL_SOCKET, with->cmsg_type = SCM_CREDENTIALS, with->cmsg_len = CMSG_LEN(sizeof who);
        memcpy(CMSG_DATA(with), &who, sizeof who);
        return worked(sendmsg(ends[0], &message, 0) == 1);
}

const struct attempt network_attempts[] = {
    {"tcp", 2, tcp},
    {"udp", 2, udp},
    {"route", 1, route},
    {"socket", 3, open_socket},
    {"unix-stream", 1, unix_stream},
    {"unix-datagram", 1, unix_datagram},
    {"unix-any", 1, unix_any},
    {"unix-send", 1, unix_unnamed_send},
    {"netlink", 1, netlink},
    {"interfaces", 0, interfaces},
    {"make-interface", 0, make_interface},
    {"bring-up", 0, bring_up},
    {"linger", 0, linger},
    {"force-buffer", 0, force_buffer},
    {"false-credentials", 0, false_credentials},
    {0},
};
