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

csandbox_filter *csandbox_filter_new(uint32_t standard, uint32_t foreign) {
        scmp_filter_ctx context = seccomp_init(standard);
        if (!context) return NULL;
        /* A binary tree of calls: a third of the linear program's time to load, and fewer steps a call. */
        if (seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, foreign) < 0 ||
            seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0) {
                seccomp_release(context);
                return NULL;
        }
        return context;
}

void csandbox_filter_free(csandbox_filter *filter) {
        if (filter) seccomp_release(filter);
}

long csandbox_filter_rule(csandbox_filter *filter, uint32_t action, const char *name,
                          const csandbox_condition *conditions, size_t count) {
        struct scmp_arg_cmp arguments[6];
        int number = seccomp_syscall_resolve_name(name);
        int result;

        /* Negative numbers are libseccomp's own, for calls of other architectures. */
        if (number < 0) return 0;
        if (count > 6) return -EINVAL;
        for (size_t i = 0; i < count; i++) {
                const csandbox_condition *c = conditions + i;
                arguments[i].arg = c->argument;
                arguments[i].op = SCMP_CMP_MASKED_EQ;
                arguments[i].datum_a = c->mask;
                arguments[i].datum_b = c->value;
        }
        result = seccomp_rule_add_array(filter, action, number, (unsigned)count, arguments);
        /* What is the default already needs no rule. */
        if (result == -EACCES) return 1;
        return result < 0 ? result : 1;
}

long csandbox_filter_export(csandbox_filter *filter) {
        /* libseccomp writes to a descriptor; writing to memory came with 2.6. */
        int fd = (int)syscall(SYS_memfd_create, "lauter-filter", MFD_CLOEXEC);
        int result;

        if (fd < 0) return -(long)errno;
        result = seccomp_export_bpf(filter, fd);
        if (result < 0) {
                close(fd);
                return result;
        }
        if (lseek(fd, 0, SEEK_SET) < 0) {
                result = -errno;
                close(fd);
                return result;
        }
        return fd;
}

long csandbox_call_number(const char *name) { return seccomp_syscall_resolve_name(name); }

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
