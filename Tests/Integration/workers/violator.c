/* SPDX-License-Identifier: Apache-2.0 */
/* Makes system calls that are no worker's to make, and says what came of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outcome(long result) { return result < 0 ? strerrorname_np(errno) : "ok"; }

static long attack(void) { return syscall(SYS_ptrace, PTRACE_TRACEME, 11, 22, 33); }

/* So often the same. */
static int calls(char **a) {
        long result = 0;
        for (int left = atoi(a[0]); left > 0; left--) result = attack();
        puts(outcome(result));
        return 0;
}

/* From another thread, which says who it is, and between which places the call is made. */
static void *one(void *none) {
        (void)none;
        printf("%ld %lu\n", syscall(SYS_gettid), (unsigned long)(size_t)syscall);
        fflush(stdout);
        (void)attack();
        return NULL;
}
static int thread(char **a) {
        pthread_t other;
        (void)a;
        return pthread_create(&other, NULL, one, NULL) || pthread_join(other, NULL);
}

/* In a child, whose parent goes on. */
static int child(char **a) {
        int status;
        (void)a;
        if (fork() == 0) _exit(attack() == 0);
        wait(&status);
        puts("the parent goes on");
        fflush(stdout);
        for (;;) pause();
}

__attribute__((noreturn)) static void *forever(void *none) {
        (void)none;
        for (;;) (void)attack();
}
static int flood(char **a) {
        pthread_t other;
        puts("here");
        fflush(stdout);
        for (int left = atoi(a[0]); left > 1; left--)
                if (pthread_create(&other, NULL, forever, NULL)) return 1;
        forever(NULL);
}

/* What libraries try in all innocence, and what a program may do. */
static int probes(char **a) {
        char room[256];
        struct linger linger = {1, 1};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        (void)a;
        memset(room, 0, sizeof room);
        printf("%s\n", outcome(syscall(SYS_io_uring_setup, 1, room)));
        printf("%s\n", outcome(syscall(SYS_kcmp, getpid(), getpid(), 2, 0, 0)));
        printf("%s\n", outcome(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger)));
        printf("%s\n", outcome(syscall(SYS_getpid)));
        return 0;
}

/* More kinds than are told apart: numbers of x32. */
static int kinds(char **a) {
        for (int number = 0; number < atoi(a[0]); number++) (void)syscall(0x40000000 + number);
        puts("done");
        return 0;
}

int main(int count, char **arguments) {
        static const struct {
                const char *name;
                int (*run)(char **);
        } all[] = {
            {"calls", calls}, {"thread", thread}, {"child", child},
            {"flood", flood}, {"probes", probes}, {"kinds", kinds},
        };
        for (size_t i = 0; count > 1 && i < sizeof all / sizeof *all; i++)
                if (!strcmp(arguments[1], all[i].name)) return all[i].run(arguments + 2);
        return 2;
}
