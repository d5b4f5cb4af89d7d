/* SPDX-License-Identifier: Apache-2.0 */
/* The id maps of a child in a new user namespace, and namespaces that are nothing but such maps. */
#include "raw.h"

#include "claunch.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* "/proc/" + pid + "/" + name, without stdio: this runs where only system calls are safe. */
static void proc_path(char out[64], int pid, const char *name) {
        static const char prefix[] = "/proc/";
        char digits[12];
        size_t n = 0, at = sizeof prefix - 1;
        memcpy(out, prefix, sizeof prefix);
        do digits[n++] = (char)('0' + pid % 10);
        while ((pid /= 10) > 0);
        while (n > 0) out[at++] = digits[--n];
        out[at++] = '/';
        while (*name && at < 63) out[at++] = *name++;
        out[at] = 0;
}

int claunch_write_proc(int pid, const char *name, const char *text) {
        char path[64];
        proc_path(path, pid, name);
        long fd = raw(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_CLOEXEC, 0, 0, 0);
        if (fd < 0) return (int)fd;
        long size = (long)strlen(text);
        long written = raw(SYS_write, fd, (long)text, size, 0, 0, 0);
        raw_close((int)fd);
        return written == size ? 0 : written < 0 ? (int)written : -EIO;
}

int claunch_write_maps(int pid, const char *uid_map, const char *gid_map, int deny_setgroups, int *stage) {
        int error = 0;
        *stage = CLAUNCH_STAGE_SETGROUPS;
        if (deny_setgroups) error = claunch_write_proc(pid, "setgroups", "deny");
        if (error == 0 && uid_map) {
                *stage = CLAUNCH_STAGE_UID_MAP;
                error = claunch_write_proc(pid, "uid_map", uid_map);
        }
        if (error == 0 && gid_map) {
                *stage = CLAUNCH_STAGE_GID_MAP;
                error = claunch_write_proc(pid, "gid_map", gid_map);
        }
        return error;
}

struct holder {
        uint32_t go;
        int host;
};

/* Keeps the namespace alive until its descriptor is open. */
static int hold(void *argument) {
        struct holder *holder = argument;
        /* A host that is killed now will never say go. The signal comes at the end of the thread that made us,
         * and that thread waits for us right here. */
        raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);
        if (raw(SYS_getppid, 0, 0, 0, 0, 0, 0) != holder->host) return 1;
        raw_futex_wait_while(&holder->go, 0);
        return 0;
}

/* A descriptor of a namespace of this kind, made for a child that only waits until it is open. */
static int open_namespace(int kind, const char *name, const char *uid_map, const char *gid_map) {
        enum { STACK = 16384 };
        char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (stack == MAP_FAILED) return -errno;
        int cancel, stage, pidfd = -1, pid = -1;
        uint64_t signals = 0;
        struct holder holder = {.host = (int)getpid()};
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
        long blocked = raw_block_signals(&signals);
        /* Exit signal 0, and it never execs: the host's waitpid(-1) does not see it. The descriptor table
         * is shared only because a copy would cost. */
        if (blocked == 0)
                pid = clone(hold, stack + STACK, CLONE_VM | CLONE_FILES | CLONE_PIDFD | kind, &holder, &pidfd);
        int result = blocked < 0 ? (int)blocked
                     : pid < 0   ? -errno
                                 : claunch_write_maps(pid, uid_map, gid_map, 0, &stage);
        if (result == 0) {
                char path[64];
                proc_path(path, pid, name);
                result = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
        }
        if (pid >= 0) {
                raw_futex_set(&holder.go, 1);
                raw_reap(pidfd);
                raw_close(pidfd);
        }
        if (blocked == 0) raw_restore_signals(signals);
        pthread_setcancelstate(cancel, NULL);
        munmap(stack, STACK);
        return result;
}

int claunch_idmap_namespace(const char *uid_map, const char *gid_map) {
        return open_namespace(CLONE_NEWUSER, "ns/user", uid_map, gid_map);
}

int claunch_network_namespace(void) { return open_namespace(CLONE_NEWNET, "ns/net", NULL, NULL); }
