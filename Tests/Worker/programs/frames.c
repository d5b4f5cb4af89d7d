/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that tells what comes to it, as Tests/Vectors/frames.txt writes it: a line each, and at last the error. */
#include <lauter_worker.h>

#include <stdio.h>
#include <stdlib.h>

static int end(lauter_error *error) {
        printf("error %d %s\n", lauter_error_code(error), lauter_error_message(error));
        lauter_error_free(error);
        return 0;
}

int main(void) {
        lauter_error *error = NULL;
        lauter_session *session = NULL;
        if (lauter_session_attach("frames", 0, &session, &error) != LAUTER_OK) return end(error);
        if (lauter_session_ready(session, &error) != LAUTER_OK) return end(error);
        lauter_request request = {.size = sizeof request};
        for (;;) {
                int32_t taken = lauter_session_next(session, LAUTER_TAKE_MAIN | LAUTER_TAKE_SIDE | LAUTER_TAKE_CHANNELS,
                                                    -1, &request, &error);
                if (taken < 0) return end(error);
                if (request.kind == LAUTER_REQUEST_STOP) {
                        printf("stop\nerror 0 stopped\n");
                        return 0;
                }
                if (request.kind == LAUTER_REQUEST_CALL) {
                        printf("call %llu \"%s\"", (unsigned long long)request.id, request.name);
                        if (request.lane != 0) printf(" lane %u", request.lane);
                } else if (request.kind == LAUTER_REQUEST_OPENED) {
                        printf("open %llu \"%s\"", (unsigned long long)request.id, request.name);
                } else {
                        printf("kind %u", request.kind);
                }
                for (size_t part = 0; part < request.part_count; part++) {
                        printf(" %s:", request.parts[part].type);
                        const unsigned char *data = request.parts[part].data;
                        for (size_t at = 0; at < request.parts[part].size; at++) printf("%02x", data[at]);
                }
                printf("\n");
        }
}
