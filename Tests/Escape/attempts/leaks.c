/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker is born with, and what it can learn of its machine and its neighbours without asking anyone. */
#include "escape.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/utsname.h>

extern char **environ;

static int environment(char **a) { /* a name, of ours or of our ancestors' */
        if (getenv(a[0])) return note("%s", getenv(a[0])), OPEN;
        char path[64], bytes[65536];
        for (pid_t pid = 1; pid < 16; pid++) {
                snprintf(path, sizeof path, "/proc/%d/environ", pid);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof bytes);
                if (fd >= 0) close(fd);
                if (n > 0 && memmem(bytes, (size_t)n, a[0], strlen(a[0]))) return note("of process %d", pid), OPEN;
        }
        note("not there");
        return CONTAINED;
}

static int descriptors(char **a) { /* beyond the streams, and but for the list that this program reads */
        char path[64], target[256];
        for (int fd = 3; fd < 4096; fd++) {
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                struct stat info;
                if (fstat(fd, &info) < 0) continue;
                ssize_t n = readlink(path, target, sizeof target - 1);
                target[n < 0 ? 0 : n] = 0;
                if (n > 0 && strstr(target, a[0])) continue;
                return note("%d: %s", fd, target), OPEN;
        }
        note("none");
        return CONTAINED;
}

static int directory(char **a) { /* born in a folder of the host's */
        char path[4096];
        return worked(getcwd(path, sizeof path) && !strncmp(path, a[0], strlen(a[0])));
}

static int shared_memory(char **a) { /* System V, of a neighbour */
        int id = shmget((key_t)key_of(a[0]), 0, 0);
        const char *at = id < 0 ? (char *)-1 : shmat(id, NULL, SHM_RDONLY);
        return worked(at != (char *)-1);
}

static int message_queue(char **a) {
        int id = msgget((key_t)key_of(a[0]), 0);
        struct {
                long type;
                char text[64];
        } got;
        return worked(id >= 0 && msgrcv(id, &got, sizeof got.text, 0, IPC_NOWAIT | MSG_COPY) >= 0) == OPEN || id >= 0
                   ? OPEN
                   : CONTAINED;
}

static int semaphores(char **a) { return worked(semget((key_t)key_of(a[0]), 0, 0) >= 0); }

static int posix_queue(char **a) {
        char name[64];
        snprintf(name, sizeof name, "/lauter-%s", a[0]);
        return worked(mq_open(name, O_RDONLY | O_CLOEXEC) != (mqd_t)-1);
}

static int same_text(char **a) { /* a file holds what it holds outside */
        char bytes[256] = "";
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes - 1);
        if (n <= 0) return n == 0 ? (note("empty"), CONTAINED) : worked(false);
        bytes[strcspn(bytes, "\n")] = 0;
        note("%.60s", bytes);
        return !strcmp(bytes, a[1]) ? OPEN : CONTAINED;
}

static int same_name(char **a) { /* the machine's */
        struct utsname names;
        uname(&names);
        note("%.60s", names.nodename);
        return !strcmp(names.nodename, a[0]) ? OPEN : CONTAINED;
}

static int kernel_addresses(char **a) { /* any that is not zero */
        char line[256];
        (void)a;
        FILE *symbols = fopen("/proc/kallsyms", "re");
        if (!symbols) return worked(false);
        for (int i = 0; i < 100 && fgets(line, sizeof line, symbols); i++)
                if (strtoull(line, NULL, 16)) return note("%.40s", line), OPEN;
        note("zeros");
        return CONTAINED;
}

const struct attempt leak_attempts[] = {
    {"environment", 1, environment},
    {"descriptors", 1, descriptors},
    {"directory", 1, directory},
    {"shared-memory", 1, shared_memory},
    {"message-queue", 1, message_queue},
    {"semaphores", 1, semaphores},
    {"posix-queue", 1, posix_queue},
    {"same-text", 2, same_text},
    {"same-name", 1, same_name},
    {"kernel-addresses", 0, kernel_addresses},
    {0},
};
