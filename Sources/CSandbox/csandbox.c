/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "csandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(CSANDBOX_ALLOW == SCMP_ACT_ALLOW, "the kernel's actions are libseccomp's");
_Static_assert(CSANDBOX_ERRNO(38) == SCMP_ACT_ERRNO(38), "the kernel's actions are libseccomp's");

long csandbox_call_number(const char *name) { return seccomp_syscall_resolve_name(name); }

char *csandbox_call_name(uint32_t architecture, uint32_t number) {
        return seccomp_syscall_resolve_num_arch(architecture, (int)number);
}

uint32_t csandbox_native_architecture(void) { return seccomp_arch_native(); }

long csandbox_has_capability(int capability) {
        cap_t caps = cap_get_proc();
        cap_flag_value_t value = CAP_CLEAR;
        int result;

        if (!caps) return -(long)errno;
        result = cap_get_flag(caps, capability, CAP_EFFECTIVE, &value) < 0 ? -errno : value == CAP_SET;
        cap_free(caps);
        return result;
}

long csandbox_last_capability(void) { return cap_max_bits() - 1; }

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

long csandbox_clone_tree(const char *path) {
        enum { OPEN_TREE_CLONE_ = 1, AT_RECURSIVE_ = 0x8000 };
        long fd = syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE_ | AT_RECURSIVE_ | O_CLOEXEC);
        return fd < 0 ? -(long)errno : fd;
}

long csandbox_map_tree(int tree, int user_namespace) {
        enum { AT_RECURSIVE_ = 0x8000, MOUNT_ATTR_IDMAP_ = 0x00100000 };
        struct {
                uint64_t set, clear, propagation, user_namespace;
        } attributes = {MOUNT_ATTR_IDMAP_, 0, MS_PRIVATE, (uint64_t)user_namespace};
        /* Private: a copy is else a peer of the machine's mount, and what is mounted on either appears on the other. */
        long result =
            syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE_, &attributes, sizeof attributes);
        return result < 0 ? -(long)errno : 0;
}
