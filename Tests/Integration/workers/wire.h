/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker in C needs of docs/protocol.md, written from that page alone, so that it checks the page as well. */

#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        SESSION = 3,
        PAGE = 4,
        ARENA = 5,
        FRAME_MAX = 65536,
        MORE = 1,
        PLACED = 2,
        NAME_MAX_BYTES = 255,
        PARTS_MAX = 256
};
enum { HELLO = 1, READY = 2, CALL = 3, OUTPUT = 4, RESULT = 5, FAILURE = 6, STOP = 8, INTERRUPT = 9, RELEASE = 10 };
#define MAGIC 0x5254554Cu

struct frame {
        uint32_t size;
        uint8_t kind;
        uint8_t flags;
        uint16_t slot;
        uint64_t id;
} __attribute__((packed));

struct greeting {
        uint32_t magic;
        uint16_t lowest, highest;
        uint32_t interrupts;
        uint32_t reserved;
        uint64_t largest;
        uint16_t name_length;
} __attribute__((packed));

struct head {
        uint16_t parts;
        uint16_t name_length;
        uint32_t reserved;
        uint64_t parent;
} __attribute__((packed));

struct part_head {
        uint16_t type_length;
        uint64_t size;
} __attribute__((packed));

struct part {
        char type[NAME_MAX_BYTES + 1];
        uint8_t *data;
        uint64_t size;
};

struct place {
        uint64_t offset, size;
} __attribute__((packed));

/* A whole message. `bytes` holds head and parts; `parts` point into it. */
struct message {
        uint8_t kind;
        uint16_t slot;
        uint64_t id, parent;
        char name[NAME_MAX_BYTES + 1];
        size_t part_count;
        struct part parts[PARTS_MAX];
        uint8_t *bytes;
        size_t size, room;
        struct message *next;
};

/* While corked, what is sent is kept, so that it leaves in one write. */
static uint8_t corked[1 << 20];
static size_t corked_size;
static int is_corked;

static void write_all(const void *data, size_t size) {
        const uint8_t *at = data;
        if (is_corked) {
                if (size > sizeof corked - corked_size) _exit(95);
                memcpy(corked + corked_size, data, size);
                corked_size += size;
                return;
        }
        while (size > 0) {
                ssize_t n = send(SESSION, at, size, MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR) continue;
                if (n <= 0) _exit(90);
                at += n;
                size -= (size_t)n;
        }
}

static inline void cork(void) { is_corked = 1; }

static inline void uncork(void) {
        is_corked = 0;
        write_all(corked, corked_size);
        corked_size = 0;
}

/* 0 at the end of the session. */
static int read_all(void *data, size_t size) {
        uint8_t *at = data;
        while (size > 0) {
                ssize_t n = read(SESSION, at, size);
                if (n < 0 && errno == EINTR) continue;
                if (n <= 0) return 0;
                at += n;
                size -= (size_t)n;
        }
        return 1;
}

static void send_frame(uint8_t kind, uint8_t flags, uint64_t id, const void *payload, uint32_t size) {
        static uint8_t buffer[sizeof(struct frame) + FRAME_MAX];
        struct frame frame = {.size = size, .kind = kind, .flags = flags, .id = id};
        memcpy(buffer, &frame, sizeof frame);
        if (size > 0) memcpy(buffer + sizeof frame, payload, size);
        write_all(buffer, sizeof frame + size);
}

static void send_hello(uint32_t magic, uint16_t lowest, uint16_t highest, uint32_t interrupts, const char *name) {
        uint8_t payload[sizeof(struct greeting) + NAME_MAX_BYTES];
        size_t length = strlen(name);
        struct greeting greeting = {.magic = magic,
                                    .lowest = lowest,
                                    .highest = highest,
                                    .interrupts = interrupts,
                                    .largest = 1u << 30,
                                    .name_length = (uint16_t)length};
        memcpy(payload, &greeting, sizeof greeting);
        memcpy(payload + sizeof greeting, name, length);
        send_frame(HELLO, 0, 0, payload, (uint32_t)(sizeof greeting + length));
}

/* The arena: ours is the second half. Room is taken from its beginning on, and is free again when all has come back. */
static uint8_t *arena;
static uint64_t arena_half, arena_used, arena_out;

static inline void map_arena(void) {
        struct stat status;
        if (fstat(ARENA, &status) < 0 || !S_ISREG(status.st_mode)) return;
        arena_half = (uint64_t)status.st_size / 2;
        arena = mmap(NULL, 2 * arena_half, PROT_READ | PROT_WRITE, MAP_SHARED, ARENA, 0);
        if (arena == MAP_FAILED) _exit(93);
}

static void send_places(uint8_t kind, uint8_t flags, uint64_t id, const struct place *places, size_t count) {
        send_frame(kind, (uint8_t)(flags | PLACED), id, places, (uint32_t)(count * sizeof *places));
}

static void released(const uint8_t *payload, size_t size) {
        for (size_t at = 0; at + sizeof(struct place) <= size; at += sizeof(struct place)) {
                struct place place;
                memcpy(&place, payload + at, sizeof place);
                arena_out -= place.size;
        }
        if (arena_out == 0) arena_used = 0;
}

/* Room for `size` bytes; `place->size` is 0 if there is none. */
static inline uint8_t *take_place(struct place *place, uint64_t size) {
        *place = (struct place){arena_half + arena_used, size};
        if (!arena || size > arena_half - arena_used) place->size = 0;
        if (!place->size) return NULL;
        arena_used += size;
        arena_out += size;
        return arena + place->offset;
}

/* The head and then the bytes, in frames as full as they may be. */
static void send_message(uint8_t kind, uint64_t id, const char *name, uint64_t parent, const struct part *parts,
                         size_t count) {
        static uint8_t payload[FRAME_MAX];
        struct head head = {.parts = (uint16_t)count, .name_length = (uint16_t)strlen(name), .parent = parent};
        size_t used = sizeof head;
        memcpy(payload, &head, sizeof head);
        memcpy(payload + used, name, head.name_length);
        used += head.name_length;
        for (size_t i = 0; i < count; i++) {
                struct part_head part = {(uint16_t)strlen(parts[i].type), parts[i].size};
                memcpy(payload + used, &part, sizeof part);
                memcpy(payload + used + sizeof part, parts[i].type, part.type_length);
                used += sizeof part + part.type_length;
        }
        for (size_t i = 0; i < count; i++) {
                uint64_t sent = 0;
                while (sent < parts[i].size) {
                        if (used == FRAME_MAX) {
                                send_frame(kind, MORE, id, payload, FRAME_MAX);
                                used = 0;
                        }
                        uint64_t piece = parts[i].size - sent;
                        if (piece > FRAME_MAX - used) piece = FRAME_MAX - used;
                        memcpy(payload + used, parts[i].data + sent, piece);
                        used += piece;
                        sent += piece;
                }
        }
        send_frame(kind, 0, id, payload, (uint32_t)used);
}

static struct part text_part(const char *text) {
        struct part part = {.data = (uint8_t *)text, .size = strlen(text)};
        strcpy(part.type, "text/plain");
        return part;
}

static void send_text(uint8_t kind, uint64_t id, const char *name, const char *text) {
        struct part part = text_part(text);
        send_message(kind, id, name, 0, &part, 1);
}

static void die(const char *why) {
        fprintf(stderr, "worker: the host broke the protocol: %s\n", why);
        exit(91);
}

static void parse_message(struct message *m) {
        struct head head;
        if (m->size < sizeof head) die("a message without a head");
        memcpy(&head, m->bytes, sizeof head);
        size_t used = sizeof head;
        if (head.parts > PARTS_MAX || head.name_length > NAME_MAX_BYTES || used + head.name_length > m->size)
                die("a head out of bounds");
        memcpy(m->name, m->bytes + used, head.name_length);
        m->name[head.name_length] = 0;
        m->parent = head.parent;
        used += head.name_length;
        m->part_count = head.parts;
        for (size_t i = 0; i < m->part_count; i++) {
                struct part_head part;
                if (used + sizeof part > m->size) die("a part's head out of bounds");
                memcpy(&part, m->bytes + used, sizeof part);
                used += sizeof part;
                if (part.type_length > NAME_MAX_BYTES || used + part.type_length > m->size)
                        die("a media type out of bounds");
                memcpy(m->parts[i].type, m->bytes + used, part.type_length);
                m->parts[i].type[part.type_length] = 0;
                m->parts[i].size = part.size;
                used += part.type_length;
        }
        for (size_t i = 0; i < m->part_count; i++) {
                if (m->parts[i].size > m->size - used) die("parts that are larger than the message");
                m->parts[i].data = m->bytes + used;
                used += m->parts[i].size;
        }
        if (used != m->size) die("bytes behind the last part");
}

static void free_message(struct message *m) {
        free(m->bytes);
        free(m);
}

static unsigned long long placed_frames;

/* Places of the host's, which is trusted, and checked all the same. */
static uint64_t sum_of(const uint8_t *places, size_t size) {
        uint64_t sum = 0;
        if (!arena || size == 0 || size % sizeof(struct place)) die("places that are none");
        for (size_t at = 0; at < size; at += sizeof(struct place)) {
                struct place place;
                memcpy(&place, places + at, sizeof place);
                if (place.size == 0 || place.size > arena_half || place.offset > arena_half - place.size)
                        die("a place outside the host's half");
                sum += place.size;
        }
        if (sum > 1 << 20) die("more than 1 MiB in one frame");
        return sum;
}

static void copy_places(uint8_t *to, const uint8_t *places, size_t size) {
        for (size_t at = 0; at < size; at += sizeof(struct place)) {
                struct place place;
                memcpy(&place, places + at, sizeof place);
                memcpy(to, arena + place.offset, place.size);
                to += place.size;
        }
}

/* The next whole message (or STOP, INTERRUPT, HELLO frame as one without parts); NULL at the end of the session. */
static struct message *read_message(void) {
        static struct message *unfinished;
        for (;;) {
                struct frame frame;
                if (!read_all(&frame, sizeof frame)) return NULL;
                if (frame.size > FRAME_MAX || (frame.flags & ~(MORE | PLACED))) die("a bad frame");
                struct message **at = &unfinished;
                while (*at && !((*at)->id == frame.id && (*at)->kind == frame.kind)) at = &(*at)->next;
                struct message *m = *at;
                if (!m) {
                        m = calloc(1, sizeof *m);
                        *m = (struct message){
                            .kind = frame.kind, .slot = frame.slot, .id = frame.id, .next = unfinished};
                        at = &unfinished;
                        unfinished = m;
                }
                static uint8_t places[FRAME_MAX];
                uint64_t size = frame.size;
                if (frame.flags & PLACED) {
                        if (!read_all(places, frame.size)) return NULL;
                        size = sum_of(places, frame.size);
                        placed_frames++;
                }
                if (m->size + size > m->room) {
                        m->room = (m->size + size) * 2;
                        m->bytes = realloc(m->bytes, m->room);
                }
                if (frame.flags & PLACED) {
                        copy_places(m->bytes + m->size, places, frame.size);
                        send_frame(RELEASE, 0, 0, places, frame.size);
                } else if (!read_all(m->bytes + m->size, frame.size)) {
                        return NULL;
                }
                m->size += size;
                if (frame.kind == RELEASE) {
                        released(m->bytes, m->size);
                        *at = m->next;
                        free_message(m);
                        continue;
                }
                if (frame.flags & MORE) continue;
                *at = m->next;
                m->next = NULL;
                if (frame.kind == CALL || frame.kind == RESULT || frame.kind == FAILURE) parse_message(m);
                return m;
        }
}

/* -------------------------------------------------------------------------------------------- interrupts -- */

struct slot {
        uint64_t id;
        uint32_t requests;
        uint32_t reserved;
};

static volatile struct slot *page;
static volatile uint64_t running_id;
static volatile uint16_t running_slot;
static volatile uint32_t claimed;
static volatile sig_atomic_t asked_to_stop;

static inline void look(void) {
        if (running_id == 0 || running_slot == 0) return;
        volatile struct slot *slot = &page[running_slot];
        uint32_t requests = __atomic_load_n(&slot->requests, __ATOMIC_ACQUIRE);
        if (__atomic_load_n(&slot->id, __ATOMIC_ACQUIRE) == running_id && requests > claimed) {
                claimed = requests;
                asked_to_stop = 1;
        }
}

static inline void on_interrupt(int number) {
        (void)number;
        look();
}

static inline void map_page(void) {
        page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, PAGE, 0);
        if (page == MAP_FAILED) die("no control page");
        if (((volatile uint32_t *)page)[0] != MAGIC || ((volatile uint16_t *)page)[2] != 1 ||
            ((volatile uint16_t *)page)[3] != 256)
                die("a control page without its header");
}

static inline void mark(const struct message *m) {
        asked_to_stop = 0;
        claimed = 0;
        running_slot = m->slot;
        running_id = m->id;
        look();
}

static inline void unmark(void) { running_id = 0; }
