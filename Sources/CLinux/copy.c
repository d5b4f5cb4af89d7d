/* SPDX-License-Identifier: Apache-2.0 */
#include "clinux_unnamed.h"
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

void lx_copy_past_cache(void *to, const void *from, size_t size) {
        char *out = (char *)to;
        const char *in = (const char *)from;
#if defined(__x86_64__)
        size_t first = (size_t)(-(uintptr_t)out & 63);
        if (first > size) first = size;
        memcpy(out, in, first);
        size_t at = first;
        for (; at + 64 <= size; at += 64) {
                __m128i a = _mm_loadu_si128((const __m128i *)(in + at));
                __m128i b = _mm_loadu_si128((const __m128i *)(in + at + 16));
                __m128i c = _mm_loadu_si128((const __m128i *)(in + at + 32));
                __m128i d = _mm_loadu_si128((const __m128i *)(in + at + 48));
                _mm_stream_si128((__m128i *)(out + at), a);
                _mm_stream_si128((__m128i *)(out + at + 16), b);
                _mm_stream_si128((__m128i *)(out + at + 32), c);
                _mm_stream_si128((__m128i *)(out + at + 48), d);
        }
        _mm_sfence();
        memcpy(out + at, in + at, size - at);
#else
        memcpy(out, in, size);
#endif
}
