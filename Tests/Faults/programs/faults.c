/* SPDX-License-Identifier: Apache-2.0 */
/* faults probes
 * faults plan PRESET KIND PROGRAM ["WORD VALUE"…]
 * faults PRESET KIND PROGRAM ["WORD VALUE"…] <requests
 *
 * Requests, one a line: `record` lists the system calls of a launch; `ROLE NUMBER NTH ERRNO MODE` lets the NTH call with
 * this NUMBER that ROLE makes fail, instead of being made (MODE 0) or after it was (MODE 1: what a failed close has
 * closed stays closed). Each answer is one JSON object a line. */
#define _GNU_SOURCE
#include "faults.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "this rewrites system calls in registers of x86_64"
#endif

enum role { UNKNOWN, HOST, HOLDER, MIDDLE, INIT, WORKER, OTHER, ROLES };
static const char *const role_names[] = {"unknown", "host", "holder", "middle", "init", "worker", "other"};

enum { TRACED = 64, CALLS = 512, RECORDS = 8192, HANG_SECONDS = 20 };

static struct traced {
        pid_t pid;
        enum role role;
        int counts;    /* its calls are part of the launch */
        int override;  /* errno to put into the result at the call's end */
        int is_parked; /* stopped before its parent told of it */
        int signal;    /* to be delivered when it goes on */
} traced[TRACED];

static struct record {
        enum role role;
        long number, arguments[6], result;
        char text[256];
        pid_t pid;
} records[RECORDS];

static struct page *page;
static struct scenario scenario;
static int record_count, is_recording, is_armed, was_hit, is_warm;
static int seen[ROLES][CALLS];
static struct {
        enum role role;
        long number;
        int nth, error, after;
} wanted;

static struct traced *find(pid_t pid) {
        for (int i = 0; i < TRACED; i++)
                if (traced[i].pid == pid) return &traced[i];
        return NULL;
}

static struct traced *add(pid_t pid, enum role role) {
        struct traced *one = find(0);
        if (!one) abort();
        *one = (struct traced){.pid = pid, .role = role};
        return one;
}

static int others(void) {
        int count = 0;
        for (int i = 0; i < TRACED; i++) count += traced[i].pid > 0 && traced[i].role != HOST;
        return count;
}

/* The string in a process' memory, as far as it is one. */
static void peek_text(pid_t pid, unsigned long address, char *out, size_t size) {
        size_t at = 0;
        while (address && at + sizeof(long) < size) {
                errno = 0;
                long word = ptrace(PTRACE_PEEKDATA, pid, address + at, 0);
                if (errno) break;
                memcpy(out + at, &word, sizeof word);
                if (memchr(&word, 0, sizeof word)) return;
                at += sizeof word;
        }
        out[at] = 0;
}

/* Which argument of a call is worth showing as text; -1: none. */
static int text_argument(long number) {
        switch (number) {
        case SYS_open:
        case SYS_readlink:
        case SYS_access:
        case SYS_execve:
        case SYS_memfd_create:
        case SYS_chdir:
        case SYS_pivot_root:
        case SYS_umount2:
        case SYS_fsopen:
                return 0;
        case SYS_openat:
        case SYS_newfstatat:
        case SYS_open_tree:
        case SYS_mkdirat:
        case SYS_mknodat:
        case SYS_openat2:
        case SYS_symlinkat:
        case SYS_unlinkat:
                return 1;
        case SYS_fsconfig:
                return 2;
        case SYS_move_mount:
                return 3;
        default:
                return -1;
        }
}

static void enter(struct traced *one) {
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, one->pid, 0, &registers);
        long number = (long)registers.orig_rax;
        if (number < 0 || number >= CALLS) return;
        /* Init waits: its worker runs, and so the launch is over. */
        if (one->role == INIT && (number == SYS_ppoll || number == SYS_poll)) {
                one->counts = 0;
                return;
        }
        int nth = ++seen[one->role][number];
        if (is_recording && record_count < RECORDS) {
                struct record *record = &records[record_count++];
                *record = (struct record){.role = one->role, .number = number, .pid = one->pid, .result = 1 << 30};
                const unsigned long long arguments[] = {registers.rdi, registers.rsi, registers.rdx,
                                                        registers.r10, registers.r8,  registers.r9};
                for (int i = 0; i < 6; i++) record->arguments[i] = (long)arguments[i];
                int text = text_argument(number);
                if (text >= 0) peek_text(one->pid, arguments[text], record->text, sizeof record->text);
        }
        if (one->role != wanted.role || number != wanted.number || nth != wanted.nth) return;
        was_hit = 1;
        one->override = wanted.error;
        if (!wanted.after) {
                registers.orig_rax = (unsigned long long)-1;
                ptrace(PTRACE_SETREGS, one->pid, 0, &registers);
        }
}

static void leave(struct traced *one) {
        struct user_regs_struct registers;
        ptrace(PTRACE_GETREGS, one->pid, 0, &registers);
        if (one->override) {
                registers.rax = (unsigned long long)-(long long)one->override;
                one->override = 0;
                ptrace(PTRACE_SETREGS, one->pid, 0, &registers);
        }
        for (int i = record_count; is_recording && i-- > 0;)
                if (records[i].pid == one->pid && records[i].result == 1 << 30) {
                        records[i].result = (long)registers.rax;
                        break;
                }
}

static void go_on(struct traced *one) {
        ptrace(one->counts ? PTRACE_SYSCALL : PTRACE_CONT, one->pid, 0, one->signal);
        one->signal = 0;
}

static enum role role_of_child(const struct traced *parent, int event) {
        if (!parent->counts) return OTHER;
        switch (parent->role) {
        case HOST:
                return event == PTRACE_EVENT_VFORK ? MIDDLE : HOLDER;
        case MIDDLE:
                return INIT;
        case INIT:
                return WORKER;
        default:
                return OTHER;
        }
}

static void begin(struct traced *child, enum role role) {
        child->role = role;
        child->counts = is_armed && role != OTHER;
        if (child->is_parked) {
                child->is_parked = 0;
                go_on(child);
        }
}

static struct traced *start_subject(void) {
        int gate[2];
        char byte = 0;
        if (pipe(gate) < 0) abort();
        pid_t pid = fork();
        if (pid == 0) {
                close(gate[1]);
                if (read(gate[0], &byte, 1) != 1) _exit(3);
                close(gate[0]);
                subject(&scenario, page);
        }
        close(gate[0]);
        long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
                       PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
        if (ptrace(PTRACE_SEIZE, pid, 0, options) < 0) {
                perror("faults: ptrace");
                exit(3);
        }
        if (write(gate[1], &byte, 1) != 1) abort();
        close(gate[1]);
        is_warm = 0;
        return add(pid, HOST);
}

static volatile sig_atomic_t is_late;
static void on_alarm(int number) {
        (void)number;
        is_late = 1;
}

/* Follows everybody until the subject raises a mark, which is returned; 0: it is gone; -1: nothing came for so long that
 * something hangs. `until_alone`: return as well once nobody else is left, or after the time. */
static int follow(struct traced *host, int until_alone, int seconds) {
        is_late = 0;
        alarm((unsigned)seconds);
        while (!until_alone || others() > 0) {
                int status;
                pid_t pid = is_late ? -1 : waitpid(-1, &status, __WALL);
                if (pid < 0) return -1;
                struct traced *one = find(pid);
                if (WIFEXITED(status) || WIFSIGNALED(status)) {
                        if (one == host) {
                                one->pid = 0;
                                return 0;
                        }
                        if (one) one->pid = 0;
                        continue;
                }
                int event = status >> 16, signal = WSTOPSIG(status);
                if (!one) {
                        add(pid, UNKNOWN)->is_parked = 1;
                        continue;
                }
                if (signal == (SIGTRAP | 0x80)) {
                        struct __ptrace_syscall_info info;
                        ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
                        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && one->counts) enter(one);
                        if (info.op == PTRACE_SYSCALL_INFO_EXIT) leave(one);
                } else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) {
                        unsigned long child = 0;
                        ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
                        struct traced *found = find((pid_t)child);
                        begin(found ? found : add((pid_t)child, UNKNOWN), role_of_child(one, event));
                } else if (event == PTRACE_EVENT_EXEC) {
                        if (one->role == WORKER) one->counts = 0; /* no way back from here */
                } else if (event == 0) {
                        if (one == host && signal == SIGTRAP) return page->mark;
                        one->signal = signal;
                        /* A crash ends even the first process of a namespace, unless it is traced: then it would crash
                         * for ever. */
                        int is_crash = signal == SIGSEGV || signal == SIGILL || signal == SIGBUS || signal == SIGTRAP;
                        if (is_crash && one != host) kill(pid, SIGKILL);
                } else if (event == PTRACE_EVENT_STOP && one->role == UNKNOWN) {
                        one->is_parked = 1;
                        continue;
                }
                go_on(one);
        }
        return page->mark;
}

static void end_everybody(void) {
        for (int i = 0; i < TRACED; i++)
                if (traced[i].pid > 0) kill(traced[i].pid, SIGKILL);
        while (waitpid(-1, NULL, __WALL) > 0)
                ;
        memset(traced, 0, sizeof traced);
}

/* -------------------------------------------------------------------------------------------------- answers -- */

static void put(const char *text) {
        putchar('"');
        for (; *text; text++) {
                unsigned char byte = (unsigned char)*text;
                if (byte == '"' || byte == '\\') putchar('\\');
                if (byte < 32)
                        printf("\\u%04x", byte);
                else
                        putchar(byte);
        }
        putchar('"');
}

static void answer(const char *end) {
        const struct outcome *o = &page->outcome;
        static const char *const fars[] = {"nowhere", "host", "spawn", "ready", "ran"};
        printf("{\"end\":\"%s\",\"hit\":%d,\"far\":\"%s\",\"code\":%d,\"errno\":%d,\"step\":%d,\"reason\":%d,"
               "\"exit_code\":%d,\"same\":%d,\"agrees\":%d,\"next\":%d,\"left\":%d,\"ms\":%ld,",
               end, was_hit, fars[o->far], o->code, o->error, o->step, o->reason, o->exit_code, o->same_text, o->agrees,
               o->next_works, page->left, o->milliseconds);
        printf("\"subject\":"), put(o->subject), printf(",\"message\":"), put(o->message), printf(",\"why\":"),
            put(o->why);
        printf(",\"missing\":"), put(o->missing), printf(",\"leaks\":"), put(o->leaks);
        printf(",\"difference\":"), put(o->difference), printf("}\n");
        fflush(stdout);
}

static void answer_records(void) {
        printf("[");
        for (int i = 0; i < record_count; i++) {
                const struct record *r = &records[i];
                printf("%s{\"role\":\"%s\",\"number\":%ld,\"result\":%ld,\"arguments\":[%ld,%ld,%ld],\"text\":",
                       i ? "," : "", role_names[r->role], r->number, r->result, r->arguments[0], r->arguments[1],
                       r->arguments[2]);
                put(r->text);
                printf("}");
        }
        printf("]\n");
        fflush(stdout);
}

static int parse(const char *line) {
        char role[16];
        memset(&wanted, 0, sizeof wanted);
        memset(seen, 0, sizeof seen);
        memset(&page->outcome, 0, sizeof page->outcome);
        was_hit = record_count = 0;
        is_recording = !strncmp(line, "record", 6);
        if (is_recording) return 1;
        if (sscanf(line, "%15s %ld %d %d %d", role, &wanted.number, &wanted.nth, &wanted.error, &wanted.after) != 5)
                return 0;
        for (int i = 0; i < ROLES; i++)
                if (!strcmp(role, role_names[i])) wanted.role = (enum role)i;
        return wanted.role != UNKNOWN;
}

/* One launch as requested; NULL if the subject is gone for good. */
static struct traced *one_launch(struct traced *host) {
        for (;;) {
                int mark = follow(host, 0, HANG_SECONDS);
                switch (mark) {
                case 0: /* a crash; before it was warm there is no point in going on */
                case -1:
                        alarm(0);
                        answer(mark ? "hang" : "crash");
                        is_armed = 0;
                        end_everybody();
                        if (!is_warm) return NULL;
                        host = start_subject();
                        return host;
                case MARK_READY:
                        is_warm = 1;
                        break;
                case MARK_NEXT:
                        page->last = page->left = 0;
                        break;
                case MARK_ARM:
                        is_armed = host->counts = 1;
                        break;
                case MARK_SPAWNED:
                        host->counts = 0;
                        break;
                case MARK_ENDED:
                        follow(host, 1, 3);
                        page->left = others();
                        is_armed = 0;
                        for (int i = 0; i < TRACED; i++) traced[i].counts = 0;
                        break;
                case MARK_RESULT:
                        alarm(0);
                        if (is_recording)
                                answer_records();
                        else
                                answer("whole");
                        return host; /* it waits in its mark */
                }
                go_on(host);
        }
}

int main(int count, char **words) {
        if (count == 2 && !strcmp(words[1], "probes")) return show_probes();
        int is_plan = count > 1 && !strcmp(words[1], "plan");
        words += is_plan;
        count -= is_plan;
        if (count < 4) return 2;
        scenario = (struct scenario){.preset = words[1], .kind = words[2], .program = words[3]};
        for (int i = 4; i < count && scenario.count < 16; i++) scenario.words[scenario.count++] = words[i];
        if (is_plan) return show_plan(&scenario);
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
        char line[256];
        struct traced *host = start_subject();
        int is_waiting = 0; /* in the mark RESULT */
        while (host && fgets(line, sizeof line, stdin)) {
                if (!parse(line)) return 2;
                if (is_waiting) go_on(host);
                host = one_launch(host);
                is_waiting = host && page->mark == MARK_RESULT && is_warm;
        }
        end_everybody();
        return host ? 0 : 3;
}
