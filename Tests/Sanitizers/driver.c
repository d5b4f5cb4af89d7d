/* SPDX-License-Identifier: Apache-2.0 */
/* driver PROGRAM [leak | race]: what a busy host does, for the sanitizers to look at: workers of all kinds, calls, streams, floods,
 * interrupts, failures, kills; then four threads on one host. PROGRAM is Tests/Integration/workers/worker.c. With `leak` or
 * `race` it does wrong itself, which shows that the sanitizer sees it. */
#include <lauter.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, ROUNDS = 12, PATIENCE_MS = 60000 };

static const char *program;
static _Atomic int problems;

static void complain(const char *what, lauter_error *error) {
        fprintf(stderr, "driver: %s: %s\n", what, error ? lauter_error_message(error) : "unexpected");
        lauter_error_free(error);
        problems++;
}

#define MUST(call)                                                                                                     \
        do {                                                                                                           \
                lauter_error *error = NULL;                                                                            \
                if ((call) < 0) complain(#call, error);                                                                \
        } while (0)

static lauter_worker start(lauter_host *host, const char *kind, const char *const *arguments) {
        lauter_policy *policy = NULL;
        lauter_launch *launch = NULL;
        lauter_worker worker = 0;
        MUST(lauter_policy_new("notebook", &policy, &error));
        MUST(lauter_policy_set(policy, "read", program, &error));
        MUST(lauter_launch_new(kind, &launch, &error));
        for (; *arguments; arguments++) MUST(lauter_launch_set(launch, "argument", *arguments, &error));
        MUST(lauter_spawn(host, policy, launch, 1, &worker, &error));
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        return worker;
}

static lauter_worker start_worker(lauter_host *host) {
        lauter_worker worker = start(host, "worker", (const char *const[]){program, NULL});
        MUST(lauter_worker_wait_ready(host, worker, PATIENCE_MS, &error));
        return worker;
}

/* A call that is waited for; its status. */
static int ask(lauter_host *host, lauter_worker worker, const char *verb, const void *data, size_t size) {
        lauter_event event = {.size = sizeof event};
        lauter_part part = {"text/plain", data, size};
        lauter_call call = 0;
        MUST(lauter_call_start(host, worker, LAUTER_LANE_MAIN, verb, &part, 1, -1, 2, &call, &error));
        MUST(lauter_call_wait(host, call, PATIENCE_MS, &event, &error));
        int status = event.status;
        if (status == LAUTER_OK && !strcmp(verb, "echo") &&
            (event.part_count != 1 || event.parts[0].size != size || memcmp(event.parts[0].data, data, size)))
                complain("an echo that is another text", NULL);
        lauter_event_clear(&event);
        return status;
}

static void end(lauter_host *host, lauter_worker worker, int by_stop) {
        lauter_event event = {.size = sizeof event};
        if (by_stop)
                MUST(lauter_worker_stop(host, worker, 5000, 5000, &error));
        else
                MUST(lauter_worker_kill(host, worker, &error));
        MUST(lauter_worker_wait_exit(host, worker, PATIENCE_MS, &event, &error));
        char *text = NULL;
        if (event.report) MUST(lauter_report_json(event.report, &text, &error));
        lauter_string_free(text);
        lauter_event_clear(&event);
}

static void one_of_each(void) {
        lauter_host *host = NULL;
        size_t size = 3 << 20;
        char *large = malloc(size);
        memset(large, 'x', size);
        MUST(lauter_host_new(&host, &error));
        lauter_worker worker = start_worker(host);
        if (ask(host, worker, "echo", "hello", 5) != LAUTER_OK) complain("echo", NULL);
        if (ask(host, worker, "echo", large, size) != LAUTER_OK) complain("a large echo", NULL);
        end(host, worker, 1);

        /* A flood that nobody reads, and what is dropped of it. */
        worker = start(host, "program",
                       (const char *const[]){"/bin/sh", "-c", "head -c 4000000 /dev/zero; echo end >&2", NULL});
        int has_ended = 0, streams = 0;
        while (!has_ended) {
                lauter_event event = {.size = sizeof event};
                lauter_error *error = NULL;
                int found = lauter_host_next(host, &event, &error);
                if (found < 0) complain("next", error);
                if (found == 0 && lauter_host_wait(host, PATIENCE_MS, &error) < 1) complain("wait", error);
                streams += event.kind == LAUTER_EVENT_STREAM;
                has_ended = event.kind == LAUTER_EVENT_EXITED || problems;
                lauter_event_clear(&event);
        }
        if (!streams) complain("no stream", NULL);

        /* What fails at once, and later. */
        lauter_policy *policy = NULL;
        lauter_error *error = NULL;
        MUST(lauter_policy_new("strict", &policy, &error));
        if (lauter_policy_set(policy, "nonsense", "x", &error) != LAUTER_ERROR_POLICY) complain("nonsense", NULL);
        lauter_error_free(error);
        lauter_policy_free(policy);
        worker = start(host, "program", (const char *const[]){"/bin/sleep", "60", NULL});
        lauter_host_free(host); /* with a worker at whatever it has come to */
        free(large);
}

static lauter_host *shared;

static void *busy(void *argument) {
        long number = (long)argument;
        lauter_worker worker = start_worker(shared);
        for (int i = 0; i < ROUNDS; i++) {
                char text[64];
                snprintf(text, sizeof text, "thread %ld round %d", number, i);
                if (ask(shared, worker, "echo", text, strlen(text)) != LAUTER_OK) complain("echo", NULL);
                if (i % 4 == 3) { /* one that is interrupted on its way */
                        lauter_part part = {"text/plain", text, strlen(text)};
                        lauter_event event = {.size = sizeof event};
                        lauter_call call = 0;
                        MUST(lauter_call_start(shared, worker, LAUTER_LANE_MAIN, "echo", &part, 1, -1, 3, &call,
                                               &error));
                        MUST(lauter_call_interrupt(shared, call, &error));
                        MUST(lauter_call_wait(shared, call, PATIENCE_MS, &event, &error));
                        lauter_event_clear(&event);
                }
                if (i % 6 == 5) { /* another's life is short */
                        lauter_worker other = start(shared, "program", (const char *const[]){"/bin/sleep", "60", NULL});
                        end(shared, other, i % 4 == 1);
                }
        }
        end(shared, worker, number % 2 == 0);
        return NULL;
}

/* Sleeps for the host's events beside the others, and asks for descriptors and pids. */
static void *look_on(void *argument) {
        const _Atomic int *stop = argument;
        while (!*stop) {
                lauter_error *error = NULL;
                if (lauter_host_wait(shared, 5, &error) < 0) complain("wait", error);
                if (lauter_host_fd(shared) < 0) complain("no descriptor", NULL);
        }
        return NULL;
}

static void four_threads(void) {
        pthread_t threads[THREADS], onlooker;
        static _Atomic int stop;
        MUST(lauter_host_new(&shared, &error));
        pthread_create(&onlooker, NULL, look_on, &stop);
        for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, busy, (void *)i);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        stop = 1;
        pthread_join(onlooker, NULL);
        lauter_host_free(shared);
}

static int shared_count;
static void *count_up(void *argument) {
        for (int i = 0; i < 100000; i++) shared_count++;
        return argument;
}

static void do_wrong(const char *how) {
        if (!strcmp(how, "leak")) { /* the library's memory, which its user forgets */
                lauter_policy *policy = NULL;
                MUST(lauter_policy_new("notebook", &policy, &error));
                policy = NULL;
        } else {
                pthread_t threads[2];
                for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, count_up, NULL);
                for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        }
}

int main(int count, char **words) {
        if (count < 2) return 2;
        program = words[1];
        if (count == 3) {
                do_wrong(words[2]);
                return 0;
        }
        one_of_each();
        four_threads();
        if (!problems) puts("driver: all done");
        return problems != 0;
}
