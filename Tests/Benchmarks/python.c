/* SPDX-License-Identifier: Apache-2.0 */
/* The Python runtime, seen from a C host. */
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

static lauter_worker python_worker(lauter_host *host, const char *interpreter) {
        static lauter_worker worker;
        if (!worker) {
                worker = spawn(host, "notebook", "python", interpreter, NULL);
                must(lauter_worker_wait_ready(host, worker, -1, &error));
        }
        return worker;
}

static lauter_call start(lauter_host *host, lauter_worker worker, const char *source) {
        lauter_part part = {"text/x-python", source, strlen(source)};
        lauter_call call;
        must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "execute", &part, 1, -1, 0, &call, &error));
        return call;
}

static void finish(lauter_host *host, lauter_call call, int32_t status, const char *text) {
        lauter_event event = {.size = sizeof event};
        must(lauter_call_wait(host, call, -1, &event, &error));
        if (event.status != status || event.part_count == 0 || event.parts[0].size != strlen(text) ||
            memcmp(event.parts[0].data, text, event.parts[0].size) != 0) {
                fprintf(stderr, "Python answered wrongly: status %d, %s\n", event.status, event.name);
                exit(1);
        }
        lauter_event_clear(&event);
}

void measure_python_start(lauter_host *host, const char *interpreter) {
        lauter_event event = {.size = sizeof event};
        double begun = now_us();
        lauter_worker worker = spawn(host, "notebook", "python", interpreter, NULL);
        must(lauter_worker_wait_ready(host, worker, -1, &error));
        printf("%.1f\n", now_us() - begun);
        must(lauter_worker_kill(host, worker, &error));
        must(lauter_worker_wait_exit(host, worker, -1, &event, &error));
        lauter_event_clear(&event);
}

void measure_bare_python(const char *interpreter) {
        char *argv[] = {(char *)interpreter, (char *)"-c", (char *)"print(1, flush=True)", NULL};
        int ends[2], status;
        char byte;
        pid_t pid;
        posix_spawn_file_actions_t actions;
        double begun = now_us();
        must_system(pipe2(ends, O_CLOEXEC), "pipe2");
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        errno = posix_spawn(&pid, interpreter, &actions, NULL, argv, environ);
        must_system(errno ? -1 : 0, interpreter);
        close(ends[1]);
        read_all(ends[0], &byte, 1);
        printf("%.1f\n", now_us() - begun);
        while (read(ends[0], &byte, 1) > 0) /* the newline may come by itself */
                ;
        posix_spawn_file_actions_destroy(&actions);
        close(ends[0]);
        must_system(waitpid(pid, &status, 0), "waitpid");
}

void measure_execute(lauter_host *host, const char *interpreter, int count) {
        lauter_worker worker = python_worker(host, interpreter);
        for (int i = -5; i < count; i++) {
                double begun = now_us();
                finish(host, start(host, worker, "1+1"), LAUTER_OK, "2");
                if (i >= 0) printf(i ? " %.1f" : "%.1f", now_us() - begun);
        }
        printf("\n");
}

void measure_interrupt(lauter_host *host, const char *interpreter) {
        lauter_worker worker = python_worker(host, interpreter);
        lauter_event event = {.size = sizeof event};
        lauter_call call = start(host, worker, "print('running', flush=True)\nwhile True: pass");
        do next_event(host, &event);
        while (event.kind != LAUTER_EVENT_STREAM);
        lauter_event_clear(&event);
        double begun = now_us();
        must(lauter_call_interrupt(host, call, &error));
        finish(host, call, LAUTER_ERROR_FAILED, "");
        printf("%.1f\n", now_us() - begun);
}
