/* SPDX-License-Identifier: Apache-2.0 */
/* A C host that measures: it reads one command a line, does it once, and answers with a line of numbers, so that whoever
 * drives it can take turns between what is compared.
 *
 *     resident BYTES                     make so much memory resident in this host, for as long as it lives
 *     pin CPU                            from now on run here, children too; -1: anywhere
 *     launch PRESET NET PROGRAM          first_us exited_us
 *     view PRESET NET PROGRAM            the launch's plan, as lauter_policy_explain() tells it, and an empty line
 *     bwrap PATH ARGUMENT…               first_us exited_us
 *     filter PRESET PROGRAM COUNT        its instructions (0: they cannot be read here), and COUNT times of loading it
 *     costs PRESET PROGRAM               nanoseconds a call: see costs.c; "outside" is without a sandbox
 *     calls PROGRAM COUNT                COUNT raw round trips, COUNT with a peer in another session, COUNT calls: a line each
 *     flood PROGRAM SECONDS              three lines: times of some small calls alone, beside a flood of output; resident KiB
 *     side PROGRAM FOLDER BYTES          two lines: times of small calls beside a part of BYTES, and alone
 *     bulk PROGRAM BYTES                 raw_in_us raw_out_us call_in_us call_out_us memcpy_us into_us in_place_us
 *     kill PROGRAM                       exited_us
 *     python-start PYTHON                ready_us
 *     bare-python PYTHON                 first_us
 *     execute PYTHON COUNT               COUNT times
 *     interrupt PYTHON                   done_us
 *     crowd KIND PROGRAM COUNT           so many idle workers of one more host object: the time until each new one is ready
 *     crowd-costs                        bytes, descriptors and mappings of this host; private bytes of an init
 *     crowd-calls COUNT                  COUNT calls to one of the crowd, by lauter_call_wait(); COUNT by a loop: a line each
 *     crowd-free                         freed_us
 */
#define _GNU_SOURCE
#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

lauter_error *error;

void must(int32_t code) {
        if (code >= 0) return;
        fprintf(stderr, "%s: %s\n", lauter_code_name(code), lauter_error_message(error));
        exit(1);
}

void must_system(long result, const char *what) {
        if (result >= 0) return;
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
}

double now_us(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

void next_event(lauter_host *host, lauter_event *event) {
        struct pollfd ready = {.fd = lauter_host_fd(host), .events = POLLIN};
        int32_t some;
        while ((some = lauter_host_next(host, event, &error)) == 0) must_system(poll(&ready, 1, -1), "poll");
        must(some);
}

void read_all(int fd, void *data, size_t size) {
        for (char *at = data; size > 0;) {
                ssize_t n = read(fd, at, size);
                must_system(n == 0 ? -1 : n, "read");
                at += n;
                size -= (size_t)n;
        }
}

void write_all(int fd, const void *data, size_t size) {
        for (const char *at = data; size > 0;) {
                ssize_t n = write(fd, at, size);
                must_system(n, "write");
                at += n;
                size -= (size_t)n;
        }
}

static void describe(const char *preset, const char *kind, const char *program, const char *const words[],
                     lauter_policy **policy, lauter_launch **launch) {
        int is_python = strcmp(kind, "python") == 0;
        must(lauter_policy_new(preset, policy, &error));
        for (size_t i = 0; words && words[i]; i += 2) must(lauter_policy_set(*policy, words[i], words[i + 1], &error));
        must(lauter_launch_new(kind, launch, &error));
        must(lauter_launch_set(*launch, is_python ? "interpreter" : "argument", program, &error));
        if (!is_python) must(lauter_policy_set(*policy, "read", program, &error));
}

static void print_view(const char *preset, const char *net, const char *program) {
        const char *words[] = {"net", net, NULL};
        lauter_policy *policy;
        lauter_launch *launch;
        char *text;
        describe(preset, "program", program, words, &policy, &launch);
        must(lauter_policy_explain(policy, launch, &text, &error));
        printf("%s\n", text);
        lauter_string_free(text);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
}

lauter_worker spawn(lauter_host *host, const char *preset, const char *kind, const char *program,
                    const char *const words[]) {
        lauter_policy *policy;
        lauter_launch *launch;
        lauter_worker worker;
        describe(preset, kind, program, words, &policy, &launch);
        must(lauter_spawn(host, policy, launch, 0, &worker, &error));
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        return worker;
}

static void make_resident(size_t size) {
        /* Small pages, as a host's heap has them: a copy of its page tables would cost the most. */
        const size_t page = 4096;
        char *memory = malloc(size);
        must_system(memory ? 0 : -1, "malloc");
        for (size_t at = 0; at < size; at += page) memory[at] = 1;
        printf("%zu\n", size);
}

static void pin(int cpu) {
        cpu_set_t set;
        CPU_ZERO(&set);
        for (int i = 0; i < CPU_SETSIZE; i++)
                if (cpu < 0 || i == cpu) CPU_SET(i, &set);
        must_system(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
        printf("%d\n", cpu);
}

int main(void) {
        static char line[32768];
        lauter_host *host;
        must(lauter_host_new(&host, &error));
        while (fgets(line, sizeof line, stdin)) {
                enum { WORDS = 512 };
                char *word[WORDS + 1] = {NULL};
                int count = 0;
                for (char *at = strtok(line, " \n"); at && count < WORDS; at = strtok(NULL, " \n")) word[count++] = at;
                const char *verb = count > 0 ? word[0] : "";
                if (strcmp(verb, "resident") == 0 && count == 2)
                        make_resident(strtoull(word[1], NULL, 10));
                else if (strcmp(verb, "pin") == 0 && count == 2)
                        pin(atoi(word[1]));
                else if (strcmp(verb, "launch") == 0 && count == 4)
                        measure_launch(host, word[1], word[2], word[3]);
                else if (strcmp(verb, "view") == 0 && count == 4)
                        print_view(word[1], word[2], word[3]);
                else if (strcmp(verb, "bwrap") == 0 && count > 2)
                        measure_bubblewrap(word + 1);
                else if (strcmp(verb, "filter") == 0 && count == 4)
                        measure_filter(host, word[1], word[2], atoi(word[3]));
                else if (strcmp(verb, "costs") == 0 && count == 3)
                        measure_costs(host, word[1], word[2]);
                else if (strcmp(verb, "calls") == 0 && count == 3)
                        measure_calls(host, word[1], atoi(word[2]));
                else if (strcmp(verb, "bulk") == 0 && count == 3)
                        measure_bulk(host, word[1], strtoull(word[2], NULL, 10));
                else if (strcmp(verb, "flood") == 0 && count == 3)
                        measure_flood(host, word[1], atoi(word[2]));
                else if (strcmp(verb, "side") == 0 && count == 4)
                        measure_side(host, word[1], word[2], strtoull(word[3], NULL, 10));
                else if (strcmp(verb, "kill") == 0 && count == 2)
                        measure_kill(host, word[1]);
                else if (strcmp(verb, "python-start") == 0 && count == 2)
                        measure_python_start(host, word[1]);
                else if (strcmp(verb, "bare-python") == 0 && count == 2)
                        measure_bare_python(word[1]);
                else if (strcmp(verb, "execute") == 0 && count == 3)
                        measure_execute(host, word[1], atoi(word[2]));
                else if (strcmp(verb, "interrupt") == 0 && count == 2)
                        measure_interrupt(host, word[1]);
                else if (strcmp(verb, "crowd") == 0 && count == 4)
                        crowd_grow(word[1], word[2], atoi(word[3]));
                else if (strcmp(verb, "crowd-costs") == 0 && count == 1)
                        crowd_costs();
                else if (strcmp(verb, "crowd-calls") == 0 && count == 2)
                        crowd_calls(atoi(word[1]));
                else if (strcmp(verb, "crowd-free") == 0 && count == 1)
                        crowd_free();
                else {
                        fprintf(stderr, "no such command: %s with %d words\n", verb, count - 1);
                        return 1;
                }
                fflush(stdout);
        }
        lauter_host_free(host);
        return 0;
}
