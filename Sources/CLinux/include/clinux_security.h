/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_SECURITY_H
#define CLINUX_SECURITY_H
#include "clinux_base.h"
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* The kernel's numbers where the C library is older than they are; the same on every architecture. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

/* struct landlock_ruleset_attr, with every field so far: an older kernel takes it while what it does not know is zero. */
typedef struct lx_landlock_ruleset_attr {
        uint64_t handled_access_fs, handled_access_net, scoped;
} lx_landlock_ruleset_attr;

/* The kernel's Landlock ABI, 1 and up; -ENOSYS or -EOPNOTSUPP without it. */
static inline long lx_landlock_abi(void) { return lx_result(syscall(SYS_landlock_create_ruleset, NULL, 0, 1)); }
static inline long lx_landlock_create_ruleset(const lx_landlock_ruleset_attr *attr) {
        return lx_result(syscall(SYS_landlock_create_ruleset, attr, sizeof *attr, 0));
}
/* Grant `access` at and below the file or folder that `fd` (O_PATH will do) is open on. */
static inline long lx_landlock_add_path(int ruleset, int fd, uint64_t access) {
        struct {
                uint64_t access;
                int32_t fd;
        } __attribute__((packed)) rule = {access, fd};
        return lx_result(syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 0));
}
static inline long lx_landlock_restrict_self(int ruleset) {
        return lx_result(syscall(SYS_landlock_restrict_self, ruleset, 0));
}

/* Load a filter of `count` struct sock_filter. Wants no_new_privs, or CAP_SYS_ADMIN here. */
static inline long lx_seccomp_load(const void *program, uint16_t count) {
        struct {
                uint16_t count;
                const void *program;
        } fprog = {count, program};
        return lx_result(syscall(SYS_seccomp, 1, 0, &fprog));
}
/* Likewise, and get a descriptor by which its SECCOMP_RET_USER_NOTIFs are answered: SECCOMP_FILTER_FLAG_NEW_LISTENER, and
 * from Linux 5.19 on WAIT_KILLABLE_RECV, so that no signal makes the caller ask twice. -EBUSY below a filter that has one. */
static inline long lx_seccomp_listen(const void *program, uint16_t count) {
        struct {
                uint16_t count;
                const void *program;
        } fprog = {count, program};
        long fd = lx_result(syscall(SYS_seccomp, 1, 0x08 | 0x20, &fprog));
        return fd == -EINVAL ? lx_result(syscall(SYS_seccomp, 1, 0x08, &fprog)) : fd;
}

/* struct seccomp_notif and struct seccomp_notif_resp, with room for what a later kernel adds. */
typedef union lx_notification {
        struct {
                uint64_t id;
                uint32_t thread, flags;
                uint32_t number, architecture;
                uint64_t program_counter, arguments[6];
        } call;
        struct {
                uint64_t id;
                int64_t value;
                int32_t error;
                uint32_t flags;
        } answer;
        uint8_t room[512];
} lx_notification;

/* Whether this kernel's structures have room there; -errno if it has none. SECCOMP_GET_NOTIF_SIZES. */
static inline long lx_notifications_fit(void) {
        uint16_t sizes[3];
        long result = lx_result(syscall(SYS_seccomp, 3, 0, sizes));
        return result < 0 ? result : sizes[0] <= sizeof(lx_notification) && sizes[1] <= sizeof(lx_notification);
}
/* Take one that poll(2) has announced. -ENOENT if its thread has died since. SECCOMP_IOCTL_NOTIF_RECV. */
static inline long lx_notification_receive(int fd, lx_notification *notification) {
        memset(notification, 0, sizeof *notification);
        return lx_result(ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, '!', 0, 80), notification));
}
/* Let the call fail with `number`, or (0) be made. -ENOENT if its thread has died. SECCOMP_IOCTL_NOTIF_SEND. */
static inline long lx_notification_answer(int fd, uint64_t id, int number) {
        lx_notification answer;
        memset(&answer, 0, sizeof answer);
        answer.answer.id = id;
        answer.answer.error = -number;
        answer.answer.flags = number == 0; /* SECCOMP_USER_NOTIF_FLAG_CONTINUE */
        return lx_result(ioctl(fd, _IOC(_IOC_READ | _IOC_WRITE, '!', 1, 24), &answer));
}

/* execve(2) by the call that a filter with a password lets through: the kernel takes ints for the descriptor and the flags,
 * a filter sees the whole registers. `pass` is the upper half of the one and of the other. */
static inline long lx_execveat_with_pass(const char *path, char *const *arguments, char *const *environment,
                                         uint64_t pass) {
        uint64_t at = (pass & 0xffffffff00000000u) | (uint32_t)AT_FDCWD;
        uint64_t flags = pass << 32;
        return lx_result(syscall(SYS_execveat, (long)at, path, arguments, environment, (long)flags));
}
static inline long lx_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
        return lx_result(prctl(option, a, b, c, d));
}

/* Limits, by the kernel's resource numbers (which differ between architectures). */
enum {
        LX_RLIMIT_CPU = RLIMIT_CPU,
        LX_RLIMIT_FSIZE = RLIMIT_FSIZE,
        LX_RLIMIT_DATA = RLIMIT_DATA,
        LX_RLIMIT_CORE = RLIMIT_CORE,
        LX_RLIMIT_NPROC = RLIMIT_NPROC,
        LX_RLIMIT_NOFILE = RLIMIT_NOFILE,
        LX_RLIMIT_SIGPENDING = RLIMIT_SIGPENDING,
        LX_RLIMIT_MSGQUEUE = RLIMIT_MSGQUEUE,
        LX_RLIMIT_NICE = RLIMIT_NICE,
        LX_RLIMIT_RTPRIO = RLIMIT_RTPRIO
};
static inline long lx_setrlimit(unsigned resource, uint64_t soft, uint64_t hard) {
        uint64_t pair[2] = {soft, hard};
        return lx_result(syscall(SYS_prlimit64, 0, resource, pair, NULL));
}
static inline long lx_getrlimit(unsigned resource, uint64_t *soft, uint64_t *hard) {
        uint64_t pair[2];
        long result = lx_result(syscall(SYS_prlimit64, 0, resource, NULL, pair));
        if (result == 0) {
                *soft = pair[0];
                *hard = pair[1];
        }
        return result;
}

/* capset(2), both halves of each set; the version that is not deprecated. */
static inline long lx_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
        struct {
                uint32_t version;
                int pid;
        } header = {0x20080522, 0};
        uint32_t data[6] = {(uint32_t)effective,         (uint32_t)permitted,         (uint32_t)inheritable,
                            (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};
        return lx_result(syscall(SYS_capset, &header, data));
}

static inline long lx_geteuid(void) { return geteuid(); }
static inline long lx_getegid(void) { return getegid(); }
/* How many groups besides its effective one the caller is in. */
static inline long lx_has_other_groups(void) {
        gid_t groups[1024];
        int count = getgroups(1024, groups), others = 0;
        if (count < 0) return -errno;
        for (int i = 0; i < count; i++) others += groups[i] != getegid();
        return others;
}
/* Random bytes that nobody can foresee; blocks only on a machine that has just begun to boot. */
static inline long lx_getrandom(void *out, size_t size) { return lx_result(syscall(SYS_getrandom, out, size, 0)); }
#endif
