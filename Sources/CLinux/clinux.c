/* SPDX-License-Identifier: Apache-2.0 */
/* The functions are inline; a C target needs one file. */
#include "clinux.h"
