/* SPDX-License-Identifier: Apache-2.0 */
/* What the attempts share. An attempt is a function that returns OPEN when it has got what it was after, CONTAINED when
 * it was refused, BROKEN when it could not be tried at all. It runs in a process of its own. */
#ifndef ESCAPE_H
#define ESCAPE_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum { OPEN = 0, CONTAINED = 1, BROKEN = 2 };

struct attempt {
        const char *name;
        int arguments;
        int (*run)(char **a);
};
extern const struct attempt file_attempts[], mount_attempts[], kernel_attempts[], process_attempts[],
    resource_attempts[], network_attempts[], leak_attempts[];

/* One line about how it went, for who reads the run. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* OPEN if it worked, else CONTAINED, with errno in the note. */
int worked(bool yes);
/* OPEN unless the call was refused before the kernel looked at its arguments: they are such that it never succeeds. */
int reached(long result);
/* OPEN if the file holds something. */
int readable(const char *path);
/* OPEN if the file can be opened for writing; nothing is written. */
int writable(const char *path);
/* A child that waits until it is killed, or its parent ends. */
pid_t waiting_child(void);
/* The offers of a neighbour named `tag`, for other processes to find: see serve.c. */
int serve(const char *tag, const char *folder);
uint32_t key_of(const char *tag);

#endif
