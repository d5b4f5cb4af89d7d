/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts by descriptor. The kernel's own headers are not there under musl, so what Swift needs of their
 * constants is here, as LX_* of the type that the calls take. */
#ifndef CLINUX_MOUNTS_H
#define CLINUX_MOUNTS_H
#include "clinux_base.h"
#include <sys/mount.h>
#include <sys/stat.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static const uint32_t LX_AT_RECURSIVE = 0x8000;
static const uint32_t LX_OPEN_TREE_CLONE = 1;
static const uint32_t LX_MOVE_MOUNT_F_EMPTY_PATH = 0x04;
static const uint32_t LX_MOVE_MOUNT_T_EMPTY_PATH = 0x40;
static const uint32_t LX_FSOPEN_CLOEXEC = 1;
static const uint32_t LX_FSMOUNT_CLOEXEC = 1;
static const uint32_t LX_FSCONFIG_SET_FLAG = 0;
static const uint32_t LX_FSCONFIG_SET_STRING = 1;
static const uint32_t LX_FSCONFIG_CMD_CREATE = 6;
static const uint32_t LX_MOUNT_ATTR_RDONLY = 0x01;
static const uint32_t LX_MOUNT_ATTR_NOSUID = 0x02;
static const uint32_t LX_MOUNT_ATTR_NODEV = 0x04;
static const uint32_t LX_MOUNT_ATTR_NOEXEC = 0x08;
static const uint32_t LX_MOUNT_ATTR_IDMAP = 0x00100000;
static const uint64_t LX_RESOLVE_NO_SYMLINKS = 0x04;
static const uint64_t LX_RESOLVE_IN_ROOT = 0x10;

/* struct mount_attr. */
typedef struct lx_mount_attr {
        uint64_t attr_set, attr_clr, propagation, userns_fd;
} lx_mount_attr;

static inline long lx_open_tree(int at, const char *path, unsigned flags) {
        return lx_result(syscall(SYS_open_tree, at, path, flags));
}
static inline long lx_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
        return lx_result(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}
static inline long lx_fsopen(const char *type, unsigned flags) { return lx_result(syscall(SYS_fsopen, type, flags)); }
static inline long lx_fsconfig(int fs, unsigned command, const char *key, const char *value, int aux) {
        return lx_result(syscall(SYS_fsconfig, fs, command, key, value, aux));
}
static inline long lx_fsmount(int fs, unsigned flags, unsigned attributes) {
        return lx_result(syscall(SYS_fsmount, fs, flags, attributes));
}
static inline long lx_mount_setattr(int at, const char *path, unsigned flags, const lx_mount_attr *attr) {
        return lx_result(syscall(SYS_mount_setattr, at, path, flags, attr, sizeof *attr));
}
static inline long lx_openat2(int at, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
        struct {
                uint64_t flags, mode, resolve;
        } how = {flags, mode, resolve};
        return lx_result(syscall(SYS_openat2, at, path, &how, sizeof how));
}
/* Through no symbolic link, and none of the kernel's own kind. */
static const uint64_t LX_RESOLVE_NOTHING_ODD = 0x02 | 0x04;
/* A file or folder that was opened; anything else is closed again, and is -EINVAL. */
static inline long lx_open_plain(long fd) {
        struct stat status;
        if (fd < 0) return fd;
        if (fstat((int)fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return fd;
        (void)close((int)fd);
        return -EINVAL;
}
/* `path` below the folder `at`, part by part and through no symbolic link; for flags with O_PATH. */
static inline long lx_open_by_parts(int at, const char *path, int flags) {
        int part = O_PATH | O_NOFOLLOW | O_CLOEXEC;
        long opened = lx_result(openat(at, ".", part | O_DIRECTORY));
        while (opened >= 0) {
                char name[256];
                size_t size = 0;
                while (*path == '/') path++;
                if (!*path) break;
                while (*path && *path != '/' && size < sizeof name - 1) name[size++] = *path++;
                name[size] = 0;
                long folder = opened;
                opened = *path && *path != '/' ? -ENAMETOOLONG : lx_result(openat((int)folder, name, part));
                close((int)folder);
        }
        struct stat found;
        if (opened < 0 || (flags & (O_NOFOLLOW | O_DIRECTORY)) == O_NOFOLLOW) return opened;
        long error = lx_result(fstat((int)opened, &found));
        if (error >= 0 && S_ISLNK(found.st_mode)) error = -ELOOP;
        if (error >= 0 && (flags & O_DIRECTORY) && !S_ISDIR(found.st_mode)) error = -ENOTDIR;
        if (error < 0) close((int)opened);
        return error < 0 ? error : opened;
}
/* Open (O_PATH) what `path` leads to with `root` for a root, through no symbolic link. Part by part where there is no
 * openat2(2), as in a worker of ours, whose filter could not see its arguments; `path` has no "..". */
static inline long lx_open_in_root(int root, const char *path, int flags) {
        flags |= O_PATH | O_CLOEXEC;
        long opened = lx_openat2(root, path, (uint64_t)flags, 0, LX_RESOLVE_IN_ROOT | LX_RESOLVE_NO_SYMLINKS);
        return opened == -ENOSYS ? lx_open_by_parts(root, path, flags) : opened;
}
/* The same of an absolute path; a link at its end is opened itself. */
static inline long lx_open_without_links(const char *path) {
        int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
        long opened = lx_openat2(AT_FDCWD, path, (uint64_t)flags, 0, LX_RESOLVE_NO_SYMLINKS);
        if (opened != -ENOSYS) return opened;
        long root = lx_result(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (root < 0) return root;
        opened = lx_open_by_parts((int)root, path, flags);
        close((int)root);
        return opened;
}
static inline long lx_mkdirat(int at, const char *path, unsigned mode) { return lx_result(mkdirat(at, path, mode)); }
static inline long lx_mknodat_file(int at, const char *path, unsigned mode) {
        return lx_result(mknodat(at, path, S_IFREG | mode, 0));
}
static inline long lx_symlinkat(const char *target, int at, const char *path) {
        return lx_result(symlinkat(target, at, path));
}
static inline long lx_unlinkat(int at, const char *path, int flags) { return lx_result(unlinkat(at, path, flags)); }
static inline long lx_fchdir(int fd) { return lx_result(fchdir(fd)); }
static inline long lx_chdir(const char *path) { return lx_result(chdir(path)); }
static inline long lx_pivot_root(const char *new_root, const char *put_old) {
        return lx_result(syscall(SYS_pivot_root, new_root, put_old));
}
static inline long lx_make_mounts_private(void) { return lx_result(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)); }
static inline long lx_umount2(const char *path, int flags) { return lx_result(umount2(path, flags)); }
#endif
