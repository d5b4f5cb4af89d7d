/* SPDX-License-Identifier: Apache-2.0 */
/* The plan's bytes, written by hand: the test must not share its encoder with what it tests. */
#ifndef TEST_PLAN_H
#define TEST_PLAN_H

#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

typedef struct plan {
        uint8_t bytes[65536];
        size_t size;
        uint32_t steps;
        uint8_t codes[256]; /* of the steps */
} plan;

static inline void put(plan *p, uint64_t value, int size) {
        for (int i = 0; i < size; i++) p->bytes[p->size++] = (uint8_t)(value >> (8 * i));
}
static inline void put_data(plan *p, const void *data, size_t size) {
        put(p, size, 4);
        memcpy(p->bytes + p->size, data, size);
        p->size += size;
}
static inline void put_text(plan *p, const char *text) { put_data(p, text, strlen(text)); }
static inline void put_texts(plan *p, const char *const *texts) {
        uint32_t count = 0;
        while (texts[count]) count++;
        put(p, count, 4);
        for (uint32_t i = 0; i < count; i++) put_text(p, texts[i]);
}

/* Begin a step; returns its number. */
static inline uint32_t step(plan *p, int code) {
        if (p->steps < 256) p->codes[p->steps] = (uint8_t)code;
        put(p, (uint64_t)code, 1);
        p->steps++;
        for (int i = 0; i < 4; i++) p->bytes[4 + i] = (uint8_t)(p->steps >> (8 * i));
        return p->steps;
}
static inline void plan_begin(plan *p) {
        p->size = p->steps = 0;
        put(p, 0x014C504C, 4);
        put(p, 0, 4);
}

static inline uint32_t step_private_mounts(plan *p) { return step(p, 1); }
static inline uint32_t step_open_tree_of(plan *p, int slot, const char *path, uint64_t device, uint64_t inode) {
        uint32_t n = step(p, 2);
        put(p, (uint64_t)slot, 2);
        put_text(p, path);
        put(p, device, 8);
        put(p, inode, 8);
        return n;
}
static inline uint32_t step_open_tree(plan *p, int slot, const char *path) {
        struct stat st = {0};
        stat(path, &st);
        return step_open_tree_of(p, slot, path, st.st_dev, st.st_ino);
}
static inline uint32_t step_adopt_tree(plan *p, int slot, int descriptor) {
        uint32_t n = step(p, 3);
        put(p, (uint64_t)slot, 2);
        put(p, (uint64_t)descriptor, 2);
        put_text(p, "adopted");
        return n;
}
static inline uint32_t step_identity(plan *p, uint32_t uid, uint32_t gid, int drop_groups) {
        uint32_t n = step(p, 4);
        put(p, uid, 4);
        put(p, gid, 4);
        put(p, (uint64_t)drop_groups, 1);
        return n;
}
static inline uint32_t step_hostname(plan *p, const char *name) {
        uint32_t n = step(p, 5);
        put_text(p, name);
        return n;
}
static inline uint32_t step_ordinary(plan *p, int own_keyring) {
        uint32_t n = step(p, 35);
        put(p, own_keyring, 1);
        return n;
}
static inline uint32_t step_loopback(plan *p) { return step(p, 6); }
static inline uint32_t step_new_root(plan *p, uint64_t size) {
        uint32_t n = step(p, 7);
        put(p, size, 8);
        return n;
}
static inline uint32_t step_directory(plan *p, const char *path, uint32_t mode) {
        uint32_t n = step(p, 8);
        put_text(p, path);
        put(p, mode, 4);
        return n;
}
static inline uint32_t step_file(plan *p, const char *path, uint32_t mode, const char *contents) {
        uint32_t n = step(p, 9);
        put_text(p, path);
        put(p, mode, 4);
        put_text(p, contents);
        return n;
}
static inline uint32_t step_symlink(plan *p, const char *path, const char *target) {
        uint32_t n = step(p, 10);
        put_text(p, path);
        put_text(p, target);
        return n;
}
static inline uint32_t step_tmpfs(plan *p, const char *path, uint64_t size, uint32_t mode) {
        uint32_t n = step(p, 11);
        put_text(p, path);
        put(p, size, 8);
        put(p, mode, 4);
        return n;
}
enum { READ = 0, WRITE = 1, DEVICES = 2 };
static inline uint32_t step_attach(plan *p, int slot, const char *path, int access, int is_directory) {
        uint32_t n = step(p, 12);
        put(p, (uint64_t)slot, 2);
        put_text(p, path);
        put(p, (uint64_t)access, 1);
        put(p, (uint64_t)is_directory, 1);
        return n;
}
static inline uint32_t step_mask(plan *p, const char *path, int is_directory) {
        uint32_t n = step(p, 13);
        put_text(p, path);
        put(p, (uint64_t)is_directory, 1);
        return n;
}
static inline uint32_t step_proc(plan *p, const char *path, const char *options) {
        uint32_t n = step(p, 14);
        put_text(p, path);
        put_text(p, options);
        return n;
}
static inline uint32_t step_devpts(plan *p, const char *path) {
        uint32_t n = step(p, 15);
        put_text(p, path);
        return n;
}
static inline uint32_t step_enter_root(plan *p) { return step(p, 16); }
static inline uint32_t step_read_only_root(plan *p) { return step(p, 17); }
static inline uint32_t step_drop_privilege(plan *p, uint32_t last) {
        uint32_t n = step(p, 18);
        put(p, last, 4);
        return n;
}
static inline uint32_t step_limit(plan *p, uint32_t resource, uint64_t soft, uint64_t hard) {
        uint32_t n = step(p, 19);
        put(p, resource, 4);
        put(p, soft, 8);
        put(p, hard, 8);
        return n;
}
static inline uint32_t step_landlock_of(plan *p, uint64_t filesystem, const char *path, uint64_t access,
                                        uint64_t device, uint64_t inode) {
        uint32_t n = step(p, 20);
        put(p, filesystem, 8);
        put(p, 0, 8);
        put(p, 0, 8);
        put(p, 1, 4);
        put_text(p, path);
        put(p, access, 8);
        put(p, 0, 1); /* not passed over if it is missing */
        put(p, device, 8);
        put(p, inode, 8);
        return n;
}
/* Whatever it is. */
static inline uint32_t step_landlock(plan *p, uint64_t filesystem, const char *path, uint64_t access) {
        return step_landlock_of(p, filesystem, path, access, 0, 0);
}
static inline uint32_t step_scratch(plan *p, const char *base, uint64_t number) {
        uint32_t n = step(p, 45);
        put_text(p, base);
        put(p, number, 8);
        put(p, 1, 1);
        return n;
}
static inline uint32_t step_seccomp(plan *p, const void *program, size_t size) {
        uint32_t n = step(p, 21);
        put_data(p, program, size);
        return n;
}
static inline uint32_t step_read_only(plan *p, const char *path) {
        uint32_t n = step(p, 23);
        put_text(p, path);
        return n;
}

static inline uint32_t step_no_execution(plan *p, const char *path) {
        uint32_t n = step(p, 55);
        put_text(p, path);
        return n;
}
static inline uint32_t step_join_group(plan *p, unsigned descriptor, const char *limits) {
        uint32_t n = step(p, 40);
        put(p, descriptor, 2);
        put_text(p, limits);
        return n;
}
static inline uint32_t step_quota(plan *p, const char *name, uint32_t most) {
        uint32_t n = step(p, 30);
        put_text(p, name);
        put(p, most, 4);
        return n;
}
static inline uint32_t step_terminal(plan *p, const char *path, int rows, int columns) {
        uint32_t n = step(p, 24);
        put_text(p, path);
        put(p, (uint64_t)rows, 2);
        put(p, (uint64_t)columns, 2);
        return n;
}

typedef struct execution {
        const char *candidates[4], *arguments[8], *environment[4], *directory;
        int has_session, ignores_interrupt, has_terminal, in_background;
        uint64_t wall_ms, cpu_ms, pass;
} execution;

static inline uint32_t step_execute(plan *p, const execution *e) {
        uint32_t n = step(p, 22);
        put_texts(p, e->candidates);
        put_texts(p, e->arguments);
        put_texts(p, e->environment);
        put_text(p, e->directory ? e->directory : "/");
        put(p, (uint64_t)e->has_session, 1);
        put(p, (uint64_t)e->ignores_interrupt, 1);
        put(p, e->wall_ms, 8);
        put(p, e->cpu_ms, 8);
        put(p, e->pass, 8);
        put(p, (uint64_t)e->has_terminal, 1);
        put(p, (uint64_t)e->in_background, 1);
        put(p, 0, 1); /* violations are told to nobody */
        return n;
}

#endif
