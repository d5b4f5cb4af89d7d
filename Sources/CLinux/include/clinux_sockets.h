/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H
#include "clinux_base.h"
#endif
