/* SPDX-License-Identifier: Apache-2.0 */
#include "unpack.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

/* Magic, flags, block limit, size (8), checksum of the header, size of the block: then the block, an empty block, and
 * the checksum of what comes out. */
enum { FLAGS = 4, SIZE = 6, BLOCK_SIZE = 15, BLOCK = 19, TAIL = 8, STEP = 16 };

static uint32_t word(const unsigned char *at) {
        return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t turn(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* xxHash32 with the seed 0. */
static uint32_t checksum(const unsigned char *at, size_t size) {
        const uint32_t p1 = 2654435761U, p2 = 2246822519U, p3 = 3266489917U, p4 = 668265263U, p5 = 374761393U;
        const unsigned char *end = at + size;
        uint32_t hash = p5, lane[4] = {p1 + p2, p2, 0, -p1};
        for (; end - at >= 16; at += 16)
                for (int i = 0; i < 4; i++) lane[i] = turn(lane[i] + word(at + 4 * i) * p2, 13) * p1;
        if (size >= 16) hash = turn(lane[0], 1) + turn(lane[1], 7) + turn(lane[2], 12) + turn(lane[3], 18);
        hash += (uint32_t)size;
        for (; end - at >= 4; at += 4) hash = turn(hash + word(at) * p3, 17) * p4;
        for (; at < end; at++) hash = turn(hash + *at * p5, 11) * p1;
        hash = (hash ^ hash >> 15) * p2;
        hash = (hash ^ hash >> 13) * p3;
        return hash ^ hash >> 16;
}

size_t claunch_unpacked_size(const unsigned char *frame, size_t length) {
        /* Version 1, its size in front, its checksum behind, no dictionary, no checksum of the block. */
        if (length < BLOCK + TAIL || word(frame) != 0x184D2204U || (frame[FLAGS] & 0xDD) != 0x4C) return 0;
        if (word(frame + SIZE + 4) || word(frame + BLOCK_SIZE) != length - BLOCK - TAIL) return 0; /* 2^31: as it is */
        return word(frame + SIZE);
}

/* A length that did not fit its four bits goes on in bytes, the last of which is not 255. */
static int lengthen(size_t *length, const unsigned char **from, const unsigned char *end) {
        unsigned char more = 255;
        if (*length == 15)
                for (; more == 255; *length += more) {
                        if (*from == end) return 0;
                        more = *(*from)++;
                }
        return 1;
}

/* Copy `count` bytes of the `room` that both sides have, in steps of fixed size, which are no calls: what is too much is
 * overwritten by what follows. A step reads only what earlier ones wrote when the sides are a step apart. */
static inline void copy(unsigned char *to, const unsigned char *from, size_t count, size_t room) {
        size_t at = 0;
        for (; at < count && room - at >= STEP; at += STEP) memcpy(to + at, from + at, STEP);
        for (; at < count; at++) to[at] = from[at];
}

int claunch_unpack(const unsigned char *frame, size_t length, unsigned char *to) {
        size_t size = claunch_unpacked_size(frame, length), count;
        if (!size) return -EBADMSG;
        const unsigned char *from = frame + BLOCK, *end = frame + length - TAIL;
        unsigned char *at = to, *limit = to + size;
        for (;;) {
                if (from == end) return -EBADMSG;
                unsigned token = *from++;
                count = token >> 4;
                if (!lengthen(&count, &from, end)) return -EBADMSG;
                if (count > (size_t)(end - from) || count > (size_t)(limit - at)) return -EBADMSG;
                size_t left = (size_t)(end - from), room = (size_t)(limit - at);
                copy(at, from, count, left < room ? left : room);
                from += count, at += count;
                if (from == end) break; /* The last sequence ends behind its literals. */
                if (end - from < 2) return -EBADMSG;
                size_t distance = (size_t)from[0] | (size_t)from[1] << 8;
                from += 2;
                count = token & 15;
                if (!lengthen(&count, &from, end)) return -EBADMSG;
                count += 4;
                if (!distance || distance > (size_t)(at - to) || count > (size_t)(limit - at)) return -EBADMSG;
                const unsigned char *back = at - distance;
                if (distance >= STEP) {
                        copy(at, back, count, (size_t)(limit - at));
                } else {
                        for (size_t i = 0; i < count; i++) at[i] = back[i]; /* reads what it wrote */
                }
                at += count;
        }
        return at == limit && word(end) == 0 && checksum(to, size) == word(end + 4) ? 0 : -EBADMSG;
}
