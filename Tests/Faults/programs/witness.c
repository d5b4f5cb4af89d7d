/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker can see of its own confinement, as text: two workers of one policy and launch say the same. So what
 * an injected failure has weakened in silence shows as another text. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

/* Lines of a file of /proc that begin with one of `names`, or all. */
static void lines(const char *path, const char *const *names) {
        char line[4096];
        FILE *file = fopen(path, "r");
        if (!file) printf("%s: %s\n", path, strerror(errno));
        while (file && fgets(line, sizeof line, file)) {
                int wanted = !names;
                for (int i = 0; names && names[i]; i++) wanted |= !strncmp(line, names[i], strlen(names[i]));
                if (wanted) fputs(line, stdout);
        }
        if (file) fclose(file);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Mounts without their numbers, which the machine counts, and without ids chosen for each worker. In an order of their own: the
 * kernel's is that in which they were made, not that in which they lie. */
static void mounts(void) {
        enum { MOST = 256 };
        char line[4096], root[1024], point[1024], options[1024], rest[1024], *found[MOST];
        size_t count = 0;
        FILE *file = fopen("/proc/self/mountinfo", "r");
        while (file && fgets(line, sizeof line, file)) {
                if (sscanf(line, "%*d %*d %*s %1023s %1023s %1023s %1023[^\n]", root, point, options, rest) < 4)
                        continue;
                const char *kind = strstr(rest, "- ");
                char type[64] = "";
                if (kind) sscanf(kind, "- %63s", type);
                if (count == MOST || asprintf(&found[count], "mount %s %s %s%s\n", point, options, type,
                                              strstr(rest, "shared:") ? " shared" : "") < 0) {
                        printf("too many mounts\n");
                        break;
                }
                count++;
        }
        if (file) fclose(file);
        qsort(found, count, sizeof *found, by_text);
        for (size_t i = 0; i < count; i++) fputs(found[i], stdout), free(found[i]);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void folder(const char *path, int depth) {
        struct dirent **entries;
        int count = scandir(path, &entries, NULL, by_name);
        if (count < 0) printf("folder %s: %s\n", path, strerror(errno));
        for (int i = 0; i < count; i++) {
                const char *name = entries[i]->d_name;
                char below[2048], target[256];
                struct stat st;
                snprintf(below, sizeof below, "%s%s%s", path, path[1] ? "/" : "", name);
                if (!strcmp(name, ".") || !strcmp(name, "..") || lstat(below, &st) < 0) continue;
                printf("%s %o", below, st.st_mode);
                if (S_ISLNK(st.st_mode)) {
                        ssize_t size = readlink(below, target, sizeof target);
                        printf(" -> %.*s", size > 0 ? (int)size : 0, target);
                }
                puts("");
                int walk = S_ISDIR(st.st_mode) && depth > 0 && strcmp(below, "/proc") && strcmp(below, "/usr") &&
                           strcmp(below, "/sys");
                if (walk) folder(below, depth - 1);
        }
        for (int i = 0; i < count; i++) free(entries[i]);
        if (count >= 0) free(entries);
}

static void descriptors(void) {
        for (int fd = 0; fd < 64; fd++) {
                char path[64], target[256];
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                ssize_t size = readlink(path, target, sizeof target);
                if (size <= 0) continue;
                /* "socket:[12345]": the kind, not the number. */
                int kind = (int)(memchr(target, '[', (size_t)size) ? (char *)memchr(target, '[', (size_t)size) - target
                                                                   : size);
                printf("fd %d %.*s flags %o\n", fd, kind, target, fcntl(fd, F_GETFL));
        }
}

static void tried(const char *what, long result) {
        printf("try %s: %s\n", what, result < 0 ? strerror(errno) : "done");
}

static void attempts(void) {
        struct ifreq lo = {.ifr_name = "lo"};
        struct utsname name;
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        tried("socket", fd);
        if (fd >= 0) tried("loopback", ioctl(fd, SIOCGIFFLAGS, &lo));
        printf("loopback %x\n", lo.ifr_flags & (IFF_UP | IFF_RUNNING));
        tried("init's memory", open("/proc/1/mem", O_RDONLY));
        tried("init's descriptors", open("/proc/1/fd", O_RDONLY));
        tried("signal init's host's group", kill(0, 0));
        tried("mount", syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
        tried("unshare", syscall(SYS_unshare, 0x10000000));
        tried("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0));
        tried("a file in /", open("/witness", O_CREAT | O_WRONLY, 0600));
        tried("a file in /usr", open("/usr/witness", O_CREAT | O_WRONLY, 0600));
        tried("a file in /etc", open("/etc/witness", O_CREAT | O_WRONLY, 0600));
        tried("a folder in /proc/sys", open("/proc/sys/kernel/hostname", O_WRONLY));
        tried("kcore", open("/proc/kcore", O_RDONLY));
        tried("another program", access("/bin/true", X_OK));
        char *const none[] = {NULL};
        tried("execve", execve("/no/such/program", none, none));
        uname(&name);
        printf("host %s\n", name.nodename);
}

int main(int count, char **words) {
        (void)words;
        static const char *const status[] = {"Umask",
                                             "Groups",
                                             "NSpid",
                                             "NSpgid",
                                             "NSsid",
                                             "CapInh",
                                             "CapPrm",
                                             "CapEff",
                                             "CapBnd",
                                             "CapAmb",
                                             "NoNewPrivs",
                                             "Seccomp",
                                             "SigBlk",
                                             "SigIgn",
                                             "SigCgt",
                                             "Threads",
                                             "Speculation_Store",
                                             NULL};
        char here[1024];
        setvbuf(stdout, NULL, _IOFBF, 1 << 16);
        printf("uid %d gid %d in %s\n", getuid(), getgid(), getcwd(here, sizeof here));
        lines("/proc/self/status", status);
        lines("/proc/self/limits", NULL);
        lines("/proc/self/oom_score_adj", NULL);
        lines("/proc/1/oom_score_adj", NULL);
        lines("/proc/1/comm", NULL);
        descriptors();
        if (count > 1) { /* "confined": the machine's own root is not ours to list */
                mounts();
                folder("/", 1);
        }
        attempts();
        fflush(stdout);
        /* Until here standard output is what the host compares. */
        return 0;
}
