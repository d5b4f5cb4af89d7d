/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker's filter costs: to load it, and each call under it. */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INSTRUCTIONS = 4096 };

/* The only child of a process. */
static pid_t child_of(pid_t parent) {
        char path[64];
        int child = 0;
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
        FILE *file = fopen(path, "r");
        must_system(file ? 0 : -1, path);
        if (fscanf(file, "%d", &child) != 1) {
                fprintf(stderr, "%s names no process\n", path);
                exit(1);
        }
        fclose(file);
        return child;
}

/* The program that the kernel holds a process by. Returns its length; 0 where we may not see it. */
static unsigned short read_filter(pid_t pid, struct sock_filter *program) {
        must_system(ptrace(PTRACE_SEIZE, pid, 0, 0), "ptrace(PTRACE_SEIZE)");
        must_system(ptrace(PTRACE_INTERRUPT, pid, 0, 0), "ptrace(PTRACE_INTERRUPT)");
        must_system(waitpid(pid, NULL, __WALL), "waitpid");
        long count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL);
        if (count > INSTRUCTIONS) count = -1;
        if (count > 0) count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, program);
        must_system(ptrace(PTRACE_DETACH, pid, 0, 0), "ptrace(PTRACE_DETACH)");
        return count > 0 ? (unsigned short)count : 0;
}

/* In a process that ends with it. */
static double load(struct sock_filter *program, unsigned short count) {
        int ends[2];
        double time = -1;
        must_system(pipe(ends), "pipe");
        pid_t pid = fork();
        must_system(pid, "fork");
        if (pid == 0) {
                struct sock_fprog whole = {count, program};
                if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) _exit(1);
                double begun = now_us();
                long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &whole);
                time = now_us() - begun;
                if (result < 0 || write(ends[1], &time, sizeof time) != sizeof time) _exit(1);
                _exit(0);
        }
        close(ends[1]);
        read_all(ends[0], &time, sizeof time);
        close(ends[0]);
        must_system(waitpid(pid, NULL, 0), "waitpid");
        return time;
}

void measure_filter(lauter_host *host, const char *preset, const char *program, int times) {
        static struct sock_filter filter[INSTRUCTIONS];
        int32_t init;
        lauter_worker worker = spawn(host, preset, "worker", program, NULL);
        must(lauter_worker_wait_ready(host, worker, -1, &error));
        must(lauter_worker_pid(host, worker, &init, &error));
        unsigned short count = read_filter(child_of(init), filter);
        must(lauter_worker_kill(host, worker, &error));
        (void)until_exit(host, worker, NULL, 0);
        printf("%d", count);
        for (int i = 0; i < times && count > 0; i++) printf(" %.2f", load(filter, count));
        printf("\n");
}

void measure_costs(lauter_host *host, const char *preset, const char *program) {
        /* For one that would end the worker: the filter is the same. */
        static const char *const words[] = {"violations", "tell", NULL};
        char text[256] = "";
        if (strcmp(preset, "outside") == 0) {
                FILE *output = popen(program, "r");
                must_system(output ? 0 : -1, program);
                if (!fgets(text, sizeof text, output)) text[0] = 0;
                pclose(output);
        } else {
                (void)until_exit(host, spawn(host, preset, "program", program, words), text, sizeof text);
        }
        if (!strchr(text, '\n')) {
                fprintf(stderr, "%s said: '%s'\n", program, text);
                exit(1);
        }
        printf("%s", text);
}
