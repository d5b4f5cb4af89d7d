/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_BASE_H
#define CLINUX_BASE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* For C of ours that calls more than one thing. */
static inline int lx_errno(void) { return errno; }
/* -1 and errno become -errno; everything else passes. */
static inline long lx_result(long value) { return value < 0 ? -(long)errno : value; }
#endif
