/* SPDX-License-Identifier: Apache-2.0 */
/* Calls beside what the same bytes cost on a bare socket pair. */
#define _GNU_SOURCE
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL = 64, BUFFER = 212992, CHUNK = 65536 };

/* A worker and a raw peer live as long as this host does: what is measured is the talk. */
static lauter_worker echo_worker(lauter_host *host, const char *program) {
        static lauter_worker worker;
        if (!worker) {
                worker = spawn(host, "notebook", "worker", program, NULL);
                must(lauter_worker_wait_ready(host, worker, -1, &error));
        }
        return worker;
}

/* The first byte of each message to the other process of the raw comparison. */
enum { ECHO = 1, SWALLOW, POUR };

/* What follows an order: `size` bytes from us, or to us. */
struct order {
        char kind;
        uint64_t size;
        char rest[SMALL - 9];
} __attribute__((packed));

static void be_the_peer(int fd) {
        static char chunk[CHUNK];
        memset(chunk, 7, sizeof chunk);
        for (;;) {
                struct order order;
                ssize_t n = read(fd, &order, sizeof order);
                if (n != sizeof order) _exit(n == 0 ? 0 : 1);
                if (order.kind == ECHO) {
                        write_all(fd, &order, sizeof order);
                        continue;
                }
                for (uint64_t left = order.size, piece; left > 0; left -= piece) {
                        piece = left < CHUNK ? left : CHUNK;
                        if (order.kind == POUR)
                                write_all(fd, chunk, piece);
                        else
                                read_all(fd, chunk, piece);
                }
                if (order.kind == SWALLOW) write_all(fd, "k", 1);
        }
}

/* The kernel schedules sessions as groups where autogroups are on, which costs each switch between two of them. A worker
 * always has a session of its own; so may the peer. */
static int raw_peer(int has_own_session) {
        static int peers[2] = {-1, -1};
        int *peer = &peers[has_own_session];
        if (*peer >= 0) return *peer;
        int ends[2], size = BUFFER;
        must_system(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
        for (int i = 0; i < 2; i++)
                must_system(setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), "setsockopt");
        pid_t pid = fork();
        must_system(pid, "fork");
        if (pid == 0) {
                if (has_own_session) must_system(setsid(), "setsid");
                close(ends[0]);
                be_the_peer(ends[1]);
        }
        close(ends[1]);
        return *peer = ends[0];
}

static void order_peer(int fd, char kind, uint64_t size) {
        struct order order = {.kind = kind, .size = size};
        write_all(fd, &order, sizeof order);
}

/* Call and wait; checks what came back. */
static void call(lauter_host *host, lauter_worker worker, const char *verb, const void *data, size_t size,
                 size_t expected) {
        static lauter_event event = {.size = sizeof event};
        lauter_part part = {"application/octet-stream", data, size};
        lauter_call id;
        must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, verb, &part, 1, -1, 0, &id, &error));
        must(lauter_call_wait(host, id, -1, &event, &error));
        if (event.status != LAUTER_OK || (expected > 0 && (event.part_count != 1 || event.parts[0].size != expected))) {
                fprintf(stderr, "the echo worker answered wrongly: status %d\n", event.status);
                exit(1);
        }
        lauter_event_clear(&event);
}

enum { WARM_UP = 20 }; /* the first few find cold caches */

static void print_time(int i, double us) {
        if (i >= 0) printf(i > 0 ? " %.2f" : "%.2f", us);
}

static void raw_calls(int peer, int count) {
        char data[SMALL] = {ECHO};
        for (int i = -WARM_UP; i < count; i++) {
                double begun = now_us();
                write_all(peer, data, sizeof data);
                read_all(peer, data, sizeof data);
                print_time(i, now_us() - begun);
        }
        printf("\n");
}

void measure_calls(lauter_host *host, const char *program, int count) {
        lauter_worker worker = echo_worker(host, program);
        int near = raw_peer(0), far = raw_peer(1);
        char data[SMALL] = {ECHO};
        raw_calls(near, count);
        raw_calls(far, count);
        for (int i = -WARM_UP; i < count; i++) {
                double begun = now_us();
                call(host, worker, "echo", data, sizeof data, sizeof data);
                print_time(i, now_us() - begun);
        }
        printf("\n");
}

/* The result into memory of ours, that is touched. */
static void call_into(lauter_host *host, lauter_worker worker, void *memory, uint64_t size) {
        static lauter_event event = {.size = sizeof event};
        lauter_part part = {"application/octet-stream", &size, sizeof size};
        lauter_call id;
        must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "give", &part, 1, -1, 0, &id, &error));
        must(lauter_call_into(host, id, memory, size, &error));
        must(lauter_call_wait(host, id, -1, &event, &error));
        if (event.status != LAUTER_OK || event.part_count != 1 || event.parts[0].data != memory) {
                fprintf(stderr, "the result is not where it was wanted: status %d\n", event.status);
                exit(1);
        }
        lauter_event_clear(&event);
}

/* The result where the worker put it. */
static void take_in_place(lauter_host *host, const char *program, uint64_t size) {
        static lauter_worker worker;
        if (!worker) {
                lauter_policy *policy;
                lauter_launch *launch;
                must(lauter_policy_new("notebook", &policy, &error));
                must(lauter_policy_set(policy, "read", program, &error));
                must(lauter_launch_new("worker", &launch, &error));
                must(lauter_launch_set(launch, "argument", program, &error));
                must(lauter_launch_set(launch, "parts", "in-place", &error));
                must(lauter_spawn(host, policy, launch, 0, &worker, &error));
                must(lauter_worker_wait_ready(host, worker, -1, &error));
                lauter_policy_free(policy);
                lauter_launch_free(launch);
        }
        call(host, worker, "give", &size, sizeof size, size);
}

static double resident_kib(void) {
        FILE *file = fopen("/proc/self/statm", "r");
        long pages = 0;
        if (!file || fscanf(file, "%*d %ld", &pages) != 1) exit(1);
        fclose(file);
        return (double)(pages * (sysconf(_SC_PAGESIZE) / 1024));
}

/* Small calls to one worker, for `seconds` alone and as long while another prints without end and the host takes what comes; the
 * host's resident memory after a second of that, and the most from then on. */
void measure_flood(lauter_host *host, const char *program, int seconds) {
        lauter_worker worker = echo_worker(host, program);
        lauter_event event = {.size = sizeof event};
        char data[SMALL] = {0};
        double first = 0, most = 0;
        for (int flooded = 0; flooded < 2; flooded++) {
                lauter_worker printer = 0;
                if (flooded) printer = spawn(host, "notebook", "program", "/usr/bin/yes", NULL);
                double begun = now_us(), now = begun;
                for (int i = 0; now < begun + seconds * 1e6; i++) {
                        double before = now_us();
                        call(host, worker, "echo", data, sizeof data, sizeof data);
                        now = now_us();
                        if (i % 100 == 0) print_time(i, now - before);
                        for (int taken = 0; taken < 16 && lauter_host_next(host, &event, &error) > 0; taken++) continue;
                        if (!flooded || now < begun + 1e6) continue;
                        double kib = resident_kib();
                        if (first == 0) first = kib;
                        if (kib > most) most = kib;
                }
                printf("\n");
                if (!flooded) continue;
                must(lauter_worker_kill(host, printer, &error));
                must(lauter_worker_wait_exit(host, printer, -1, &event, &error));
                printf("%.0f %.0f\n", first, most);
        }
        lauter_event_clear(&event);
}

static double side_call(lauter_host *host, lauter_worker worker) {
        static lauter_event event = {.size = sizeof event};
        char data[SMALL] = {0};
        lauter_part part = {"application/octet-stream", data, sizeof data};
        lauter_call id;
        double begun = now_us();
        must(lauter_call_start(host, worker, LAUTER_LANE_SIDE, "echo", &part, 1, -1, 0, &id, &error));
        must(lauter_call_wait(host, id, -1, &event, &error));
        double took = now_us() - begun;
        if (event.status != LAUTER_OK || event.part_count != 1 || event.parts[0].size != SMALL) {
                fprintf(stderr, "the worker answered wrongly: status %d\n", event.status);
                exit(1);
        }
        return took;
}

/* Small calls on the side, as many as fit in while `size` bytes are under way on main; and as many without. */
void measure_side(lauter_host *host, const char *program, const char *library, uint64_t size) {
        static lauter_worker worker;
        static lauter_event event = {.size = sizeof event};
        static char *memory;
        const char *words[] = {"read", library, "limit", "memory=none", NULL};
        if (!worker) {
                worker = spawn(host, "notebook", "worker", program, words);
                must(lauter_worker_wait_ready(host, worker, -1, &error));
                memory = malloc(size);
                must_system(memory ? 0 : -1, "malloc");
                memset(memory, 7, size);
        }
        enum { MOST = 20000 };
        static double times[MOST];
        for (int round = 0; round < 2; round++) { /* the first makes the bytes */
                lauter_part part = {"application/octet-stream", &size, sizeof size};
                lauter_call large;
                int count = 0;
                must(lauter_call_start(host, worker, LAUTER_LANE_MAIN, "give", &part, 1, -1, 0, &large, &error));
                must(lauter_call_into(host, large, memory, size, &error));
                for (int32_t done = LAUTER_ERROR_TIMEOUT; done == LAUTER_ERROR_TIMEOUT;) {
                        if (count < MOST) times[count++] = side_call(host, worker);
                        done = lauter_call_wait(host, large, 0, &event, NULL);
                }
                if (event.status != LAUTER_OK || event.parts[0].data != memory) exit(1);
                lauter_event_clear(&event);
                if (round == 0) continue;
                for (int i = 0; i < count; i++) print_time(i, times[i]);
                printf("\n");
                for (int i = -WARM_UP; i < count; i++) print_time(i, side_call(host, worker));
                printf("\n");
        }
}

void measure_bulk(lauter_host *host, const char *program, size_t size) {
        lauter_worker worker = echo_worker(host, program);
        int peer = raw_peer(0);
        static char *data;
        static size_t room;
        char byte;
        uint64_t wanted = size;
        double at[9];
        static char *other;
        if (room < size) {
                data = realloc(data, size);
                must_system(data ? 0 : -1, "realloc");
                memset(data, 7, size);
                other = realloc(other, size);
                must_system(other ? 0 : -1, "realloc");
                memset(other, 7, size);
                room = size;
                call(host, worker, "give", &wanted, sizeof wanted, size); /* it makes the bytes at the first time */
                take_in_place(host, program, size);
        }
        at[0] = now_us();
        order_peer(peer, SWALLOW, size);
        write_all(peer, data, size);
        read_all(peer, &byte, 1);
        at[1] = now_us();
        order_peer(peer, POUR, size);
        read_all(peer, data, size);
        at[2] = now_us();
        call(host, worker, "take", data, size, 0);
        at[3] = now_us();
        call(host, worker, "give", &wanted, sizeof wanted, size);
        at[4] = now_us();
        memcpy(other, data, size);
        at[5] = now_us();
        call_into(host, worker, other, size);
        at[6] = now_us();
        at[7] = now_us();
        take_in_place(host, program, size);
        at[8] = now_us();
        printf("%.1f %.1f %.1f %.1f %.1f %.1f %.1f\n", at[1] - at[0], at[2] - at[1], at[3] - at[2], at[4] - at[3],
               at[5] - at[4], at[6] - at[5], at[8] - at[7]);
}
