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
/* SECCOMP_RET_USER_NOTIF. The kernel does not look at its data. */
#define CSANDBOX_NOTIFY(data) (0x7fc00000u | ((data)&0xffffu))
static inline uint32_t csandbox_notify(uint32_t data) { return CSANDBOX_NOTIFY(data); }
static inline uint32_t csandbox_allow(void) { return CSANDBOX_ALLOW; }
static inline uint32_t csandbox_errno(uint32_t number) { return CSANDBOX_ERRNO(number); }

/* The number of a call on this machine; negative if it has none. */
long csandbox_call_number(const char *name);
/* The name of a call of the architecture AUDIT_ARCH_*: free(3) it. NULL if it has none. */
char *csandbox_call_name(uint32_t architecture, uint32_t number);
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
