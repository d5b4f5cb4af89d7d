/* SPDX-License-Identifier: Apache-2.0 */
/* Tries what a list says, one attempt after the other, each in a process of its own, and says how each went:
 *
 *     escape LIST           LIST has one "id TAB attempt TAB argument …" a line
 *     escape serve TAG DIR  be the neighbour whom others try to reach
 *     escape ids            say whose power this has
 *
 * One line "begin ID" before an attempt, so that an end of everything names who brought it about, and one
 * "ID TAB open|contained|broken TAB note" after it. */
#include "escape.h"
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

enum { SECONDS = 10, NOTE = 160 };
static char *noted;

void note(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(noted, NOTE, format, arguments);
        va_end(arguments);
        for (char *at = noted; *at; at++)
                if ((unsigned char)*at < ' ' || *at == 127) *at = ' ';
}

int worked(bool yes) {
        if (!yes) note("%s", strerrorname_np(errno) ? strerrorname_np(errno) : "refused");
        return yes ? OPEN : CONTAINED;
}

int reached(long result) {
        if (result >= 0) return OPEN;
        const char *name = strerrorname_np(errno);
        note("%s", name ? name : "?");
        return errno == EPERM || errno == ENOSYS || errno == EACCES ? CONTAINED : OPEN;
}

int readable(const char *path) {
        char bytes[64];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes - 1);
        if (n > 0) {
                bytes[n] = 0;
                note("%.40s", bytes);
                return OPEN;
        }
        if (n == 0) errno = ENODATA;
        return worked(false);
}

int writable(const char *path) { return worked(open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) >= 0); }

pid_t waiting_child(void) {
        pid_t parent = getpid(), pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent) _exit(0);
                for (;;) pause();
        }
        return pid;
}

static const struct attempt *const all[] = {file_attempts,     mount_attempts,   kernel_attempts, process_attempts,
                                            resource_attempts, network_attempts, leak_attempts};

static const struct attempt *find(const char *name) {
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                for (const struct attempt *one = all[i]; one->name; one++)
                        if (!strcmp(one->name, name)) return one;
        return NULL;
}

static int split(char *line, char **fields, int room) {
        int count = 0;
        for (char *at = strtok(line, "\t\n"); at && count < room - 1; at = strtok(NULL, "\t\n")) fields[count++] = at;
        fields[count] = NULL;
        return count;
}

/* Its exit status, or CONTAINED where a signal ended it (a filter may kill for a call); BROKEN if it hangs. */
static int try(const struct attempt *one, char **arguments) {
        noted[0] = 0;
        pid_t pid = fork();
        if (pid < 0) {
                note("fork: %s", strerrorname_np(errno));
                return BROKEN;
        }
        if (pid == 0) {
                setpgid(0, 0);
                _exit(one->run(arguments));
        }
        setpgid(pid, pid);
        siginfo_t how = {0};
        for (int tenths = 0; tenths < SECONDS * 100 && how.si_pid == 0; tenths++) {
                struct timespec pause = {0, tenths < 100 ? 500000 : 10000000};
                if (waitid(P_PID, (id_t)pid, &how, WEXITED | WNOHANG | WNOWAIT) < 0) break;
                if (how.si_pid == 0) nanosleep(&pause, NULL);
        }
        bool hung = how.si_pid == 0;
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        int status = 0;
        waitpid(pid, &status, 0);
        while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
        if (hung) {
                note("it hung");
                return BROKEN;
        }
        if (WIFSIGNALED(status)) {
                note("signal %s", sigabbrev_np(WTERMSIG(status)));
                return WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGKILL ? CONTAINED : BROKEN;
        }
        int verdict = WEXITSTATUS(status);
        return verdict > BROKEN ? BROKEN : verdict;
}

int main(int count, char **arguments) {
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (count == 2 && !strcmp(arguments[1], "ids")) return printf("uid %d euid %d\n", getuid(), geteuid()) < 0;
        if (count == 4 && !strcmp(arguments[1], "serve")) return serve(arguments[2], arguments[3]);
        FILE *list = count == 2 ? fopen(arguments[1], "re") : NULL;
        noted = mmap(NULL, NOTE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (!list || noted == MAP_FAILED) return fprintf(stderr, "escape: no list\n"), 90;
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        char line[4096], *fields[16];
        static const char *const verdicts[] = {"open", "contained", "broken"};
        while (fgets(line, sizeof line, list)) {
                int found = split(line, fields, 16);
                if (found < 2) continue;
                const struct attempt *one = find(fields[1]);
                printf("begin\t%s\n", fields[0]);
                int verdict = BROKEN;
                if (!one || found - 2 < one->arguments)
                        snprintf(noted, NOTE, "no such attempt: %s", fields[1]);
                else
                        verdict = try(one, fields + 2);
                printf("%s\t%s\t%s\n", fields[0], verdicts[verdict], noted);
        }
        puts("end");
        return 0;
}
