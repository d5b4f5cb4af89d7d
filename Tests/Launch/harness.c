/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *probe_folder;
static int failures, tests, failed_tests;

int is_root(void) { return geteuid() == 0; }

int sandbox(plan *p) {
        plan_begin(p);
        step_private_mounts(p);
        step_open_tree(p, 0, probe_folder);
        step_open_tree(p, 1, "/dev/null");
        if (is_root())
                step_identity(p, 1000, 1000, 1);
        else
                step_identity(p, getuid(), getgid(), 0);
        step_hostname(p, "worker");
        step_new_root(p, 1 << 20);
        step_attach(p, 0, "/bin", READ, 1);
        step_attach(p, 1, "/dev/null", WRITE | DEVICES, 0);
        step_tmpfs(p, "/tmp", 1 << 20, 01777);
        step_proc(p, "/proc", "");
        return 2;
}

void end_building(plan *p) {
        step_enter_root(p);
        step_read_only_root(p);
        step_drop_privilege(p, 40);
}

void finish(plan *p, const char *first, ...) {
        execution e = {.candidates = {PROBE}, .arguments = {"probe", first}, .environment = {"PATH=/bin"}};
        va_list words;
        va_start(words, first);
        for (int i = 2; i < 7 && (e.arguments[i] = va_arg(words, const char *)); i++)
                ;
        va_end(words);
        end_building(p);
        step_execute(p, &e);
}

static int memory_with(const void *data, size_t size) {
        int fd = memfd_create("test", MFD_CLOEXEC);
        if (write(fd, data, size) != (ssize_t)size) abort();
        return fd;
}

int start(worker *w, const plan *p, const options *o) {
        static const options none;
        int control[2], session[2], output[2];
        if (!o) o = &none;
        *w = (worker){.pidfd = -1};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, session) < 0 || pipe2(output, O_CLOEXEC) < 0)
                abort();
        int input = open(o->input ? o->input : "/dev/null", O_RDONLY | O_CLOEXEC);
        int host = (int)syscall(SYS_pidfd_open, getpid(), 0);
        int steps = memory_with(p->bytes, p->size), page = memory_with("LUTR", 4);
        int read_only = open("/dev/null", O_RDONLY | O_CLOEXEC);
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", page);
        int page_for_reading = open(path, O_RDONLY | O_CLOEXEC);
        int fds[16] = {input, output[1], output[1], control[1], host, steps, session[1], page_for_reading, read_only};
        for (int i = 0; i < o->tree_count; i++) fds[9 + i] = o->trees[i];
        char map[64], group_map[64];
        snprintf(map, sizeof map, is_root() ? "1000 60001 1" : "%d %d 1", getuid(), getuid());
        snprintf(group_map, sizeof group_map, is_root() ? "1000 60001 1" : "%d %d 1", getgid(), getgid());
        claunch_request request = {
            .network = -1,
            .group = -1,
            .namespaces = ((uint64_t)CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC |
                           CLONE_NEWUTS | CLONE_NEWCGROUP) &
                          ~o->without,
            .uid_map = o->without & CLONE_NEWUSER ? NULL : map,
            .gid_map = o->without & CLONE_NEWUSER ? NULL : group_map,
            .deny_setgroups = !is_root() && !(o->without & CLONE_NEWUSER),
            .keep_capabilities = !(o->without & CLONE_NEWUSER),
            .init_fd = o->bad_init ? read_only : claunch_init_open(),
            .descriptors = fds,
            .descriptor_count = (size_t)(9 + o->tree_count),
        };
        int error = request.init_fd < 0 ? request.init_fd : claunch_spawn(&request, &w->result);
        if (request.init_fd >= 0 && request.init_fd != read_only) close(request.init_fd);
        int mine[] = {input, output[1], control[1], host, steps, session[1], page, page_for_reading, read_only};
        for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) close(mine[i]);
        w->pidfd = w->result.pidfd;
        w->pid = w->result.pid;
        w->control = control[0];
        w->session = session[0];
        w->output = output[0];
        if (error) forget(w);
        return error;
}

static uint64_t get(const uint8_t *bytes, int size) {
        uint64_t value = 0;
        while (size-- > 0) value = value << 8 | bytes[size];
        return value;
}

enum { PACKET = 80, NAME = 48 }; /* Control.size, Control.nameMax */

packet hear(const worker *w) {
        uint8_t b[PACKET];
        struct pollfd fd = {.fd = w->control, .events = POLLIN};
        packet p = {0};
        int ready = poll(&fd, 1, 10000);
        expect(ready == 1, "init said nothing for ten seconds");
        ssize_t size = ready == 1 ? recv(w->control, b, sizeof b, MSG_DONTWAIT) : 0;
        if (size != sizeof b) return p;
        p.kind = b[0];
        p.flags = b[1];
        p.step = (uint32_t)get(b + 4, 4);
        p.error = p.signal = (int)get(b + 8, 4);
        p.code = (int)p.step;
        if (p.kind == FAILED && p.flags <= NAME) memcpy(p.call, b + PACKET - NAME, (size_t)p.flags);
        p.user_us = get(b + 16, 8);
        p.system_us = get(b + 24, 8);
        p.peak_kib = get(b + 32, 8);
        return p;
}

void order(const worker *w, int number, int group) {
        uint8_t b[PACKET] = {1, (uint8_t)group, 0, 0, (uint8_t)number};
        expect(send(w->control, b, sizeof b, MSG_NOSIGNAL) == sizeof b, "init took no order: %s", strerror(errno));
}

int ended(const worker *w, int timeout_ms) {
        struct pollfd fd = {.fd = w->pidfd, .events = POLLIN};
        return poll(&fd, 1, timeout_ms) == 1;
}

const char *output_of(const worker *w) {
        static char text[16384];
        size_t size = 0;
        ssize_t count;
        while (size < sizeof text - 1 && (count = read(w->output, text + size, sizeof text - 1 - size)) > 0)
                size += (size_t)count;
        text[size] = 0;
        return text;
}

void forget(worker *w) {
        int mine[] = {w->control, w->session, w->output, w->pidfd};
        for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
                if (mine[i] >= 0) close(mine[i]);
        w->control = w->session = w->output = w->pidfd = -1;
}

packet run_to_end(const plan *p, const options *o, const char **text) {
        worker w;
        packet last = {0};
        int error = start(&w, p, o);
        expect(error == 0, "no launch: stage %d, %s", w.result.stage, strerror(-error));
        if (error) return last;
        packet first = hear(&w);
        expect(first.kind == STARTED, "kind %d at step %u: %s", first.kind, first.step, strerror(first.error));
        if (first.kind == STARTED) last = hear(&w);
        expect_equal(last.kind, EXITED);
        expect(ended(&w, 5000), "init does not end");
        const char *all = output_of(&w);
        if (text) *text = all;
        forget(&w);
        return last;
}

static packet first_word(const plan *p, const options *o) {
        worker w;
        packet first = {0};
        int error = start(&w, p, o);
        expect(error == 0, "no launch: stage %d, %s", w.result.stage, strerror(-error));
        if (error) return first;
        first = hear(&w);
        expect(ended(&w, 5000) || first.kind == STARTED, "init does not end");
        forget(&w);
        return first;
}

void expect_failure_of(const plan *p, const options *o, uint32_t number, const char *call, int error) {
        packet first = first_word(p, o);
        expect(first.kind == FAILED && first.step == number && first.error == error && !strcmp(first.call, call),
               "wanted step %u (a %d) %s %s; got kind %d step %u %s %s", number, p->codes[number - 1], call,
               strerror(error), first.kind, first.step, first.call, strerror(first.error));
}

void expect_failure(const plan *p, uint32_t number, int error) {
        packet first = first_word(p, NULL);
        expect(first.kind == FAILED && first.step == number && first.error == error,
               "wanted step %u %s; got kind %d step %u %s", number, strerror(error), first.kind, first.step,
               strerror(first.error));
}

int count_descriptors(void) {
        int count = -1; /* the folder's own */
        DIR *folder = opendir("/proc/self/fd");
        for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
        closedir(folder);
        return count;
}

int count_processes(const char *token) {
        int count = 0;
        DIR *folder = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(folder));) {
                char path[300], text[4096];
                snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
                int fd = entry->d_name[0] > '0' && entry->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
                if (fd < 0) continue;
                ssize_t size = read(fd, text, sizeof text);
                close(fd);
                count += size > 0 && memmem(text, (size_t)size, token, strlen(token)) != NULL;
        }
        closedir(folder);
        return count;
}

void expect_at(int line, int holds, const char *format, ...) {
        if (holds) return;
        va_list words;
        va_start(words, format);
        dprintf(2, "  line %d: ", line);
        vdprintf(2, format, words);
        dprintf(2, "\n");
        va_end(words);
        failures++;
}

/* Each in a process of its own, so that it may do to itself what it likes. */
void test(const char *sentence, void (*body)(void)) {
        const char *only = getenv("ONLY");
        if (only && !strstr(sentence, only)) return;
        fflush(stdout);
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        pid_t pid = fork();
        if (pid == 0) {
                alarm(120);
                body();
                exit(failures ? 1 : 0);
        }
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        clock_gettime(CLOCK_MONOTONIC, &after);
        long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
        tests++;
        failed_tests += status != 0;
        printf("%s %s (%ld ms)\n", status ? "FAIL" : "ok  ", sentence, ms);
        if (WIFSIGNALED(status)) printf("  ended by signal %d\n", WTERMSIG(status));
}

int report(void) {
        printf("%d tests as uid %d, %d failed\n", tests, getuid(), failed_tests);
        return failed_tests ? 1 : 0;
}
