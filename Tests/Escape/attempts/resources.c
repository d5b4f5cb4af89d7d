/* SPDX-License-Identifier: Apache-2.0 */
/* More than a worker's share: of processes, memory, files, time; and of the quotas that it has with its host's user. */
#include "escape.h"
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

static int fork_bomb(char **a) { /* so many at a time */
        int reached = 0, wanted = atoi(a[0]);
        while (reached < wanted && waiting_child() > 0) reached++;
        note("%d", reached);
        return reached == wanted ? OPEN : CONTAINED;
}

static int zombies(char **a) { /* dead, and not waited for */
        int reached = 0, wanted = atoi(a[0]);
        for (pid_t pid; reached < wanted && (pid = fork()) >= 0; reached++)
                if (pid == 0) _exit(0);
        note("%d", reached);
        return reached == wanted ? OPEN : CONTAINED;
}

static void *wait_for_ever(void *nothing) {
        for (;;) pause();
        return nothing;
}

static int thread_bomb(char **a) {
        int reached = 0, wanted = atoi(a[0]);
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 32768);
        for (pthread_t thread; reached < wanted && pthread_create(&thread, &small, wait_for_ever, NULL) == 0;)
                reached++;
        note("%d", reached);
        return reached == wanted ? OPEN : CONTAINED;
}

static int files(char **a) {
        int reached = 0, wanted = atoi(a[0]);
        while (reached < wanted && dup(0) >= 0) reached++;
        note("%d, %s", reached, strerrorname_np(errno));
        return reached == wanted ? OPEN : CONTAINED;
}

static int raise_limit(char **a) { /* resource by number: beyond the hard limit, or [to] it */
        struct rlimit limit;
        int which = atoi(a[0]);
        if (getrlimit((__rlimit_resource_t)which, &limit) < 0) return BROKEN;
        if (limit.rlim_max == RLIM_INFINITY) return note("there is none"), OPEN;
        limit.rlim_max += a[1] ? 0 : 1;
        limit.rlim_cur = limit.rlim_max;
        return worked(setrlimit((__rlimit_resource_t)which, &limit) == 0);
}

static int core_file(char **a) { /* may a crash leave the memory, or start the machine's handler for it */
        struct rlimit limit;
        (void)a;
        getrlimit(RLIMIT_CORE, &limit);
        note("%lld", (long long)limit.rlim_max);
        return limit.rlim_max > 1 ? OPEN : CONTAINED;
}

/* ------------------------------------------------------------------------------------------ memory */

/* Touched, and held for as long as a limit that is enforced by looking may take. Every page has its own content: no
 * merging, no zero page. */
static int held(char *bytes, size_t size) {
        if (bytes == MAP_FAILED) return worked(false);
        for (size_t i = 0; i < size; i += 4096) *(volatile size_t *)(bytes + i) = i + 1;
        struct timespec second = {2, 0};
        nanosleep(&second, NULL);
        return OPEN;
}

static int memory(char **a) { /* MiB, by which way */
        size_t size = (size_t)atol(a[0]) << 20;
        int flags = 0, fd = -1;
        if (!strcmp(a[1], "private")) flags = MAP_PRIVATE | MAP_ANONYMOUS;
        if (!strcmp(a[1], "shared")) flags = MAP_SHARED | MAP_ANONYMOUS;
        if (!strcmp(a[1], "stack")) flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN;
        if (!strcmp(a[1], "memfd")) {
                flags = MAP_SHARED;
                fd = memfd_create("held", MFD_CLOEXEC);
                if (fd < 0 || ftruncate(fd, (off_t)size) < 0) return worked(false);
        }
        if (!strcmp(a[1], "file")) { /* deleted, in /tmp, beside its bound */
                flags = MAP_SHARED;
                fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                if (fd < 0 || posix_fallocate(fd, 0, (off_t)size) != 0) return errno = ENOSPC, worked(false);
        }
        if (!strcmp(a[1], "system-v")) {
                int id = shmget(IPC_PRIVATE, size, 0600);
                char *at = id < 0 ? MAP_FAILED : shmat(id, NULL, 0);
                if (id >= 0) shmctl(id, IPC_RMID, NULL);
                return held(at == (char *)-1 ? MAP_FAILED : at, size);
        }
        return held(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0), size);
}

static int unmapped_memory(char **a) { /* in a memfd that is mapped by none: no process's figures show it */
        size_t size = (size_t)atol(a[0]) << 20;
        static char block[1 << 20];
        memset(block, 'x', sizeof block);
        int fd = memfd_create("unmapped", MFD_CLOEXEC);
        for (size_t done = 0; done < size; done += sizeof block)
                if (write(fd, block, sizeof block) != sizeof block) return worked(false);
        struct timespec second = {2, 0};
        nanosleep(&second, NULL);
        return OPEN;
}

static int
memory_in_flight(char **a) { /* the same, its descriptor in a socket: not even a table of descriptors has it */
        size_t size = (size_t)atol(a[0]) << 20;
        static char block[1 << 20];
        int ends[2], fd = memfd_create("flying", MFD_CLOEXEC);
        memset(block, 'x', sizeof block);
        for (size_t done = 0; done < size; done += sizeof block)
                if (write(fd, block, sizeof block) != sizeof block) return worked(false);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return worked(false);
        char control[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
        struct iovec data = {&byte, 1};
        struct msghdr message = {
            .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *with = CMSG_FIRSTHDR(&message);
        with->cmsg_level = SOL_SOCKET, with->cmsg_type = SCM_RIGHTS, with->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(with), &fd, sizeof fd);
        if (sendmsg(ends[0], &message, 0) != 1) return worked(false);
        close(fd);
        struct timespec second = {2, 0};
        nanosleep(&second, NULL);
        return OPEN;
}

static int memory_together(char **a) { /* MiB each, by so many processes */
        int ready[2], count = atoi(a[1]);
        char byte;
        if (pipe(ready) < 0) return BROKEN;
        for (int i = 0; i < count; i++)
                if (fork() == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        size_t size = (size_t)atol(a[0]) << 20;
                        char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                        if (at == MAP_FAILED) _exit(1);
                        for (size_t k = 0; k < size; k += 4096) *(volatile size_t *)(at + k) = k + 1;
                        (void)!write(ready[1], "x", 1);
                        for (;;) pause();
                }
        close(ready[1]);
        for (int i = 0; i < count; i++)
                if (read(ready[0], &byte, 1) != 1) return note("%d of them", i), CONTAINED;
        struct timespec second = {2, 0};
        nanosleep(&second, NULL);
        int gone = 0;
        while (waitpid(-1, NULL, WNOHANG) > 0) gone++;
        return gone == 0 ? OPEN : (note("%d were ended", gone), CONTAINED);
}

static int fill(char **a) { /* a file, MiB */
        static char block[1 << 20];
        int fd = open(a[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), result = OPEN;
        memset(block, 'x', sizeof block);
        for (int i = 0; fd >= 0 && i < atoi(a[1]) && result == OPEN; i++)
                if (write(fd, block, sizeof block) != sizeof block) result = worked(false);
        if (fd < 0) result = worked(false);
        unlink(a[0]);
        return result;
}

static int many_files(char **a) { /* so many names in a folder in memory */
        char path[512];
        int made = 0;
        for (; made < atoi(a[1]); made++) {
                snprintf(path, sizeof path, "%s/lauter-%d", a[0], made);
                int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0) break;
                close(fd);
        }
        int verdict = made == atoi(a[1]) ? OPEN : worked(false);
        for (int i = 0; i < made; i++) {
                snprintf(path, sizeof path, "%s/lauter-%d", a[0], i);
                unlink(path);
        }
        if (verdict == CONTAINED) note("%d", made);
        return verdict;
}

static int lock_memory(char **a) {
        size_t size = (size_t)atol(a[0]) << 20;
        char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return worked(at != MAP_FAILED && mlock(at, size) == 0);
}

static int huge_sync(char **a) { /* write back what the whole machine has not yet written */
        (void)a;
        /* The call cannot fail. Whether the kernel sees it shows in its kin: of no descriptor it says EBADF. */
        return worked(syscall(SYS_sync) == 0 && syscall(SYS_syncfs, -1) < 0 && errno == EBADF);
}

/* ------------------------------------------------------------------------------------------ processor time */

static double used(void) {
        struct timespec at;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
        return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int spin(char **a) { /* so many seconds of processor time */
        while (used() < atof(a[0]))
                ;
        return OPEN;
}

static int
spin_in_children(char **a) { /* each for a moment, and nobody waits for them: their time is added to no one's */
        double *sum = mmap(NULL, sizeof *sum, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        signal(SIGCHLD, SIG_IGN);
        while (*(volatile double *)sum < atof(a[0])) {
                pid_t pid = fork();
                if (pid == 0) {
                        while (used() < 0.004)
                                ;
                        *sum += used();
                        _exit(0);
                }
                if (pid < 0) return worked(false);
                waitpid(pid, NULL, 0); /* until it is gone: ECHILD, and no time */
        }
        return OPEN;
}

/* ------------------------------------------------------------------------------------------ quotas of a user */

/* With "take": all that there is, and stay. Without: a little of it, as the host's other programs need. */
static int keep(bool take, int reached) {
        if (take) {
                printf("taken %d\n", reached);
                fflush(stdout);
                for (;;) pause();
        }
        note("%d", reached);
        return reached > 0 ? OPEN : CONTAINED;
}

static int more_processes(int count) { /* the limits are for each process: use those of several. Numbers them. */
        for (int i = 1; i < count; i++) {
                pid_t parent = getpid(), pid = fork();
                if (pid == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        if (getppid() != parent) _exit(0);
                        return i;
                }
                if (pid < 0) break;
        }
        return 0;
}

static int quota_inotify(char **a) {
        bool take = !strcmp(a[0], "take");
        int reached = 0;
        while (reached < (take ? 100000 : 1) && inotify_init1(IN_CLOEXEC) >= 0) reached++;
        return keep(take, reached);
}

static int quota_pipes(char **a) { /* pages in pipes: beyond them a new pipe holds one page or two instead of 16 */
        bool take = !strcmp(a[0], "take");
        int ends[2], reached = 0;
        if (!take) {
                if (pipe2(ends, O_CLOEXEC) < 0) return worked(false);
                int size = fcntl(ends[0], F_GETPIPE_SZ);
                note("%d bytes", size);
                return size >= 65536 ? OPEN : CONTAINED;
        }
        if (more_processes(12) != 0) {
                while (pipe2(ends, O_CLOEXEC) == 0)
                        ;
                for (;;) pause();
        }
        while (pipe2(ends, O_CLOEXEC) == 0) reached++;
        struct timespec moment = {0, 300000000};
        nanosleep(&moment, NULL);
        return keep(true, reached);
}

static int quota_signals(char **a) { /* timers reserve a queued signal each */
        bool take = !strcmp(a[0], "take");
        struct sigevent none = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        timer_t timer;
        int reached = 0;
        signal(SIGUSR1, SIG_IGN);
        while (reached < (take ? 10000000 : 1) && syscall(SYS_timer_create, CLOCK_MONOTONIC, &none, &timer) == 0)
                reached++;
        return keep(take, reached);
}

static int quota_queues(char **a) { /* bytes in POSIX message queues */
        bool take = !strcmp(a[0], "take");
        char name[64];
        int reached = 0;
        for (long bytes = take ? 8192 : 128; bytes > 0; bytes = take ? bytes / 2 : 0)
                for (int i = 0; i < (take ? 250 : 1); i++) {
                        struct mq_attr size = {.mq_maxmsg = 10, .mq_msgsize = bytes};
                        snprintf(name, sizeof name, "/lauter-quota-%d-%ld-%d", getpid(), bytes, i);
                        mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &size);
                        if (queue == (mqd_t)-1) break;
                        mq_unlink(name);
                        reached++;
                }
        return keep(take, reached);
}

static int quota_flight(char **a) { /* descriptors in sockets, on their way */
        bool take = !strcmp(a[0], "take");
        int reached = 0, ends[2];
        while (reached < (take ? 1000000 : 1)) {
                if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) break;
                bool any = false;
                for (int failed = 0; !failed && reached < (take ? 1000000 : 1);) {
                        int fds[64], count = take ? 64 : 1;
                        char control[CMSG_SPACE(sizeof fds)] = {0}, byte = 'x';
                        for (int i = 0; i < count; i++) fds[i] = 0;
                        struct iovec data = {&byte, 1};
                        struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control};
                        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof *fds);
                        struct cmsghdr *with = CMSG_FIRSTHDR(&message);
                        with->cmsg_level = SOL_SOCKET, with->cmsg_type = SCM_RIGHTS;
                        with->cmsg_len = CMSG_LEN((size_t)count * sizeof *fds);
                        memcpy(CMSG_DATA(with), fds, (size_t)count * sizeof *fds);
                        failed = sendmsg(ends[0], &message, MSG_DONTWAIT) != 1;
                        if (!failed) reached += count, any = true;
                }
                if (!any) break;
        }
        return keep(take, reached);
}

static int quota_terminals(char **a) {
        bool take = !strcmp(a[0], "take");
        int reached = 0;
        while (reached < (take ? 100000 : 1) && open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC) >= 0) reached++;
        return keep(take, reached);
}

const struct attempt resource_attempts[] = {
    {"fork-bomb", 1, fork_bomb},
    {"zombies", 1, zombies},
    {"thread-bomb", 1, thread_bomb},
    {"files", 1, files},
    {"raise-limit", 1, raise_limit},
    {"core-file", 0, core_file},
    {"memory", 2, memory},
    {"unmapped-memory", 1, unmapped_memory},
    {"memory-in-flight", 1, memory_in_flight},
    {"memory-together", 2, memory_together},
    {"fill", 2, fill},
    {"many-files", 2, many_files},
    {"lock-memory", 1, lock_memory},
    {"sync", 0, huge_sync},
    {"spin", 1, spin},
    {"spin-in-children", 1, spin_in_children},
    {"quota-inotify", 1, quota_inotify},
    {"quota-pipes", 1, quota_pipes},
    {"quota-signals", 1, quota_signals},
    {"quota-queues", 1, quota_queues},
    {"quota-flight", 1, quota_flight},
    {"quota-terminals", 1, quota_terminals},
    {0},
};
