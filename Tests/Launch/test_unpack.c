/* SPDX-License-Identifier: Apache-2.0 */
/* test_unpack PACKED PLAIN: what the library carries unpacks to what was packed, and nothing else unpacks at all. Built
 * with the address sanitizer; every buffer is exactly as large as it must be. */
#include "unpack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
        unsigned char *bytes;
        size_t count;
} file;

static int result;

static void expect(int holds, const char *sentence) {
        printf("%s %s\n", holds ? "ok  " : "FAIL", sentence);
        if (!holds) result = 1;
}

static file whole(const char *path) {
        FILE *from = fopen(path, "rb");
        if (!from || fseek(from, 0, SEEK_END) < 0) perror(path), exit(2);
        file it = {.count = (size_t)ftell(from)};
        it.bytes = malloc(it.count);
        rewind(from);
        if (fread(it.bytes, 1, it.count, from) != it.count) perror(path), exit(2);
        fclose(from);
        return it;
}

/* 1: the first `count` bytes of `packed` unpack to `plain`; 0: refused; -1: taken for something else. */
static int unpacks(const unsigned char *packed, size_t count, file plain) {
        unsigned char *exact = malloc(count ? count : 1);
        memcpy(exact, packed, count);
        size_t size = claunch_unpacked_size(exact, count);
        int answer = 0;
        if (size && size <= 64U << 20) {
                unsigned char *to = malloc(size);
                int code = claunch_unpack(exact, count, to);
                if (code == 0)
                        answer = size == plain.count && !memcmp(to, plain.bytes, size) ? 1 : -1;
                else if (code != -EBADMSG)
                        answer = -1;
                free(to);
        }
        free(exact);
        return answer;
}

/* The size of the block, which stands in front of it, made true to a frame that was cut. */
static void size_block(unsigned char *frame, size_t count) {
        for (int i = 0; i < 4; i++) frame[15 + i] = (unsigned char)((count - 27) >> 8 * i);
}

int main(int count, char **words) {
        if (count != 3) return 2;
        file packed = whole(words[1]), plain = whole(words[2]);
        expect(unpacks(packed.bytes, packed.count, plain) == 1, "what was packed is unpacked");

        int refused = 1;
        for (size_t at = 0; at < packed.count; at += at < 64 ? 1 : 997)
                refused &= unpacks(packed.bytes, at, plain) == 0;
        expect(refused, "a frame that is cut off is refused");

        refused = 1;
        unsigned char *cut = malloc(packed.count);
        for (size_t at = 27; at < packed.count; at += at < 256 ? 1 : 499) {
                memcpy(cut, packed.bytes, packed.count);
                memmove(cut + at - 8, packed.bytes + packed.count - 8, 8);
                size_block(cut, at);
                refused &= unpacks(cut, at, plain) == 0;
        }
        expect(refused, "a block that is cut off is refused");

        /* Byte 5 limits a block's size and byte 14 sums up the header: nothing is taken from either. */
        refused = 1;
        for (size_t at = 0; at < packed.count; at += at < 64 || at > packed.count - 64 ? 1 : 101) {
                if (at == 5 || at == 14) continue;
                unsigned char was = packed.bytes[at];
                packed.bytes[at] ^= (unsigned char)(1 + at % 255);
                int answer = unpacks(packed.bytes, packed.count, plain);
                /* In the block there may be two ways to say the same: a copy of the same bytes from elsewhere. */
                refused &= answer == 0 || (answer == 1 && at >= 19 && at < packed.count - 8);
                packed.bytes[at] = was;
        }
        expect(refused, "a frame with a byte changed is refused");
        expect(unpacks(packed.bytes, packed.count, plain) == 1, "and with its byte again it is not");
        free(cut);
        free(packed.bytes);
        free(plain.bytes);
        return result;
}
