/* SPDX-License-Identifier: Apache-2.0 */
/* A worker made with lauter_worker.h, with a verb for each thing that the tests want done.
 *
 * worker [threads] [side] [messages] */
#define _GNU_SOURCE
#include <errno.h>
#include <lauter_worker.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static lauter_session *session;
/* What the handler of SIGINT looks at. */
static lauter_request *volatile running;
static volatile sig_atomic_t claimed;
static uint64_t cancelled; /* by message */

static void end(lauter_error *error) {
        fprintf(stderr, "worker: %s\n", lauter_error_message(error));
        exit(lauter_error_code(error) == LAUTER_ERROR_DIED ? 0 : 1);
}

/* Not a function: its arguments may be looked at in any order. */
#define check(call, error)                                                                                             \
        do {                                                                                                           \
                if ((call) < 0) end(error);                                                                            \
        } while (0)

static lauter_part text(const char *value) {
        return (lauter_part){.type = "text/plain", .data = value, .size = strlen(value)};
}

static void say(uint64_t call, const char *value) {
        lauter_part part = text(value);
        lauter_error *error;
        check(lauter_session_reply(session, call, &part, 1, &error), error);
}

static void say_number(uint64_t call, long long value) {
        char digits[24];
        snprintf(digits, sizeof digits, "%lld", value);
        say(call, digits);
}

static void fail(uint64_t call, const char *name, const char *message) {
        lauter_error *error;
        check(lauter_session_fail(session, call, name, message, "the traceback", &error), error);
}

/* What a function made of something, as a result: the code's name and the message. */
static void tell(uint64_t call, int32_t result, lauter_error *error) {
        char said[1024];
        if (result >= 0)
                snprintf(said, sizeof said, "%d", result);
        else
                snprintf(said, sizeof said, "%s: %s", lauter_code_name(result), lauter_error_message(error));
        if (result < 0) lauter_error_free(error);
        say(call, said);
}

/* A part as text; "" if there is none. */
static char *word(const lauter_request *request, size_t index) {
        static __thread char words[4][512];
        char *at = words[index % 4];
        *at = 0;
        if (index >= request->part_count || request->parts[index].size >= sizeof words[0]) return at;
        memcpy(at, request->parts[index].data, request->parts[index].size);
        at[request->parts[index].size] = 0;
        return at;
}

static void fill(unsigned char *at, size_t size, unsigned seed) {
        for (size_t i = 0; i < size; i++) at[i] = (unsigned char)(i * 31 + (i >> 8) * 7 + (i >> 16) + seed);
}

static unsigned long long sum_of(const lauter_part *part) {
        const unsigned char *at = part->data;
        unsigned long long sum = 0;
        for (size_t i = 0; i < part->size; i++) sum = (sum << 1 | sum >> 31) * 3 + at[i];
        return sum;
}

/* Whether memory is part of a mapping of the arena. */
static int in_arena(const void *memory) {
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        int found = 0;
        while (maps && fgets(line, sizeof line, maps)) {
                unsigned long low, high;
                if (sscanf(line, "%lx-%lx", &low, &high) == 2 && (unsigned long)memory >= low &&
                    (unsigned long)memory < high)
                        found = strstr(line, "memfd:") && strstr(line, "arena");
        }
        if (maps) fclose(maps);
        return found;
}

/* ------------------------------------------------------------------------------------- threads of a verb -- */

struct asker {
        pthread_t thread;
        uint64_t parent;
        int number, times;
        char problem[256];
};

static void *ask_often(void *argument) {
        struct asker *asker = argument;
        for (int i = 0; i < asker->times && !asker->problem[0]; i++) {
                char question[32];
                snprintf(question, sizeof question, "%d/%d", asker->number, i);
                lauter_part part = text(question);
                lauter_request answer = {.size = sizeof answer};
                lauter_error *error;
                if (lauter_session_call(session, asker->parent, "question", &part, 1, -1, &answer, &error) < 0)
                        snprintf(asker->problem, sizeof asker->problem, "%s", lauter_error_message(error));
                else if (answer.kind != LAUTER_REQUEST_RESULT || strcmp(word(&answer, 0), question))
                        snprintf(asker->problem, sizeof asker->problem, "%s: %s", question, word(&answer, 0));
                lauter_request_clear(&answer);
        }
        return NULL;
}

static void ask_from_threads(lauter_request *request) {
        struct asker askers[8] = {0};
        int count = atoi(word(request, 0));
        for (int i = 0; i < count; i++) {
                askers[i].parent = request->id;
                askers[i].number = i;
                askers[i].times = atoi(word(request, 1));
                pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]);
        }
        const char *problem = "";
        for (int i = 0; i < count; i++) {
                pthread_join(askers[i].thread, NULL);
                if (askers[i].problem[0]) problem = askers[i].problem;
        }
        say(request->id, problem);
}

/* ----------------------------------------------------------------------------------------------- channels -- */

static void serve_channel(lauter_request *request) {
        lauter_error *error;
        uint64_t id = request->id;
        if (request->kind == LAUTER_REQUEST_OPENED && !strcmp(request->name, "refuse")) {
                check(lauter_session_cancel(session, id, "Refused", "not here", &error), error);
        } else if (request->kind == LAUTER_REQUEST_OPENED && strcmp(request->name, "wait") != 0) {
                uint64_t window = request->part_count ? strtoull(word(request, 0), NULL, 10) : 0;
                check(lauter_session_grant(session, id, window, &error), error);
        } else if (request->kind == LAUTER_REQUEST_DATA) { /* echo */
                int32_t sent = lauter_session_send(session, id, request->parts, request->part_count, -1, &error);
                if (sent == LAUTER_ERROR_STALE)
                        lauter_error_free(error);
                else
                        check(sent, error);
        } else if (request->kind == LAUTER_REQUEST_END) {
                check(lauter_session_end(session, id, &error), error);
        }
}

/* Opens a channel, sends `count` messages of `size` bytes, says how often it found no credit; the host's end is the end. */
static void stream(lauter_request *request) {
        lauter_error *error;
        uint64_t id;
        long count = atol(word(request, 0)), size = atol(word(request, 1));
        unsigned char *data = malloc((size_t)size);
        check(lauter_session_open(session, "stream", NULL, 0, 4096, &id, &error), error);
        long waits = 0;
        for (long i = 0; i < count; i++) {
                fill(data, (size_t)size, (unsigned)i);
                lauter_part part = {.type = "application/octet-stream", .data = data, .size = (size_t)size};
                int32_t sent = lauter_session_send(session, id, &part, 1, 0, &error);
                if (sent == LAUTER_ERROR_TIMEOUT || sent == LAUTER_ERROR_STALE) { /* STALE: it says why when taken */
                        waits++;
                        lauter_error_free(error);
                        lauter_request writable = {.size = sizeof writable};
                        int32_t came = lauter_session_receive(session, id, -1, &writable, &error);
                        check(came, error);
                        if (writable.kind != LAUTER_REQUEST_WRITABLE) {
                                free(data);
                                return fail(request->id, writable.name, "instead of credit");
                        }
                        lauter_request_clear(&writable);
                        i--;
                } else {
                        check(sent, error);
                }
        }
        free(data);
        check(lauter_session_end(session, id, &error), error);
        char heard[256] = "";
        for (;;) {
                lauter_request came = {.size = sizeof came};
                check(lauter_session_receive(session, id, -1, &came, &error), error);
                if (came.kind == LAUTER_REQUEST_DATA) snprintf(heard + strlen(heard), 64, "%s,", word(&came, 0));
                int over = came.kind == LAUTER_REQUEST_CLOSED;
                lauter_request_clear(&came);
                if (over) break;
        }
        char said[400];
        snprintf(said, sizeof said, "%s%s", waits > 0 ? "waited " : "", heard);
        say(request->id, said);
}

/* --------------------------------------------------------------------------------------------------- calls -- */

static void serve(lauter_request *request) {
        const char *verb = request->name;
        uint64_t id = request->id;
        lauter_error *error = NULL;
        if (request->lane == 0) { /* the handler's */
                claimed = 0;
                running = request;
        }
        if (!strcmp(verb, "echo")) {
                check(lauter_session_reply(session, id, request->parts, request->part_count, &error), error);
        } else if (!strcmp(verb, "outputs")) {
                for (int i = 0; i < atoi(word(request, 0)); i++) {
                        char digits[16];
                        snprintf(digits, sizeof digits, "%d", i);
                        lauter_part part = text(digits);
                        check(lauter_session_output(session, id, "progress", &part, 1, &error), error);
                }
                say(id, "done");
        } else if (!strcmp(verb, "fail")) {
                fail(id, word(request, 0), word(request, 1));
        } else if (!strcmp(verb, "twice")) {
                say(id, "once");
                if (lauter_session_reply(session, id, NULL, 0, &error) != LAUTER_ERROR_STALE) exit(3);
                lauter_error_free(error);
        } else if (!strcmp(verb, "too-large")) {
                lauter_part part = {.type = "x/x", .data = session, .size = (size_t)2 << 30};
                int32_t result = lauter_session_reply(session, id, &part, 1, &error);
                tell(id, result, error);
        } else if (!strcmp(verb, "where")) { /* lies the first part, and its sum */
                char said[64];
                snprintf(said, sizeof said, "%s %llu", in_arena(request->parts[0].data) ? "arena" : "memory",
                         sum_of(request->parts));
                say(id, said);
        } else if (!strcmp(verb, "keep")) { /* the first part of this call beyond its request */
                lauter_kept *kept;
                check(lauter_request_keep(request, &kept, &error), error);
                lauter_part part = request->parts[0];
                lauter_request_clear(request);
                check(lauter_session_reply(session, id, &part, 1, &error), error);
                lauter_part_release(kept);
        } else if (!strcmp(verb, "give")) {
                size_t size = strtoull(word(request, 0), NULL, 10);
                unsigned char *data = malloc(size);
                fill(data, size, 0);
                lauter_part part = {.type = "application/octet-stream", .data = data, .size = size};
                check(lauter_session_reply(session, id, &part, 1, &error), error);
                free(data);
        } else if (!strcmp(verb, "lend")) { /* built in lent memory of one size, sent with another */
                size_t size = strtoull(word(request, 0), NULL, 10), used = strtoull(word(request, 1), NULL, 10);
                void *memory;
                check(lauter_session_lend(session, size, &memory, &error), error);
                lauter_part parts[2] = {text(in_arena(memory) ? "arena" : "memory"),
                                        {.type = "application/octet-stream", .data = memory, .size = used}};
                fill(memory, used, 0);
                check(lauter_session_reply(session, id, parts, 2, &error), error);
                if (lauter_session_unlend(session, memory, &error) != LAUTER_ERROR_INVALID) exit(3);
                lauter_error_free(error);
        } else if (!strcmp(verb, "unlend")) { /* so often, of that size, that they would fill the arena */
                for (int i = 0; i < atoi(word(request, 0)); i++) {
                        void *memory;
                        check(lauter_session_lend(session, strtoull(word(request, 1), NULL, 10), &memory, &error),
                              error);
                        if (!in_arena(memory)) exit(3);
                        check(lauter_session_unlend(session, memory, &error), error);
                }
                say(id, "done");
        } else if (!strcmp(verb, "ask")) { /* verb, timeout, part: the host's answer becomes ours */
                lauter_request answer = {.size = sizeof answer};
                int32_t result = lauter_session_call(session, id, word(request, 0), request->parts + 2,
                                                     request->part_count - 2, atol(word(request, 1)), &answer, &error);
                if (result < 0) {
                        tell(id, result, error);
                } else if (answer.kind == LAUTER_REQUEST_RESULT) {
                        check(lauter_session_reply(session, id, answer.parts, answer.part_count, &error), error);
                } else {
                        check(
                            lauter_session_fail_with(session, id, answer.name, answer.parts, answer.part_count, &error),
                            error);
                }
                lauter_request_clear(&answer);
        } else if (!strcmp(verb, "ask-later")) { /* starts two, waits for the second first */
                uint64_t first, second;
                lauter_part one = text("first"), two = text("second");
                lauter_request answer = {.size = sizeof answer};
                check(lauter_session_call_start(session, id, "question", &one, 1, &first, &error), error);
                check(lauter_session_call_start(session, id, "question", &two, 1, &second, &error), error);
                char said[64];
                check(lauter_session_call_wait(session, second, -1, &answer, &error), error);
                snprintf(said, sizeof said, "%.20s", word(&answer, 0));
                if (lauter_session_next(session, LAUTER_TAKE_ANSWERS, -1, &answer, &error) != 1) end(error);
                snprintf(said + strlen(said), 30, " %.20s", answer.id == first ? word(&answer, 0) : "another");
                lauter_request_clear(&answer);
                if (lauter_session_call_wait(session, first, 0, &answer, &error) != LAUTER_ERROR_STALE) exit(3);
                lauter_error_free(error);
                say(id, said);
        } else if (!strcmp(verb, "ask-from-threads")) {
                ask_from_threads(request);
        } else if (!strcmp(verb, "spin-until")) { /* "look", "signal", "message" */
                const char *how = word(request, 0);
                lauter_part part = text("spinning");
                check(lauter_session_output(session, id, "progress", &part, 1, &error), error);
                for (;;) {
                        if (!strcmp(how, "look") && lauter_request_interrupted(request)) break;
                        if (!strcmp(how, "signal") && claimed) break;
                        if (!strcmp(how, "message") && __atomic_load_n(&cancelled, __ATOMIC_ACQUIRE) == id) break;
                }
                int again = lauter_request_interrupted(request);
                fail(id, "Interrupted", again ? "twice" : "once");
        } else if (!strcmp(verb, "sleep")) { /* until a signal */
                struct timespec left = {20, 0};
                sigset_t interrupt, none; /* SIGINT comes in the sleep, or it would be missed before it */
                sigemptyset(&none);
                sigemptyset(&interrupt);
                sigaddset(&interrupt, SIGINT);
                pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
                lauter_part part = text("sleeping");
                check(lauter_session_output(session, id, "progress", &part, 1, &error), error);
                if (!claimed) ppoll(NULL, 0, &left, &none);
                pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
                fail(id, "Interrupted", claimed ? "asleep" : "overslept");
        } else if (!strcmp(verb, "fork")) {
                pid_t child = fork();
                if (child == 0) {
                        lauter_request other = {.size = sizeof other};
                        int32_t next = lauter_session_next(session, LAUTER_TAKE_MAIN, 0, &other, NULL);
                        int32_t reply = lauter_session_reply(session, id, NULL, 0, NULL);
                        _exit(next == LAUTER_ERROR_FORKED && reply == LAUTER_ERROR_FORKED ? 7 : 8);
                }
                int status;
                waitpid(child, &status, 0);
                say_number(id, WEXITSTATUS(status));
        } else if (!strcmp(verb, "attach-again")) {
                lauter_session *other;
                int32_t result = lauter_session_attach("again", 0, &other, &error);
                tell(id, result, error);
        } else if (!strcmp(verb, "descriptors")) { /* that a program inherits */
                fflush(NULL);
                FILE *list = popen("ls /proc/self/fd", "r");
                char said[256] = {0};
                size_t got = fread(said, 1, sizeof said - 1, list);
                for (size_t i = 0; i < got; i++)
                        if (said[i] == '\n') said[i] = ' ';
                pclose(list);
                say(id, said);
        } else if (!strcmp(verb, "stream")) {
                stream(request);
        } else if (!strcmp(verb, "which-lane")) {
                say_number(id, request->lane);
        } else if (!strcmp(verb, "fd")) { /* what the loop's descriptor says, with nothing to do */
                struct pollfd ready = {.fd = lauter_session_fd(session), .events = POLLIN};
                say_number(id, poll(&ready, 1, 0));
        } else {
                fail(id, "UnknownVerb", verb);
        }
        if (request->lane == 0) running = NULL;
}

static void on_interrupt(int number) {
        (void)number;
        lauter_request *request = running;
        if (request && lauter_request_interrupted(request)) claimed = 1;
}

static void *serve_lane(void *argument) {
        uint32_t take = *(uint32_t *)argument;
        lauter_request request = {.size = sizeof request};
        lauter_error *error;
        for (;;) {
                int32_t came = lauter_session_next(session, take, -1, &request, &error);
                if (came == LAUTER_ERROR_INTERRUPTED) {
                        lauter_error_free(error);
                        continue;
                }
                check(came, error);
                switch (request.kind) {
                case LAUTER_REQUEST_STOP:
                        return NULL;
                case LAUTER_REQUEST_CALL:
                        serve(&request);
                        break;
                case LAUTER_REQUEST_INTERRUPT:
                        __atomic_store_n(&cancelled, request.id, __ATOMIC_RELEASE);
                        break;
                default:
                        serve_channel(&request);
                }
        }
}

/* The same by a loop over the descriptor. */
static void serve_by_loop(void) {
        lauter_request request = {.size = sizeof request};
        lauter_error *error;
        struct pollfd ready = {.fd = lauter_session_fd(session), .events = POLLIN};
        for (;;) {
                if (poll(&ready, 1, -1) < 0) continue;
                for (;;) {
                        int32_t came =
                            lauter_session_next(session, LAUTER_TAKE_MAIN | LAUTER_TAKE_CHANNELS, 0, &request, &error);
                        check(came, error);
                        if (came == 0) break;
                        if (request.kind == LAUTER_REQUEST_STOP) return;
                        if (request.kind == LAUTER_REQUEST_CALL)
                                serve(&request);
                        else
                                serve_channel(&request);
                }
        }
}

int main(int count, char **arguments) {
        uint32_t abilities = 0;
        int loops = 0;
        for (int i = 1; i < count; i++) {
                if (!strcmp(arguments[i], "signals"))
                        abilities |= LAUTER_SESSION_SIGNALS;
                else if (!strcmp(arguments[i], "messages"))
                        abilities |= LAUTER_SESSION_MESSAGES;
                else if (!strcmp(arguments[i], "side"))
                        abilities |= LAUTER_SESSION_SIDE;
                else if (!strcmp(arguments[i], "loop"))
                        loops = 1;
        }
        lauter_error *error;
        check(lauter_session_attach("test worker", abilities, &session, &error), error);
        if (abilities & LAUTER_SESSION_SIGNALS) signal(SIGINT, on_interrupt);
        check(lauter_session_ready(session, &error), error);
        if (loops) {
                serve_by_loop();
                return 0;
        }
        uint32_t all = LAUTER_TAKE_MAIN | LAUTER_TAKE_CHANNELS;
        uint32_t beside = LAUTER_TAKE_SIDE | LAUTER_TAKE_INTERRUPTS;
        pthread_t side;
        if (abilities & (LAUTER_SESSION_SIDE | LAUTER_SESSION_MESSAGES))
                pthread_create(&side, NULL, serve_lane, &beside);
        serve_lane(&all);
        if (abilities & (LAUTER_SESSION_SIDE | LAUTER_SESSION_MESSAGES))
                pthread_join(side, NULL); /* it is told to stop as well */
        return 0;
}
