/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the machine, read, written or reached by another way than their path. */
#include "escape.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

static int read_file(char **a) { return readable(a[0]); }

static int write_file(char **a) { return writable(a[0]); }

static int read_any(char **a) { /* one of several is enough */
        for (; *a; a++)
                if (readable(*a) == OPEN) return OPEN;
        return CONTAINED;
}

static int write_any(char **a) {
        for (; *a; a++)
                if (writable(*a) == OPEN) return note("%s", *a), OPEN;
        return CONTAINED;
}

static int open_any(char **a) { /* devices: opening is enough, and O_PATH is not */
        for (; *a; a++)
                if (open(*a, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) >= 0) return note("%s", *a), OPEN;
        return worked(false);
}

static int list(char **a) {
        DIR *folder = opendir(a[0]);
        if (!folder) return worked(false);
        for (struct dirent *entry; (entry = readdir(folder));)
                if (entry->d_name[0] != '.') return note("%.60s", entry->d_name), OPEN;
        note("empty");
        return CONTAINED;
}

static int create(char **a) { return worked(open(a[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) >= 0); }

static int truncate_file(char **a) { return worked(truncate(a[0], 1) == 0); }
static int remove_file(char **a) { return worked(unlink(a[0]) == 0); }
static int change_mode(char **a) { return worked(chmod(a[0], 0666) == 0); }
static int change_times(char **a) { return worked(utimensat(AT_FDCWD, a[0], NULL, 0) == 0); }
static int change_attribute(char **a) { return worked(setxattr(a[0], "user.lauter", "x", 1, 0) == 0); }
static int rename_file(char **a) { return worked(rename(a[0], a[1]) == 0); }
static int hard_link(char **a) { return worked(link(a[0], a[1]) == 0); }

static int reopen_for_writing(char **a) { /* a descriptor for reading, by its magic link */
        char path[64];
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return note("cannot be read"), BROKEN;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return writable(path);
}

static int map_for_writing(char **a) { /* a shared mapping of what was opened for reading */
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return note("cannot be read"), BROKEN;
        void *at = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED || mprotect(at, 1, PROT_READ | PROT_WRITE) == 0) return OPEN;
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int again = open(path, O_RDWR | O_CLOEXEC);
        return worked(again >= 0 && mmap(NULL, 1, PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED);
}

static int link_out(char **a) { /* secret, where the link is put */
        unlink(a[1]);
        if (symlink(a[0], a[1]) < 0) return note("no link: %s", strerrorname_np(errno)), BROKEN;
        return readable(a[1]);
}

static int leave_link(char **a) { /* for the host to follow */
        unlink(a[1]);
        return worked(symlink(a[0], a[1]) == 0);
}

static int leave_fifo(char **a) { /* where the host expects a file: its open(2) sleeps */
        unlink(a[0]);
        return worked(mkfifo(a[0], 0666) == 0);
}

static int leave_set_id(char **a) { /* path, mode, by chmod or by open */
        struct stat info;
        mode_t mode = (mode_t)strtol(a[1], NULL, 8);
        unlink(a[0]);
        umask(0);
        bool first = !strcmp(a[2], "open");
        int fd = open(a[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, first ? mode : 0755);
        if (fd < 0) return worked(false);
        if (!first && fchmodat(AT_FDCWD, a[0], mode, 0) < 0) return worked(false);
        errno = EPERM;
        return worked(fstat(fd, &info) == 0 && (info.st_mode & mode & 06000) == (mode & 06000));
}

static int device_node(char **a) { /* memory, and a disk: made, and opened */
        unlink(a[0]);
        if (mknod(a[0], S_IFCHR | 0666, makedev(1, 1)) == 0) return OPEN;
        return worked(mknod(a[0], S_IFBLK | 0666, makedev(254, 0)) == 0);
}

static int
walk_up(char **a) { /* from every folder that is open, and the working directory: secret [folder to open first] */
        char path[4096];
        if (a[1]) (void)!open(a[1], O_RDONLY | O_DIRECTORY);
        for (int fd = AT_FDCWD, next = 0; next < 256; fd = next++)
                for (int levels = 0; levels < 12; levels++) {
                        char *at = path;
                        for (int i = 0; i < levels; i++) at = stpcpy(at, "../");
                        snprintf(at, sizeof path - 64, "%s", a[0] + 1);
                        int found = openat(fd, path, O_RDONLY | O_CLOEXEC);
                        if (found >= 0) return note("from %d, %d up", fd, levels), OPEN;
                }
        return worked(false);
}

static int through_processes(char **a) { /* secret behind the root, directory or descriptors of process a[1] */
        static const char *const links[] = {"root", "cwd",  "fd/0", "fd/1",       "fd/3",
                                            "fd/4", "fd/5", "fd/6", "task/1/root"};
        char path[4096];
        for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
                snprintf(path, sizeof path, "/proc/%s/%s%s", a[1], links[i], a[0]);
                if (readable(path) == OPEN) return OPEN;
        }
        return CONTAINED;
}

static int name_to_handle(char **a) { /* a handle names a file whatever the paths say */
        struct file_handle *handle = malloc(sizeof *handle + MAX_HANDLE_SZ);
        int mount;
        handle->handle_bytes = MAX_HANDLE_SZ;
        return worked(name_to_handle_at(AT_FDCWD, a[0], handle, &mount, 0) == 0);
}

static int
open_handle(char **a) { /* the root of a file system by its usual inode: 2 on ext4, 128 on xfs, 256 on btrfs */
        static const uint32_t roots[] = {2, 128, 256, 1, 64, 96};
        struct {
                unsigned bytes;
                int type;
                uint32_t inode[2];
        } handle = {8, 1, {0, 0}};
        int mount = open(a[0], O_RDONLY | O_CLOEXEC);
        if (mount < 0) return note("no %s", a[0]), BROKEN;
        long fd = -1;
        for (size_t i = 0; i < sizeof roots / sizeof *roots && fd < 0; i++) {
                handle.inode[0] = roots[i];
                fd = syscall(SYS_open_by_handle_at, mount, &handle, O_RDONLY);
                if (fd < 0 && (errno == EPERM || errno == ENOSYS)) return worked(false);
        }
        return note("permitted"), OPEN; /* ESTALE: allowed, and no such file */
}

static int lease(char **a) { /* whoever opens the file waits for its holder */
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return note("cannot be read"), BROKEN;
        return worked(fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
}

static int lock(char **a) { /* a file that can only be read, against its owner */
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return note("cannot be read"), BROKEN;
        return worked(flock(fd, LOCK_EX | LOCK_NB) == 0);
}

static int lock_range(char **a) { /* a read lock keeps the owner from writing */
        struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        int fd = open(a[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return note("cannot be read"), BROKEN;
        return worked(fcntl(fd, F_OFD_SETLK, &range) == 0);
}

static int watch(char **a) { /* who opens what, and when */
        int fd = inotify_init1(IN_CLOEXEC);
        return worked(fd >= 0 && inotify_add_watch(fd, a[0], IN_ALL_EVENTS) >= 0);
}

static int watch_all(char **a) {
        int fd = (int)syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_CLOEXEC, O_RDONLY);
        if (fd < 0) return worked(false);
        return worked(
            syscall(SYS_fanotify_mark, fd, FAN_MARK_ADD | FAN_MARK_MOUNT, (uint64_t)FAN_OPEN, AT_FDCWD, a[0]) == 0);
}

static int overwrite_program(char **a) { /* CVE-2019-5736: the program of a process, by /proc/PID/exe */
        char path[64];
        snprintf(path, sizeof path, "/proc/%s/exe", a[0]);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        return worked(fd >= 0 || errno == ETXTBSY); /* busy: permitted, once it has ended */
}

static int denied_by_rename(char **a) { /* the way around a mask: move the folder that holds it, and look beneath */
        char path[4096];
        if (rename(a[0], a[1]) < 0) return worked(false);
        snprintf(path, sizeof path, "%s/%s", a[1], a[2]);
        int verdict = readable(path);
        (void)!rename(a[1], a[0]);
        return verdict;
}

static int look(char **a) { /* what is at a path: OPEN, "folder" or "link", and the text of the file in it */
        char path[4096], text[32] = "";
        struct stat info;
        snprintf(path, sizeof path, "%s/file", a[0]);
        if (lstat(a[0], &info) < 0) return worked(false);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) (void)!read(fd, text, sizeof text - 1);
        note("%s %s", S_ISLNK(info.st_mode) ? "link" : "folder", text);
        return OPEN;
}

static int look_and_write(char **a) { /* the same, and a file of that name is made there */
        char path[4096];
        int verdict = look(a);
        snprintf(path, sizeof path, "%s/%s", a[0], a[1]);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0) close(fd);
        return verdict;
}

static int read_later(char **a) { /* for a second: until the host has put something there */
        struct timespec moment = {0, 5000000};
        for (int i = 0; i < 200; i++) {
                if (readable(a[0]) == OPEN) return OPEN;
                nanosleep(&moment, NULL);
        }
        return CONTAINED;
}

const struct attempt file_attempts[] = {
    {"read", 1, read_file},
    {"write", 1, write_file},
    {"read-any", 1, read_any},
    {"write-any", 1, write_any},
    {"open-any", 1, open_any},
    {"list", 1, list},
    {"create", 1, create},
    {"truncate", 1, truncate_file},
    {"remove", 1, remove_file},
    {"change-mode", 1, change_mode},
    {"change-times", 1, change_times},
    {"change-attribute", 1, change_attribute},
    {"rename", 2, rename_file},
    {"hard-link", 2, hard_link},
    {"reopen-for-writing", 1, reopen_for_writing},
    {"map-for-writing", 1, map_for_writing},
    {"link-out", 2, link_out},
    {"leave-link", 2, leave_link},
    {"leave-fifo", 1, leave_fifo},
    {"leave-set-id", 3, leave_set_id},
    {"device-node", 1, device_node},
    {"walk-up", 1, walk_up},
    {"through-processes", 2, through_processes},
    {"name-to-handle", 1, name_to_handle},
    {"open-handle", 1, open_handle},
    {"lease", 1, lease},
    {"lock", 1, lock},
    {"lock-range", 1, lock_range},
    {"watch", 1, watch},
    {"watch-all", 1, watch_all},
    {"overwrite-program", 1, overwrite_program},
    {"look", 1, look},
    {"look-write", 2, look_and_write},
    {"read-later", 1, read_later},
    {"denied-by-rename", 3, denied_by_rename},
    {0},
};
