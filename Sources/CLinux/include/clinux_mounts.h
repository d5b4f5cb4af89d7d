/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_MOUNTS_H
#define CLINUX_MOUNTS_H
#include "clinux_base.h"
#endif
