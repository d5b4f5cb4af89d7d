/* SPDX-License-Identifier: Apache-2.0 */
/* From the wish to the first byte of a program in a sandbox, and to the knowledge of its end. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

double until_exit(lauter_host *host, lauter_worker worker, char *text, size_t size) {
        lauter_event event = {.size = sizeof event};
        double first = 0;
        for (int alive = 1; alive;) {
                next_event(host, &event);
                if (event.worker != worker) continue;
                if (event.kind == LAUTER_EVENT_STREAM) {
                        if (first == 0) first = now_us();
                        if (text)
                                snprintf(text + strlen(text), size - strlen(text), "%.*s", (int)event.parts[0].size,
                                         (const char *)event.parts[0].data);
                }
                if (event.kind == LAUTER_EVENT_EXITED) {
                        uint32_t reason = event.report->reason;
                        if (reason != LAUTER_REASON_EXITED && reason != LAUTER_REASON_KILLED) {
                                fprintf(stderr, "the worker did not end as it should: %s\n", event.report->why);
                                exit(1);
                        }
                        alive = 0;
                }
        }
        lauter_event_clear(&event);
        return first;
}

void measure_launch(lauter_host *host, const char *preset, const char *net, const char *program) {
        const char *words[] = {"net", net, NULL};
        double begun = now_us();
        lauter_worker worker = spawn(host, preset, "program", program, words);
        double first = until_exit(host, worker, NULL, 0), ended = now_us();
        if (first == 0) {
                fprintf(stderr, "the program in the sandbox wrote nothing\n");
                exit(1);
        }
        printf("%.1f %.1f\n", first - begun, ended - begun);
}

void measure_bubblewrap(char *const argv[]) {
        int ends[2], status;
        char byte;
        pid_t pid;
        posix_spawn_file_actions_t actions;
        double begun = now_us();
        must_system(pipe2(ends, O_CLOEXEC), "pipe2");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        errno = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
        must_system(errno ? -1 : 0, argv[0]);
        posix_spawn_file_actions_destroy(&actions);
        close(ends[1]);
        ssize_t n = read(ends[0], &byte, 1);
        double first = now_us();
        must_system(waitpid(pid, &status, 0), "waitpid");
        double ended = now_us();
        close(ends[0]);
        if (n != 1 || status != 0) {
                fprintf(stderr, "%s: wait status %d after %zd bytes\n", argv[0], status, n);
                exit(1);
        }
        printf("%.1f %.1f\n", first - begun, ended - begun);
}

void measure_kill(lauter_host *host, const char *program) {
        lauter_worker worker = spawn(host, "notebook", "worker", program, NULL);
        must(lauter_worker_wait_ready(host, worker, -1, &error));
        double begun = now_us();
        must(lauter_worker_kill(host, worker, &error));
        (void)until_exit(host, worker, NULL, 0);
        printf("%.1f\n", now_us() - begun);
}
