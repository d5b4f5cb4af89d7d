/* SPDX-License-Identifier: Apache-2.0 */
/* What system calls cost here, with a sandbox's filter around them or without: a line of nanoseconds a call, each that
 * of the fastest tenth of many batches: others on the machine only add to it. Linked statically.
 *
 * In the order of `enum call`; the kernel itself has next to nothing to do for any of them. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum call {
        PLAIN,   /* allowed whatever its arguments are */
        READ,    /* the same: the most frequent of all */
        LOOKED,  /* allowed after a look at an argument */
        UNKNOWN, /* ENOSYS: of the filter, where there is one, else of the kernel */
        TOLD,    /* refused where there is a filter, and init is asked */
        CALLS
};
enum { BATCHES = 41, EACH = 2000, EACH_TOLD = 20 };

static void make(enum call call) {
        char byte;
        switch (call) {
        case PLAIN:
                syscall(SYS_getppid);
                break;
        case READ:
                syscall(SYS_read, -1, &byte, 1);
                break;
        case LOOKED:
                syscall(SYS_ioctl, -1, 0x5401, &byte);
                break;
        case UNKNOWN:
                syscall(4000);
                break;
        default:
                syscall(SYS_bpf, -1, NULL, 0);
                break;
        }
}

static double now_ns(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *left, const void *right) {
        double difference = *(const double *)left - *(const double *)right;
        return difference < 0 ? -1 : difference > 0;
}

int main(void) {
        for (enum call call = 0; call < CALLS; call++) {
                double times[BATCHES];
                int each = call == TOLD ? EACH_TOLD : EACH;
                for (int batch = 0; batch < BATCHES; batch++) {
                        double begun = now_ns();
                        for (int i = 0; i < each; i++) make(call);
                        times[batch] = (now_ns() - begun) / each;
                }
                qsort(times, BATCHES, sizeof *times, compare);
                printf("%.1f ", times[BATCHES / 10]);
        }
        printf("\n");
        return 0;
}
