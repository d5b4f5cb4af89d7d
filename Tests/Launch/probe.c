/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests run in the sandbox. One static program, which does what its first argument says. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static void tell_status(const char *name) {
        char line[256];
        FILE *file = fopen("/proc/self/status", "r");
        while (file && fgets(line, sizeof line, file))
                if (!strncmp(line, name, strlen(name))) fputs(line, stdout);
        if (file) fclose(file);
}

static void tell_link(const char *name) {
        char path[64], target[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", name);
        ssize_t size = readlink(path, target, sizeof target);
        printf("ns %.*s\n", size > 0 ? (int)size : 0, target);
}

/* Everything about the process that a launch decides. */
static int describe(void) {
        char here[256];
        struct utsname name;
        struct rlimit core;
        struct sigaction interrupt;
        sigset_t mask;
        mode_t old = umask(0);
        uname(&name);
        getrlimit(RLIMIT_CORE, &core);
        sigaction(SIGINT, NULL, &interrupt);
        sigprocmask(SIG_SETMASK, NULL, &mask);
        int blocked = 0, ignored = 0;
        for (int number = 1; number < 65; number++) {
                struct sigaction action;
                if (number == 32 || number == 33 || number == 34) continue; /* libc's own */
                blocked += sigismember(&mask, number) == 1;
                ignored += sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
        }
        printf("pid %d uid %d gid %d groups %d umask %03o core %llu host %s in %s\n", getpid(), getuid(), getgid(),
               getgroups(0, NULL), old, (unsigned long long)core.rlim_max, name.nodename, getcwd(here, sizeof here));
        printf("session %d group %d blocked %d ignored %d interrupt %s\n", getsid(0) == getpid(),
               getpgid(0) == getpid(), blocked, ignored, interrupt.sa_handler == SIG_IGN ? "ignored" : "default");
        printf("fds");
        for (int fd = 0; fd < 4096; fd++)
                if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
        printf("\n");
        tell_status("Cap");
        tell_status("NoNewPrivs");
        tell_status("Seccomp:");
        static const char *const spaces[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
        for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) tell_link(spaces[i]);
        return 0;
}

static void tell(const char *what, long result) {
        printf("%s: %s\n", what, result < 0 ? strerror(errno) : "done");
        fflush(stdout);
}

/* A worker has its init's uid. */
static int attack_init(void) {
        /* What is tried works where nothing stands against it. */
        pid_t child = fork();
        if (child == 0)
                for (;;) pause();
        char memory[32];
        snprintf(memory, sizeof memory, "/proc/%d/mem", child);
        tell("steal a child's", syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), 0, 0));
        tell("memory of a child", open(memory, O_RDWR));
        tell("trace a child", ptrace(PTRACE_SEIZE, child, 0, 0));
        int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
        tell("steal", syscall(SYS_pidfd_getfd, pidfd, 3, 0));
        tell("memory", open("/proc/1/mem", O_RDWR));
        tell("trace", ptrace(PTRACE_SEIZE, 1, 0, 0));
        for (int number = 1; number < 65; number++)
                if (number != SIGCHLD && number != 32 && number != 33 && number != 34) kill(1, number);
        for (int i = 0; i < 1000; i++) kill(1, SIGCHLD);
        tell("alive", kill(1, 0));
        return 23;
}

static void tell_there(int fd) {
        if (write(fd, "x", 1) != 1) abort();
}

/* Children that leave the session, ignore signals, and hold on to every descriptor. */
static int spread(int count) {
        int there[2];
        char one;
        if (pipe(there) < 0) return 1;
        for (int i = 0; i < count; i++) {
                if (fork() == 0) {
                        setsid();
                        for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
                        if (fork() == 0) {
                                tell_there(there[1]);
                                for (;;) pause();
                        }
                        for (;;) pause();
                }
        }
        for (int i = 0; i < count; i++)
                if (read(there[0], &one, 1) != 1) return 1;
        printf("spread\n");
        fflush(stdout);
        return 0;
}

static int try_paths(char **words) {
        for (; words[0] && words[1]; words += 2) {
                char label[512];
                snprintf(label, sizeof label, "%s %s", words[0], words[1]);
                struct stat st;
                if (!strcmp(words[0], "read"))
                        tell(label, open(words[1], O_RDONLY));
                else if (!strcmp(words[0], "write"))
                        tell(label, open(words[1], O_WRONLY | O_CREAT, 0644));
                else if (!strcmp(words[0], "chmod"))
                        tell(label, chmod(words[1], 0700));
                else if (!strcmp(words[0], "stat"))
                        tell(label, stat(words[1], &st));
                else if (!strcmp(words[0], "list"))
                        tell(label, opendir(words[1]) ? 0 : -1);
        }
        return 0;
}

static volatile sig_atomic_t on_interrupt_count;
static void on_interrupt(int number) {
        (void)number;
        on_interrupt_count++;
}

/* What comes from the host without being asked for. The keyring's number tells whose it is. */
static void tell_inherited(void) {
        struct rlimit nice, real_time;
        getrlimit(RLIMIT_NICE, &nice);
        getrlimit(RLIMIT_RTPRIO, &real_time);
        printf("policy %ld nice %ld io %ld personality %lx slack %d rights %llu %llu keyring %ld\n",
               syscall(SYS_sched_getscheduler, 0), 20 - syscall(SYS_getpriority, PRIO_PROCESS, 0),
               syscall(SYS_ioprio_get, 1, 0) >> 13, syscall(SYS_personality, 0xffffffff), prctl(PR_GET_TIMERSLACK),
               (unsigned long long)nice.rlim_max, (unsigned long long)real_time.rlim_max,
               syscall(SYS_keyctl, 0, -3, 0));
}

int main(int count, char **words) {
        const char *what = count > 1 ? words[1] : "";
        if (!strcmp(what, "describe")) return describe();
        if (!strcmp(what, "exit")) return atoi(words[2]);
        if (!strcmp(what, "die")) return raise(atoi(words[2]));
        if (!strcmp(what, "inherited")) return tell_inherited(), 0;
        if (!strcmp(what, "attack")) return attack_init();
        if (!strcmp(what, "try")) return try_paths(words + 2);
        if (!strcmp(what, "spread")) {
                spread(atoi(words[2]));
                for (;;) pause();
        }
        if (!strcmp(what, "spread-and-exit")) return spread(atoi(words[2]));
        if (!strcmp(what, "wait"))
                for (;;) pause();
        if (!strcmp(what, "session")) { /* answer on 3, read 4, and go with the answer unread */
                char line[64], page[8];
                ssize_t size = read(3, line, sizeof line);
                int written = pread(4, page, 4, 0) == 4 && write(4, page, 4) == 4;
                dprintf(3, "got %.*s, page %.4s, writable %d", (int)size, line, page, written);
                return 0;
        }
        if (!strcmp(what, "count-interrupts")) {
                struct sigaction action = {.sa_handler = on_interrupt};
                sigset_t block, before;
                sigemptyset(&block);
                sigaddset(&block, SIGINT);
                sigprocmask(SIG_BLOCK, &block, &before);
                sigaction(SIGINT, &action, NULL);
                for (int seen = 0;; seen = on_interrupt_count) {
                        printf("seen %d\n", seen);
                        fflush(stdout);
                        if (seen == atoi(words[2])) break;
                        while (on_interrupt_count == seen) sigsuspend(&before);
                }
                return 40 + on_interrupt_count;
        }
        if (!strcmp(what, "loopback")) {
                struct ifreq request = {.ifr_name = "lo"};
                int fd = socket(AF_INET, SOCK_DGRAM, 0);
                printf("lo %s\n", ioctl(fd, SIOCGIFFLAGS, &request) == 0 && request.ifr_flags & IFF_UP ? "up" : "down");
                return 0;
        }
        if (!strcmp(what, "use")) { /* MiB, to be seen in the report */
                size_t size = (size_t)atoi(words[2]) << 20;
                volatile char *memory = malloc(size);
                for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
                return 0;
        }
        return 2;
}
