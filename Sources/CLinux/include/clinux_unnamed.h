/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name, and the control page that lies in one. */
#ifndef CLINUX_UNNAMED_H
#define CLINUX_UNNAMED_H
#include "clinux_base.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static inline long lx_memfd_create(const char *name) {
        long fd = lx_result(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
        return fd == -EINVAL ? lx_result(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)) : fd;
}
/* A memfd, or where those are refused (a host may be a worker itself) a file in a folder. -errno of the memfd where neither can
 * be had. */
static inline long lx_unnamed_file(const char *name) {
        long memory = lx_memfd_create(name);
        if (memory != -ENOSYS && memory != -EPERM && memory != -EACCES) return memory;
        const char *folders[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};
        for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
                if (!folders[i]) continue;
                int fd = open(folders[i], O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
                if (fd >= 0) return fd;
                if (errno == EMFILE || errno == ENFILE) return -errno;
        }
        return memory;
}
/* The same file, for who may read it alone. */
static inline long lx_reopen_for_reader(int fd) {
        char path[32] = "/proc/self/fd/";
        size_t at = strlen(path), digits = 1;
        for (int rest = fd; rest >= 10; rest /= 10) digits++;
        for (size_t i = digits; i-- > 0; fd /= 10) path[at + i] = (char)('0' + fd % 10);
        return lx_result(open(path, O_RDONLY | O_CLOEXEC));
}
static inline long lx_ftruncate(int fd, int64_t size) { return lx_result(ftruncate(fd, size)); }
static inline long lx_add_seals(int fd, int seals) { return lx_result(fcntl(fd, F_ADD_SEALS, seals)); }
/* Whether a file is a memfd whose contents nobody can change. */
static inline long lx_is_sealed(int fd) {
        long seals = lx_result(fcntl(fd, F_GET_SEALS));
        return seals > 0 && (seals & F_SEAL_WRITE);
}
/* Other files of a tmpfs are sealed against seals. */
static inline long lx_can_be_sealed(int fd) {
        long seals = lx_result(fcntl(fd, F_GET_SEALS));
        return seals >= 0 && !(seals & F_SEAL_SEAL);
}
static inline long lx_has_name(int fd) {
        struct stat status;
        return fstat(fd, &status) == 0 && status.st_nlink > 0;
}
/* Seals for memory that a worker may read and only we, through the mapping made before, write. */
static inline long lx_seal_for_reader(int fd) {
        return lx_add_seals(fd, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}
static inline void *lx_map_shared(int fd, size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return memory == MAP_FAILED ? NULL : memory;
}
static inline void lx_unmap(void *memory, size_t size) { (void)munmap(memory, size); }
/* Both halves of an arena, the other side's to be read alone; a forked child has neither. NULL if that may not be. */
static inline void *lx_map_arena(int fd, size_t half, int writes_first) {
        char *memory = (char *)mmap(NULL, 2 * half, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
        if (memory == MAP_FAILED) return NULL;
        if (mprotect(memory + (writes_first ? 0 : half), half, PROT_READ | PROT_WRITE) == 0 &&
            madvise(memory, 2 * half, MADV_DONTFORK) == 0)
                return memory;
        (void)munmap(memory, 2 * half);
        return NULL;
}
/* Back to the system, out of the file and every mapping of it. */
static inline void lx_remove_pages(void *memory, size_t size) { (void)madvise(memory, size, MADV_REMOVE); }
/* Seals for memory that two sides write, of a size that neither can change. */
static inline long lx_seal_size(int fd) { return lx_add_seals(fd, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL); }
/* Copies to where nobody looks soon (copy.c): past the cache, which keeps what it has, and reads nothing only to overwrite it. */
void lx_copy_past_cache(void *to, const void *from, size_t size);
/* An arena, as init knows it: the number of its file (0: there is none), and the size of a half. */
typedef struct lx_arena {
        uint64_t inode;
        int64_t half;
} lx_arena;
static inline lx_arena lx_arena_look(int fd) {
        struct stat status;
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) return (lx_arena){0, 0};
        return (lx_arena){status.st_ino, status.st_size / 2};
}
/* Bytes of the worker's half, the second, that are filled. Who fills it with more than a thousand holes is held to have filled
 * the rest. */
static inline int64_t lx_arena_filled(int fd, lx_arena arena) {
        int64_t filled = 0, at = arena.half;
        for (int i = 0; i < 1000 && at < 2 * arena.half; i++) {
                int64_t data = lseek(fd, at, SEEK_DATA);
                if (data < 0) return filled;
                at = lseek(fd, data, SEEK_HOLE);
                if (at < 0) return filled;
                filled += at - data;
        }
        return at < 2 * arena.half ? filled + 2 * arena.half - at : filled;
}
/* Memory for much at once: in huge pages if there are any, for each small one costs a fault. NULL if there is none. */
static inline void *lx_large_alloc(size_t size) {
        const size_t huge = (size_t)1 << 21;
        size_t whole = (size + huge - 1) & ~(huge - 1);
        char *memory = (char *)mmap(NULL, whole + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return NULL;
        char *aligned = (char *)(((uintptr_t)memory + huge - 1) & ~(uintptr_t)(huge - 1));
        if (aligned > memory) (void)munmap(memory, (size_t)(aligned - memory));
        (void)munmap(aligned + whole, huge - (size_t)(aligned - memory));
        (void)madvise(aligned, whole, MADV_HUGEPAGE);
        return aligned;
}
static inline void lx_large_free(void *memory, size_t size) {
        const size_t huge = (size_t)1 << 21;
        (void)munmap(memory, (size + huge - 1) & ~(huge - 1));
}

/* The control page, mapped: the worker reads it while we write. */
static inline void lx_store_release_64(void *at, uint64_t value) {
        __atomic_store_n((uint64_t *)at, value, __ATOMIC_RELEASE);
}
static inline void lx_store_release_32(void *at, uint32_t value) {
        __atomic_store_n((uint32_t *)at, value, __ATOMIC_RELEASE);
}
static inline void lx_increment_32(void *at) { (void)__atomic_fetch_add((uint32_t *)at, 1, __ATOMIC_SEQ_CST); }

/* The control page, not mapped: what is written may be seen in pieces. What cannot be written (a worker may have filled its
 * disk) the worker misses. */
static inline long lx_pwrite(int fd, const void *data, size_t size, int64_t offset) {
        return lx_result(pwrite(fd, data, size, offset));
}
/* A piece of an id may look like another's, but nobody has been asked anything in this slot by then. */
static inline void lx_write_slot(int fd, int64_t at, uint64_t id) {
        unsigned char bytes[12] = {0};
        (void)lx_pwrite(fd, bytes + 8, 4, at + 8);
        for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(id >> 8 * i);
        (void)lx_pwrite(fd, bytes, 8, at);
}
/* From the lowest byte up: until the carry is written it is less than it was, and a reader who would act on more comes again by
 * the signal that follows. */
static inline void lx_write_increment(int fd, int64_t at) {
        for (int64_t i = 0; i < 4; i++) {
                unsigned char byte = 0;
                (void)lx_result(pread(fd, &byte, 1, at + i));
                byte++;
                (void)lx_pwrite(fd, &byte, 1, at + i);
                if (byte != 0) return;
        }
}
#endif
