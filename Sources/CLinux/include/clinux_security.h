/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_SECURITY_H
#define CLINUX_SECURITY_H
#include "clinux_base.h"
#endif
