/* SPDX-License-Identifier: Apache-2.0 */
/* Unpacks what the library carries packed: one LZ4 frame of one block, as
 * `lz4 -12 --favor-decSpeed -B7 --content-size` writes it. https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md */
#pragma once

#include <stddef.h>

/* The size that the frame says it unpacks to; 0 when it is no such frame. */
size_t claunch_unpacked_size(const unsigned char *frame, size_t length);

/* Unpack into `to`, of claunch_unpacked_size() bytes. Reads nothing outside the frame and writes nothing outside
 * `to`, whatever the frame holds. 0, or -EBADMSG when it does not unpack to just these bytes with its checksum. */
int claunch_unpack(const unsigned char *frame, size_t length, unsigned char *to);
