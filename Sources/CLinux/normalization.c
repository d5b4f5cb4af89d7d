/* SPDX-License-Identifier: Apache-2.0 */
/* Strings are equal in what ships when their characters are the same ones, not when Unicode calls them equivalent: a
 * file's name in composed letters and one in decomposed letters are two files, and a rule names one of them. Swift
 * asks these before it compares or hashes text beyond ASCII; the answers say that nothing composes (syllables of
 * Hangul excepted, which Swift composes by arithmetic). The standard tables would be 30 KB of the library. */
#ifdef LAUTER_EMBEDDED /* the Swift runtime of a full build has its own */
#include <stdint.h>

__attribute__((visibility("hidden"))) uint16_t _swift_stdlib_getNormData(uint32_t scalar) {
        (void)scalar;
        return 0; /* combining class 0, normal in every form */
}

__attribute__((visibility("hidden"))) uint32_t _swift_stdlib_getDecompositionEntry(uint32_t scalar) {
        (void)scalar;
        return 0; /* none: an entry of another character */
}

static const uint8_t nothing = 0;
__attribute__((visibility("hidden"))) const uint8_t *const _swift_stdlib_nfd_decompositions = &nothing;

__attribute__((visibility("hidden"))) uint32_t _swift_stdlib_getComposition(uint32_t first, uint32_t second) {
        (void)first, (void)second;
        return UINT32_MAX; /* compose to none */
}
#endif
