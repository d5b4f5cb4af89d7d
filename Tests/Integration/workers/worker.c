/* SPDX-License-Identifier: Apache-2.0 */
/* An honest worker in C with a verb for each thing that the tests want done.
 *
 * worker [deaf-to-stop] [deaf-to-term] [slow-ready MS] [by-message] [print-first TEXT] */
#include "wire.h"

static struct message *queue_first, **queue_last = &queue_first; /* calls that came while another was served */
static uint64_t held[256];
static size_t held_count;
static uint64_t next_call = 1;
static int deaf_to_stop;

static const char *text_of(const struct message *m, size_t index) {
        static char texts[4][4096];
        if (index >= m->part_count || index >= 4 || m->parts[index].size >= sizeof texts[0]) return "";
        memcpy(texts[index], m->parts[index].data, m->parts[index].size);
        texts[index][m->parts[index].size] = 0;
        return texts[index];
}

static void result_text(const struct message *m, const char *text) { send_text(RESULT, m->id, "", text); }

static void result_number(const struct message *m, unsigned long long number) {
        char text[32];
        snprintf(text, sizeof text, "%llu", number);
        result_text(m, text);
}

static void result_empty(const struct message *m) { send_message(RESULT, m->id, "", 0, NULL, 0); }

static void nap(long ms) {
        struct timespec left = {ms / 1000, ms % 1000 * 1000000};
        while (nanosleep(&left, &left) < 0 && errno == EINTR && !asked_to_stop)
                ;
}

/* Byte i of what `send` sends. */
static uint8_t pattern(uint64_t i) { return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16)); }

static void write_stream(int fd, const void *data, size_t size) {
        const char *at = data;
        while (size > 0) {
                ssize_t n = write(fd, at, size);
                if (n < 0 && errno == EINTR) continue;
                if (n < 0) _exit(92);
                at += n;
                size -= (size_t)n;
        }
}

static void flood(int fd, unsigned long long bytes) {
        static char block[65536];
        memset(block, 'x', sizeof block);
        while (bytes > 0) {
                size_t piece = bytes < sizeof block ? bytes : sizeof block;
                write_stream(fd, block, piece);
                bytes -= piece;
        }
}

/* Call the host from within `m` and pass its answer on as ours. */
static void ask_host(const struct message *m) {
        uint64_t id = next_call++;
        send_message(CALL, id, text_of(m, 0), m->id, m->parts + 1, m->part_count - 1);
        for (;;) {
                struct message *answer = read_message();
                if (!answer) exit(0);
                if ((answer->kind == RESULT || answer->kind == FAILURE) && answer->id == id) {
                        send_message(answer->kind, m->id, answer->name, 0, answer->parts, answer->part_count);
                        free_message(answer);
                        return;
                }
                if (answer->kind == STOP) exit(0);
                *queue_last = answer;
                queue_last = &answer->next;
        }
}

/* A result of one part, its bytes through the arena as far as there is room, else in line. */
static void send_placed(uint64_t id, uint64_t size, uint64_t piece) {
        uint8_t payload[64];
        struct head head = {.parts = 1};
        struct part_head part = {.type_length = 3, .size = size};
        memcpy(payload, &head, sizeof head);
        memcpy(payload + sizeof head, &part, sizeof part);
        memcpy(payload + sizeof head + sizeof part, "a/b", 3);
        send_frame(RESULT, size > 0 ? MORE : 0, id, payload, sizeof head + sizeof part + 3);
        for (uint64_t sent = 0; sent < size;) {
                static uint8_t line[FRAME_MAX];
                uint64_t count = size - sent < piece ? size - sent : piece;
                struct place place;
                uint8_t *bytes = take_place(&place, count);
                if (!bytes) {
                        bytes = line;
                        if (count > FRAME_MAX) count = FRAME_MAX;
                }
                for (uint64_t i = 0; i < count; i++) bytes[i] = pattern(sent + i);
                sent += count;
                if (bytes == line)
                        send_frame(RESULT, sent < size ? MORE : 0, id, line, (uint32_t)count);
                else
                        send_places(RESULT, sent < size ? MORE : 0, id, &place, 1);
        }
}

/* A child that holds the session, the streams and everything else open, and that nothing but SIGKILL ends. */
static void leave_child(void) {
        if (fork() != 0) return;
        setsid();
        for (int number = 1; number < NSIG; number++) signal(number, SIG_IGN);
        for (;;) pause();
}

static void serve(struct message *m) {
        const char *verb = m->name;
        long number = atol(text_of(m, 0));
        mark(m);
        if (!strcmp(verb, "echo")) {
                send_message(RESULT, m->id, "", 0, m->parts, m->part_count);
        } else if (!strcmp(verb, "sum")) { /* size and a sum over all parts that depends on the order */
                uint64_t size = 0;
                uint32_t sum = 0;
                for (size_t i = 0; i < m->part_count; i++)
                        for (uint64_t j = 0; j < m->parts[i].size; j++, size++)
                                sum = (sum << 1 | sum >> 31) ^ m->parts[i].data[j];
                char text[64];
                snprintf(text, sizeof text, "%llu %u", (unsigned long long)size, sum);
                result_text(m, text);
        } else if (!strcmp(verb, "send")) {
                struct part part = {.type = "application/octet-stream", .size = strtoull(text_of(m, 0), NULL, 10)};
                part.data = malloc(part.size);
                for (uint64_t i = 0; i < part.size; i++) part.data[i] = pattern(i);
                send_message(RESULT, m->id, "", 0, &part, 1);
                free(part.data);
        } else if (!strcmp(verb, "place")) { /* size, piece: bytes through the arena, in pieces of that size */
                send_placed(m->id, strtoull(text_of(m, 0), NULL, 10), strtoull(text_of(m, 1), NULL, 10));
        } else if (!strcmp(verb, "placed")) { /* how many frames came through the arena */
                result_number(m, placed_frames);
        } else if (!strcmp(verb, "out")) { /* bytes of ours that have not come back */
                result_number(m, arena_out);
        } else if (!strcmp(verb, "poke")) { /* offset in our half, byte */
                arena[arena_half + (uint64_t)number] = (uint8_t)atoi(text_of(m, 1));
                result_empty(m);
        } else if (!strcmp(verb, "fill")) { /* so many bytes of our half */
                memset(arena + arena_half, 7, (size_t)number);
                result_empty(m);
        } else if (!strcmp(verb, "blocks")) { /* bytes that the arena takes up */
                struct stat status;
                result_number(m, fstat(ARENA, &status) < 0 ? 0 : (unsigned long long)status.st_blocks * 512);
        } else if (!strcmp(verb,
                           "seals")) { /* what the kernel says to a change of the arena's size, and to a further seal */
                int shrunk = ftruncate(ARENA, 0) < 0 ? errno : 0, grown = ftruncate(ARENA, 1L << 34) < 0 ? errno : 0;
                int sealed = fcntl(ARENA, F_ADD_SEALS, F_SEAL_WRITE) < 0 ? errno : 0;
                char text[64];
                snprintf(text, sizeof text, "%d %d %d", shrunk, grown, sealed);
                result_text(m, text);
        } else if (!strcmp(verb, "print")) { /* fd, text */
                write_stream((int)number, m->parts[1].data, m->parts[1].size);
                result_empty(m);
        } else if (!strcmp(verb, "flood")) { /* bytes, fd */
                flood(m->part_count > 1 ? atoi(text_of(m, 1)) : 1, strtoull(text_of(m, 0), NULL, 10));
                result_empty(m);
        } else if (!strcmp(verb, "outputs")) { /* how many */
                for (long i = 0; i < number; i++) {
                        char text[32];
                        snprintf(text, sizeof text, "%ld", i);
                        send_text(OUTPUT, m->id, "progress", text);
                }
                result_empty(m);
        } else if (!strcmp(verb, "hold")) {
                held[held_count++] = m->id;
        } else if (!strcmp(verb, "release")) { /* the last one first */
                unsigned long long count = held_count;
                while (held_count > 0) send_text(RESULT, held[--held_count], "", "released");
                result_number(m, count);
        } else if (!strcmp(verb, "spin")) { /* until interrupted */
                while (!asked_to_stop)
                        ;
                unmark();
                send_text(FAILURE, m->id, "Interrupted", "asked to stop");
        } else if (!strcmp(verb, "nap")) {
                nap(number);
                unmark();
                if (asked_to_stop)
                        send_text(FAILURE, m->id, "Interrupted", "asked to stop");
                else
                        result_empty(m);
        } else if (!strcmp(verb, "listen")) { /* for an interrupt by message, aimed at this call */
                for (;;) {
                        struct message *heard = read_message();
                        if (!heard || heard->kind == STOP) exit(0);
                        if (heard->kind == INTERRUPT && heard->id == m->id) break;
                }
                unmark();
                send_text(FAILURE, m->id, "Interrupted", "asked to stop by message");
        } else if (!strcmp(verb, "deaf")) {
                signal(SIGINT, SIG_IGN);
                signal(SIGTERM, SIG_IGN);
                for (;;) pause();
        } else if (!strcmp(verb, "exit")) {
                exit((int)number);
        } else if (!strcmp(verb, "raise")) {
                signal((int)number, SIG_DFL);
                raise((int)number);
        } else if (!strcmp(verb, "last-words")) { /* an answer, and death at once */
                result_text(m, "last words");
                _exit(7);
        } else if (!strcmp(verb, "leave-child")) {
                leave_child();
                result_empty(m);
        } else if (!strcmp(verb, "fail")) {
                send_text(FAILURE, m->id, text_of(m, 0), text_of(m, 1));
        } else if (!strcmp(verb, "twice")) {
                result_text(m, "first");
                result_text(m, "second");
        } else if (!strcmp(verb, "ask")) {
                ask_host(m);
        } else if (!strcmp(verb, "pids")) { /* of ours, as seen inside */
                result_number(m, (unsigned long long)getpid());
        } else if (!strcmp(verb, "empty")) {
                result_empty(m);
        } else {
                send_text(FAILURE, m->id, "UnknownVerb", verb);
        }
        unmark();
}

int main(int count, char **arguments) {
        uint32_t interrupts = 1;
        long slow = 0;
        for (int i = 1; i < count; i++) {
                if (!strcmp(arguments[i], "deaf-to-stop"))
                        deaf_to_stop = 1;
                else if (!strcmp(arguments[i], "deaf-to-term"))
                        signal(SIGTERM, SIG_IGN);
                else if (!strcmp(arguments[i], "slow-ready"))
                        slow = atol(arguments[++i]);
                else if (!strcmp(arguments[i], "by-message"))
                        interrupts = 2;
                else if (!strcmp(arguments[i], "arena"))
                        interrupts |= 8, map_arena();
                else if (!strcmp(arguments[i], "print-first"))
                        write_stream(2, arguments[i + 1], strlen(arguments[i + 1])), i++;
        }
        map_page();
        signal(SIGINT, interrupts & 1 ? on_interrupt : SIG_IGN);
        send_hello(MAGIC, 1, 1, interrupts, "test worker");
        nap(slow);
        send_frame(READY, 0, 0, NULL, 0);
        for (;;) {
                struct message *m = queue_first;
                if (m) {
                        queue_first = m->next;
                        if (!queue_first) queue_last = &queue_first;
                } else {
                        m = read_message();
                }
                if (!m || (m->kind == STOP && !deaf_to_stop)) exit(0);
                if (m->kind == CALL) serve(m);
                free_message(m);
        }
}
