/* SPDX-License-Identifier: Apache-2.0 */
/* Tries one thing and says how it went: "ok", "ok DETAIL", or the name of the errno. Run inside a sandbox for the denial,
 * and outside of it (or under a wider policy) to show that the probe can succeed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int say(int failed) {
        if (failed)
                puts(strerrorname_np(errno));
        else
                puts("ok");
        return failed != 0;
}

static int try_read(char **a) {
        char bytes[256];
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
        if (n >= 0) printf("ok %.*s\n", (int)n, bytes);
        return n < 0 ? say(1) : 0;
}

static int try_write(char **a) {
        int fd = open(a[0], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        return say(fd < 0 || write(fd, "written by the probe", 20) != 20);
}

static int try_chmod(char **a) { return say(chmod(a[0], (mode_t)strtol(a[1], NULL, 8)) < 0); }

static int try_create(char **a) { /* with a mode; says the one that came of it */
        struct stat info;
        umask(0);
        int fd = open(a[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)strtol(a[1], NULL, 8));
        if (fd < 0 || fstat(fd, &info) < 0) return say(1);
        printf("ok %o\n", info.st_mode & 07777);
        return 0;
}

static int try_list(char **a) {
        DIR *folder = opendir(a[0]);
        if (!folder) return say(1);
        printf("ok");
        for (struct dirent *entry; (entry = readdir(folder));)
                if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) printf(" %s", entry->d_name);
        puts("");
        return 0;
}

static int try_connect(char **a) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(a[1]))};
        inet_pton(AF_INET, a[0], &to.sin_addr);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        return say(fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0);
}

static int try_route(char **a) { /* connecting a datagram socket asks for a route and sends nothing */
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
        inet_pton(AF_INET, a[0], &to.sin_addr);
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        return say(fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0);
}

static int try_own_loopback(char **a) {
        (void)a;
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof at;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1) < 0 ||
            getsockname(listener, (struct sockaddr *)&at, &size) < 0)
                return say(1);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        return say(fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) < 0);
}

static int try_unix(char **a) { /* a path, or @NAME in the abstract namespace */
        struct sockaddr_un to = {.sun_family = AF_UNIX};
        strncpy(to.sun_path, a[0], sizeof to.sun_path - 1);
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path));
        if (to.sun_path[0] == '@') to.sun_path[0] = 0;
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        return say(fd < 0 || connect(fd, (struct sockaddr *)&to, size) < 0);
}

static int try_socket(char **a) { return say(socket(atoi(a[0]), atoi(a[1]), atoi(a[2])) < 0); }

static int try_kill(char **a) { return say(kill(atoi(a[0]), atoi(a[1])) < 0); }

static pid_t child(void) {
        pid_t pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;) pause();
        }
        return pid;
}

static int try_kill_own_child(char **a) {
        (void)a;
        pid_t pid = child();
        int status = 0;
        return say(pid < 0 || kill(pid, SIGKILL) < 0 || waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status));
}

static int try_mount(char **a) { return say(mount("none", a[0], "tmpfs", 0, NULL) < 0); }

static int try_umount(char **a) { return say(umount2(a[0], MNT_DETACH) < 0); }

static int try_unshare(char **a) { return say(unshare((int)strtol(a[0], NULL, 0)) < 0); }

static int try_setuid(char **a) { return say(syscall(SYS_setuid, atoi(a[0])) < 0); }

static int try_device(char **a) { /* a block device node: 7:0 is loop0 */
        return say(mknod(a[0], S_IFBLK | 0600, (dev_t)7 << 8) < 0);
}

static int try_exec(char **a) {
        execv(a[0], a);
        return say(1);
}

static int try_exec_anonymous(char **a) { /* a copy of a program in memory */
        int from = open(a[0], O_RDONLY), to = memfd_create("copy", 0);
        char block[65536];
        ssize_t n;
        while ((n = read(from, block, sizeof block)) > 0)
                if (write(to, block, (size_t)n) != n) return say(1);
        fexecve(to, a, environ);
        return say(1);
}

static int try_memory(char **a) { /* MiB, touched */
        size_t size = (size_t)atol(a[0]) << 20;
        char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (bytes == MAP_FAILED) return say(1);
        for (size_t i = 0; i < size; i += 4096) bytes[i] = 1;
        return say(0);
}

static int try_forks(char **a) { /* so many at the same time; says how many there were */
        int reached = 0, wanted = atoi(a[0]);
        while (reached < wanted && child() > 0) reached++;
        printf("%s %d\n", reached == wanted ? "ok" : strerrorname_np(errno), reached);
        return reached != wanted;
}

static int try_fill(char **a) { /* path, MiB */
        static char block[1 << 20];
        int fd = open(a[0], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        for (int i = 0; fd >= 0 && i < atoi(a[1]); i++)
                if (write(fd, block, sizeof block) != sizeof block) return say(1);
        return say(fd < 0);
}

static int show_status(char **a) { /* lines of /proc/self/status that begin with one of the names */
        char line[512];
        FILE *status = fopen("/proc/self/status", "re");
        if (!status) return say(1);
        while (fgets(line, sizeof line, status))
                for (char **name = a; *name; name++)
                        if (!strncmp(line, *name, strlen(*name)) && line[strlen(*name)] == ':') fputs(line, stdout);
        return 0;
}

static int show_descriptors(char **a) {
        (void)a;
        for (int fd = 0; fd < 1024; fd++) {
                struct stat info;
                if (fstat(fd, &info) == 0) printf("%d:%o ", fd, info.st_mode & S_IFMT);
        }
        puts("");
        return 0;
}

static int show_environment(char **a) {
        (void)a;
        for (char **at = environ; *at; at++) puts(*at);
        return 0;
}

static int show_ids(char **a) {
        (void)a;
        gid_t groups[64];
        int count = getgroups(64, groups);
        printf("uid %d euid %d gid %d groups", getuid(), geteuid(), getgid());
        for (int i = 0; i < count; i++) printf(" %d", groups[i]);
        printf(" pid %d ppid %d\n", getpid(), getppid());
        return 0;
}

static int show_signals(char **a) { /* what was inherited: ignored and blocked signals */
        (void)a;
        sigset_t blocked;
        sigprocmask(SIG_BLOCK, NULL, &blocked);
        printf("blocked");
        for (int number = 1; number <= 64; number++)
                if (sigismember(&blocked, number) == 1) printf(" %d", number);
        printf(" ignored");
        for (int number = 1; number <= 64; number++) {
                struct sigaction action;
                if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) printf(" %d", number);
        }
        puts("");
        return 0;
}

static int show_directory(char **a) {
        (void)a;
        char path[4096];
        puts(getcwd(path, sizeof path) ? path : strerrorname_np(errno));
        return 0;
}

static int copy_input(char **a) { /* cat, without one */
        (void)a;
        char bytes[65536];
        ssize_t n;
        while ((n = read(0, bytes, sizeof bytes)) > 0)
                for (ssize_t done = 0, more; done < n; done += more)
                        if ((more = write(1, bytes + done, (size_t)(n - done))) < 0) return say(1);
        return n < 0;
}

static int write_both(char **a) { /* out, error */
        return write(1, a[0], strlen(a[0])) < 0 || write(2, a[1], strlen(a[1])) < 0;
}

static int exit_with(char **a) { return atoi(a[0]); }

static int raise_signal(char **a) {
        raise(atoi(a[0]));
        return 0;
}

static int crash(char **a) {
        (void)a;
        *(volatile int *)0 = 0;
        return 0;
}

static _Noreturn int stay(char **a) { /* says so, and then nothing but a signal ends it */
        if (a[0] && !strcmp(a[0], "deaf")) signal(SIGTERM, SIG_IGN);
        puts("here");
        fflush(stdout);
        for (;;) pause();
}

/* A family that wants to survive: children in sessions of their own, deaf to every signal, one of them orphaned. */
static _Noreturn int stay_with_family(char **a) {
        for (int i = 0; i < atoi(a[0]); i++) {
                if (fork() == 0) {
                        setsid();
                        if (i % 2 && fork() != 0) _exit(0);
                        for (int number = 1; number <= 64; number++) signal(number, SIG_IGN);
                        for (;;) pause();
                }
        }
        signal(SIGTERM, SIG_IGN);
        puts("here");
        fflush(stdout);
        for (;;) pause();
}

static int print_for_ever(char **a) {
        (void)a;
        char block[4096];
        memset(block, 'x', sizeof block);
        while (write(1, block, sizeof block) > 0)
                ;
        return 1;
}

static const struct {
        const char *name;
        int arguments;
        int (*attempt)(char **);
} attempts[] = {
    {"read", 1, try_read},
    {"write", 1, try_write},
    {"list", 1, try_list},
    {"chmod", 2, try_chmod},
    {"create", 2, try_create},
    {"connect", 2, try_connect},
    {"route", 1, try_route},
    {"own-loopback", 0, try_own_loopback},
    {"unix", 1, try_unix},
    {"socket", 3, try_socket},
    {"kill", 2, try_kill},
    {"kill-own-child", 0, try_kill_own_child},
    {"mount", 1, try_mount},
    {"umount", 1, try_umount},
    {"unshare", 1, try_unshare},
    {"setuid", 1, try_setuid},
    {"device", 1, try_device},
    {"exec", 1, try_exec},
    {"exec-anonymous", 1, try_exec_anonymous},
    {"memory", 1, try_memory},
    {"forks", 1, try_forks},
    {"fill", 2, try_fill},
    {"status", 1, show_status},
    {"descriptors", 0, show_descriptors},
    {"environment", 0, show_environment},
    {"ids", 0, show_ids},
    {"signals", 0, show_signals},
    {"directory", 0, show_directory},
    {"copy", 0, copy_input},
    {"write-both", 2, write_both},
    {"exit", 1, exit_with},
    {"raise", 1, raise_signal},
    {"crash", 0, crash},
    {"stay", 0, stay},
    {"family", 1, stay_with_family},
    {"print-for-ever", 0, print_for_ever},
};

int main(int count, char **arguments) {
        for (size_t i = 0; count > 1 && i < sizeof attempts / sizeof *attempts; i++)
                if (!strcmp(arguments[1], attempts[i].name) && count - 2 >= attempts[i].arguments)
                        return attempts[i].attempt(arguments + 2);
        fprintf(stderr, "probe: no such attempt: %s\n", count > 1 ? arguments[1] : "(none)");
        return 94;
}
