/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that breaks one rule of docs/protocol.md: liar RULE. `honest` breaks none and shows that the rest of the
 * program is in order. Rules before `ready` are broken at birth, the others once the host has called. */
#include "wire.h"

static uint64_t call_id;

static void raw_frame(uint32_t size, uint8_t kind, uint8_t flags, uint64_t id, const void *payload, size_t real) {
        struct frame frame = {.size = size, .kind = kind, .flags = flags, .id = id};
        write_all(&frame, sizeof frame);
        write_all(payload, real);
}

static void hello(void) { send_hello(MAGIC, 1, 1, 1, "liar"); }

/* A message's head with one part of the claimed size. */
static size_t one_part(uint8_t *payload, const char *name, size_t name_length, uint64_t claimed) {
        struct head head = {.parts = 1, .name_length = (uint16_t)name_length};
        struct part_head part = {.type_length = 10, .size = claimed};
        size_t used = sizeof head;
        memcpy(payload, &head, sizeof head);
        memcpy(payload + used, name, name_length);
        used += name_length;
        memcpy(payload + used, &part, sizeof part);
        memcpy(payload + used + sizeof part, "text/plain", 10);
        return used + sizeof part + 10;
}

static int broken_at_birth(const char *rule) {
        static uint8_t zeros[FRAME_MAX + 1];
        if (!strcmp(rule, "never-greets")) {
                while (read_message())
                        ;
                exit(0);
        } else if (!strcmp(rule, "exits-before-hello")) {
                exit(3);
        } else if (!strcmp(rule, "exits-before-ready")) {
                hello();
                exit(4);
        } else if (!strcmp(rule, "crashes-before-ready")) {
                hello();
                signal(SIGSEGV, SIG_DFL);
                raise(SIGSEGV);
        } else if (!strcmp(rule, "never-ready")) {
                hello();
                while (read_message())
                        ;
                exit(0);
        } else if (!strcmp(rule, "closes-session")) {
                close(SESSION);
                for (;;) pause();
        } else if (!strcmp(rule, "wrong-magic")) {
                send_hello(MAGIC + 1, 1, 1, 1, "liar");
        } else if (!strcmp(rule, "version-too-new")) {
                send_hello(MAGIC, 2, 7, 1, "liar");
        } else if (!strcmp(rule, "version-backwards")) {
                send_hello(MAGIC, 7, 1, 1, "liar");
        } else if (!strcmp(rule, "version-zero")) {
                send_hello(MAGIC, 0, 0, 1, "liar");
        } else if (!strcmp(rule, "ready-first")) {
                send_frame(READY, 0, 0, NULL, 0);
        } else if (!strcmp(rule, "hello-short")) {
                send_frame(HELLO, 0, 0, zeros, 10);
        } else if (!strcmp(rule, "hello-name-too-long")) {
                uint8_t payload[sizeof(struct greeting) + 300] = {0};
                struct greeting greeting = {
                    .magic = MAGIC, .lowest = 1, .highest = 1, .interrupts = 1, .largest = 1, .name_length = 300};
                memset(payload, 'n', sizeof payload);
                memcpy(payload, &greeting, sizeof greeting);
                send_frame(HELLO, 0, 0, payload, sizeof payload);
        } else if (!strcmp(rule, "hello-name-behind-end")) {
                struct greeting greeting = {
                    .magic = MAGIC, .lowest = 1, .highest = 1, .interrupts = 1, .largest = 1, .name_length = 200};
                send_frame(HELLO, 0, 0, &greeting, sizeof greeting);
        } else if (!strcmp(rule, "hello-twice")) {
                hello();
                hello();
        } else if (!strcmp(rule, "text-instead")) {
                write_all("Traceback (most recent call last):\n", 35);
        } else if (!strcmp(rule, "zeros-instead")) {
                write_all(zeros, sizeof zeros);
        } else if (!strcmp(rule, "answers-before-hello")) {
                send_text(RESULT, 1, "", "early");
        } else {
                return 0;
        }
        return 1;
}

/* Ask the library itself and wait for the answer. */
static void sync_with_host(uint64_t id) {
        send_message(CALL, id, "lauter.sync", call_id, NULL, 0);
        struct message *answer = read_message();
        if (!answer || answer->kind != RESULT || answer->id != id) _exit(96);
        free_message(answer);
}

/* Within the letter of the protocol, and yet a burden. */
static int burdensome(const char *rule) {
        static uint8_t large[64 << 20];
        if (!strcmp(rule, "pipelines-checks")) {
                struct part question[2] = {text_part("read"), text_part("/no/such/place/\"that\"/is/allowed")};
                enum { MANY = 200 };
                cork();
                for (uint64_t i = 1; i <= MANY; i++) {
                        send_message(CALL, i, "lauter.check", call_id, question, 2);
                        send_text(OUTPUT, call_id, "progress", "between two questions");
                }
                uncork();
                for (int i = 0; i < MANY; i++) {
                        struct message *answer = read_message();
                        if (!answer || answer->kind != RESULT || answer->part_count != 1) _exit(97);
                        free_message(answer);
                }
                send_text(RESULT, call_id, "", "all answered");
        } else if (!strcmp(rule, "shuts-reading")) {
                shutdown(SESSION, SHUT_RD);
                send_text(OUTPUT, call_id, "progress", "deaf now");
                for (;;) pause();
        } else if (!strcmp(rule, "asks-and-never-listens")) {
                for (uint64_t id = 1;; id++) send_message(CALL, id, "lauter.sync", call_id, NULL, 0);
        } else if (!strcmp(rule, "asks-a-long-question")) {
                memset(large, 0xff, sizeof large);
                struct part question[2] = {text_part("read"), text_part("")};
                question[1].data = large;
                question[1].size = sizeof large;
                send_message(CALL, 1, "lauter.check", call_id, question, 2);
                struct message *answer = read_message();
                if (answer) send_text(RESULT, call_id, "", answer->kind == FAILURE ? "refused" : "answered");
        } else if (!strcmp(rule, "writes-tiny-pieces")) {
                for (uint64_t i = 0; i < 5000; i++) {
                        if (write(1, "o", 1) != 1 || write(2, "e", 1) != 1) _exit(98);
                        sync_with_host(i + 1);
                }
                send_text(RESULT, call_id, "", "written");
        } else {
                return 0;
        }
        return 1;
}

/* A result whose bytes are said to be at places that they may not be at. */
static int misplaced(const char *rule) {
        static uint8_t payload[FRAME_MAX];
        static struct place many[4096];
        const uint64_t half = arena_half;
        struct place place = {half, 8};
        uint8_t kind = RESULT;
        size_t count = 1;
        uint64_t size = 8;
        if (!strcmp(rule, "place-honest")) {
                memcpy(arena + half, "the deed", 8);
        } else if (!strcmp(rule, "place-in-host-half")) {
                place.offset = half - 8;
        } else if (!strcmp(rule, "place-across-the-end")) {
                place.offset = 2 * half - 4;
        } else if (!strcmp(rule, "place-behind-the-end")) {
                place.offset = 2 * half;
        } else if (!strcmp(rule, "place-wraps")) {
                place = (struct place){UINT64_MAX - 4, 8};
        } else if (!strcmp(rule, "place-size-wraps")) {
                place = (struct place){half + 8, UINT64_MAX - 7}, size = 1 << 20;
        } else if (!strcmp(rule, "place-of-nothing")) {
                place.size = 0;
        } else if (!strcmp(rule, "place-larger-than-the-part")) {
                place.size = 9;
        } else if (!strcmp(rule, "place-smaller-than-the-part")) {
                place.size = 7;
        } else if (!strcmp(rule, "places-of-more-than-1-MiB")) {
                place.size = size = (1 << 20) + 1;
        } else if (!strcmp(rule, "places-of-4-GiB-together")) {
                for (count = 0; count < 4096; count++) many[count] = (struct place){half, 1 << 20};
                size = 1 << 30;
        } else if (!strcmp(rule, "place-cut-short")) {
                count = 0;
        } else if (!strcmp(rule, "places-none")) {
                count = 0;
        } else if (!strcmp(rule, "place-for-a-head")) {
                size = 0;
        } else if (!strcmp(rule, "places-never-given-released")) {
                raw_frame(sizeof place, RELEASE, 0, 0, &place, sizeof place);
                return 1;
        } else if (!strcmp(rule, "places-half-released")) {
                raw_frame(9, RELEASE, 0, 0, payload, 9);
                return 1;
        } else if (!strcmp(rule, "places-released-twice")) {
                /* The call's part came in line, for it is small: what the host placed is none of it. */
                place = (struct place){0, 1 << 16};
                raw_frame(sizeof place, RELEASE, 0, 0, &place, sizeof place);
                raw_frame(sizeof place, RELEASE, 0, 0, &place, sizeof place);
                return 1;
        } else {
                return 0;
        }
        if (size > 0) {
                size_t used = one_part(payload, "", 0, size);
                send_frame(kind, MORE, call_id, payload, (uint32_t)used);
        }
        if (!strcmp(rule, "place-cut-short"))
                raw_frame(15, kind, PLACED, call_id, &place, 15);
        else if (count > 1)
                send_places(kind, 0, call_id, many, count);
        else
                send_places(kind, 0, call_id, &place, count);
        return 1;
}

static int broken_when_called(const char *rule) {
        static uint8_t zeros[1 << 20], payload[FRAME_MAX];
        size_t used;
        if (!strcmp(rule, "honest")) {
                send_text(RESULT, call_id, "", "the truth");
        } else if (!strcmp(rule, "frame-too-large")) {
                raw_frame(FRAME_MAX + 1, RESULT, 0, call_id, zeros, FRAME_MAX + 1);
        } else if (!strcmp(rule, "frame-of-4-GiB")) {
                raw_frame(0xffffffffu, RESULT, 0, call_id, zeros, 1024);
        } else if (!strcmp(rule, "unknown-flag")) {
                raw_frame(0, RESULT, 4, call_id, zeros, 0);
        } else if (!strcmp(rule, "kind-0")) {
                raw_frame(0, 0, 0, call_id, zeros, 0);
        } else if (!strcmp(rule, "kind-reserved")) {
                raw_frame(0, 7, 0, call_id, zeros, 0);
        } else if (!strcmp(rule, "kind-16")) {
                raw_frame(0, 16, 0, call_id, zeros, 0);
        } else if (!strncmp(rule, "place", 5)) {
                return misplaced(rule);
        } else if (!strcmp(rule, "stop-from-worker")) {
                raw_frame(0, STOP, 0, 0, zeros, 0);
        } else if (!strcmp(rule, "hello-after-ready")) {
                hello();
        } else if (!strcmp(rule, "message-without-head")) {
                raw_frame(5, RESULT, 0, call_id, zeros, 5);
        } else if (!strcmp(rule, "head-in-two-frames")) {
                used = one_part(payload, "", 0, 4);
                memcpy(payload + used, "text", 4);
                raw_frame(20, RESULT, MORE, call_id, payload, 20);
                raw_frame((uint32_t)(used + 4 - 20), RESULT, 0, call_id, payload + 20, used + 4 - 20);
        } else if (!strcmp(rule, "257-parts")) {
                struct head head = {.parts = 257};
                memcpy(payload, &head, sizeof head);
                raw_frame(sizeof head + 257 * sizeof(struct part_head), RESULT, 0, call_id, payload,
                          sizeof head + 257 * sizeof(struct part_head));
        } else if (!strcmp(rule, "parts-not-there")) {
                struct head head = {.parts = 200};
                raw_frame(sizeof head, RESULT, 0, call_id, &head, sizeof head);
        } else if (!strcmp(rule, "name-too-long")) {
                memset(payload, 'n', sizeof payload);
                struct head head = {.name_length = 300};
                memcpy(payload, &head, sizeof head);
                raw_frame(sizeof head + 300, OUTPUT, 0, call_id, payload, sizeof head + 300);
        } else if (!strcmp(rule, "name-behind-end")) {
                struct head head = {.name_length = 200};
                raw_frame(sizeof head, OUTPUT, 0, call_id, &head, sizeof head);
        } else if (!strcmp(rule, "type-too-long")) {
                struct head head = {.parts = 1};
                struct part_head part = {.type_length = 300};
                memset(payload, 't', sizeof payload);
                memcpy(payload, &head, sizeof head);
                memcpy(payload + sizeof head, &part, sizeof part);
                raw_frame(sizeof head + sizeof part + 300, RESULT, 0, call_id, payload,
                          sizeof head + sizeof part + 300);
        } else if (!strcmp(rule, "part-larger-than-said")) {
                used = one_part(payload, "", 0, 4);
                raw_frame((uint32_t)used + 100, RESULT, 0, call_id, payload, used + 100);
        } else if (!strcmp(rule, "part-smaller-than-said")) {
                used = one_part(payload, "", 0, 1000);
                raw_frame((uint32_t)used + 100, RESULT, 0, call_id, payload, used + 100);
        } else if (!strcmp(rule, "part-of-2-GiB")) {
                used = one_part(payload, "", 0, (uint64_t)2 << 30);
                raw_frame((uint32_t)used, RESULT, MORE, call_id, payload, used);
        } else if (!strcmp(rule, "sizes-overflow")) {
                struct head head = {.parts = 2};
                struct part_head parts[2] = {{0, UINT64_MAX - 7}, {0, 16}};
                memcpy(payload, &head, sizeof head);
                memcpy(payload + sizeof head, parts, sizeof parts);
                used = sizeof head + sizeof parts;
                raw_frame((uint32_t)used + 8, RESULT, 0, call_id, payload, used + 8);
        } else if (!strcmp(rule, "65-unfinished-messages")) {
                used = one_part(payload, "progress", 8, 1 << 20);
                for (uint64_t i = 0; i < 65; i++) raw_frame((uint32_t)used, CALL, MORE, 1 + i, payload, used);
        } else if (!strcmp(rule, "answer-to-no-call")) {
                send_text(RESULT, call_id + 1000, "", "to whom it may concern");
        } else if (!strcmp(rule, "call-id-again")) {
                send_text(CALL, 5, "ask", "one");
                send_text(CALL, 5, "ask", "two");
        } else if (!strcmp(rule, "name-with-nul")) {
                used = one_part(payload, "dis\0play", 8, 4);
                raw_frame((uint32_t)used + 4, OUTPUT, 0, call_id, payload, used + 4);
        } else if (!strcmp(rule, "half-a-frame")) {
                write_all("\x10\0\0", 3);
                _exit(5);
        } else if (!strcmp(rule, "half-a-message")) {
                used = one_part(payload, "", 0, 1 << 20);
                raw_frame((uint32_t)used, RESULT, MORE, call_id, payload, used);
                _exit(6);
        } else if (!strcmp(rule, "unknown-kind-above-31")) { /* allowed: ignored */
                raw_frame(100, 200, 0, 0, zeros, 100);
                send_text(RESULT, call_id, "", "the truth");
        } else if (!strcmp(rule, "sends-descriptors")) { /* they are closed, whatever they are */
                for (int i = 0; i < 20; i++) {
                        struct frame frame = {.kind = 200};
                        int many[200];
                        for (int j = 0; j < 200; j++) many[j] = j % 3;
                        union {
                                struct cmsghdr header;
                                char room[CMSG_SPACE(sizeof many)];
                        } control = {.header = {CMSG_LEN(sizeof many), SOL_SOCKET, SCM_RIGHTS}};
                        memcpy(CMSG_DATA(&control.header), many, sizeof many);
                        struct iovec vector = {&frame, sizeof frame};
                        struct msghdr message = {.msg_iov = &vector,
                                                 .msg_iovlen = 1,
                                                 .msg_control = &control,
                                                 .msg_controllen = sizeof control};
                        if (sendmsg(SESSION, &message, MSG_NOSIGNAL) < 0) { /* a filter may refuse it: say so */
                                send_text(RESULT, call_id, "", strerror(errno));
                                return 1;
                        }
                }
                send_text(RESULT, call_id, "", "sent");
        } else if (!strcmp(rule, "flood-of-outputs")) {
                for (;;) send_text(OUTPUT, call_id, "progress", "and on, and on, and on, and on");
        } else if (!strcmp(rule, "never-reads")) {
                for (;;) pause();
        } else {
                return 0;
        }
        return 1;
}

int main(int count, char **arguments) {
        const char *rule = count > 1 ? arguments[1] : "";
        signal(SIGINT, SIG_IGN);
        if (!broken_at_birth(rule)) {
                /* With a second argument it knows of no arena, and names places in it nevertheless. */
                if (!strncmp(rule, "place", 5) && count == 2) map_arena();
                if (!strncmp(rule, "place", 5)) {
                        send_hello(MAGIC, 1, 1, arena ? 9 : 1, "liar");
                } else {
                        hello();
                }
                send_frame(READY, 0, 0, NULL, 0);
                for (struct message *m; (m = read_message()); free_message(m)) {
                        if (m->kind == STOP) exit(0);
                        if (m->kind != CALL) continue;
                        call_id = m->id;
                        if (!burdensome(rule) && !broken_when_called(rule)) {
                                fprintf(stderr, "liar: no such rule: %s\n", rule);
                                return 93;
                        }
                }
                return 0;
        }
        /* A breach is answered by a kill, not by a polite end: whoever is still here after a while was not caught. */
        for (;;) pause();
}
