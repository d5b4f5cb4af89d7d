/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of lauter-init, in place of the C library's.
 *
 * Init is born with every worker and needs a hundred kilobytes, mostly for its plan. A general allocator maps and unmaps
 * them in pieces, each at the price of a system call and of page faults: a tenth of a launch. This one hands out a
 * static region from its beginning to its end, and takes back what was handed out last; that is how init works once its
 * worker runs, so it does not grow. What does not fit is mapped by itself. Before it idles, init forgets its plan, and
 * the kernel gets the pages back. One thread, and one vfork child while the parent sleeps. */
#include "cinit.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 16, PAGE = 4096, ARENA = 1 << 20 };

/* Before each block; as long as the alignment, so that both have it. */
struct block {
        size_t size;
        size_t begin; /* where the free memory began before this block; MAPPED: not of the arena */
};
_Static_assert(sizeof(struct block) == ALIGNMENT, "a header keeps the alignment");
static const size_t MAPPED = SIZE_MAX;

static _Alignas(PAGE) unsigned char arena[ARENA];
static size_t used;

static struct block *block_of(void *memory) { return (struct block *)memory - 1; }

/* A block that did not fit; all of them are found from `first_mapping`. */
struct mapping {
        struct mapping *previous, *next;
        struct block block;
};
static struct mapping *first_mapping;

static void *map(size_t size) {
        if (size > PTRDIFF_MAX - sizeof(struct mapping)) return NULL;
        struct mapping *mapping =
            mmap(NULL, size + sizeof *mapping, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapping == MAP_FAILED) return NULL;
        *mapping = (struct mapping){NULL, first_mapping, {size, MAPPED}};
        if (first_mapping) first_mapping->previous = mapping;
        first_mapping = mapping;
        return mapping + 1;
}

static void unmap(struct mapping *mapping) {
        if (mapping->next) mapping->next->previous = mapping->previous;
        if (mapping->previous)
                mapping->previous->next = mapping->next;
        else
                first_mapping = mapping->next;
        munmap(mapping, mapping->block.size + sizeof *mapping);
}

/* `alignment` is a power of two. */
static void *allocate(size_t alignment, size_t size) {
        if (alignment < ALIGNMENT) alignment = ALIGNMENT;
        uintptr_t start = (uintptr_t)arena + used + sizeof(struct block);
        size_t at = ((start + alignment - 1) & ~(alignment - 1)) - (uintptr_t)arena;
        if (at > ARENA || size > ARENA - at) {
                if (alignment > ALIGNMENT) return NULL; /* nobody asks for that */
                return map(size);
        }
        size_t end = (at + size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        *block_of(arena + at) = (struct block){size, used};
        used = end < ARENA ? end : ARENA;
        return arena + at;
}

void *malloc(size_t size) {
        void *memory = allocate(ALIGNMENT, size);
        if (!memory) errno = ENOMEM;
        return memory;
}

void free(void *memory) {
        if (!memory) return;
        struct block *block = block_of(memory);
        if (block->begin == MAPPED) {
                unmap((struct mapping *)memory - 1);
                return;
        }
        size_t end = (size_t)((unsigned char *)memory - arena) + block->size;
        if (((end + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)) == used) used = block->begin;
}

void cinit_forget_memory(void) {
        used = 0;
        while (first_mapping) unmap(first_mapping);
        /* Should the kernel refuse, they stay. */
        (void)madvise(arena, ARENA, MADV_DONTNEED);
}

void *calloc(size_t count, size_t size) {
        size_t whole;
        if (__builtin_mul_overflow(count, size, &whole)) {
                errno = ENOMEM;
                return NULL;
        }
        void *memory = malloc(whole);
        return memory ? memset(memory, 0, whole) : NULL;
}

void *realloc(void *memory, size_t size) {
        if (!memory) return malloc(size);
        size_t before = block_of(memory)->size;
        if (size <= before) return memory;
        void *larger = malloc(size);
        if (!larger) return NULL;
        memcpy(larger, memory, before);
        free(memory);
        return larger;
}

void *aligned_alloc(size_t alignment, size_t size) {
        void *memory = allocate(alignment, size);
        if (!memory) errno = ENOMEM;
        return memory;
}

void *memalign(size_t alignment, size_t size) { return aligned_alloc(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
        void *found = allocate(alignment, size);
        if (!found) return ENOMEM;
        *memory = found;
        return 0;
}
