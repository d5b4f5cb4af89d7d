/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is not linked with the library but loads it, and unloads it again. */
#pragma once

#include <lauter.h>
#include <stddef.h>

/* End with a sentence unless `holds`. */
#define expect(holds, ...) ((holds) ? (void)0 : complain(__FILE__, __LINE__, __VA_ARGS__))
void complain(const char *file, int line, const char *form, ...) __attribute__((format(printf, 3, 4), noreturn));

/* The library, while it is loaded; at most once at a time. */
void load(void);
void unload(void);
int is_loaded(void);

/* With the library loaded: a host, and a worker of it that is ready; both end. */
void begin_life(void);
void end_life(void);

/* state.c: what a library could change of its process, as lines of text; to be freed. */
char *describe_process(void);
/* Shows that describe_process() would see a change: ends the program if not. */
void check_description(void);
