/* SPDX-License-Identifier: Apache-2.0 */
/* What lauter-init is made of that is not Swift's. */
#ifndef CINIT_H
#define CINIT_H

#include <stdint.h>

/* Everything that was handed out is garbage: whoever still has some of it never looks at it, nor gives it back. */
void cinit_forget_memory(void);

/* `lauter-NUMBER` in a folder, NUMBER in 16 hexadecimal digits, locked (flock) while its init lives. */
struct cinit_scratch {
        int base, folder; /* open; -1 for none */
        uint64_t number;
};

/* Make it, with `tmp` and perhaps `home` in it, and remove those of inits that are no more, for 200 ms at most. NULL, or the
 * call that failed, with errno set. */
const char *cinit_scratch_make(struct cinit_scratch *scratch, const char *base, uint64_t number, int has_home);

/* Remove it with all that is in it, as far as that can be done in `patience` milliseconds; the rest is for another init's
 * cinit_scratch_make. Nobody may be at work in it. */
void cinit_scratch_remove(const struct cinit_scratch *scratch, unsigned patience);

#endif
