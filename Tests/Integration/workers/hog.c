/* SPDX-License-Identifier: Apache-2.0 */
/* Takes so many MiB of memory in one of many ways, says "held", and keeps them for so many ms. Exits with 3 if it may
 * not take them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static size_t size;
static long keep_ms;

static _Noreturn void refused(void) {
        printf("%s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(3);
}

static void fill(char *bytes, size_t count) {
        if (bytes == MAP_FAILED) refused();
        for (size_t i = 0; i < count; i += 4096) *(volatile size_t *)(bytes + i) = i + 1;
}

static char *map(size_t count, int flags, int fd) {
        char *bytes = mmap(NULL, count, PROT_READ | PROT_WRITE, flags, fd, 0);
        if (bytes == MAP_FAILED) refused();
        return bytes;
}

static void wait_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

static void held(void) {
        printf("held\n");
        fflush(stdout);
        wait_ms(keep_ms);
}

static void private_memory(void) { fill(map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1), size); }
static void stack(void) { fill(map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1), size); }
static void shared(void) { fill(map(size, MAP_SHARED | MAP_ANONYMOUS, -1), size); }

static void zero(void) { /* the same, by a device */
        int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
        if (fd < 0) refused();
        fill(map(size, MAP_SHARED, fd), size);
}

static void let_go(void) { /* the pages stay in the piece of memory, and in no process's figures */
        char *bytes = map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
        fill(bytes, size);
        if (madvise(bytes, size, MADV_DONTNEED) < 0) refused();
}

static void by_a_child(void) { /* which has ended */
        char *bytes = map(size, MAP_SHARED | MAP_ANONYMOUS, -1);
        int status = 0;
        pid_t pid = fork();
        if (pid == 0) {
                fill(bytes, size);
                _exit(0);
        }
        waitpid(pid, &status, 0);
        if (status != 0) refused();
}

static void hidden(void) { /* who is not dumpable shows less */
        prctl(PR_SET_DUMPABLE, 0);
        shared();
}

static void *by_a_thread(void *nothing) {
        stack();
        held();
        _exit(0);
        return nothing;
}

static void headless(void) { /* the first thread has ended: the process shows no memory */
        pthread_t thread;
        if (pthread_create(&thread, NULL, by_a_thread, NULL) != 0) refused();
        syscall(SYS_exit, 0);
}

static void system_v(void) {
        int id = shmget(IPC_PRIVATE, size, 0600);
        char *bytes = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
        if (id >= 0) shmctl(id, IPC_RMID, NULL);
        fill(bytes == (char *)-1 ? MAP_FAILED : bytes, size);
}

static void in_memfd(void) { /* which none has mapped */
        static char block[1 << 20];
        int fd = memfd_create("hog", MFD_CLOEXEC);
        memset(block, 'x', sizeof block);
        if (fd < 0) refused();
        for (size_t done = 0; done < size; done += sizeof block)
                if (write(fd, block, sizeof block) != sizeof block) refused();
}

static void in_files(void) { /* half in /tmp, half in private memory: neither bound is reached */
        static char block[1 << 20];
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        memset(block, 'x', sizeof block);
        if (fd < 0) refused();
        for (size_t done = 0; done < size / 2; done += sizeof block)
                if (write(fd, block, sizeof block) != sizeof block) refused();
        fill(map(size / 2, MAP_PRIVATE | MAP_ANONYMOUS, -1), size / 2);
}

static void together(void) { /* a quarter by each of four */
        int ready[2];
        char byte;
        if (pipe(ready) < 0) refused();
        for (int i = 0; i < 4; i++) {
                pid_t pid = fork();
                if (pid < 0) refused();
                if (pid == 0) {
                        fill(map(size / 4, MAP_PRIVATE | MAP_ANONYMOUS, -1), size / 4);
                        (void)!write(ready[1], "x", 1);
                        for (;;) pause();
                }
        }
        for (int i = 0; i < 4; i++)
                if (read(ready[0], &byte, 1) != 1) refused();
}

/* Of what is not to be counted twice: four children that share it all with their parent, and one that stays in a vfork. */
static void copies(void) {
        private_memory();
        for (int i = 0; i < 4; i++)
                if (fork() == 0)
                        for (;;) pause();
        if (vfork() == 0) {
                wait_ms(keep_ms / 2);
                _exit(0);
        }
}

static const struct {
        const char *name;
        void (*take)(void);
} ways[] = {
    {"private", private_memory}, {"stack", stack},           {"shared", shared},  {"zero", zero},
    {"let-go", let_go},          {"by-a-child", by_a_child}, {"hidden", hidden},  {"headless", headless},
    {"system-v", system_v},      {"memfd", in_memfd},        {"files", in_files}, {"together", together},
    {"copies", copies},
};

int main(int count, char **arguments) {
        if (count != 4) return 94;
        size = (size_t)atol(arguments[2]) << 20;
        keep_ms = atol(arguments[3]);
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
                if (strcmp(arguments[1], ways[i].name)) continue;
                ways[i].take();
                held();
                return 0;
        }
        return 94;
}
