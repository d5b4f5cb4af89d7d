/* SPDX-License-Identifier: Apache-2.0 */
/* Where init's image comes from: never from the environment. */
#include "raw.h"

#include "claunch.h"
#include "unpack.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The installed copy, `lauter/lauter-init` beside the object that holds this function. */
static int open_installed(void) {
        static const char name[] = "/lauter/lauter-init";
        Dl_info info;
        if (!dladdr((const void *)claunch_init_open, &info) || !info.dli_fname) return -ENOENT;
        const char *slash = strrchr(info.dli_fname, '/');
        size_t folder = slash ? (size_t)(slash - info.dli_fname) : 1;
        char *path = malloc(folder + sizeof name);
        if (!path) return -ENOMEM;
        memcpy(path, slash ? info.dli_fname : ".", folder);
        memcpy(path + folder, name, sizeof name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        int result = fd < 0 ? -errno : fd;
        free(path);
        return result;
}

#ifdef LAUTER_INIT_FILE

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* Packed: half the bytes in the library's file, for 100 us once in a host's life. */
static const unsigned char packed[] = {
#embed LAUTER_INIT_FILE
};

static int fill(int fd) {
        size_t size = claunch_unpacked_size(packed, sizeof packed);
        if (!size) return -EBADMSG;
        /* Not in a mapping of the memfd: a child that another thread forks meanwhile would hold it, and no seal could be set.
         * Not on the heap: malloc would keep the pages in the host. */
        unsigned char *image = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (image == MAP_FAILED) return -errno;
        int result = claunch_unpack(packed, sizeof packed, image);
        for (size_t at = 0; result == 0 && at < size;) {
                ssize_t written = write(fd, image + at, size - at);
                if (written < 0 && errno != EINTR) result = -errno;
                at += written > 0 ? (size_t)written : 0;
        }
        munmap(image, size);
        return result;
}

/* A file that anyone has open for writing cannot be executed (ETXTBSY), seals or not. */
static int reopen(int fd) {
        char path[32] = "/proc/self/fd/";
        size_t at = strlen(path), digits = 1;
        for (int rest = fd; rest >= 10; rest /= 10) digits++;
        for (size_t i = digits; i-- > 0; fd /= 10) path[at + i] = (char)('0' + fd % 10);
        int reopened = open(path, O_RDONLY | O_CLOEXEC);
        return reopened < 0 ? -errno : reopened;
}

static int open_embedded(void) {
        unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
        int fd = memfd_create("lauter-init", flags | MFD_EXEC);
        if (fd < 0 && errno == EINVAL) /* before Linux 6.3, where every memfd may be executed */
                fd = memfd_create("lauter-init", flags);
        if (fd < 0) return -errno;
        int result = fill(fd);
        if (result == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                result = -errno;
        if (result == 0) result = reopen(fd);
        close(fd);
        return result;
}

/* Without a name, in a folder where files can be executed. The environment says where, and never what: nobody else can open
 * the file. -ENOENT where there is no such folder. */
static int open_in_folder(void) {
        const char *folders[] = {getenv("TMPDIR"), "/tmp", "/dev/shm"};
        for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
                if (!folders[i]) continue;
                int fd = open(folders[i], O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0700);
                if (fd < 0) continue;
                struct statvfs system;
                int result = fstatvfs(fd, &system) < 0 ? -errno : system.f_flag & ST_NOEXEC ? -EACCES : fill(fd);
                if (result == 0) result = reopen(fd);
                close(fd);
                if (result >= 0) return result;
        }
        return -ENOENT;
}

int claunch_init_open(void) {
        int saved = errno;
        int fd = open_embedded();
        /* By vm.memfd_noexec=2, or a filter around the host, which may be a worker itself. */
        if (fd == -EACCES || fd == -EPERM || fd == -ENOSYS) {
                int instead = open_installed();
                if (instead < 0) instead = open_in_folder();
                if (instead >= 0) fd = instead;
        }
        errno = saved;
        return fd;
}

#else

int claunch_init_open(void) {
        int saved = errno;
        int fd = open_installed();
        errno = saved;
        return fd;
}

#endif
