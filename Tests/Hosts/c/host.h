/* SPDX-License-Identifier: Apache-2.0 */
/* What the C hosts share. A host is a function that ends the process with a sentence when something is not as it should be. */
#pragma once

#include <lauter.h>
#include <sys/types.h>

/* End with a sentence unless `holds`. */
#define expect(holds, ...) ((holds) ? (void)0 : complain(__FILE__, __LINE__, __VA_ARGS__))
void complain(const char *file, int line, const char *form, ...) __attribute__((format(printf, 3, 4), noreturn));

/* A C worker that speaks the protocol: the path that this program was given. */
extern const char *worker_program;
extern lauter_error *error;

lauter_host *new_host(void);
/* As lauter_spawn(), in the preset `notebook`. */
int32_t try_spawn(lauter_host *host, lauter_worker *worker);
/* A worker that is ready. */
lauter_worker spawn(lauter_host *host);
/* It answers. */
void echo(lauter_host *host, lauter_worker worker);
/* It exits with this code and is reported so. */
void end_with(lauter_host *host, lauter_worker worker, int code);
/* Spawn, echo, end. */
void one_life(lauter_host *host);

long count_descriptors(void);
long count_threads(void);
/* Processes that have ended and that nobody has waited for, in the whole process namespace. */
long count_zombies(void);
double now(void);
/* Fork a child that exits with `code` at once; returns its pid. */
pid_t child_exits(int code);

/* The hosts: see the files that they are in. */
void threads_end(void), forks_and_execs(void), forks_during_launch(void), forks_and_goes_on(void);
void children_by_handler(void), sigchld_ignored(void), sigchld_unwaited(void), sigchld_blocked(void);
void is_pid_1(void), is_subreaper(void), is_below_a_lazy_pid_1(void);
void signals_on_own_stack(void), idles(void), has_many_descriptors(void), has_no_streams(void), has_no_proc(void),
    has_a_filter(void);
void stays_as_it_is(void), loads_often(void), catches_its_faults(void);
