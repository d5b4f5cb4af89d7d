/* SPDX-License-Identifier: Apache-2.0 */
/* `loader often|as-it-is|faults LIBRARY WORKER`: prints "undisturbed" if it was. */
#include "loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *library_path, *worker_program;
static void *library;

/* Each function of the library that is used here, and where it is now. */
#define FUNCTIONS(each)                                                                                                \
        each(abi_version) each(host_new) each(host_free) each(policy_new) each(policy_set) each(policy_free)           \
            each(launch_new) each(launch_set) each(launch_free) each(spawn) each(worker_wait_ready)                    \
                each(worker_wait_exit) each(call_start) each(call_wait) each(event_clear) each(error_message)
#define DECLARE(name) __typeof__(lauter_##name) *name;
static struct { FUNCTIONS(DECLARE) } lib;

void complain(const char *file, int line, const char *form, ...) {
        va_list arguments;
        fprintf(stderr, "%s:%d: ", file, line);
        va_start(arguments, form);
        vfprintf(stderr, form, arguments);
        va_end(arguments);
        fprintf(stderr, " (errno: %s)\n", strerror(errno));
        exit(1);
}

static void *symbol(const char *name) {
        void *found = dlsym(library, name);
        expect(found, "%s", name);
        return found;
}

void load(void) {
        library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
        expect(library, "%s", dlerror());
#define FIND(name) *(void **)&lib.name = symbol("lauter_" #name);
        FUNCTIONS(FIND)
        expect(lib.abi_version() == LAUTER_ABI_VERSION, "another version");
}

void unload(void) { expect(dlclose(library) == 0, "%s", dlerror()); }

int is_loaded(void) {
        char line[512];
        int found = 0;
        FILE *maps = fopen("/proc/self/maps", "r");
        expect(maps, "/proc/self/maps");
        while (fgets(line, sizeof line, maps)) found |= strstr(line, "liblauter.so") != NULL;
        fclose(maps);
        return found;
}

/* -------------------------------------------------------------------------------------------------- one life -- */

static lauter_host *host;
static lauter_worker worker;
static lauter_error *error;

static void must(int32_t code) { expect(code >= 0, "%s", lib.error_message(error)); }

void begin_life(void) {
        lauter_policy *policy;
        lauter_launch *launch;
        must(lib.host_new(&host, &error));
        must(lib.policy_new("notebook", &policy, &error));
        must(lib.policy_set(policy, "read", worker_program, &error));
        must(lib.launch_new("worker", &launch, &error));
        must(lib.launch_set(launch, "argument", worker_program, &error));
        must(lib.spawn(host, policy, launch, 0, &worker, &error));
        lib.launch_free(launch);
        lib.policy_free(policy);
        must(lib.worker_wait_ready(host, worker, 20000, &error));
}

static void call(const char *verb, const char *text, lauter_call *id) {
        lauter_part part = {"text/plain", text, strlen(text)};
        must(lib.call_start(host, worker, LAUTER_LANE_MAIN, verb, &part, 1, -1, 0, id, &error));
}

void end_life(void) {
        lauter_event event = {.size = sizeof event};
        lauter_call id;
        call("echo", "hello", &id);
        must(lib.call_wait(host, id, 20000, &event, &error));
        expect(event.status == LAUTER_OK && event.part_count == 1 && event.parts[0].size == 5, "no echo");
        call("exit", "3", &id);
        must(lib.worker_wait_exit(host, worker, 20000, &event, &error));
        expect(event.report->exit_code == 3, "it ended otherwise: %s", event.report->why);
        lib.event_clear(&event);
        lib.host_free(host);
}

/* ------------------------------------------------------------------------------------------ loaded 1,000 times -- */

/* Memory is what is resident and no file's: how much of the libraries is depends on what else the machine reads of them. */
struct size {
        long descriptors, maps, memory_kib, allocated;
};

static struct size measure(void) {
        char line[512];
        struct size size = {0, 0, 0, (long)mallinfo2().uordblks};
        long anonymous = 0, shared = 0;
        DIR *folder = opendir("/proc/self/fd");
        while (readdir(folder)) size.descriptors++;
        closedir(folder);
        FILE *file = fopen("/proc/self/maps", "r");
        while (fgets(line, sizeof line, file)) size.maps++;
        fclose(file);
        file = fopen("/proc/self/smaps_rollup", "r");
        while (fgets(line, sizeof line, file)) {
                (void)sscanf(line, "Anonymous: %ld", &anonymous);
                (void)sscanf(line, "Pss_Shmem: %ld", &shared);
        }
        fclose(file);
        size.memory_kib = anonymous + shared;
        return size;
}

static void loads_often(void) {
        struct size early = {0, 0, 0, 0}, late;
        for (int i = 1; i <= 1000; i++) {
                load();
                if (i % 10 == 0) {
                        begin_life();
                        end_life();
                }
                if (i == 1) expect(is_loaded(), "the probe does not see the library");
                unload();
                if (i % 100 == 0) expect(!is_loaded(), "it stays loaded");
                if (i == 200) early = measure();
        }
        late = measure();
        /* The probe sees a descriptor, a mapping, memory more. */
        char *volatile block = malloc(32768);
        FILE *file = fopen("/dev/zero", "r+");
        char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
        expect(memory != MAP_FAILED, "mmap");
        memset(memory, 1, 1 << 20);
        struct size more = measure();
        expect(more.descriptors == late.descriptors + 1 && more.memory_kib >= late.memory_kib + 1000 &&
                   more.maps > late.maps && more.allocated >= late.allocated + 32768,
               "the probe is blind");
        fclose(file);
        munmap(memory, 1 << 20);
        free(block);
        expect(late.descriptors == early.descriptors && late.maps == early.maps,
               "800 times more: %ld descriptors, %ld mappings more", late.descriptors - early.descriptors,
               late.maps - early.maps);
        /* 20 bytes that nobody frees, each time, would be more; memory moves with the allocator's gaps. */
        expect(late.allocated <= early.allocated + 16384 && late.memory_kib <= early.memory_kib + 512,
               "800 times more: %ld bytes allocated, %ld KiB of memory more", late.allocated - early.allocated,
               late.memory_kib - early.memory_kib);
}

/* --------------------------------------------------------------------------------------------- stays as it is -- */

/* Ends with the first line that differs. */
static void compare(const char *before, char *after, const char *when) {
        const char *was = before, *is = after;
        if (strcmp(before, after) == 0) {
                free(after);
                return;
        }
        while (strcspn(was, "\n") == strcspn(is, "\n") && strncmp(was, is, strcspn(was, "\n")) == 0) {
                was += strcspn(was, "\n") + 1;
                is += strcspn(is, "\n") + 1;
        }
        expect(0, "%s: \"%.*s\" is now \"%.*s\"", when, (int)strcspn(was, "\n"), was, (int)strcspn(is, "\n"), is);
}

static void stays_as_it_is(void) {
        check_description();
        /* The first time libc and the loader get their own memory. */
        load();
        unload();
        char *before = describe_process();
        load();
        compare(before, describe_process(), "loaded");
        begin_life();
        compare(before, describe_process(), "with a worker");
        end_life();
        compare(before, describe_process(), "with a worker's end");
        unload();
        compare(before, describe_process(), "unloaded");
        free(before);
}

/* ------------------------------------------------------------------------------------- faults that are its own -- */

static char alternate[65536];
static sigjmp_buf back;
static volatile sig_atomic_t faults, off_stack;

static void on_fault(int number, siginfo_t *info, void *context) {
        char here;
        (void)number;
        (void)info;
        (void)context;
        faults++;
        off_stack += &here < alternate || &here >= alternate + sizeof alternate;
        siglongjmp(back, 1);
}

static int overflow(volatile char *above, int depth) {
        volatile char page[4096];
        page[0] = above ? above[0] : 0;
        return depth == 0 ? page[0] : overflow(page, depth - 1) + page[0];
}

/* Each kind once; the handler must have had all. */
static void fault(const char *when) {
        int before = faults;
        if (sigsetjmp(back, 1) == 0) *(volatile int *)16 = 1;
        if (sigsetjmp(back, 1) == 0) overflow(NULL, 1 << 30);
        if (sigsetjmp(back, 1) == 0) raise(SIGILL);
        if (sigsetjmp(back, 1) == 0) raise(SIGABRT);
        if (sigsetjmp(back, 1) == 0) raise(SIGTRAP);
        expect(faults == before + 5 && off_stack == 0, "%s: %d of 5 faults caught, %d off the stack", when,
               faults - before, (int)off_stack);
}

static void catches_its_faults(void) {
        static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP};
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
        expect(sigaltstack(&stack, NULL) == 0, "sigaltstack");
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
                struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
                action.sa_sigaction = on_fault;
                expect(sigaction(numbers[i], &action, NULL) == 0, "sigaction");
        }
        fault("before");
        load();
        fault("loaded");
        begin_life();
        fault("with a worker");
        end_life();
        fault("with a worker's end");
        unload();
        fault("unloaded");
}

int main(int count, char **arguments) {
        if (count != 4) return 2;
        library_path = arguments[2];
        worker_program = arguments[3];
        alarm(100);
        if (strcmp(arguments[1], "often") == 0)
                loads_often();
        else if (strcmp(arguments[1], "as-it-is") == 0)
                stays_as_it_is();
        else if (strcmp(arguments[1], "faults") == 0)
                catches_its_faults();
        else
                return 2;
        puts("undisturbed");
        return 0;
}
