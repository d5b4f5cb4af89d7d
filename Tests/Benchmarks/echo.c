/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that does nothing but answer, by docs/protocol.md alone: `echo` gives back the call's only part, `take` answers
 * with no part, `give` sends as many bytes as its part, a u64, says. What it cannot understand ends it. */
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SESSION = 3, ARENA = 5, PAYLOAD_MAX = 65536, MORE = 1, PLACED = 2, PIECE = 1 << 18, PIECES = 8 };
enum { HELLO = 1, READY = 2, CALL = 3, RESULT = 5, STOP = 8, RELEASE = 10 };

struct frame {
        uint32_t size;
        uint8_t kind, flags;
        uint16_t slot;
        uint64_t id;
} __attribute__((packed));

struct head {
        uint16_t parts, name_length;
        uint32_t reserved;
        uint64_t parent;
} __attribute__((packed));

struct part_head {
        uint16_t type_length;
        uint64_t size;
} __attribute__((packed));

struct place {
        uint64_t offset, size;
} __attribute__((packed));

/* The host's half and ours, of which a few pieces are used again and again: they stay in the cache. */
static uint8_t *arena;
static uint64_t half;
static int is_out[PIECES];
/* The host leaves whole parts where they are. */
static int in_place;

static void released(const uint8_t *payload, size_t size) {
        for (; size >= sizeof(struct place); payload += sizeof(struct place), size -= sizeof(struct place)) {
                struct place place;
                memcpy(&place, payload, sizeof place);
                is_out[(place.offset - half) / PIECE] = 0;
        }
}

static const char type[] = "application/octet-stream";

static void write_all(const void *data, size_t size) {
        for (const char *at = data; size > 0;) {
                ssize_t n = send(SESSION, at, size, MSG_NOSIGNAL);
                if (n <= 0) _exit(1);
                at += n;
                size -= (size_t)n;
        }
}

/* What was read and not yet used: a small call comes whole by one system call. */
static uint8_t buffer[4 * PAYLOAD_MAX];
static size_t have, used;

static const uint8_t *take(size_t size) {
        if (have - used < size) {
                memmove(buffer, buffer + used, have - used);
                have -= used;
                used = 0;
        }
        while (have - used < size) {
                /* Not recv(2) alone: who sleeps in that is woken too when the host takes what was sent last, for nothing. */
                struct pollfd ready = {.fd = SESSION, .events = POLLIN};
                if (poll(&ready, 1, -1) < 0) _exit(1);
                ssize_t n = recv(SESSION, buffer + have, sizeof buffer - have, 0);
                if (n <= 0) _exit(n == 0 ? 0 : 1);
                have += (size_t)n;
        }
        used += size;
        return buffer + used - size;
}

static struct frame next_frame(const uint8_t **payload) {
        struct frame frame;
        memcpy(&frame, take(sizeof frame), sizeof frame);
        if (frame.size > PAYLOAD_MAX) _exit(1);
        *payload = take(frame.size);
        if (frame.kind == RELEASE) released(*payload, frame.size);
        return frame;
}

static void answer_placed(uint64_t id, const uint8_t *data, uint64_t size) {
        struct {
                struct frame frame;
                struct head head;
                struct part_head part;
                char type[sizeof type - 1];
        } __attribute__((packed)) first = {.frame = {.kind = RESULT, .flags = MORE, .id = id},
                                           .head = {.parts = 1},
                                           .part = {.type_length = sizeof type - 1, .size = size}};
        memcpy(first.type, type, sizeof first.type);
        first.frame.size = sizeof first - sizeof first.frame;
        write_all(&first, sizeof first);
        for (uint64_t done = 0, piece; done < size; done += piece) {
                int number = 0;
                if (in_place) memset(is_out, 0, sizeof is_out); /* one part at a time, and it has come back by now */
                while (number < PIECES && is_out[number]) number++;
                if (number == PIECES) {
                        const uint8_t *payload;
                        if (next_frame(&payload).kind != RELEASE) _exit(1);
                        piece = 0;
                        continue;
                }
                piece = size - done < PIECE && !in_place ? size - done : in_place ? size : PIECE;
                struct {
                        struct frame frame;
                        struct place place;
                } __attribute__((packed)) next = {.frame = {.size = sizeof(struct place),
                                                            .kind = RESULT,
                                                            .flags = (done + piece < size ? MORE : 0) | PLACED,
                                                            .id = id},
                                                  .place = {half + (uint64_t)number * PIECE, piece}};
                memcpy(arena + next.place.offset, data + done, piece);
                is_out[number] = 1;
                write_all(&next, sizeof next);
        }
}

static void answer(uint64_t id, const uint8_t *data, uint64_t size, int has_part) {
        static uint8_t out[sizeof(struct frame) + PAYLOAD_MAX];
        struct head head = {.parts = has_part ? 1 : 0};
        struct part_head part = {.type_length = sizeof type - 1, .size = size};
        size_t at = sizeof(struct frame);
        memcpy(out + at, &head, sizeof head);
        at += sizeof head;
        if (has_part) {
                memcpy(out + at, &part, sizeof part);
                memcpy(out + at + sizeof part, type, part.type_length);
                at += sizeof part + part.type_length;
        }
        if (arena && size > PAYLOAD_MAX) return answer_placed(id, data, size);
        for (;;) {
                size_t piece = size < sizeof out - at ? size : sizeof out - at;
                if (piece > 0) memcpy(out + at, data, piece);
                data += piece;
                size -= piece;
                at += piece;
                struct frame frame = {
                    .size = (uint32_t)(at - sizeof frame), .kind = RESULT, .flags = size > 0 ? MORE : 0, .id = id};
                memcpy(out, &frame, sizeof frame);
                write_all(out, at);
                if (size == 0) return;
                at = sizeof frame;
        }
}

int main(void) {
        static const struct {
                struct frame frame;
                uint32_t magic;
                uint16_t lowest, highest;
                uint32_t interrupts, reserved;
                uint64_t largest;
                uint16_t name_length;
                char name[4];
                struct frame ready;
        } __attribute__((packed)) greeting = {{.size = 30, .kind = HELLO}, 0x5254554C,     1, 1, 8, 0, 1u << 30, 4,
                                              {'e', 'c', 'h', 'o'},        {.kind = READY}};
        write_all(&greeting, sizeof greeting);
        const uint8_t *payload;
        struct frame frame = next_frame(&payload);
        uint32_t abilities, mib;
        if (frame.kind != HELLO || frame.size < 16) return 1;
        memcpy(&abilities, payload + 8, sizeof abilities);
        memcpy(&mib, payload + 12, sizeof mib);
        in_place = (abilities & 16) != 0;
        half = (uint64_t)mib << 20;
        if (half > 0) arena = mmap(NULL, 2 * half, PROT_READ | PROT_WRITE, MAP_SHARED, ARENA, 0);
        if (half > 0 && arena == MAP_FAILED) return 1;
        uint8_t *body = NULL;
        size_t filled = 0, room = 0;
        for (;;) {
                frame = next_frame(&payload);
                if (frame.kind == STOP) return 0;
                if (frame.kind != CALL) continue;
                struct place place;
                uint64_t size = frame.size;
                if (frame.flags & PLACED) {
                        if (frame.size != sizeof place) return 1;
                        memcpy(&place, payload, sizeof place);
                        size = place.size;
                        payload = arena + place.offset;
                }
                if (filled + size > room) {
                        room = 2 * (filled + size);
                        body = realloc(body, room);
                        if (!body) return 1;
                }
                memcpy(body + filled, payload, size);
                filled += size;
                if (frame.flags & PLACED) {
                        struct {
                                struct frame frame;
                                struct place place;
                        } __attribute__((packed))
                        back = {.frame = {.size = sizeof place, .kind = RELEASE}, .place = place};
                        write_all(&back, sizeof back);
                }
                if (frame.flags & MORE) continue;
                struct head head;
                struct part_head part;
                if (filled < sizeof head) return 1;
                memcpy(&head, body, sizeof head);
                size_t at = sizeof head + head.name_length;
                if (head.parts != 1 || head.name_length != 4 || filled < at + sizeof part) return 1;
                memcpy(&part, body + at, sizeof part);
                at += sizeof part + part.type_length;
                if (filled < at || filled - at != part.size) return 1;
                const char *verb = (const char *)body + sizeof head;
                if (memcmp(verb, "echo", 4) == 0) {
                        answer(frame.id, body + at, part.size, 1);
                } else if (memcmp(verb, "take", 4) == 0) {
                        answer(frame.id, NULL, 0, 0);
                } else if (memcmp(verb, "give", 4) == 0 && part.size == sizeof(uint64_t)) {
                        static uint8_t *gift;
                        static uint64_t ready;
                        uint64_t wanted;
                        memcpy(&wanted, body + at, sizeof wanted);
                        if (wanted > ready) { /* once: the pages are the machine's to find, not the call's */
                                gift = realloc(gift, wanted);
                                if (!gift) return 1;
                                memset(gift, 7, wanted);
                                ready = wanted;
                        }
                        answer(frame.id, gift, wanted, 1);
                } else {
                        return 1;
                }
                filled = 0;
        }
}
