/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts, roots and namespaces: what would take the worker's view of the machine apart. */
#include "escape.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#define MOVE_EMPTY 4 /* MOVE_MOUNT_F_EMPTY_PATH */

static int mount_tmpfs(char **a) { return worked(mount("none", a[0], "tmpfs", 0, NULL) == 0); }
static int mount_bind(char **a) { return worked(mount(a[0], a[1], NULL, MS_BIND, NULL) == 0); }
static int mount_proc(char **a) { return worked(mount("proc", a[0], "proc", 0, NULL) == 0); }
static int mount_sysfs(char **a) { return worked(mount("sysfs", a[0], "sysfs", 0, NULL) == 0); }
static int mount_cgroup(char **a) { /* release_agent: a program that the kernel starts as root */
        return worked(mount("none", a[0], "cgroup2", 0, NULL) == 0 ||
                      mount("none", a[0], "cgroup", 0, "none,name=lauter") == 0);
}
static int mount_overlay(char **a) {
        char options[1024], path[512];
        static const char *const parts[] = {"lower", "upper", "work", "merged"};
        for (int i = 0; i < 4; i++) {
                snprintf(path, sizeof path, "%s/%s", a[0], parts[i]);
                mkdir(path, 0755);
        }
        snprintf(options, sizeof options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", a[0], a[0], a[0]);
        return worked(mount("overlay", path, "overlay", 0, options) == 0);
}
static int remount_writable(char **a) {
        return worked(mount(NULL, a[0], NULL, MS_REMOUNT | MS_BIND, NULL) == 0 || errno == EINVAL);
}
static int make_shared(char **a) { return worked(mount(NULL, a[0], NULL, MS_REC | MS_SHARED, NULL) == 0); }
static int move_away(char **a) { return worked(mount(a[0], a[1], NULL, MS_MOVE, NULL) == 0 || errno == EINVAL); }
static int unmount(char **a) { return worked(umount2(a[0], MNT_DETACH) == 0 || errno == EINVAL || errno == EBUSY); }

static int new_filesystem(char **a) {
        (void)a;
        return worked(syscall(SYS_fsopen, "tmpfs", 0) >= 0);
}
static int configure_filesystem(char **a) { /* beyond fsopen: the calls that use what it made */
        (void)a;
        return reached(syscall(SYS_fsconfig, -1, 0, NULL, NULL, 0));
}
static int mount_new_filesystem(char **a) {
        (void)a;
        return reached(syscall(SYS_fsmount, -1, 0, 0));
}
static int pick_filesystem(char **a) { return worked(syscall(SYS_fspick, AT_FDCWD, a[0], 0) >= 0); }
static int clone_tree(char **a) {
        return worked(syscall(SYS_open_tree, AT_FDCWD, a[0], OPEN_TREE_CLONE | AT_RECURSIVE) >= 0);
}
static int move_tree(char **a) {
        (void)a;
        return reached(syscall(SYS_move_mount, -1, "", -1, "", MOVE_EMPTY));
}
static int set_mount_attributes(char **a) { /* clear read-only: MOUNT_ATTR_RDONLY = 1 */
        uint64_t attributes[4] = {0, 1, 0, 0};
        long done = syscall(SYS_mount_setattr, AT_FDCWD, a[0], 0, attributes, sizeof attributes);
        return worked(done == 0 || errno == EINVAL);
}
static int open_tree_attributes(char **a) {
        uint64_t attributes[4] = {0, 1, 0, 0};
        return worked(syscall(467, AT_FDCWD, a[0], OPEN_TREE_CLONE, attributes, sizeof attributes) >= 0 ||
                      errno == EINVAL);
}
static int list_mounts(char **a) { /* listmount: ids of the mounts of a namespace, and with them their sources */
        (void)a;
        struct {
                uint32_t size, spare;
                uint64_t id, parameter;
        } request = {24, 0, ~0ULL, 0};
        uint64_t found[64];
        return worked(syscall(458, &request, found, 64, 0) > 0);
}

static int change_root(char **a) { return worked(chroot(a[0]) == 0); }

static int walk_out_of_root(char **a) { /* chroot below an open folder, then `..` from that folder: file to be found */
        int above = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mkdir("/tmp/below", 0755);
        if (above < 0 || chroot("/tmp/below") < 0) return worked(false);
        if (fchdir(above) < 0) return worked(false);
        for (int i = 0; i < 32; i++) (void)!chdir("..");
        if (chroot(".") < 0) return worked(false);
        return readable(a[0]);
}

static int exchange_roots(char **a) {
        (void)a;
        return worked(syscall(SYS_pivot_root, ".", ".") == 0 || errno == EINVAL || errno == EBUSY);
}

static int by_unshare(char **a) { return worked(unshare((int)strtoul(a[0], NULL, 0)) == 0); }

static int ended(long pid) {
        if (pid == 0) _exit(0);
        if (pid > 0) waitpid((pid_t)pid, NULL, 0);
        return worked(pid > 0);
}

static int by_clone(char **a) { return ended(syscall(SYS_clone, strtoul(a[0], NULL, 0) | SIGCHLD, 0, 0, 0, 0)); }

static int by_clone_high(char **a) { /* with bits that the kernel does not look at */
        return ended(syscall(SYS_clone, strtoul(a[0], NULL, 0) | SIGCHLD | 0xFF00000000000000UL, 0, 0, 0, 0));
}

static int by_clone3(char **a) {
        uint64_t arguments[8] = {strtoull(a[0], NULL, 0), 0, 0, 0, SIGCHLD, 0, 0, 0};
        return ended(syscall(SYS_clone3, arguments, sizeof arguments));
}

static int join(char **a) { /* a namespace of a process: PID, name */
        char path[64];
        snprintf(path, sizeof path, "/proc/%s/ns/%s", a[0], a[1]);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        return worked(fd >= 0 && setns(fd, 0) == 0);
}

static int join_process(char **a) { /* all of a process's at once, by a pidfd */
        int fd = (int)syscall(SYS_pidfd_open, atoi(a[0]), 0);
        return worked(fd >= 0 && setns(fd, CLONE_NEWNS) == 0);
}

static int join_any(char **a) { /* is the call there at all */
        (void)a;
        return reached(setns(-1, 0));
}

static int map_ids(char **a) { /* become root of the namespace that one is in, by rewriting its maps */
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        (void)a;
        return worked(fd >= 0 && write(fd, "0 0 1", 5) == 5);
}

const struct attempt mount_attempts[] = {
    {"mount-tmpfs", 1, mount_tmpfs},
    {"mount-bind", 2, mount_bind},
    {"mount-proc", 1, mount_proc},
    {"mount-sysfs", 1, mount_sysfs},
    {"mount-cgroup", 1, mount_cgroup},
    {"mount-overlay", 1, mount_overlay},
    {"remount-writable", 1, remount_writable},
    {"make-shared", 1, make_shared},
    {"move-away", 2, move_away},
    {"unmount", 1, unmount},
    {"new-filesystem", 0, new_filesystem},
    {"configure-filesystem", 0, configure_filesystem},
    {"mount-new-filesystem", 0, mount_new_filesystem},
    {"pick-filesystem", 1, pick_filesystem},
    {"clone-tree", 1, clone_tree},
    {"move-tree", 0, move_tree},
    {"set-mount-attributes", 1, set_mount_attributes},
    {"open-tree-attributes", 1, open_tree_attributes},
    {"list-mounts", 0, list_mounts},
    {"change-root", 1, change_root},
    {"walk-out-of-root", 1, walk_out_of_root},
    {"exchange-roots", 0, exchange_roots},
    {"by-unshare", 1, by_unshare},
    {"by-clone", 1, by_clone},
    {"by-clone-high", 1, by_clone_high},
    {"by-clone3", 1, by_clone3},
    {"join", 2, join},
    {"join-process", 1, join_process},
    {"join-any", 0, join_any},
    {"map-ids", 0, map_ids},
    {0},
};
