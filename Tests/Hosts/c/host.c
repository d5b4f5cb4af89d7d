/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts in C in circumstances that real programs are in: `host NAME WORKER [LIBRARY]` is one of them. */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *worker_program;
lauter_error *error;

void complain(const char *file, int line, const char *form, ...) {
        va_list arguments;
        fprintf(stderr, "%s:%d: ", file, line);
        va_start(arguments, form);
        vfprintf(stderr, form, arguments);
        va_end(arguments);
        fprintf(stderr, " (errno: %s)\n", strerror(errno));
        /* Not exit(): this may be a forked child. */
        _exit(1);
}

static void must(int32_t code) { expect(code >= 0, "%s: %s", lauter_code_name(code), lauter_error_message(error)); }

lauter_host *new_host(void) {
        lauter_host *host;
        must(lauter_host_new(&host, &error));
        return host;
}

int32_t try_spawn(lauter_host *host, lauter_worker *worker) {
        lauter_policy *policy;
        lauter_launch *launch;
        must(lauter_policy_new("notebook", &policy, &error));
        must(lauter_policy_set(policy, "read", worker_program, &error));
        must(lauter_launch_new("worker", &launch, &error));
        must(lauter_launch_set(launch, "argument", worker_program, &error));
        int32_t code = lauter_spawn(host, policy, launch, 0, worker, &error);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        return code;
}

static void wait_ready(lauter_host *host, lauter_worker worker) {
        int32_t code;
        while ((code = lauter_worker_wait_ready(host, worker, 20000, &error)) == LAUTER_ERROR_INTERRUPTED)
                lauter_error_free(error);
        must(code);
}

lauter_worker spawn(lauter_host *host) {
        lauter_worker worker;
        must(try_spawn(host, &worker));
        wait_ready(host, worker);
        return worker;
}

void echo(lauter_host *host, lauter_worker worker) {
        lauter_event event = {.size = sizeof event};
        lauter_part part = {"text/plain", "hello", 5};
        lauter_call call;
        int32_t code;
        must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "echo", &part, 1, -1, 0, &call, &error));
        while ((code = lauter_call_wait(host, call, 20000, &event, &error)) == LAUTER_ERROR_INTERRUPTED)
                lauter_error_free(error);
        must(code);
        expect(event.status == LAUTER_OK && event.part_count == 1 && event.parts[0].size == 5 &&
                   memcmp(event.parts[0].data, "hello", 5) == 0,
               "the echo is another: status %d", event.status);
        lauter_event_clear(&event);
}

void end_with(lauter_host *host, lauter_worker worker, int code) {
        char text[16];
        lauter_event event = {.size = sizeof event};
        lauter_part part = {"text/plain", text, (size_t)snprintf(text, sizeof text, "%d", code)};
        lauter_call call;
        int32_t result;
        must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "exit", &part, 1, -1, 0, &call, &error));
        while ((result = lauter_worker_wait_exit(host, worker, 20000, &event, &error)) == LAUTER_ERROR_INTERRUPTED)
                lauter_error_free(error);
        must(result);
        expect(event.report->reason == LAUTER_REASON_EXITED && event.report->exit_code == code,
               "it ended otherwise: %s", event.report->why);
        lauter_event_clear(&event);
}

void one_life(lauter_host *host) {
        lauter_worker worker = spawn(host);
        echo(host, worker);
        end_with(host, worker, 5);
}

/* Tells the pid of a worker's init, and has nothing to do until its input ends. */
void idles(void) {
        int32_t pid;
        lauter_host *host = new_host();
        lauter_worker worker = spawn(host);
        must(lauter_worker_pid(host, worker, &pid, &error));
        printf("%d\n", (int)pid);
        fflush(stdout);
        (void)getchar();
        lauter_host_free(host);
}

static long count_entries(const char *path) {
        long count = 0;
        DIR *folder = opendir(path);
        expect(folder, "%s", path);
        for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
        closedir(folder);
        return count;
}

long count_descriptors(void) { return count_entries("/proc/self/fd") - 1; }
long count_threads(void) { return count_entries("/proc/self/task"); }

long count_zombies(void) {
        long count = 0;
        DIR *folder = opendir("/proc");
        expect(folder, "/proc");
        for (struct dirent *entry; (entry = readdir(folder));) {
                char path[300], line[512] = "";
                if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
                snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
                FILE *file = fopen(path, "r");
                if (!file) continue;
                if (fgets(line, sizeof line, file)) {
                        char *state = strrchr(line, ')');
                        count += state && state[1] == ' ' && state[2] == 'Z';
                }
                fclose(file);
        }
        closedir(folder);
        return count;
}

double now(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

pid_t child_exits(int code) {
        pid_t child = fork();
        expect(child >= 0, "fork");
        if (child == 0) _exit(code);
        return child;
}

int main(int count, char **arguments) {
        static const struct {
                const char *name;
                void (*be)(void);
        } hosts[] = {
            {"threads-end", threads_end},
            {"forks-and-execs", forks_and_execs},
            {"forks-during-launch", forks_during_launch},
            {"forks-and-goes-on", forks_and_goes_on},
            {"children-by-handler", children_by_handler},
            {"sigchld-ignored", sigchld_ignored},
            {"sigchld-unwaited", sigchld_unwaited},
            {"sigchld-blocked", sigchld_blocked},
            {"is-pid-1", is_pid_1},
            {"is-subreaper", is_subreaper},
            {"is-below-a-lazy-pid-1", is_below_a_lazy_pid_1},
            {"signals-on-own-stack", signals_on_own_stack},
            {"idles", idles},
            {"has-many-descriptors", has_many_descriptors},
            {"has-no-streams", has_no_streams},
            {"has-no-proc", has_no_proc},
            {"has-a-filter", has_a_filter},
        };
        if (count == 2 && strcmp(arguments[1], "count-descriptors") == 0) return (int)count_descriptors();
        if (count != 3) return 2;
        worker_program = arguments[2];
        alarm(100); /* a host that hangs fails */
        for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
                if (strcmp(hosts[i].name, arguments[1]) == 0) {
                        hosts[i].be();
                        puts("undisturbed");
                        return 0;
                }
        return 2;
}
