/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H
#include "clinux_base.h"
#endif
