/* SPDX-License-Identifier: Apache-2.0 */
/* What lauter-init can ask of its own allocator. */
#ifndef CINIT_H
#define CINIT_H

/* Everything that was handed out is garbage: whoever still has some of it never looks at it, nor gives it back. */
void cinit_forget_memory(void);

#endif
