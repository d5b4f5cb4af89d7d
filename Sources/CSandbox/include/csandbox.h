/* SPDX-License-Identifier: Apache-2.0 */
/* libseccomp, libcap and the kernel's detached mounts for LauterSandbox. Which calls, which capabilities and which
 * folders is decided there; here they are only spelled. Results or -errno. */
#ifndef CSANDBOX_H
#define CSANDBOX_H

#include <stddef.h>
#include <stdint.h>

/* Actions of the kernel's filter that are used here. */
#define CSANDBOX_ALLOW 0x7fff0000u
#define CSANDBOX_ERRNO(number) (0x00050000u | ((number)&0xffffu))
static inline uint32_t csandbox_allow(void) { return CSANDBOX_ALLOW; }
static inline uint32_t csandbox_errno(uint32_t number) { return CSANDBOX_ERRNO(number); }

/* Holds where (argument & mask) == value. */
typedef struct csandbox_condition {
        uint32_t argument;
        uint64_t mask, value;
} csandbox_condition;

typedef struct csandbox_filter csandbox_filter;

/* A filter for this machine's own architecture. Calls that no rule names get `standard`; every other architecture's
 * entry gets `foreign`. NULL: out of memory. */
csandbox_filter *csandbox_filter_new(uint32_t standard, uint32_t foreign);
void csandbox_filter_free(csandbox_filter *filter);
/* Add a rule for the call `name` where all conditions hold. 1; 0 if this machine or the library knows no such call. */
long csandbox_filter_rule(csandbox_filter *filter, uint32_t action, const char *name,
                          const csandbox_condition *conditions, size_t count);
/* The program as struct sock_filters: a new memfd, at offset 0. */
long csandbox_filter_export(csandbox_filter *filter);

/* The number of a call on this machine; negative if it has none. */
long csandbox_call_number(const char *name);
/* AUDIT_ARCH_* of this machine. */
uint32_t csandbox_native_architecture(void);

/* Whether the caller has the capability in effect. */
long csandbox_has_capability(int capability);
/* The last capability that this kernel knows. */
long csandbox_last_capability(void);

/* A detached copy of the mount at `path` with all below it: a descriptor. */
long csandbox_clone_tree(const char *path);
/* Map the owners of the files of a detached tree by a user namespace. */
long csandbox_map_tree(int tree, int user_namespace);

#endif
