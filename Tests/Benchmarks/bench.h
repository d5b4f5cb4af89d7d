/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the measuring host share. Times are in microseconds. */
#pragma once

#include <lauter.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the program with what went wrong, unless `code` says that nothing did. */
void must(int32_t code);
extern lauter_error *error;
/* The same for system calls: `result` is negative where errno tells why. */
void must_system(long result, const char *what);

double now_us(void);
/* Wait for the next event of the host, however long it takes. */
void next_event(lauter_host *host, lauter_event *event);
/* Read exactly, write exactly; anything else ends the program. */
void read_all(int fd, void *data, size_t size);
void write_all(int fd, const void *data, size_t size);

/* A sandboxed worker of `kind` that runs `program` (for "python": the interpreter), with `words` ("net", "none", …, NULL)
 * added to the policy. */
lauter_worker spawn(lauter_host *host, const char *preset, const char *kind, const char *program,
                    const char *const words[]);

/* Take events until the worker's last one. Returns when its first byte came, 0 if none did. What it printed is appended to
 * `text`, as far as that has room; NULL: to nothing. */
double until_exit(lauter_host *host, lauter_worker worker, char *text, size_t size);

/* launch.c: time until the first byte and until the end is known, of `program` in Lauter's and in bubblewrap's sandbox. */
void measure_launch(lauter_host *host, const char *preset, const char *net, const char *program);
void measure_bubblewrap(char *const argv[]);
/* How soon after the kill the end of a worker is known. */
void measure_kill(lauter_host *host, const char *program);

/* filter.c: the length of a preset's filter, and how long it takes to load it; what calls cost under it. */
void measure_filter(lauter_host *host, const char *preset, const char *program, int times);
void measure_costs(lauter_host *host, const char *preset, const char *program);

/* calls.c: round trips of 64 bytes and of many, by calls and by a bare socket pair. */
void measure_calls(lauter_host *host, const char *program, int count);
void measure_bulk(lauter_host *host, const char *program, size_t size);
void measure_flood(lauter_host *host, const char *program, int seconds);
/* calls.c: calls of 64 bytes beside a large part of the same worker, and without. `library` is the folder that the worker's
 * library lies in. */
void measure_side(lauter_host *host, const char *program, const char *library, uint64_t size);

/* python.c */
void measure_python_start(lauter_host *host, const char *interpreter);
void measure_bare_python(const char *interpreter);
void measure_execute(lauter_host *host, const char *interpreter, int count);
void measure_interrupt(lauter_host *host, const char *interpreter);

/* crowd.c: a host object of its own with many workers, that grows and is freed. */
void crowd_grow(const char *kind, const char *program, int to);
void crowd_costs(void);
void crowd_calls(int each);
void crowd_free(void);
