/* SPDX-License-Identifier: Apache-2.0 */
/* Many idle workers of one host object: what each costs, and whether the next event comes as soon as with one alone. */
#define _GNU_SOURCE
#include "bench.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SMALL = 64, WARM_UP = 20 };

static lauter_host *crowd;
static lauter_worker *workers;
static int count;

static long count_entries(const char *path) {
        long entries = 0;
        DIR *folder = opendir(path);
        must_system(folder ? 0 : -1, path);
        while (readdir(folder)) entries++;
        closedir(folder);
        return entries;
}

/* A value of /proc/PID/smaps_rollup or the like, in bytes. */
static long memory_of(pid_t pid, const char *name) {
        char path[64], line[256];
        long kib = -1;
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
        FILE *file = fopen(path, "r");
        must_system(file ? 0 : -1, path);
        while (kib < 0 && fgets(line, sizeof line, file))
                if (strncmp(line, name, strlen(name)) == 0) kib = strtol(line + strlen(name), NULL, 10);
        fclose(file);
        if (kib < 0) {
                fprintf(stderr, "%s says nothing of %s\n", path, name);
                exit(1);
        }
        return kib * 1024;
}

/* Private and anonymous: what this process has for itself, without the files that it has mapped. */
static long own_memory(void) { return memory_of(getpid(), "Anonymous:"); }
static long init_memory(pid_t pid) { return memory_of(pid, "Private_Clean:") + memory_of(pid, "Private_Dirty:"); }

static void take_all(void) {
        lauter_event event = {.size = sizeof event};
        int32_t some;
        while ((some = lauter_host_next(crowd, &event, &error)) > 0)
                if (event.kind == LAUTER_EVENT_EXITED) {
                        fprintf(stderr, "a worker ended: %s\n", event.report->why);
                        exit(1);
                }
        must(some);
}

void crowd_grow(const char *kind, const char *program, int to) {
        struct rlimit limit;
        must_system(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
        limit.rlim_cur = limit.rlim_max;
        must_system(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
        if (!crowd) must(lauter_host_new(&crowd, &error));
        workers = realloc(workers, (size_t)to * sizeof *workers);
        must_system(workers ? 0 : -1, "realloc");
        for (; count < to; count++) {
                double begun = now_us();
                workers[count] = spawn(crowd, "notebook", kind, program, NULL);
                must(lauter_worker_wait_ready(crowd, workers[count], -1, &error));
                printf("%.1f ", now_us() - begun);
                take_all();
        }
        printf("\n");
}

void crowd_costs(void) {
        int32_t pid = 0;
        if (count > 0) must(lauter_worker_pid(crowd, workers[0], &pid, &error));
        usleep(100000); /* idle: an init lets go of the launch after its worker is born */
        printf("%ld %ld %ld %ld\n", own_memory(), count_entries("/proc/self/fd"), count_entries("/proc/self/map_files"),
               pid ? init_memory(pid) : 0);
}

static lauter_call start(lauter_worker worker) {
        static const char data[SMALL];
        lauter_part part = {"application/octet-stream", data, sizeof data};
        lauter_call call;
        must(lauter_call_start(crowd, worker, LAUTER_LANE_MAIN, "echo", &part, 1, -1, 0, &call, &error));
        return call;
}

static void check(const lauter_event *event, lauter_call call) {
        if (event->kind == LAUTER_EVENT_DONE && event->call == call && event->status == LAUTER_OK &&
            event->part_count == 1 && event->parts[0].size == SMALL)
                return;
        fprintf(stderr, "the wrong event: %u, status %d\n", event->kind, event->status);
        exit(1);
}

/* A line of times of lauter_call_wait(), and one of a loop's poll and lauter_host_next(). */
void crowd_calls(int each) {
        lauter_worker worker = workers[count / 2];
        lauter_event event = {.size = sizeof event};
        for (int way = 0; way < 2; way++) {
                for (int i = -WARM_UP; i < each; i++) {
                        double begun = now_us();
                        lauter_call call = start(worker);
                        if (way == 0)
                                must(lauter_call_wait(crowd, call, -1, &event, &error));
                        else
                                next_event(crowd, &event);
                        double ended = now_us();
                        check(&event, call);
                        if (i >= 0) printf("%.2f ", ended - begun);
                }
                printf("\n");
        }
        lauter_event_clear(&event);
}

void crowd_free(void) {
        double begun = now_us();
        lauter_host_free(crowd);
        printf("%.1f\n", now_us() - begun);
        crowd = NULL;
        count = 0;
}
