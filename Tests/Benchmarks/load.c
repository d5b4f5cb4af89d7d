/* SPDX-License-Identifier: Apache-2.0 */
/* What loading the library costs a C program that did without it: `load LIBRARY` prints the time of its dlopen in
 * microseconds and the bytes that are resident more: after it, and after a host was made. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_us(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static long resident_bytes(void) {
        char line[256];
        long kib = -1;
        FILE *file = fopen("/proc/self/smaps_rollup", "r");
        while (file && kib < 0 && fgets(line, sizeof line, file))
                if (strncmp(line, "Rss:", 4) == 0) kib = strtol(line + 4, NULL, 10);
        if (file) fclose(file);
        if (kib < 0) {
                perror("/proc/self/smaps_rollup");
                exit(1);
        }
        return kib * 1024;
}

int main(int count, char **arguments) {
        if (count != 2) return 2;
        (void)resident_bytes(); /* once, so that its own memory is there */
        (void)dlsym(NULL, "no such symbol");
        long before = resident_bytes();
        double begun = now_us();
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        double ended = now_us();
        if (!library) {
                fprintf(stderr, "%s\n", dlerror());
                return 1;
        }
        long loaded = resident_bytes();
        void *host, *error = NULL;
        int32_t (*host_new)(void **, void **);
        *(void **)&host_new = dlsym(library, "lauter_host_new");
        if (!host_new || host_new(&host, &error) != 0) {
                fprintf(stderr, "lauter_host_new did not work\n");
                return 1;
        }
        printf("%.1f %ld %ld\n", ended - begun, loaded - before, resident_bytes() - before);
        return 0;
}
