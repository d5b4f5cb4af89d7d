/* SPDX-License-Identifier: Apache-2.0 */
/* A notebook host in C: three cells in a sandboxed Python worker; the second never ends by itself.
 *
 *     cc host.c $(pkg-config --cflags --libs lauter) -o host
 */
#include <lauter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lauter_error *error;

static void must(int32_t code) {
        if (code >= 0) return;
        fprintf(stderr, "%s: %s\n", lauter_code_name(code), lauter_error_message(error));
        exit(EXIT_FAILURE);
}

static void print_text(const lauter_event *event) {
        for (size_t i = 0; i < event->part_count; i++)
                if (strcmp(event->parts[i].type, "text/plain") == 0)
                        printf("%.*s\n", (int)event->parts[i].size, (const char *)event->parts[i].data);
}

int main(void) {
        const char *cells[3] = {"print('hello from', __import__('os').getpid())", "while True: pass", "6 * 7"};
        lauter_host *host;
        lauter_policy *policy;
        lauter_launch *launch;
        lauter_worker worker;
        lauter_call calls[3];

        must(lauter_host_new(&host, &error));
        must(lauter_policy_new("notebook", &policy, &error)); /* what the worker may do … */
        must(lauter_policy_set(policy, "limit", "memory=1G", &error));
        must(lauter_launch_new("python", &launch, &error)); /* … and what is started */
        must(lauter_spawn(host, policy, launch, 0, &worker, &error));
        for (int i = 0; i < 3; i++) { /* they wait for the worker, and then for one another */
                lauter_part source = {"text/x-python", cells[i], strlen(cells[i])};
                must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "execute", &source, 1, -1, (uint64_t)i,
                                       &calls[i], &error));
        }

        struct pollfd ready = {.fd = lauter_host_fd(host), .events = POLLIN};
        lauter_event event = {.size = sizeof event};
        int done = 0, alive = 1;
        while (alive) {
                if (poll(&ready, 1, 500) == 0 && done == 1) /* half a second of silence from the second cell: */
                        must(lauter_call_interrupt(host, calls[1], &error)); /* stop that cell, and no other */
                int32_t some;
                while ((some = lauter_host_next(host, &event, &error)) > 0) {
                        if (event.kind == LAUTER_EVENT_STREAM) {
                                fwrite(event.parts[0].data, 1, event.parts[0].size, stdout);
                        } else if (event.kind == LAUTER_EVENT_DONE) {
                                printf("cell %d: %s\n", (int)event.call_cookie + 1,
                                       event.status == LAUTER_OK ? "ok"
                                       : event.error             ? lauter_error_message(event.error)
                                                                 : event.name);
                                print_text(&event);
                                if (++done == 3) must(lauter_worker_stop(host, worker, 1000, 1000, &error));
                        } else if (event.kind == LAUTER_EVENT_EXITED) {
                                printf("worker: %s (exit code %d, %.1f MB)\n", event.report->why,
                                       event.report->exit_code, (double)event.report->peak_bytes / 1e6);
                                alive = 0;
                        }
                }
                must(some);
        }
        lauter_event_clear(&event);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        lauter_host_free(host);
        return done == 3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
