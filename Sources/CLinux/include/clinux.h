/* SPDX-License-Identifier: Apache-2.0 */
/* System calls for Swift: one thin function each, named after the kernel's, returning the result or -errno.
 * Compiles against glibc (the library) and musl (lauter-init). One header a topic; this one gathers them. */
#ifndef CLINUX_H
#define CLINUX_H
#include "clinux_dial.h"
#include "clinux_files.h"
#include "clinux_process.h"
#include "clinux_session.h"
#include "clinux_sockets.h"
#include "clinux_mounts.h"
#include "clinux_security.h"
#include "clinux_terminal.h"
#include "clinux_unnamed.h"
#endif
