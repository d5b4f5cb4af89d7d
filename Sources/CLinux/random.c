/* SPDX-License-Identifier: Apache-2.0 */
/* Swift seeds its hash tables by arc4random_buf, which glibc has from 2.36 on. Our own, seen by nobody else, keeps the
 * library loadable where glibc is older. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>

__attribute__((visibility("hidden"))) void arc4random_buf(void *memory, size_t size) {
        for (unsigned char *at = memory; size > 0;) {
                ssize_t got = getrandom(at, size, 0);
                if (got < 0 && errno != EINTR) abort();
                if (got > 0) {
                        at += got;
                        size -= (size_t)got;
                }
        }
}
