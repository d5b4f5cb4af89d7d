/* SPDX-License-Identifier: Apache-2.0 */
/* Where init's image comes from: never from the environment. */
#include "raw.h"

#include "claunch.h"
#include "unpack.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
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

static int fill_and_seal(int fd) {
        int filled = fill(fd);
        if (filled < 0) return filled;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) return -errno;
        /* A file that anyone has open for writing cannot be executed (ETXTBSY), seals or not. */
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
        int result = fill_and_seal(fd);
        close(fd);
        return result;
}

int claunch_init_open(void) {
        int saved = errno;
        int fd = open_embedded();
        if (fd == -EACCES) { /* vm.memfd_noexec=2 */
                int installed = open_installed();
                fd = installed < 0 ? fd : installed;
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
