/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of a worker that no mount could give one, as it is found again and removed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cinit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NAME = 32, ENTRIES = 8192, DIGITS = 16 };
static const char prefix[] = "lauter-";

/* struct linux_dirent64, which is no header's. */
struct entry {
        uint64_t inode;
        int64_t offset;
        unsigned short size;
        unsigned char type;
        char name[];
};

static uint64_t milliseconds(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void write_number(char out[DIGITS + 1], uint64_t number) {
        for (int i = DIGITS - 1; i >= 0; i--, number >>= 4) out[i] = "0123456789abcdef"[number & 15];
        out[DIGITS] = 0;
}

/* ".lauter-0123456789abcdef" until it is locked, then without the point. */
static const char *name_of(uint64_t number, char name[NAME]) {
        name[0] = '.';
        memcpy(name + 1, prefix, sizeof prefix);
        write_number(name + sizeof prefix, number);
        return name + 1;
}

/* fchmod(2) for a descriptor that was opened by O_PATH. */
static void let_in(int place) {
        char path[NAME] = "/proc/self/fd/";
        size_t at = strlen(path), digits = 1;
        for (int rest = place; rest >= 10; rest /= 10) digits++;
        for (size_t i = digits; i-- > 0; place /= 10) path[at + i] = (char)('0' + place % 10);
        chmod(path, 0700);
}

/* A folder that may be emptied, whatever modes it was given; -1 for what is none. */
static int open_folder(int at, const char *name) {
        struct stat status;
        int place = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (place < 0) return -1;
        if (fstat(place, &status) == 0 && (status.st_mode & 0700) != 0700) let_in(place);
        int folder = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(place);
        return folder;
}

static int is_removed(int at, const char *name) {
        if (unlinkat(at, name, 0) == 0 || errno == ENOENT) return 1;
        return unlinkat(at, name, AT_REMOVEDIR) == 0;
}

static int is_self_or_parent(const char *name) {
        return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Calls `each` with the names in a folder, as many times as it returns; whether there were any. */
static int for_each(int folder, uint64_t until, void (*each)(int, const char *, void *), void *argument) {
        _Alignas(struct entry) char entries[ENTRIES];
        int found = 0;
        if (lseek(folder, 0, SEEK_SET) < 0) return 0;
        while (milliseconds() < until) {
                long size = syscall(SYS_getdents64, folder, entries, sizeof entries);
                if (size <= 0) return found;
                for (long at = 0; at < size;) {
                        const struct entry *entry = (const struct entry *)(entries + at);
                        at += entry->size;
                        if (is_self_or_parent(entry->name)) continue;
                        found = 1;
                        each(folder, entry->name, argument);
                }
        }
        return found;
}

struct emptying {
        int top;
        uint64_t next, until;
        int has_done;
};

/* What is deeper comes up into the topmost folder, under a name that nothing has there: so no depth is too deep. */
static void lift(int folder, const char *name, void *argument) {
        struct emptying *work = argument;
        if (is_removed(folder, name)) {
                work->has_done = 1;
                return;
        }
        /* To be moved a folder must be writable itself. */
        int moved = open_folder(folder, name);
        if (moved >= 0) close(moved);
        struct stat status;
        char fresh[DIGITS + 1];
        do write_number(fresh, work->next++);
        while (fstatat(work->top, fresh, &status, AT_SYMLINK_NOFOLLOW) == 0);
        if (renameat(folder, name, work->top, fresh) == 0) work->has_done = 1;
}

static void remove_entry(int top, const char *name, void *argument) {
        struct emptying *work = argument;
        if (is_removed(top, name)) {
                work->has_done = 1;
                return;
        }
        int folder = open_folder(top, name);
        if (folder < 0) return;
        while (for_each(folder, work->until, lift, work) && milliseconds() < work->until && !is_removed(top, name))
                if (!work->has_done) break;
        close(folder);
        if (is_removed(top, name)) work->has_done = 1;
}

/* Whether it is empty now. */
static int empty(int top, uint64_t until) {
        struct emptying work = {.top = top, .until = until};
        do {
                work.has_done = 0;
                if (!for_each(top, until, remove_entry, &work)) return milliseconds() < until;
        } while (work.has_done && milliseconds() < until);
        return 0;
}

void cinit_scratch_remove(const struct cinit_scratch *scratch, unsigned patience) {
        if (scratch->folder < 0) return;
        char name[NAME];
        uint64_t until = milliseconds() + patience;
        /* The lock is kept to the end: nobody else is at it meanwhile. */
        if (empty(scratch->folder, until)) unlinkat(scratch->base, name_of(scratch->number, name), AT_REMOVEDIR);
}

/* What belongs to an init that is no more. */
static void sweep(int base, const char *name, void *argument) {
        const uint64_t *until = argument;
        uint64_t number = 0;
        struct stat status;
        const char *digits = name + sizeof prefix - 1;
        if (strncmp(name, prefix, sizeof prefix - 1) != 0 || strlen(digits) != DIGITS) return;
        for (int i = 0; i < DIGITS; i++) {
                int digit = digits[i] >= 'a' ? digits[i] - 'a' + 10 : digits[i] - '0';
                if (digit < 0 || digit > 15) return;
                number = number << 4 | (unsigned)digit;
        }
        int folder = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0) return;
        uint64_t now = milliseconds();
        if (now < *until && fstat(folder, &status) == 0 && status.st_uid == geteuid() &&
            flock(folder, LOCK_EX | LOCK_NB) == 0) {
                struct cinit_scratch left = {.base = base, .folder = folder, .number = number};
                cinit_scratch_remove(&left, (unsigned)(*until - now));
        }
        close(folder);
}

const char *cinit_scratch_make(struct cinit_scratch *scratch, const char *base, uint64_t number, int has_home) {
        char hidden[NAME];
        const char *name = name_of(number, hidden);
        *scratch = (struct cinit_scratch){
            .base = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .folder = -1, .number = number};
        if (scratch->base < 0) return "open";
        if (mkdirat(scratch->base, hidden, 0700) < 0) return "mkdirat";
        int folder = openat(scratch->base, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0) return "openat";
        /* Locked before it has the name by which others would take it for left behind. */
        if (flock(folder, LOCK_EX | LOCK_NB) < 0) return "flock";
        if (renameat(scratch->base, hidden, scratch->base, name) < 0) return "renameat";
        scratch->folder = folder;
        if (mkdirat(folder, "tmp", 0700) < 0 || (has_home && mkdirat(folder, "home", 0700) < 0)) return "mkdirat";
        uint64_t until = milliseconds() + 200;
        for_each(scratch->base, until, sweep, &until);
        return NULL;
}
