/* SPDX-License-Identifier: Apache-2.0 */
/* The host that launches, and looks at what each launch has left in it. */
#define _GNU_SOURCE
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauter.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TEXT = 1 << 16, PATIENCE_MS = 8000 };

/* ------------------------------------------------------------------------------------------ what may be left -- */

/* What a process holds, as text that can be compared. Static: to look must not change what is seen. */
struct traces {
        char descriptors[TEXT], maps[TEXT], mounts[TEXT];
        size_t allocated;
        int children, dumpable, mask;
        mode_t umask;
        uint64_t blocked, ignored;
};

static void append(char *text, const char *line) {
        size_t size = strlen(text);
        snprintf(text + size, TEXT - size, "%s", line);
}

static void read_whole(const char *path, char *text) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t filled = 0;
        for (ssize_t count; fd >= 0 && (count = read(fd, text + filled, TEXT - 1 - filled)) > 0;)
                filled += (size_t)count;
        text[filled] = 0;
        if (fd >= 0) close(fd);
}

static int is_heap(const char *line) { return strstr(line, "[heap]") || strstr(line, "[stack]"); }

static void take_traces(struct traces *traces) {
        static char raw[TEXT];
        char path[64], target[256], line[512];
        memset(traces, 0, sizeof *traces);
        for (int fd = 0; fd < 1024; fd++) {
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                ssize_t size = readlink(path, target, sizeof target - 1);
                if (size < 0) continue;
                target[size] = 0;
                snprintf(line, sizeof line, "%d %s\n", fd, target);
                append(traces->descriptors, line);
        }
        read_whole("/proc/self/maps", raw);
        for (char *at = strtok(raw, "\n"); at; at = strtok(NULL, "\n"))
                if (!is_heap(at)) {
                        snprintf(line, sizeof line, "%s\n", at);
                        append(traces->maps, line);
                }
        read_whole("/proc/self/mountinfo", traces->mounts);
        traces->allocated = mallinfo2().uordblks;
        siginfo_t info;
        traces->children = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0;
        traces->dumpable = prctl(PR_GET_DUMPABLE);
        umask(traces->umask = umask(0));
        sigset_t mask;
        sigprocmask(SIG_SETMASK, NULL, &mask);
        for (int number = 1; number <= 64; number++) {
                struct sigaction action;
                if (sigismember(&mask, number) == 1) traces->blocked |= (uint64_t)1 << (number - 1);
                if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
                        traces->ignored |= (uint64_t)1 << (number - 1);
        }
}

/* The first line that the two do not share. */
static void first_difference(char *out, size_t size, const char *before, const char *after) {
        size_t line = 0, same = 0;
        for (; before[same] && before[same] == after[same]; same++)
                if (before[same] == '\n') line = same + 1;
        before += line;
        after += line;
        snprintf(out, size, "%.*s instead of %.*s", (int)strcspn(after, "\n"), after, (int)strcspn(before, "\n"),
                 before);
}

static void note(char *out, size_t size, const char *what, const char *detail) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, "%s%s%s%s", used ? "; " : "", what, *detail ? ": " : "", detail);
}

static void compare(const struct traces *before, const struct traces *after, char *out, size_t size) {
        char detail[512];
        out[0] = 0;
        const struct {
                const char *name, *before, *after;
        } texts[] = {{"descriptor", before->descriptors, after->descriptors},
                     {"mapping", before->maps, after->maps},
                     {"mount", before->mounts, after->mounts}};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                if (strcmp(texts[i].before, texts[i].after)) {
                        first_difference(detail, sizeof detail, texts[i].before, texts[i].after);
                        note(out, size, texts[i].name, detail);
                }
        if (before->allocated != after->allocated) {
                snprintf(detail, sizeof detail, "%zd bytes", (ssize_t)(after->allocated - before->allocated));
                note(out, size, "memory", detail);
        }
        if (before->children != after->children) note(out, size, "child", "");
        if (before->dumpable != after->dumpable) note(out, size, "dumpable", "");
        if (before->umask != after->umask) note(out, size, "umask", "");
        if (before->blocked != after->blocked) note(out, size, "signal mask", "");
        if (before->ignored != after->ignored) note(out, size, "signal handlers", "");
}

/* ------------------------------------------------------------------------------------------------ the launch -- */

static void must(int32_t status, lauter_error *error, const char *what) {
        if (status >= 0) return;
        fprintf(stderr, "faults: %s: %s\n", what, lauter_error_message(error));
        _exit(3);
}

static lauter_policy *policy_of(const struct scenario *scenario) {
        lauter_policy *policy;
        lauter_error *error;
        must(lauter_policy_new(scenario->preset, &policy, &error), error, "policy");
        for (int i = 0; i < scenario->count; i++) {
                char word[256];
                const char *value = strchr(scenario->words[i], ' ');
                snprintf(word, sizeof word, "%.*s", (int)(value - scenario->words[i]), scenario->words[i]);
                must(lauter_policy_set(policy, word, value + 1, &error), error, "word");
        }
        return policy;
}

static lauter_launch *launch_of(const struct scenario *scenario) {
        lauter_launch *launch;
        lauter_error *error;
        int is_python = !strcmp(scenario->kind, "python");
        int is_terminal = !strcmp(scenario->kind, "terminal");
        const char *kind = is_terminal ? "program" : scenario->kind;
        must(lauter_launch_new(kind, &launch, &error), error, "launch");
        if (is_terminal) must(lauter_launch_set(launch, "terminal", "24x80", &error), error, "terminal");
        must(lauter_launch_set(launch, is_python ? "interpreter" : "argument", scenario->program, &error), error,
             "program");
        if (!strcmp(kind, "program") && strcmp(scenario->preset, "unconfined"))
                must(lauter_launch_set(launch, "argument", "confined", &error), error, "argument");
        return launch;
}

int show_plan(const struct scenario *scenario) {
        char *text;
        lauter_error *error;
        lauter_policy *policy = policy_of(scenario);
        lauter_launch *launch = launch_of(scenario);
        must(lauter_policy_explain(policy, launch, &text, &error), error, "explain");
        fputs(text, stdout);
        lauter_string_free(text);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        return 0;
}

static int is_program(const struct scenario *scenario) {
        return !strcmp(scenario->kind, "program") || !strcmp(scenario->kind, "terminal");
}

static void take_error(struct outcome *outcome, const lauter_error *error) {
        outcome->code = lauter_error_code(error);
        outcome->error = lauter_error_errno(error);
        outcome->step = lauter_error_step(error);
        snprintf(outcome->subject, sizeof outcome->subject, "%s", lauter_error_subject(error));
        snprintf(outcome->message, sizeof outcome->message, "%s", lauter_error_message(error));
}

static long now_ms(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void mark(struct page *page, int what) {
        page->mark = what;
        __asm__ volatile("int3" ::: "memory"); /* no system call, unlike raise */
}

/* Take the worker's events to its last, keeping what it wrote. */
static void drain(lauter_host *host, lauter_worker worker, char *text, lauter_event *exited) {
        long until = now_ms() + PATIENCE_MS;
        size_t size = 0;
        text[0] = 0;
        while (now_ms() < until) {
                lauter_event event = {.size = sizeof event};
                int32_t found = lauter_host_next(host, &event, NULL);
                if (found == 0 && lauter_host_wait(host, 100, NULL) >= 0) continue;
                if (found < 0) continue;
                if (event.kind == LAUTER_EVENT_STREAM && event.stream == LAUTER_STREAM_STDOUT)
                        for (size_t i = 0; i < event.parts[0].size && size < TEXT - 1; i++)
                                text[size++] = ((const char *)event.parts[0].data)[i];
                text[size] = 0;
                if (event.kind == LAUTER_EVENT_EXITED && event.worker == worker) {
                        *exited = event;
                        return;
                }
                lauter_event_clear(&event);
        }
}

/* One launch from the host object to the end of the worker. `expected`: what an undisturbed worker says; NULL: keep what
 * it says in `said`. */
static void launch_once(const struct scenario *scenario, struct page *page, const char *expected, char *said,
                        int is_armed) {
        struct outcome *outcome = &page->outcome;
        lauter_policy *policy = policy_of(scenario);
        lauter_launch *launch = launch_of(scenario);
        lauter_host *host = NULL;
        lauter_error *error = NULL;
        lauter_worker worker = 0;
        int has_session = !is_program(scenario), has_ended = 0;
        long begun = now_ms();
        memset(outcome, 0, sizeof *outcome);
        outcome->agrees = outcome->same_text = 1;

        if (is_armed) mark(page, MARK_ARM);
        int32_t status = lauter_host_new(&host, &error);
        outcome->far = FAR_HOST;
        if (status >= 0) {
                status = lauter_spawn(host, policy, launch, 7, &worker, &error);
                outcome->far = FAR_SPAWN;
        }
        if (is_armed) mark(page, MARK_SPAWNED);
        if (status < 0) {
                take_error(outcome, error);
                lauter_error_free(error);
                error = NULL;
        } else {
                lauter_event exited = {.size = sizeof exited};
                status = lauter_worker_wait_ready(host, worker, PATIENCE_MS, &error);
                /* A program may have done its work and ended before it was waited for. */
                if (status < 0 && !has_session && lauter_error_code(error) == LAUTER_ERROR_DIED)
                        has_ended = 1, status = 0;
                outcome->far = status < 0 ? FAR_READY : FAR_RAN;
                if (status < 0) take_error(outcome, error);
                lauter_error_free(error);
                error = NULL;
                if (status >= 0 && has_session && lauter_worker_stop(host, worker, 3000, 1000, NULL) < 0)
                        outcome->agrees = 0;
                drain(host, worker, said, &exited);
                if (!exited.report) {
                        outcome->agrees = 0;
                        outcome->reason = -1;
                } else {
                        outcome->reason = (int)exited.report->reason;
                        outcome->exit_code = exited.report->exit_code;
                        snprintf(outcome->why, sizeof outcome->why, "%s", exited.report->why);
                        snprintf(outcome->missing, sizeof outcome->missing, "%s", exited.report->missing);
                        if (has_ended && outcome->reason != LAUTER_REASON_EXITED) outcome->far = FAR_READY;
                        /* wait_ready's error and the event's are the same one. */
                        if (outcome->far == FAR_READY && exited.error)
                                outcome->agrees = lauter_error_code(exited.error) == outcome->code &&
                                                  !strcmp(lauter_error_message(exited.error), outcome->message);
                }
                lauter_event_clear(&exited);
                if (expected && outcome->far == FAR_RAN && strcmp(expected, said)) {
                        outcome->same_text = 0;
                        first_difference(outcome->difference, sizeof outcome->difference, expected, said);
                }
        }
        outcome->milliseconds = now_ms() - begun;
        if (is_armed) mark(page, MARK_ENDED);

        /* The host is as good as new. */
        if (host) {
                static char again[TEXT];
                lauter_event exited = {.size = sizeof exited};
                status = lauter_spawn(host, policy, launch, 8, &worker, NULL);
                if (status >= 0 && has_session) status = lauter_worker_wait_ready(host, worker, PATIENCE_MS, NULL);
                if (status >= 0 && has_session) status = lauter_worker_stop(host, worker, 3000, 1000, NULL);
                if (status >= 0) drain(host, worker, again, &exited);
                outcome->next_works = status >= 0 && exited.report && exited.report->exit_code == 0 &&
                                      (has_session || !expected || !strcmp(expected, again));
                lauter_event_clear(&exited);
        } else {
                outcome->next_works = 1;
        }
        lauter_host_free(host);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
}

void subject(const struct scenario *scenario, struct page *page) {
        static char expected[TEXT], said[TEXT];
        static struct traces before, after;
        sigset_t some;
        /* Memory comes from the heap alone, which is not given back: whether a launch needs more is not up to chance. */
        mallopt(M_MMAP_THRESHOLD, 1 << 28);
        mallopt(M_TRIM_THRESHOLD, 1 << 28);
        free(malloc(16 << 20));
        sigemptyset(&some);
        sigaddset(&some, SIGUSR1);
        sigprocmask(SIG_BLOCK, &some, NULL);
        signal(SIGPIPE, SIG_DFL);
        for (int i = 0; i < 3; i++) {
                launch_once(scenario, page, NULL, expected, 0);
                if (page->outcome.far != FAR_RAN || page->outcome.exit_code != 0) {
                        fprintf(stderr, "faults: undisturbed, the launch fails: %s %s\n", page->outcome.message,
                                page->outcome.why);
                        _exit(3);
                }
        }
        const char *compared = is_program(scenario) ? expected : NULL;
        mark(page, MARK_READY);
        for (;;) {
                mark(page, MARK_NEXT);
                if (page->last) _exit(0);
                take_traces(&before);
                launch_once(scenario, page, compared, said, 1);
                take_traces(&after);
                compare(&before, &after, page->outcome.leaks, sizeof page->outcome.leaks);
                mark(page, MARK_RESULT);
        }
}

/* ------------------------------------------------------------------------------------------------ the probes -- */

static struct traces probe_before, probe_after;

static void saw(const char *what) {
        char text[2048];
        take_traces(&probe_after);
        compare(&probe_before, &probe_after, text, sizeof text);
        printf("%s => %s\n", what, text);
}

int show_probes(void) {
        static char buffer[8192];
        setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
        take_traces(&probe_before);
        saw("nothing");
        int fd = open("/dev/null", O_RDONLY);
        saw("a descriptor");
        close(fd);
        void *memory = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        saw("a mapping");
        munmap(memory, 8192);
        void *volatile block = malloc(100);
        saw("memory");
        free(block);
        pid_t child = fork();
        if (child == 0) {
                for (;;) pause();
        }
        saw("a child");
        kill(child, SIGKILL);
        siginfo_t info;
        waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
        saw("a zombie");
        waitpid(child, NULL, 0);
        sigset_t some;
        sigemptyset(&some);
        sigaddset(&some, SIGUSR2);
        sigprocmask(SIG_BLOCK, &some, NULL);
        saw("a signal mask");
        sigprocmask(SIG_UNBLOCK, &some, NULL);
        if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0) {
                take_traces(&probe_before);
                if (mount("none", "/mnt", "tmpfs", 0, NULL) == 0) saw("a mount");
                umount2("/mnt", MNT_DETACH);
        }
        saw("nothing");
        return 0;
}
