/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lauter_worker.h
 * The worker's side of a session: what a program calls that a host started with launch kind "worker".
 *
 * A worker attaches to its *session*, says that it is ready, and takes *requests*: calls of its host, which it answers,
 * messages on channels, and the word to stop. `docs/worker.md` has a whole one; `docs/protocol.md` says what goes over the
 * wire, for those who do without this library.
 *
 * The conventions of lauter.h hold here too, with these differences:
 *
 * - Any thread may use a session, several at once: one may wait for requests while another sends a large answer and a third one
 *   waits for its host. Small messages go in between the pieces of large ones. A lauter_request belongs to one thread at a
 *   time, but for lauter_request_interrupted().
 * - Functions that send **block** while the host does not take what they send, which it does soon unless its program does
 *   not read its events. Signals do not end that: a message that has begun must end.
 * - Two errors can come from every function that uses a session, and are for good: DIED, the host is gone (exit then, at once);
 *   PROTOCOL, the host broke the protocol (say so on standard error, and exit with status 1). A function that takes
 *   something first hands out what has arrived before that.
 * - After fork(2) the session is unusable in the child: LAUTER_ERROR_FORKED. Parts that lie in shared memory (see
 *   lauter_session_next()) and memory that lauter_session_lend() gave are not there in the child at all.
 * - The library writes nothing to the standard streams: flush what your program wrote before you answer, or it comes after.
 */
#ifndef LAUTER_WORKER_H
#define LAUTER_WORKER_H

#include "lauter.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -------------------------------------------------------------------------------------------- a worker's session -- */

/** A worker's session with its host. */
typedef struct lauter_session lauter_session;

/** What a worker can do besides, or'ed together. */
enum {
        /** It is interrupted by SIGINT, and has a handler for it before it says that it is ready. Without a handler that
         * harms nothing: SIGINT is ignored, and lauter_request_interrupted() tells all the same. */
        LAUTER_SESSION_SIGNALS = 1,
        /** It is interrupted by LAUTER_REQUEST_INTERRUPT, which some thread of it waits for at all times. */
        LAUTER_SESSION_MESSAGES = 2,
        /** It takes calls of the lane *side* while one of *main* runs. */
        LAUTER_SESSION_SIDE = 4
};

/**
 * Take over the session that this process was born with (descriptors 3, 4 and 5), and greet the host. Once in a process.
 *
 * Descriptor 3 stays what it is until lauter_session_free(); 4 and 5 are closed. None is inherited by programs that the worker
 * executes.
 *
 * @param name What the worker calls itself, at most 255 bytes: "python 3.11.2". The host's `ready` event carries it.
 * @param abilities LAUTER_SESSION_*, or 0: no call can be interrupted but by looking (lauter_request_interrupted()).
 *
 * **Ownership** free with lauter_session_free(), or never. **Blocks** until the host has greeted, which it has before the worker
 * is born. **Errors** STATE: this process has no session: it was not started by a host as a "worker", or has attached
 * before; PROTOCOL: host and library speak no common version; INVALID; SYSTEM. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_attach(const char *name, uint32_t abilities, lauter_session **session,
                                             lauter_error **error);

/** Say that calls can come. Before this nothing else may be sent. **Errors** STATE: said before. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_ready(lauter_session *session, lauter_error **error);

/**
 * A descriptor that polls readable while lauter_session_next() has, or may have, something to do. Level-triggered.
 * Borrowed: never read it, never close it. -1 for NULL, or if there are no more descriptors. **Since** 0.1
 */
LAUTER_API int32_t lauter_session_fd(lauter_session *session);

/** End the session, as the host sees it: it kills the worker soon unless that exits. No other thread may be using it. Requests and
 * kept parts stay valid until they are cleared and released. NULL does nothing. **Since** 0.1 */
LAUTER_API void lauter_session_free(lauter_session *session);

/* ------------------------------------------------------------------------------------------- a worker's requests -- */

/** Kinds of request. */
enum {
        LAUTER_REQUEST_NONE = 0, /**< The request holds nothing. */
        /** The host calls: `id`, `name` (the verb), `parts`, `lane`. To be answered once by lauter_session_reply() or
         * lauter_session_fail(). */
        LAUTER_REQUEST_CALL = 1,
        LAUTER_REQUEST_STOP = 2,      /**< Finish and exit. Comes again to every thread that asks for more. */
        LAUTER_REQUEST_INTERRUPT = 3, /**< The call `id` is asked to stop; it may have ended. */
        LAUTER_REQUEST_RESULT = 4,    /**< The host's answer to our call `id`: `parts`. */
        LAUTER_REQUEST_FAILURE = 5,   /**< The same as a failure: `name` is its type, the first part its message. */
        /** The host opened the channel `id`: `name`, `parts`. To be accepted by lauter_session_grant() or refused by
         * lauter_session_cancel(). */
        LAUTER_REQUEST_OPENED = 6,
        LAUTER_REQUEST_DATA = 7, /**< A message on the channel `id`: `parts`. */
        LAUTER_REQUEST_END = 8,  /**< The host sends no more on the channel `id`; we still may. */
        /** The channel `id` is over, and its id stale: both sides have ended it, or the host has cancelled it, where `name`
         * and the first part say why. Not told when the worker cancelled it itself. */
        LAUTER_REQUEST_CLOSED = 9,
        LAUTER_REQUEST_WRITABLE = 10 /**< There is credit now for what did not fit on the channel `id`. */
};

/** What lauter_session_next() is to take, or'ed together. */
enum {
        LAUTER_TAKE_MAIN = 1,       /**< Calls of the lane *main*. */
        LAUTER_TAKE_SIDE = 2,       /**< Calls of the lane *side*. */
        LAUTER_TAKE_CHANNELS = 4,   /**< What comes on channels. */
        LAUTER_TAKE_ANSWERS = 8,    /**< Answers to calls of lauter_session_call_start(). */
        LAUTER_TAKE_INTERRUPTS = 16 /**< LAUTER_REQUEST_INTERRUPT. */
};

/** Something that the host wants. All pointers are borrowed from the request, until lauter_request_clear(). Do not copy one by
 * value: both copies would own the same memory. */
typedef struct lauter_request {
        uint32_t size;            /**< In: sizeof (lauter_request). */
        uint32_t kind;            /**< LAUTER_REQUEST_*. */
        uint64_t id;              /**< Of the call or channel, or 0. */
        uint32_t lane;            /**< CALL: 0 main, 1 side. */
        uint32_t claimed;         /**< The library's. */
        const char *name;         /**< Never NULL. */
        const lauter_part *parts; /**< `part_count` parts. */
        size_t part_count;        /**< Number of parts. */
        const void *slot;         /**< The library's. */
        void *owner;              /**< The library's. */
} lauter_request;

/**
 * Take the next request: of those that `take` names the one that came first. Those that it does not name are kept for
 * others who ask.
 *
 * Large parts are not copied but read where the host has put them, in memory that both share, of which there is only so
 * much: clear requests when they are no longer needed. The host does not change them until then.
 *
 * While a thread waits here for a second or longer, memory that was lent and sent (lauter_session_lend()) goes back to
 * the system.
 *
 * @param take LAUTER_TAKE_*. LAUTER_REQUEST_STOP comes whatever it says, after what came before it.
 * @param[in,out] request Set `size` (and zero the rest) before the first use; cleared first if it held a request.
 * @return 1 if there was one, 0 if the time was up.
 *
 * **Ownership** clear with lauter_request_clear(), or by the next function that fills the same request. **Blocks** for `timeout_ms`.
 * **Errors** INTERRUPTED; DIED; PROTOCOL; FORKED; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_next(lauter_session *session, uint32_t take, int64_t timeout_ms,
                                           lauter_request *request, lauter_error **error);

/**
 * Whether the host has asked to stop this call (LAUTER_REQUEST_CALL), once more than this function has said so: each asking is
 * claimed once. Never speaks of another call. Costs a look at memory.
 *
 * It can be asked from the call's own code now and then; from any thread; and, being async-signal-safe, in a handler of SIGINT
 * (LAUTER_SESSION_SIGNALS), which finds the running call's request where the program put it. A handler that finds nothing
 * to claim was meant for a call that has ended, and does nothing.
 *
 * @return 1 if it was asked to stop, else 0; 0 for NULL and for what is no call. **Since** 0.1
 */
LAUTER_API int32_t lauter_request_interrupted(lauter_request *request);

/** Free what a request holds and make it empty; `size` stays, so that it can be used again. Answering a call does not clear its
 * request, nor the other way round. An empty one, and NULL, do nothing. **Since** 0.1 */
LAUTER_API void lauter_request_clear(lauter_request *request);

/**
 * Keep a request's name and parts beyond lauter_request_clear(): they stay where they are, readable from any thread.
 *
 * **Ownership** end with lauter_part_release(). **Errors** INVALID: a request without name and parts. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_request_keep(const lauter_request *request, lauter_kept **kept, lauter_error **error);

/* -------------------------------------------------------------------------------------------- a worker's answers -- */

/**
 * Send an output of a running call: "display" of docs/profile.md, say. Outputs and the answer of a call arrive in their order.
 *
 * **Blocks** while the host does not take it. **Errors** INVALID; LIMIT: LAUTER_MESSAGE_MAX. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_output(lauter_session *session, uint64_t call, const char *name,
                                             const lauter_part *parts, size_t part_count, lauter_error **error);

/**
 * Answer a call. Large parts go through shared memory; see lauter_session_lend() for parts that need no copy at all.
 *
 * **Blocks** while the host does not take it. **Errors** STALE: no call of this id waits for an answer; INVALID; LIMIT:
 * LAUTER_MESSAGE_MAX: the call can still be answered by something else. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_reply(lauter_session *session, uint64_t call, const lauter_part *parts,
                                            size_t part_count, lauter_error **error);

/** Answer a call with a failure: a type name ("ValueError"), a message, and, if it is not NULL, a formatted traceback. **Blocks**,
 * **Errors** as lauter_session_reply(). **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_fail(lauter_session *session, uint64_t call, const char *name,
                                           const char *message, const char *traceback, lauter_error **error);

/** Answer a call with a failure of any parts, as docs/profile.md describes them. **Blocks**, **Errors** as
 * lauter_session_reply(). **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_fail_with(lauter_session *session, uint64_t call, const char *name,
                                                const lauter_part *parts, size_t part_count, lauter_error **error);

/* --------------------------------------------------------------------------------------------- a worker's memory -- */

/**
 * Borrow memory to build a part in, so that sending it copies nothing: shared memory if there is room, else ordinary.
 *
 * Give it as the `data` of a part of one message, `size` being what was used of it. Once the function that sends it has
 * succeeded the memory is gone. Without that, give it back by lauter_session_unlend(). What stood in it before is not defined.
 *
 * @param size 1 to LAUTER_MESSAGE_MAX bytes.
 * @param[out] memory Aligned to 64 bytes in shared memory, to 16 else.
 *
 * **Errors** INVALID; LIMIT: no memory. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_lend(lauter_session *session, size_t size, void **memory, lauter_error **error);

/** Give back memory of lauter_session_lend() that was not sent. NULL does nothing. **Errors** INVALID: it was not lent, or was
 * sent. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_unlend(lauter_session *session, void *memory, lauter_error **error);

/* ---------------------------------------------------------------------------------- a worker's calls to its host -- */

/**
 * Call the host and wait for its answer.
 *
 * @param parent The host's call within which this one is made (lauter_request.id), or 0.
 * @param verb What to do, as the host's program understands it. Those that begin with "lauter." the library answers: see
 *        docs/protocol.md.
 * @param timeout_ms Then, and when a signal handler ran, the call is cancelled: its answer will be dropped.
 * @param[in,out] answer LAUTER_REQUEST_RESULT or LAUTER_REQUEST_FAILURE; `size` and clearing as for lauter_session_next().
 *
 * **Blocks** for `timeout_ms`. **Errors** TIMEOUT; INTERRUPTED; INVALID; LIMIT: LAUTER_MESSAGE_MAX, or 1,024 calls that wait.
 * A failure is an answer like others, and no error of this function. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_call(lauter_session *session, uint64_t parent, const char *verb,
                                           const lauter_part *parts, size_t part_count, int64_t timeout_ms,
                                           lauter_request *answer, lauter_error **error);

/** Call the host and do not wait: take the answer by lauter_session_call_wait(), or by lauter_session_next() with
 * LAUTER_TAKE_ANSWERS. **Blocks** while the host does not take it. **Errors** as lauter_session_call(). **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_call_start(lauter_session *session, uint64_t parent, const char *verb,
                                                 const lauter_part *parts, size_t part_count, uint64_t *call,
                                                 lauter_error **error);

/** Wait for the answer of a call. **Blocks** for `timeout_ms`. **Errors** TIMEOUT, INTERRUPTED: it goes on; STALE: answered and
 * taken, or cancelled. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_call_wait(lauter_session *session, uint64_t call, int64_t timeout_ms,
                                                lauter_request *answer, lauter_error **error);

/** Wait no longer for the answer of a call, and tell the host so. Its answer is dropped. A call that was answered is nothing to
 * be cancelled, and no error. **Errors** STALE: this id was never a call. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_call_cancel(lauter_session *session, uint64_t call, lauter_error **error);

/* ------------------------------------------------------------------------------------------- a worker's channels -- */

/**
 * Open a channel.
 *
 * @param name,parts,part_count What it is for, as the host's program understands it.
 * @param window How many bytes the host may have under way to us: its messages (with some hundred bytes besides their parts)
 *        count until their requests are cleared. 1 to LAUTER_MESSAGE_MAX; 0 for 1 MiB.
 * @param[out] channel Its id: never 0, odd, never used twice.
 *
 * The host accepts, and what is sent goes from then on; or it refuses: LAUTER_REQUEST_CLOSED.
 *
 * **Blocks** while the host does not take it. **Errors** INVALID; LIMIT: LAUTER_MESSAGE_MAX, or 1,024 channels. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_open(lauter_session *session, const char *name, const lauter_part *parts,
                                           size_t part_count, uint64_t window, uint64_t *channel, lauter_error **error);

/**
 * Set how many bytes the host may have under way to us on a channel; the first time accepts one that it opened. A
 * narrower window comes about as requests are cleared.
 *
 * A single message that is larger than the window is let in when everything before it was cleared.
 *
 * @param window 1 to LAUTER_MESSAGE_MAX; 0 for 1 MiB.
 *
 * **Errors** STALE; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_grant(lauter_session *session, uint64_t channel, uint64_t window,
                                            lauter_error **error);

/**
 * Send a message on a channel, once the host has given credit for it: its bytes, and some 100 more.
 *
 * @param timeout_ms How long to wait for credit. When it is up nothing was sent, and LAUTER_REQUEST_WRITABLE tells when there is enough.
 *
 * **Blocks** for `timeout_ms`, and while the host does not take it. **Errors** TIMEOUT, INTERRUPTED: nothing was sent; STALE: no
 * such channel, or it is over; STATE: we have ended it; INVALID; LIMIT. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_send(lauter_session *session, uint64_t channel, const lauter_part *parts,
                                           size_t part_count, int64_t timeout_ms, lauter_error **error);

/**
 * Take what comes next on one channel (LAUTER_REQUEST_DATA and those below it), for threads that serve one each;
 * lauter_session_next() with LAUTER_TAKE_CHANNELS takes of all.
 *
 * @return 1 if there was something, 0 if the time was up.
 *
 * **Blocks** for `timeout_ms`. **Errors** STALE: no such channel, or it is over and all was taken; as lauter_session_next().
 * **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_session_receive(lauter_session *session, uint64_t channel, int64_t timeout_ms,
                                              lauter_request *request, lauter_error **error);

/** Send no more on a channel; what was sent arrives, and the host may go on. **Errors** STALE; STATE: ended before.
 * **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_end(lauter_session *session, uint64_t channel, lauter_error **error);

/** End both directions of a channel at once, or refuse one, and say why: a type name and a message. What was not taken of it
 * is dropped. **Errors** STALE; INVALID. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_session_cancel(lauter_session *session, uint64_t channel, const char *name,
                                             const char *message, lauter_error **error);

#ifdef __cplusplus
}
#endif

#endif
