/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest program that shows that it runs. Linked statically: what a loader takes is not the sandbox's. */
#include <unistd.h>

int main(void) { return write(1, "x", 1) == 1 ? 0 : 1; }
