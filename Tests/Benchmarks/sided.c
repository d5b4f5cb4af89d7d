/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that answers small calls on the lane `side` while it sends as many bytes on `main` as a call's part, a u64, says. */
#include <lauter_worker.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static lauter_session *session;

static void serve(lauter_request *call) {
        static char *gift;
        static uint64_t ready;
        if (call->lane == 1) {
                (void)!lauter_session_reply(session, call->id, call->parts, call->part_count, NULL);
                return;
        }
        uint64_t wanted;
        memcpy(&wanted, call->parts[0].data, sizeof wanted);
        if (wanted > ready) { /* once: the pages are the machine's to find, not the call's */
                gift = realloc(gift, wanted);
                if (!gift) exit(1);
                memset(gift, 7, wanted);
                ready = wanted;
        }
        lauter_part part = {"application/octet-stream", gift, wanted};
        (void)!lauter_session_reply(session, call->id, &part, 1, NULL);
}

static void *serve_lane(void *take) {
        lauter_request request = {.size = sizeof request};
        while (lauter_session_next(session, *(uint32_t *)take, -1, &request, NULL) > 0 &&
               request.kind != LAUTER_REQUEST_STOP)
                if (request.kind == LAUTER_REQUEST_CALL) serve(&request);
        exit(0);
}

int main(void) {
        static uint32_t lanes[] = {LAUTER_TAKE_MAIN, LAUTER_TAKE_SIDE};
        pthread_t thread;
        if (lauter_session_attach("sided", LAUTER_SESSION_SIDE, &session, NULL) < 0 ||
            lauter_session_ready(session, NULL) < 0 || pthread_create(&thread, NULL, serve_lane, &lanes[1]) != 0)
                return 1;
        serve_lane(&lanes[0]);
}
