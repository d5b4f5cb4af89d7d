/* SPDX-License-Identifier: Apache-2.0 */
/* A worker in C: it sums numbers, and counts until it is asked to stop. cc worker.c -llauter -o worker */
#include <lauter_worker.h>
#include <stdio.h>
#include <string.h>

/* begin: worker */
static lauter_session *session;

static int32_t serve(lauter_request *call, lauter_error **error) {
        if (!strcmp(call->name, "sum") && call->part_count == 1) { /* read where the host has put it */
                double sum = 0, value;
                for (size_t at = 0; at + sizeof value <= call->parts[0].size; at += sizeof value) {
                        memcpy(&value, (const char *)call->parts[0].data + at, sizeof value);
                        sum += value;
                }
                lauter_part result = {"application/octet-stream", &sum, sizeof sum};
                return lauter_session_reply(session, call->id, &result, 1, error);
        }
        if (!strcmp(call->name, "count")) {
                uint64_t counted = 0;
                while (!lauter_request_interrupted(call)) counted++;
                char text[32];
                lauter_part result = {"text/plain", text,
                                      (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)counted)};
                return lauter_session_reply(session, call->id, &result, 1, error);
        }
        return lauter_session_fail(session, call->id, "UnknownVerb", call->name, NULL, error);
}

int main(void) {
        lauter_error *error = NULL;
        lauter_request request = {.size = sizeof request};
        int32_t result = lauter_session_attach("sums 1.0", 0, &session, &error);
        if (result == LAUTER_OK) result = lauter_session_ready(session, &error);
        while (result >= 0 && request.kind != LAUTER_REQUEST_STOP) {
                result = lauter_session_next(session, LAUTER_TAKE_MAIN, -1, &request, &error);
                if (result > 0 && request.kind == LAUTER_REQUEST_CALL) result = serve(&request, &error);
        }
        if (result < 0 && result != LAUTER_ERROR_DIED) fprintf(stderr, "worker: %s\n", lauter_error_message(error));
        return result < 0 && result != LAUTER_ERROR_DIED;
}
/* end: worker */
