/* SPDX-License-Identifier: Apache-2.0 */
/* The only function of libm that Swift's hash tables ask for. With one of our own, what ships does not load libm: a
 * third of a megabyte of the host's memory. */
#include <stdint.h>
#include <string.h>

__attribute__((visibility("hidden"))) double ceil(double value) {
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        int exponent = (int)(bits >> 52 & 0x7FF) - 1023;
        if (exponent >= 52) return value; /* whole, infinite or no number */
        if (exponent < 0) {
                if (value == 0) return value;
                return value > 0 ? 1.0 : -0.0;
        }
        uint64_t fraction = (UINT64_C(1) << (52 - exponent)) - 1;
        if (!(bits & fraction)) return value;
        /* Up is away from zero for what is positive; a carry into the exponent is what it should be. */
        if (value > 0) bits += fraction;
        bits &= ~fraction;
        memcpy(&value, &bits, sizeof bits);
        return value;
}
