/* SPDX-License-Identifier: Apache-2.0 */
/* Launching a plan, hearing what init says of it, and saying what a test expected. */
#ifndef TEST_HARNESS_H
#define TEST_HARNESS_H

#include "claunch.h"
#include "plan.h"

#include <stdio.h>

/* Where the program of the tests lies, in a folder that everybody may read. */
extern const char *probe_folder;
/* Inside a sandbox. */
#define PROBE "/bin/probe"

typedef struct packet {
        int kind; /* 1 failed, 2 started, 3 exited; 0: end of the control socket */
        uint32_t step;
        int error, code, signal, flags;
        uint64_t user_us, system_us, peak_kib;
        char call[64]; /* what failed */
} packet;
enum { CLOSED = 0, FAILED = 1, STARTED = 2, EXITED = 3 };

typedef struct worker {
        int pidfd, pid;
        int control, session, output; /* the host's ends */
        claunch_result result;
} worker;

typedef struct options {
        uint64_t without; /* namespaces to leave out */
        const int *trees; /* descriptors from 8 on */
        int tree_count;
        const char *input; /* file on descriptor 0, /dev/null by default */
        int bad_init;      /* execute a file that is none */
} options;

int is_root(void);

/* Steps that make a small root with the probe, /proc, /dev/null and /tmp. Returns the first free slot. */
int sandbox(plan *p);
/* The steps after it, up to the program, which runs the probe with up to five words. */
void finish(plan *p, const char *first, ...) __attribute__((sentinel));
void end_building(plan *p);

/* Start `p`; 0 or -errno, with w->result. */
int start(worker *w, const plan *p, const options *o);
/* The next word of init, waiting up to ten seconds for it. */
packet hear(const worker *w);
/* Send a signal through init. */
void order(const worker *w, int number, int group);
/* Wait until init is gone. 1 if it is, in time. */
int ended(const worker *w, int timeout_ms);
/* All that the worker writes until everybody has closed its output. */
const char *output_of(const worker *w);
/* Close the host's ends. */
void forget(worker *w);
/* Start, hear `started` and `exited`, forget; returns the exit, and what was written in *text. */
packet run_to_end(const plan *p, const options *o, const char **text);

/* Start a plan that fails at step `number` with `error`; nothing else will do. */
void expect_failure(const plan *p, uint32_t number, int error);

/* The same with options, and `call` as what failed. */
void expect_failure_of(const plan *p, const options *o, uint32_t number, const char *call, int error);

/* Open descriptors of this process; processes whose arguments contain `token`. */
int count_descriptors(void);
int count_processes(const char *token);

void test(const char *sentence, void (*body)(void));
void expect_at(int line, int holds, const char *format, ...) __attribute__((format(printf, 3, 4)));
#define expect(holds, ...) expect_at(__LINE__, (holds) != 0, __VA_ARGS__)
#define expect_equal(got, wanted)                                                                                      \
        do {                                                                                                           \
                long long got_ = (long long)(got), wanted_ = (long long)(wanted);                                      \
                expect_at(__LINE__, got_ == wanted_, "%s is %lld, not %lld", #got, got_, wanted_);                     \
        } while (0)
#define expect_text(text, part) expect_at(__LINE__, strstr(text, part) != NULL, "no \"%s\" in:\n%s", part, text)
#define expect_no_text(text, part) expect_at(__LINE__, strstr(text, part) == NULL, "\"%s\" in:\n%s", part, text)
int report(void);

#endif
