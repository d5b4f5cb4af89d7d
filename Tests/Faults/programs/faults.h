/* SPDX-License-Identifier: Apache-2.0 */
/* One failing system call for each launch. Two processes: the *subject*, a host that launches a worker again and again,
 * and its *tracer*, which follows the subject, the middle, init and the worker until its exec, and makes the one system
 * call fail that it was told to. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

/* What the subject says at a breakpoint; the tracer answers in `page`. */
enum mark {
        MARK_NEXT = 1, /* what next? the tracer fills `last` */
        MARK_ARM,      /* from here on system calls count */
        MARK_SPAWNED,  /* the subject's own no longer do */
        MARK_ENDED,    /* the host says that the worker is gone: the tracer fills `left` */
        MARK_RESULT,   /* `outcome` is complete */
        MARK_READY     /* set up, and warm */
};

enum { FAR_NOWHERE, FAR_HOST, FAR_SPAWN, FAR_READY, FAR_RAN, FAR_END };

struct outcome {
        int far; /* where the error came from; FAR_RAN: there was none */
        int code, error, step, reason, exit_code, same_text, agrees, next_works, events_after;
        long milliseconds;
        char subject[512], message[1024], why[1024], missing[256], leaks[2048], difference[1024];
};

struct page {
        int mark, last, left;
        struct outcome outcome;
};

struct scenario {
        const char *preset, *kind, *program;
        const char *words[16]; /* "word value" of the policy */
        int count;
};

/* Runs in the traced process; never returns. */
void subject(const struct scenario *scenario, struct page *page);

/* Prints the plan as `lauter_policy_explain` does. */
int show_plan(const struct scenario *scenario);

/* Shows that every probe for leaks sees what it looks for: prints one line for each. */
int show_probes(void);

#endif
