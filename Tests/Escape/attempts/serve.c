/* SPDX-License-Identifier: Apache-2.0 */
/* A neighbour: a process that offers, under a tag, all by which processes usually find each other, and waits. Where what
 * another attempts finds it, the two are not apart. It says "serving TCP UDP" with its ports (0: none could be had). */
#include "escape.h"
#include <arpa/inet.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

uint32_t key_of(const char *tag) {
        uint32_t key = 2166136261u;
        for (; *tag; tag++) key = (key ^ (unsigned char)*tag) * 16777619u;
        return key;
}

static int local(const char *name, int kind) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        strncpy(at.sun_path, name, sizeof at.sun_path - 1);
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
        if (name[0] == '@')
                at.sun_path[0] = 0;
        else {
                unlink(name);
                size++;
        }
        int fd = socket(AF_UNIX, kind, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0) return -1;
        if (name[0] != '@') chmod(name, 0777);
        if (kind == SOCK_STREAM) listen(fd, 100);
        return fd;
}

static int internet(int kind, int *port) {
        struct sockaddr_in at = {
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)*port)};
        socklen_t size = sizeof at;
        int fd = socket(AF_INET, kind, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0) return *port = 0, -1;
        if (kind == SOCK_STREAM) listen(fd, 100);
        getsockname(fd, (struct sockaddr *)&at, &size);
        *port = ntohs(at.sin_port);
        return fd;
}

static void leave_file(const char *folder, const char *tag) {
        char path[512];
        snprintf(path, sizeof path, "%s/lauter-%s", folder, tag);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd >= 0) (void)!write(fd, "a neighbour's", 13), fchmod(fd, 0666), close(fd);
}

int serve(const char *tag, const char *folder) {
        char name[256];
        int tcp = 0, udp = 0;
        umask(0);
        /* The ports of a neighbour in a network of its own are the same in each: they are known beforehand. */
        if (!strncmp(tag, "victim", 6)) tcp = 41234, udp = 41235;
        internet(SOCK_STREAM, &tcp);
        int datagrams = internet(SOCK_DGRAM, &udp);
        snprintf(name, sizeof name, "@lauter-%s", tag);
        local(name, SOCK_STREAM);
        snprintf(name, sizeof name, "@lauter-%s-datagrams", tag);
        int unread = local(name, SOCK_DGRAM);
        if (strcmp(folder, "-")) {
                snprintf(name, sizeof name, "%s/socket", folder);
                local(name, SOCK_STREAM);
        }
        leave_file("/tmp", tag);
        leave_file("/dev/shm", tag);
        int memory = shmget((key_t)key_of(tag), 4096, IPC_CREAT | 0666);
        int queue = msgget((key_t)key_of(tag), IPC_CREAT | 0666);
        int semaphores = semget((key_t)key_of(tag), 1, IPC_CREAT | 0666);
        snprintf(name, sizeof name, "/lauter-%s", tag);
        mq_unlink(name);
        mq_open(name, O_RDWR | O_CREAT, 0666, NULL);
        printf("serving %d %d\n", tcp, udp);
        fflush(stdout);
        /* Answers datagrams until standard input ends. */
        struct pollfd ready[2] = {{0, POLLIN, 0}, {datagrams, POLLIN, 0}};
        for (;;) {
                struct sockaddr_in from;
                socklen_t size = sizeof from;
                char bytes[16];
                if (poll(ready, 2, -1) < 0) break;
                if (ready[0].revents && read(0, bytes, sizeof bytes) <= 0) break;
                if (datagrams >= 0 && ready[1].revents &&
                    recvfrom(datagrams, bytes, 1, 0, (struct sockaddr *)&from, &size) > 0)
                        sendto(datagrams, "!", 1, 0, (struct sockaddr *)&from, size);
        }
        (void)unread;
        shmctl(memory, IPC_RMID, NULL);
        msgctl(queue, IPC_RMID, NULL);
        semctl(semaphores, 0, IPC_RMID);
        mq_unlink(name);
        snprintf(name, sizeof name, "/tmp/lauter-%s", tag);
        unlink(name);
        snprintf(name, sizeof name, "/dev/shm/lauter-%s", tag);
        unlink(name);
        return 0;
}
