/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H
#include "clinux_base.h"
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static inline long lx_open(const char *path, int flags, unsigned mode) { return lx_result(open(path, flags, mode)); }
static inline long lx_openat(int at, const char *path, int flags, unsigned mode) {
        return lx_result(openat(at, path, flags, mode));
}
static inline long lx_close(int fd) { return lx_result(close(fd)); }
static inline long lx_read(int fd, void *data, size_t size) { return lx_result(read(fd, data, size)); }
static inline long lx_pread(int fd, void *data, size_t size, int64_t offset) {
        return lx_result(pread(fd, data, size, offset));
}
/* Records of 8 (inode), 8 (offset), 2 (length of the record) and 1 (type) bytes and a NUL-terminated name. */
static inline long lx_getdents(int fd, void *data, size_t size) {
        return lx_result(syscall(SYS_getdents64, fd, data, size));
}
static inline long lx_rewind(int fd) { return lx_result(lseek(fd, 0, SEEK_SET)); }
/* To files and eventfds that nobody waits for: called again when a signal came between. (Limits of a control group of version
 * 1 are set only while no signal is pending.) */
static inline long lx_write(int fd, const void *data, size_t size) {
        long result;
        do result = lx_result(write(fd, data, size));
        while (result == -EINTR);
        return result;
}

/* 1 if the mount at `path` can be written, 0 if it is read-only. */
static inline long lx_is_writable_mount(const char *path) {
        struct statvfs status;
        long result = lx_result(statvfs(path, &status));
        return result < 0 ? result : (status.f_flag & ST_RDONLY) == 0;
}

/* What is stored in a file system that is in memory, in bytes. */
static inline long lx_used_bytes(const char *path, uint64_t *bytes) {
        struct statvfs status;
        if (statvfs(path, &status) < 0) return -(long)errno;
        *bytes = (uint64_t)(status.f_blocks - status.f_bfree) * status.f_frsize;
        return 0;
}
/* What System V's shared memory and messages hold in the caller's namespace, in bytes. */
static inline long lx_system_v_bytes(void) {
        struct shm_info memory;
        struct msginfo messages;
        if (shmctl(0, SHM_INFO, (struct shmid_ds *)&memory) < 0) return -(long)errno;
        if (msgctl(0, MSG_INFO, (struct msqid_ds *)&messages) < 0) return -(long)errno;
        return (long)(memory.shm_rss + memory.shm_swp) * sysconf(_SC_PAGESIZE) + messages.msgtql;
}

/* What the callers need of struct stat, of one shape everywhere. */
typedef struct lx_status {
        uint64_t device, inode, size;
        uint32_t mode, uid, gid;
        int64_t changed_ns; /* when contents, owner or mode last changed, since 1970 */
} lx_status;

static inline long lx_status_from(const struct stat *st, lx_status *out) {
        out->device = st->st_dev;
        out->inode = st->st_ino;
        out->size = (uint64_t)st->st_size;
        out->mode = st->st_mode;
        out->uid = st->st_uid;
        out->gid = st->st_gid;
        out->changed_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
        return 0;
}
static inline long lx_lstat(const char *path, lx_status *out) {
        struct stat st;
        return lstat(path, &st) < 0 ? -(long)errno : lx_status_from(&st, out);
}
/* Of `name` in an open folder, not followed. */
static inline long lx_fstatat(int at, const char *name, lx_status *out) {
        struct stat st;
        return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -(long)errno : lx_status_from(&st, out);
}
static inline long lx_fstat(int fd, lx_status *out) {
        struct stat st;
        return fstat(fd, &st) < 0 ? -(long)errno : lx_status_from(&st, out);
}

/* The target of a symbolic link, not NUL-terminated; its length. */
static inline long lx_readlink(const char *path, char *out, size_t size) {
        return lx_result(readlink(path, out, size));
}
static inline long lx_rmdir(const char *path) { return lx_result(rmdir(path)); }
static inline long lx_access(const char *path, int mode) { return lx_result(access(path, mode)); }

/* `path` without symbolic links, NUL-terminated, in `out` of LX_PATH_MAX bytes; its length. */
enum { LX_PATH_MAX = PATH_MAX };
static inline long lx_realpath(const char *path, char *out) {
        return realpath(path, out) ? (long)strlen(out) : -(long)errno;
}

/* Raw `struct linux_dirent64`s: u64 inode, i64 offset, u16 size of the entry, u8 type, NUL-terminated name. */
static inline long lx_getdents64(int fd, void *out, size_t size) {
        return lx_result(syscall(SYS_getdents64, fd, out, size));
}
#endif
