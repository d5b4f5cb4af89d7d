/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file lauter.h
 * Run other people's code in worker processes that cannot hurt their host.
 *
 * A *host* owns *workers*. A worker is a process tree in a sandbox that a *policy* describes and a *launch* starts.
 * Work is handed to it as *calls*; what it does comes back as *events*, read from one pollable descriptor.
 *
 * Conventions that hold for every function:
 *
 * - Results leave through the last parameters before `error`, and are set only on success.
 * - Functions that can fail return LAUTER_OK (0) or a positive count on success, and one of the negative
 *   LAUTER_ERROR_* codes on failure. If `error` is not NULL, `*error` is then set to an error that the caller owns
 *   and frees with lauter_error_free(); what it pointed to before is overwritten, not freed. `error` may always be NULL.
 *   On success `*error` is left alone.
 * - Strings are NUL-terminated UTF-8. Strings that go in are copied. Strings that come out as `const char *` are
 *   borrowed from the object they were asked of; strings that come out as `char *` are owned and freed with
 *   lauter_string_free().
 * - Paths are absolute; `~` and relative paths are the caller's to resolve, and are refused.
 * - Timeouts are in milliseconds, relative to now, on the monotonic clock: -1 waits without end, 0 does not wait.
 * - Any thread may use a host and its workers, calls and events; a policy, a launch or an error belongs to one thread
 *   at a time.
 * - The library starts no thread, installs no signal handler, reaps no child but its own, prints nothing, and keeps no
 *   global state that changes. After fork(2), a host is unusable in the child: LAUTER_ERROR_FORKED.
 * - Functions marked **Blocks** may sleep; those that take a timeout return LAUTER_ERROR_INTERRUPTED when a signal
 *   handler of the host's ran, so that the host can act on it and call again. No other function sleeps.
 */
#ifndef LAUTER_H
#define LAUTER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @def LAUTER_API
 * Marks what the library exports. */
/** @def LAUTER_CHECKED
 * Likewise, and the compiler warns where a result is not looked at. */
#if defined(__GNUC__)
#define LAUTER_API __attribute__((visibility("default")))
#define LAUTER_CHECKED __attribute__((visibility("default"), warn_unused_result))
#else
#define LAUTER_API
#define LAUTER_CHECKED
#endif

/* ------------------------------------------------------------------------------------------------ version -- */

/** The ABI that this header describes. Compare with lauter_abi_version() after loading the library. */
#define LAUTER_ABI_VERSION 0u

/** The ABI version of the loaded library. Never fails. **Since** 0.1 */
LAUTER_API uint32_t lauter_abi_version(void);

/** The library's version, such as "0.1.0". Borrowed for ever. **Since** 0.1 */
LAUTER_API const char *lauter_version(void);

/* ------------------------------------------------------------------------------------------------- errors -- */

/** What went wrong, as returned by functions and carried by events. */
enum {
        LAUTER_OK = 0,                     /**< Nothing. */
        LAUTER_ERROR_INVALID = -1,         /**< An argument is not of the documented form. */
        LAUTER_ERROR_SYSTEM = -2,          /**< A system call failed: see lauter_error_errno(). */
        LAUTER_ERROR_POLICY = -3,          /**< Unknown preset or word, or a value that its word does not take. */
        LAUTER_ERROR_NOT_FOUND = -4,       /**< No such path, program or interpreter. */
        LAUTER_ERROR_DENIED = -5,          /**< Permission refused, or outside the policy. */
        LAUTER_ERROR_UNSUPPORTED = -6,     /**< This kernel or machine cannot enforce what the policy asks. */
        LAUTER_ERROR_STALE = -7,           /**< No worker or call has this id (any more). */
        LAUTER_ERROR_TIMEOUT = -8,         /**< The time was up. */
        LAUTER_ERROR_INTERRUPTED = -9,     /**< A signal handler ran in the calling thread: act on it, call again. */
        LAUTER_ERROR_DIED = -10,           /**< The worker ended; the message says why. */
        LAUTER_ERROR_FAILED = -11,         /**< The called code failed: an exception, say. */
        LAUTER_ERROR_PROTOCOL = -12,       /**< The worker broke the protocol and was killed. */
        LAUTER_ERROR_LIMIT = -13,          /**< A bound is reached: calls in flight, message size, unread events. */
        LAUTER_ERROR_FORKED = -14,         /**< The host was made before a fork, in another process. */
        LAUTER_ERROR_NOT_EXECUTABLE = -15, /**< The program was found but cannot be executed. */
        LAUTER_ERROR_LAUNCH = -16,         /**< A step of the launch failed: see lauter_error_step(). */
        LAUTER_ERROR_STATE = -17 /**< Not possible now: a worker that is not ready, has no session, is ending. */
};

/** An error: owned by whoever received it through an `error` parameter, borrowed where an event or call lent it. */
typedef struct lauter_error lauter_error;

/** The LAUTER_ERROR_* code. 0 for NULL. **Since** 0.1 */
LAUTER_API int32_t lauter_error_code(const lauter_error *error);
/** The errno of the failed system call, or 0. **Since** 0.1 */
LAUTER_API int32_t lauter_error_errno(const lauter_error *error);
/** The number of the launch step that failed, counted from 1 as `lauter explain` prints them, or 0. **Since** 0.1 */
LAUTER_API int32_t lauter_error_step(const lauter_error *error);
/** What the error is about: a path, a word, an id. Empty if nothing. Borrowed from `error`. **Since** 0.1 */
LAUTER_API const char *lauter_error_subject(const lauter_error *error);
/** One sentence that names what, where and why, in lower case. Borrowed from `error`. **Since** 0.1 */
LAUTER_API const char *lauter_error_message(const lauter_error *error);
/** Free an error. NULL does nothing. **Since** 0.1 */
LAUTER_API void lauter_error_free(lauter_error *error);
/** The name of a code: "LAUTER_ERROR_STALE". Borrowed for ever; "unknown" for what is no code. **Since** 0.1 */
LAUTER_API const char *lauter_code_name(int32_t code);
/** Free a string that came out as `char *`. NULL does nothing. **Since** 0.1 */
LAUTER_API void lauter_string_free(char *string);

/* ------------------------------------------------------------------------------------------------- policy -- */

/** What a worker may read, write, reach and use up. A value: spawning copies it. */
typedef struct lauter_policy lauter_policy;

/**
 * Make a policy from a preset.
 *
 * @param preset "notebook" (system directories and the language runtime readable, own home and /tmp, a loopback of its
 *        own, any program, no privilege), "strict" (pure computation: no network, nothing writable but its own /tmp, no
 *        further program executed) or "unconfined" (a separate process tree and nothing more).
 * @param[out] policy The new policy.
 *
 * **Ownership** free with lauter_policy_free(). **Threads** any. **Errors** POLICY: unknown preset. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_policy_new(const char *preset, lauter_policy **policy, lauter_error **error);

/**
 * Add one word to a policy. `docs/policy.md` lists the words:
 *
 *     read PATH      write PATH     deny PATH        files and folders, with everything below; the most specific path wins
 *     tmp SIZE       home private|none|PATH          writable memory for /tmp; the home directory
 *     net none|private|host                          no network, a loopback of its own, the host's network
 *     env NAME=VALUE | env NAME                      set a variable; pass the caller's value of NAME on
 *     run any|none                                   whether further programs may be executed
 *     jit any|none                                   whether code may be executed that the worker computes or writes itself
 *     nest any|none                                  whether it may make namespaces of its own, and mounts in them
 *     violations tell|kill|silent|observe            what comes of system calls of the attack surface: they fail and
 *                                                    LAUTER_EVENT_DENIED tells; they end the worker; they fail; or no
 *                                                    call is refused and each that would be is told (no sandbox then)
 *     limit memory=SIZE | processes=N | cpus=N | open-files=N | file-size=SIZE | output=SIZE | arena=SIZE | cpu=TIME | wall=TIME
 *                                                    SIZE takes K, M, G; TIME takes ms, s, m, h; "none" lifts the limit
 *     allow-missing WORD                             go on when the kernel cannot enforce WORD, or has no `namespaces`;
 *                                                    the report then says so
 *
 * **Threads** one at a time. **Errors** POLICY: unknown word, bad value (the subject names it); INVALID: NULL.
 * **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_policy_set(lauter_policy *policy, const char *word, const char *value,
                                         lauter_error **error);

/**
 * Apply a policy text: one `word value` a line; blank lines and lines that begin with `#` are skipped. All or nothing.
 *
 * **Errors** POLICY: as lauter_policy_set(), with the line number in the message. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_policy_parse(lauter_policy *policy, const char *text, lauter_error **error);

/** Print a policy in the form that lauter_policy_parse() reads. It begins with the preset as a comment: parse it into a
 * policy of the same preset. Equal policies print equal texts. **Ownership** free the text with lauter_string_free(). **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_policy_print(const lauter_policy *policy, char **text, lauter_error **error);

/**
 * Ask whether a policy allows something, and what would allow it if not.
 *
 * @param word "read", "write" (value: an absolute path), "net" (value: "host:port" or an address) or "run" (value: a program).
 * @param[out] why NULL if allowed; else a sentence such as "outside the policy; allow it with --read /data".
 * @return 1 if allowed, 0 if not.
 *
 * **Ownership** free `why` with lauter_string_free(). **Errors** POLICY, INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_policy_check(const lauter_policy *policy, const char *word, const char *value, char **why,
                                           lauter_error **error);

struct lauter_launch;

/**
 * The launch plan of a policy and a launch on this machine, as text: which namespaces the worker has to itself, then
 * one numbered step a line. Nothing is run.
 *
 * **Ownership** free the text with lauter_string_free(). **Errors** as lauter_spawn(). **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_policy_explain(const lauter_policy *policy, const struct lauter_launch *launch,
                                             char **text, lauter_error **error);

/** Free a policy. NULL does nothing. **Since** 0.1 */
LAUTER_API void lauter_policy_free(lauter_policy *policy);

/* ------------------------------------------------------------------------------------------------- launch -- */

/** What is started in the sandbox. A value: spawning copies it. */
typedef struct lauter_launch lauter_launch;

/**
 * Make a launch.
 *
 * @param kind "python": the Python runtime that ships with the library, in the interpreter that `interpreter` names
 *        (default: python3 on the caller's PATH); serves calls of `docs/profile.md`.
 *        "worker": a program that speaks `docs/protocol.md` on descriptor 3.
 *        "program": any program; it serves no calls and is ready as soon as it runs.
 *
 * **Ownership** free with lauter_launch_free(). **Errors** INVALID: unknown kind. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_launch_new(const char *kind, lauter_launch **launch, lauter_error **error);

/**
 * Set one property of a launch.
 *
 *     interpreter PATH       the language's interpreter ("python"); absolute
 *     argument TEXT          append to the argument vector; the first is the program ("worker", "program"): a path, or a name
 *                            that is looked up in the worker's PATH; of a "python" launch, an argument of the runtime
 *     directory PATH         working directory inside the sandbox; default: the worker's home, or / without one
 *     label TEXT             a name for reports
 *     stdin  null|inherit|pipe                 default null
 *     stdout capture|inherit|null              default capture: delivered as events
 *     stderr capture|inherit|null              default capture
 *     terminal none|ROWSxCOLUMNS               default none: see below; "24x80", or "24x80 background"
 *     parts copy|in-place    default copy: see below
 *     ready-timeout TIME     how long until a session must be ready, default 30s
 *     interrupt-grace TIME   how long an interrupted call whose time was up may go on before its worker is killed, default 5s
 *
 * With a *terminal* the worker's standard streams are a pseudo-terminal of its own, of that size, which is its controlling
 * terminal too; the caller's own cannot be reached from it. What programs write there arrives as events of
 * LAUTER_STREAM_STDOUT, as a terminal shows it; lauter_worker_stdin() types; Ctrl-C is the character 3. It reaches programs;
 * the call of a worker with a session is interrupted by lauter_call_interrupt() alone. The worker is a job in its
 * foreground (or background), so that Ctrl-Z stops it: LAUTER_EVENT_SUSPENDED. The `stdin`, `stdout` and `stderr` of such
 * a launch stay at their defaults. Programs want to know the kind of terminal: policy word `env TERM=…`.
 *
 * With `parts in-place`, large parts of events are left in memory that the worker shares, which saves copying them: until
 * lauter_event_clear(), or lauter_part_release() of a part that was kept. **The worker can change them at any time**, also
 * between two looks at the same byte: no length or offset in them may be read twice, and nothing in them be checked first and used
 * then. Copy what must hold still.
 *
 * **Errors** INVALID: unknown property, a value that it does not take, or one that contradicts those set before; the
 * launch is as it was. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_launch_set(lauter_launch *launch, const char *property, const char *value,
                                         lauter_error **error);

/** Free a launch. NULL does nothing. **Since** 0.1 */
LAUTER_API void lauter_launch_free(lauter_launch *launch);

/* ------------------------------------------------------------------------------------------------ machine -- */

/**
 * Find out what this machine can enforce for the calling process, by doing it: first what sandboxes are made of, piece by
 * piece, each in a process that ends at once; then a small program in each preset, as lauter_spawn() starts it.
 *
 * @param[out] json One JSON object:
 *
 *     lauter, abi         the library's version and its LAUTER_ABI_VERSION
 *     status              "full": every preset and every word; "partial": every preset can be launched, but something
 *                         is missing; "failed": a preset cannot be launched
 *     presets             for each:
 *       preset            its name
 *       status            "full", "partial" (workers start without what `missing` lists) or "failed"
 *       missing           words as in lauter_report's `missing`
 *       error             null, or what lauter_spawn() or the `exited` event gave: code, errno, step, subject, message
 *     checks              for each:
 *       id, purpose       "user-namespace", and what it is for in a sandbox
 *       words             policy words that need it; none: every policy
 *       status            "ok"; "tolerated": missing, and workers start without, or one use of a word is refused;
 *                         "missing": what needs it is an error; "info": nothing hangs on it
 *       detail            the mechanism, or what failed
 *       cause, remedy     why, where that can be told, and what a person can do about it; else null
 *
 * Further members and checks may come. The causes and remedies are those that errors of a launch name.
 *
 * @return 0 for "full", 1 for "partial", 2 for "failed".
 *
 * **Ownership** free the text with lauter_string_free(). **Threads** any. **Blocks** some hundred milliseconds, by starting
 * some thirty short-lived processes one after the other; none is left. **Errors** INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_doctor(char **json, lauter_error **error);

/* --------------------------------------------------------------------------------------------------- host -- */

/** Owns workers, their calls and their events. */
typedef struct lauter_host lauter_host;

/** Make a host. **Ownership** free with lauter_host_free(). **Errors** SYSTEM. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_host_new(lauter_host **host, lauter_error **error);

/**
 * A descriptor that polls readable while lauter_host_next() has, or may have, something to do. Level-triggered; timers
 * are inside. Borrowed: never read it, never close it. Valid until lauter_host_free(). -1 for NULL. **Since** 0.1
 */
LAUTER_API int32_t lauter_host_fd(const lauter_host *host);

/**
 * Sleep until lauter_host_next() has something to do.
 *
 * @return 1 if it has, 0 if the time was up. Without workers that is when another thread spawns one.
 *
 * **Blocks** for `timeout_ms`. **Errors** INTERRUPTED, FORKED, SYSTEM. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_host_wait(lauter_host *host, int64_t timeout_ms, lauter_error **error);

/**
 * Kill every worker of a host and free it. Their process trees are gone when this returns. No other thread may be using
 * the host. NULL does nothing. **Blocks** until the kernel has freed the workers' memory, at most 2 s each. **Since** 0.1
 */
LAUTER_API void lauter_host_free(lauter_host *host);

/* ------------------------------------------------------------------------------------------------ workers -- */

/** A worker's id: never 0, never used twice within one host; a stale one is an error, not a crash. It is stale once the
 * worker's `exited` event was taken; between its end and then, ending it again succeeds and does nothing. */
typedef uint64_t lauter_worker;

/**
 * Start a worker.
 *
 * Returns once the sandbox's first process runs. What fails later (the program cannot be executed, the kernel refuses a
 * step) arrives as the worker's `exited` event, and lauter_worker_wait_ready() returns it as an error.
 *
 * No worker is a child of the host: it raises no SIGCHLD, and waitpid(-1) does not find it. Two kinds of hosts are different,
 * since the kernel makes orphans their children: PID 1 of a container, and a subreaper (PR_SET_CHILD_SUBREAPER). They see
 * one SIGCHLD for each worker, and its first process until the library reaps it, which is before the `exited` event is
 * taken. Below a PID 1 that never waits for orphans, each worker that ended leaves a zombie, a number in the process table:
 * give the container an init (docker run --init), or make the host a subreaper.
 *
 * A worker can be a host itself. No namespaces can be had there: its workers take `allow-missing namespaces`.
 *
 * @param cookie The host's own value; every event of this worker carries it.
 * @param[out] worker The worker's id.
 *
 * **Ownership** policy and launch are copied. **Threads** any. **Blocks** a few milliseconds, until the first process runs;
 * under `allow-missing namespaces` as long again, to find out whether there are any, at most 10 s.
 * **Errors** NOT_FOUND, DENIED, NOT_EXECUTABLE: a path of the policy or launch (the subject); UNSUPPORTED: a restriction
 * that this machine cannot enforce, or no namespaces here; SYSTEM; INVALID; FORKED. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_spawn(lauter_host *host, const lauter_policy *policy, const lauter_launch *launch,
                                    uint64_t cookie, lauter_worker *worker, lauter_error **error);

/**
 * Sleep until a worker is ready for calls ("program": until it runs).
 *
 * Events of this and other workers are kept for lauter_host_next().
 *
 * **Blocks** for `timeout_ms`. **Errors** TIMEOUT: not ready yet, or (subject "ready-timeout") it never was in the launch's
 * time and is gone; INTERRUPTED; NOT_FOUND, DENIED, NOT_EXECUTABLE, LAUNCH: the launch failed (step, errno and subject tell
 * where); DIED: it has ended; PROTOCOL: it broke the protocol; STALE.
 * **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_wait_ready(lauter_host *host, lauter_worker worker, int64_t timeout_ms,
                                                lauter_error **error);

/** The id of the worker's init process in the caller's process namespace, for tools that show it; do not signal it.
 * **Errors** STALE. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_worker_pid(lauter_host *host, lauter_worker worker, int32_t *pid, lauter_error **error);

/**
 * Send a signal to the worker's process group ("program") or to the worker process (others). An interrupt of a call is
 * lauter_call_interrupt(); this is for programs. **Errors** STALE, INVALID: no such signal. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_signal(lauter_host *host, lauter_worker worker, int32_t signal,
                                            lauter_error **error);

/**
 * Write to a worker's standard input (launch property `stdin pipe` or `terminal`), or end it.
 *
 * @param size Bytes at `data`; 0 ends the stream. To a terminal it sends the terminal's end-of-file character, which ends
 *        what is being read and not the terminal: more can follow.
 * @return LAUTER_OK; what the pipe cannot take now is kept (at most 1 MiB) and written as the worker reads.
 *
 * **Errors** STALE; STATE: no pipe, ended, or closed by the worker, or a terminal without an end-of-file character; LIMIT:
 * with `data` more than 1 MiB would wait, nothing of it was taken. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_stdin(lauter_host *host, lauter_worker worker, const void *data, size_t size,
                                           lauter_error **error);

/**
 * Tell a worker with a terminal that it has another size: its programs get SIGWINCH if that is so.
 *
 * @param rows,columns 1 to 65535.
 *
 * **Threads** any. **Errors** STALE; STATE: it has no terminal; INVALID: no such size. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_resize(lauter_host *host, lauter_worker worker, uint32_t rows, uint32_t columns,
                                            lauter_error **error);

/**
 * Put what runs in a worker's terminal into the background there (0), or back into the foreground (1).
 *
 * For a host that is itself a job of a shell and does not read its own terminal now: a program in the background that
 * wants to read is stopped by SIGTTIN (LAUTER_EVENT_SUSPENDED) instead of waiting for input that cannot come, and one
 * that writes goes on. A worker whose launch said "background" begins so. Processes that are stopped stay so:
 * lauter_worker_signal() with SIGCONT lets them go on.
 *
 * **Threads** any. **Errors** STALE; STATE: it has no terminal. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_foreground(lauter_host *host, lauter_worker worker, int32_t foreground,
                                                lauter_error **error);

/**
 * Stop a worker: ask its runtime to exit, after `ask_ms` send SIGTERM, after `term_ms` more kill the whole tree. The
 * report says which rung worked. Returns at once; the `exited` event tells the end. Rungs need the host to dispatch. Of two
 * stops the earlier rungs hold.
 *
 * **Errors** STALE, INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_stop(lauter_host *host, lauter_worker worker, int64_t ask_ms, int64_t term_ms,
                                          lauter_error **error);

/**
 * Pause a worker: every process of it stops, uses no CPU and starts nothing, until lauter_worker_resume(). Its times
 * stand still: those of its calls, interrupt-grace, ready-timeout, the wall-clock limit. What it sent before still
 * arrives, calls may be started and wait, signals and interrupts reach it when it goes on. lauter_worker_kill() is as
 * quick as ever; lauter_worker_stop() resumes first.
 *
 * Returns at once; it holds when the worker's init has been told, mostly within a millisecond (a process within a long
 * system call stops at its end). A worker that does not run yet is paused when it begins. Pausing twice does nothing
 * more, there are no events. What was stopped inside before (by a shell's job control) stays stopped after.
 *
 * **Threads** any. **Errors** STALE; STATE: it is ending. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_pause(lauter_host *host, lauter_worker worker, lauter_error **error);

/** Let a paused worker go on. Its times go on as well. Returns at once; one that is not paused is left as it is.
 * **Threads** any. **Errors** STALE. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_worker_resume(lauter_host *host, lauter_worker worker, lauter_error **error);

struct lauter_event;

/**
 * Sleep until a worker has ended, and take its `exited` event. Its other events that were not taken yet are dropped.
 *
 * @param[in,out] event Set `size` before the first use; cleared first if it held an event.
 *
 * **Blocks** for `timeout_ms`. **Ownership** clear with lauter_event_clear(). **Errors** TIMEOUT: it goes on;
 * INTERRUPTED; STALE. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_wait_exit(lauter_host *host, lauter_worker worker, int64_t timeout_ms,
                                               struct lauter_event *event, lauter_error **error);

/**
 * Connect to a port of a worker's own network: to what serves a page there (a Dash app, say) or waits for a debugger.
 *
 * @param port On its loopback: 127.0.0.1, or where nobody listens there ::1.
 * @param[out] descriptor A TCP socket, connected, non-blocking, close-on-exec. It is the caller's.
 *
 * What the worker says there is as little to be believed as anything of it. A connection ends with the worker.
 *
 * **Blocks** for `timeout_ms`. **Threads** any. **Errors** SYSTEM: nobody listens (errno ECONNREFUSED); TIMEOUT: who listens does not
 * accept; DENIED: the policy has `net none`; STATE: it has its host's network, connect there; DIED; LIMIT: 64 descriptors
 * of this worker are under way; INTERRUPTED; STALE; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_dial(lauter_host *host, lauter_worker worker, uint32_t port, int64_t timeout_ms,
                                          int32_t *descriptor, lauter_error **error);

/** Begin to connect to a port of a worker's own network: LAUTER_EVENT_DESCRIPTOR brings the socket, with `cookie`. **Threads** any. **Errors** as
 * lauter_worker_dial(), those that are known at once; the others are the event's. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_worker_dial_start(lauter_host *host, lauter_worker worker, uint32_t port,
                                                int64_t timeout_ms, uint64_t cookie, lauter_error **error);

/** How lauter_worker_open() opens, or'ed together. */
enum {
        LAUTER_OPEN_READ = 1,    /**< To be read. */
        LAUTER_OPEN_WRITE = 2,   /**< To be written. */
        LAUTER_OPEN_CREATE = 4,  /**< With WRITE: made if it is not there, as the worker's own. */
        LAUTER_OPEN_TRUNCATE = 8 /**< With WRITE: emptied. */
};

/**
 * Open a file or folder as a worker sees it, with its rights: to take what it made out of its home, or to put something
 * there.
 *
 * @param path Absolute, in the worker's view. No symbolic link is followed on it, and what the policy does not allow the worker is
 *        refused; nothing in /proc, /dev and /sys is opened. What is neither a file nor a folder is refused.
 * @param flags LAUTER_OPEN_*.
 * @param[out] descriptor Close-on-exec. It is the caller's, and good after the worker's end.
 *
 * A worker can change, shorten and lengthen its files while they are read: read them, rather than map them, which a file that
 * becomes shorter makes deadly (SIGBUS).
 *
 * **Blocks** for `timeout_ms`. **Threads** any. **Errors** NOT_FOUND; DENIED; INVALID: no such path, a symbolic link, no file; STATE: it has its
 * host's files; SYSTEM; TIMEOUT; DIED; LIMIT; INTERRUPTED; STALE. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_worker_open(lauter_host *host, lauter_worker worker, const char *path, uint32_t flags,
                                          int64_t timeout_ms, int32_t *descriptor, lauter_error **error);

/** Begin to open a file: LAUTER_EVENT_DESCRIPTOR brings it, with `cookie`. **Threads** any. **Errors** as lauter_worker_open(), those that are known at
 * once; the others are the event's. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_worker_open_start(lauter_host *host, lauter_worker worker, const char *path,
                                                uint32_t flags, int64_t timeout_ms, uint64_t cookie,
                                                lauter_error **error);

/** Kill a worker and every process that it ever started. Returns at once. **Errors** STALE. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_worker_kill(lauter_host *host, lauter_worker worker, lauter_error **error);

/** Why a worker ended. */
enum {
        LAUTER_REASON_RUNNING = 0,  /**< It has not ended. */
        LAUTER_REASON_EXITED = 1,   /**< It exited by itself. */
        LAUTER_REASON_SIGNALED = 2, /**< A signal ended it: a crash, mostly, or lauter_worker_signal(). */
        LAUTER_REASON_STOPPED = 3,  /**< lauter_worker_stop(): see `rung`. */
        LAUTER_REASON_KILLED = 4,   /**< lauter_worker_kill(). */
        LAUTER_REASON_LAUNCH = 5,   /**< The launch failed: see the event's error. */
        LAUTER_REASON_PROTOCOL = 6, /**< It broke the protocol, or went on although it was paused. */
        LAUTER_REASON_WALL = 7,     /**< The wall-clock limit. */
        LAUTER_REASON_DEADLINE = 8, /**< It was not ready in time, or did not end a call whose time was up. */
        LAUTER_REASON_LOST = 9,     /**< Its init ended without a word (killed from outside, or out of memory). */
        LAUTER_REASON_CPU = 10,     /**< The CPU limit. */
        LAUTER_REASON_OUTPUT = 11,  /**< The output limit. */
        LAUTER_REASON_BLOCKED =
            12,                   /**< It made a system call that is not its to make (policy word `violations kill`). */
        LAUTER_REASON_MEMORY = 13 /**< The memory limit, of all its processes together. */
};

/** Rungs of lauter_worker_stop(). */
enum {
        LAUTER_RUNG_NONE = 0,  /**< It was not stopped. */
        LAUTER_RUNG_ASKED = 1, /**< It was asked to exit, and did. */
        LAUTER_RUNG_TERM = 2,  /**< It ended by SIGTERM. */
        LAUTER_RUNG_KILL = 3   /**< It had to be killed. */
};

/** How a worker ended and what it used. Borrowed from its event; strings are never NULL. */
typedef struct lauter_report {
        uint32_t size;           /**< sizeof (lauter_report) of the library. */
        uint32_t reason;         /**< LAUTER_REASON_*. */
        int32_t exit_code;       /**< 0…255 if it exited, else -1. */
        int32_t signal;          /**< The signal that ended it, else 0. */
        uint32_t rung;           /**< LAUTER_RUNG_*. */
        uint32_t core_dumped;    /**< 1 if it left a core. */
        uint64_t wall_us;        /**< From spawn to end, microseconds. */
        uint64_t cpu_user_us;    /**< CPU of the worker and of all its children that ended, microseconds. */
        uint64_t cpu_system_us;  /**< Likewise, in the kernel. */
        uint64_t peak_bytes;     /**< Peak resident memory of the largest of its processes, bytes. */
        const char *label;       /**< As set on the launch. */
        const char *why;         /**< One sentence: "the wall-clock limit of 10 s was reached". */
        const char *stderr_tail; /**< The last bytes of captured standard error, at most 4 KiB. */
        const char *missing; /**< What is not enforced, one word a line: what `allow-missing` let pass; "groups" where
                                  an ordinary user's supplementary groups stay; "landlock" where the kernel has none;
                                  "quotas" where /proc/sys is read-only;
                                  "abstract-sockets" under `net host` before Linux 6.12 (Landlock ABI 6): those of
                                  the machine are within reach;
                                  "violations" where refused system calls cannot be told, since a listener is around
                                  the host already: they are refused all the same. */
        /** System calls that were not the worker's to make, as JSON: an array of objects as those of LAUTER_EVENT_DENIED,
         * with the number of times in `count`. "[]" if there were none. */
        const char *denied;
        /** The most memory that all its processes had together, bytes. Where a control group counts, with what was read from
         * files and what the kernel keeps for them; of "sum" the most that init saw. 0 if nobody counted. */
        uint64_t tree_peak_bytes;
        /** What held `limit memory` for all processes together: "cgroup v1" or "cgroup v2", the kernel; "sum", the worker's
         * init, which adds up what they have by looking (docs/policy.md says what that does not see); "process", each process
         * has the limit for itself, since without namespaces init may see none; "" without a limit. */
        const char *memory_by;
} lauter_report;

/** A report as one JSON object. **Ownership** free with lauter_string_free(). **Errors** INVALID. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_report_json(const lauter_report *report, char **text, lauter_error **error);

/* -------------------------------------------------------------------------------------------------- calls -- */

/** A call's id: never 0, never used twice within one host. It is stale for lauter_call_wait() once its `done` event was
 * taken; interrupting or abandoning a call that has ended succeeds and does nothing. */
typedef uint64_t lauter_call;

/** One part of a message: a media type and bytes. The core never looks inside. */
typedef struct lauter_part {
        const char *type; /**< Media type, at most 255 bytes: "text/plain". */
        const void *data; /**< May be NULL if `size` is 0. */
        size_t size;      /**< Bytes at `data`. */
} lauter_part;

/** Lanes: which calls wait for which. Other numbers are reserved. */
enum {
        LAUTER_LANE_MAIN = 0, /**< One after the other, in the order of their start. */
        /** At once, beside the call that runs: a look at a variable while a cell computes. Only workers that say so when they
         * greet can do that; for others the call is LAUTER_ERROR_UNSUPPORTED, its `status` if that was not known yet. */
        LAUTER_LANE_SIDE = 1
};

/** Bounds. */
enum {
        LAUTER_PARTS_MAX = 256, /**< Parts in one message. */
        LAUTER_NAME_MAX = 255,  /**< Bytes of a verb, an output's name, a media type. */
        LAUTER_CALLS_MAX = 255  /**< Calls in flight on one worker. */
};
/** Bytes of one message, all parts together. */
#define LAUTER_MESSAGE_MAX ((uint64_t)1 << 30)

/**
 * Start a call.
 *
 * @param verb What to do, as the worker's runtime understands it: "execute" of docs/profile.md, say.
 * @param parts,part_count Its arguments, copied.
 * @param timeout_ms When the time is up the call is interrupted, and its worker killed if that does not end it within
 *        the launch's interrupt-grace; -1: no limit. Its `done` event then has the status LAUTER_ERROR_TIMEOUT. A call
 *        that still waits for others then is done with as well, but its worker lives.
 * @param cookie The host's own value; every event of this call carries it.
 * @param[out] call The call's id.
 *
 * Calls that start before the worker is ready are kept until it is. Events: any number of `output`, then one `done`.
 *
 * **Threads** any. **Errors** STALE; STATE: the worker has no session or is ending; LIMIT: LAUTER_CALLS_MAX or
 * LAUTER_MESSAGE_MAX, or 64 MiB still unsent; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_call_start(lauter_host *host, lauter_worker worker, uint32_t lane, const char *verb,
                                         const lauter_part *parts, size_t part_count, int64_t timeout_ms,
                                         uint64_t cookie, lauter_call *call, lauter_error **error);

/**
 * Ask one call to stop. Hits that call or nothing: a call that has ended is not an error, and the next one is never hit.
 * If the call is the first in flight, the processes that the worker started (its process group) get SIGINT as well, as a
 * terminal's Ctrl-C would give it; those that it started for an earlier call and left running are among them.
 * **Errors** STALE: this id was never a call. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_call_interrupt(lauter_host *host, lauter_call call, lauter_error **error);

/** Drop what is still to come of a call, and let it run: no further event carries its id. **Errors** STALE.
 * **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_call_abandon(lauter_host *host, lauter_call call, lauter_error **error);

/**
 * Sleep until a call is done, and take its `done` event. Its other events, and those of other calls, are kept for
 * lauter_host_next().
 *
 * @param[in,out] event Set `size` before the first use; cleared first if it held an event.
 *
 * **Blocks** for `timeout_ms`. **Ownership** clear with lauter_event_clear(). **Errors** TIMEOUT: not done yet, the call
 * goes on; INTERRUPTED; STALE: no such call, taken already, or another thread waits for it; LIMIT: too many unread events
 * of this worker, read them with lauter_host_next(). What the call itself came to is the event's `status`. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_call_wait(lauter_host *host, lauter_call call, int64_t timeout_ms,
                                        struct lauter_event *event, lauter_error **error);

/**
 * Say where the parts of a call's result are to be put: one after the other at `memory`, if they have `size` bytes or
 * fewer together. The parts of the `done` event lie there then; memory that is touched already, and used again, is the
 * fastest there is. A result that is larger, that had begun to arrive, and a failure, are kept by the library as ever: the event's
 * parts say where they lie.
 *
 * **Ownership** `memory` stays the caller's. The library writes there, whenever it works, until the `done` event was taken,
 * lauter_call_abandon() returned, or the host was freed. **Threads** any. **Errors** STALE: no such call, or it has ended; INVALID:
 * NULL. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_call_into(lauter_host *host, lauter_call call, void *memory, size_t size,
                                        lauter_error **error);

/** Answer a call that came from a worker (LAUTER_EVENT_CALL). **Errors** STALE: answered before, cancelled, or the worker ended.
 * **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_call_reply(lauter_host *host, lauter_call call, const lauter_part *parts,
                                         size_t part_count, lauter_error **error);

/** Answer a call that came from a worker with a failure: a type name ("EOFError") and a message. **Errors** as
 * lauter_call_reply(). **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_call_fail(lauter_host *host, lauter_call call, const char *name, const char *message,
                                        lauter_error **error);

/* ------------------------------------------------------------------------------------------------- values -- */

/**
 * Check that parts hold one whole value in the format of docs/values.md, before anything opens it.
 *
 * @param parts The value ("application/vnd.lauter.value"), then the data of its arrays, in order. Media types are not
 *        looked at.
 * @param part_count How many, 1 to LAUTER_PARTS_MAX.
 *
 * Looks at each byte once; needs 4 to 20 bytes for each key of the largest maps and sets, and nothing else. What it was
 * given must not change until it is decoded.
 *
 * **Ownership** nothing is kept. **Threads** any. **Errors** INVALID: with the subject "value", the value is broken, and
 * the message says at which byte of the first part, and how; with another subject, that argument. SYSTEM: no random
 * numbers. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_value_check(const lauter_part *parts, size_t part_count, lauter_error **error);

/* ----------------------------------------------------------------------------------------------- channels -- */

struct lauter_event;

/** A channel's id: never 0, never used twice within one host. It is stale once its CHANNEL_CLOSED event was taken, or the host
 * cancelled it. */
typedef uint64_t lauter_channel;

/**
 * Open a channel to a worker: messages both ways beside its calls, in order, each direction with a flow of its own. Who
 * does not take what comes on a channel stops whoever writes to it, and nobody else.
 *
 * @param name,parts,part_count What it is for, as the worker's program understands it; copied.
 * @param window How many bytes the worker may send ahead of what was taken (messages take some hundred bytes besides
 *        their parts): 1 to LAUTER_MESSAGE_MAX; 0 for 1 MiB. A single message larger than that is let through when all before
 *        it was taken, if other channels of this worker do not have more than 1 GiB of such at the time.
 * @param cookie The host's own value; every event of this channel carries it.
 * @param[out] channel Its id.
 *
 * Returns at once: what is sent waits until the worker accepts. Events: CHANNEL_DATA, CHANNEL_END, CHANNEL_WRITABLE, and in
 * the end CHANNEL_CLOSED; a worker that refuses closes it.
 *
 * **Threads** any. **Errors** STALE; STATE: the worker has no session or is ending; LIMIT: 1,024 channels of this worker are
 * not over, or as for lauter_call_start(); INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_channel_open(lauter_host *host, lauter_worker worker, const char *name,
                                           const lauter_part *parts, size_t part_count, size_t window, uint64_t cookie,
                                           lauter_channel *channel, lauter_error **error);

/**
 * Accept a channel that a worker opened (LAUTER_EVENT_CHANNEL_OPENED). Until then nothing can come on it.
 *
 * @param window,cookie As for lauter_channel_open().
 *
 * **Threads** any. **Errors** STALE; STATE: accepted before, or the host's own; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_channel_accept(lauter_host *host, lauter_channel channel, size_t window, uint64_t cookie,
                                             lauter_error **error);

/**
 * Send a message on a channel.
 *
 * @param parts,part_count The message, copied.
 *
 * What the worker has given no credit for yet is kept: one message of any size, or several of 1 MiB together.
 *
 * **Threads** any. **Errors** STALE; STATE: ended by lauter_channel_end(); LIMIT: too much is kept already, nothing of this was taken:
 * LAUTER_EVENT_CHANNEL_WRITABLE tells when to send it again (with the subject "parts": the message is larger than LAUTER_MESSAGE_MAX
 * or than the worker takes); INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_channel_send(lauter_host *host, lauter_channel channel, const lauter_part *parts,
                                           size_t part_count, lauter_error **error);

/**
 * Sleep until there is an event of one channel, and take it. Events of others are kept for lauter_host_next().
 *
 * @param[in,out] event Set `size` before the first use; cleared first if it held an event.
 *
 * **Blocks** for `timeout_ms`. **Ownership** clear with lauter_event_clear(). **Threads** any; an event goes to one of them. **Errors**
 * TIMEOUT; INTERRUPTED; STALE: no such channel, or its last event was taken; LIMIT: too many unread events of this worker besides
 * its channels' data, read them with lauter_host_next(). **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_channel_receive(lauter_host *host, lauter_channel channel, int64_t timeout_ms,
                                              struct lauter_event *event, lauter_error **error);

/** Send no more on a channel. What was sent arrives, and the worker may go on; CHANNEL_CLOSED comes when it has ended too. **Threads** any.
 * **Errors** STALE; STATE: ended before. **Since** 0.1 */
LAUTER_CHECKED int32_t lauter_channel_end(lauter_host *host, lauter_channel channel, lauter_error **error);

/**
 * End a channel in both directions at once, or refuse one, and tell the worker why: a type name ("Cancelled") and a
 * message. What was not sent yet and events that were not taken are dropped, and there are no more.
 *
 * **Threads** any. **Errors** STALE; INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_channel_cancel(lauter_host *host, lauter_channel channel, const char *name,
                                             const char *message, lauter_error **error);

/* ------------------------------------------------------------------------------------------------- events -- */

/** Kinds of event. */
enum {
        LAUTER_EVENT_NONE = 0,    /**< The event holds nothing. */
        LAUTER_EVENT_STARTED = 1, /**< The worker's program runs. */
        LAUTER_EVENT_READY = 2,   /**< It takes calls. `name`: what its runtime calls itself. */
        LAUTER_EVENT_STREAM = 3,  /**< Bytes it wrote: `stream`, and one part. */
        LAUTER_EVENT_OUTPUT = 4,  /**< Sent by a running call: `name` ("display"), `parts`. */
        LAUTER_EVENT_DONE = 5,    /**< A call ended: `status`; `parts` of the result or, with `name`, of the failure. */
        LAUTER_EVENT_CALL = 6,    /**< The worker calls its host: `name`, `parts`; answer with lauter_call_reply(). */
        LAUTER_EVENT_DROPPED = 7, /**< `dropped` bytes of `stream` were not kept: nobody had read them in time. */
        LAUTER_EVENT_EXITED = 8,  /**< The worker and all its processes are gone: `report`. Its last event. */
        /** A signal (`status`) stopped the worker's process: Ctrl-Z at its terminal, say. It goes on when
         * lauter_worker_signal() sends SIGCONT. */
        LAUTER_EVENT_SUSPENDED = 9,
        /** A thread of the worker made a system call that is not its to make (policy word `violations`): `name` (empty if it
         * has none), `status` its number. Told once for each different call; how often it was made is in the report, where
         * more than 64 kinds are told as one. Two parts: "text/plain", "blocked system call ptrace (101) by thread 7 at
         * 0x7f20c1e5a3b9"; and "application/json", an object of `sentence`, `name`, `number`, `architecture`, `arguments` (six
         * texts, "0x10"), `thread` (as the worker numbers it), `program_counter`, `count` and `observed`: whether it was
         * made all the same. */
        LAUTER_EVENT_DENIED = 10,
        /** The worker opened a channel: `channel`, `name`, `parts`. lauter_channel_accept() or lauter_channel_cancel() it. */
        LAUTER_EVENT_CHANNEL_OPENED = 11,
        LAUTER_EVENT_CHANNEL_DATA = 12, /**< A message on a channel: `parts`. Taking it lets the worker send more. */
        LAUTER_EVENT_CHANNEL_END = 13,  /**< The worker sends no more on a channel; the host still may. */
        /** A channel is over, its last event: `status` is LAUTER_OK, both sides have ended it; FAILED, the worker cancelled it, or
         * refused it (`name` and the first part say why); DIED, with `error`. */
        LAUTER_EVENT_CHANNEL_CLOSED = 14,
        /** There is room again after lauter_channel_send() had refused for LIMIT. */
        LAUTER_EVENT_CHANNEL_WRITABLE = 15,
        /** The worker waits for the answer to its call `call` no longer (LAUTER_EVENT_CALL). It need not be answered: that would be
         * LAUTER_ERROR_STALE. */
        LAUTER_EVENT_CALL_CANCELLED = 16,
        /** What lauter_worker_dial_start() or lauter_worker_open_start() asked for: `descriptor`, with `call_cookie` the cookie given there;
         * or `status` and `error` say why not. */
        LAUTER_EVENT_DESCRIPTOR = 19
};

/** Streams of a worker. */
enum {
        LAUTER_STREAM_STDOUT = 1, /**< Standard output, or a terminal. */
        LAUTER_STREAM_STDERR = 2  /**< Standard error. */
};

/** Something that happened. All pointers are borrowed from the event, until lauter_event_clear(). Do not copy one by value:
 * both copies would own the same memory. */
typedef struct lauter_event {
        uint32_t size;          /**< In: sizeof (lauter_event). */
        uint32_t kind;          /**< LAUTER_EVENT_*. */
        lauter_worker worker;   /**< Whose. */
        uint64_t worker_cookie; /**< As given to lauter_spawn(). */
        lauter_call call;       /**< The call it belongs to, or 0. */
        uint64_t call_cookie;   /**< As given to lauter_call_start(). */
        lauter_call parent;     /**< LAUTER_EVENT_CALL: the host's call from within which the worker asks, or 0. */
        int32_t
            status; /**< DONE: LAUTER_OK, FAILED, TIMEOUT, DIED, PROTOCOL, UNSUPPORTED. SUSPENDED: the signal. DENIED: number. */
        uint32_t stream;             /**< STREAM, DROPPED: LAUTER_STREAM_*. */
        uint64_t dropped;            /**< DROPPED: bytes. */
        const char *name;            /**< Never NULL. */
        const lauter_part *parts;    /**< `part_count` parts. */
        size_t part_count;           /**< Number of parts. */
        const lauter_error *error;   /**< DONE with TIMEOUT, DIED, PROTOCOL; EXITED with the reason LAUNCH, PROTOCOL or
                                        DEADLINE; else NULL. */
        const lauter_report *report; /**< EXITED; else NULL. */
        void *owner;                 /**< The library's. */
        uint64_t channel;            /**< CHANNEL_*: the channel's id. */
        uint64_t channel_cookie;     /**< As given to lauter_channel_open() or lauter_channel_accept(). */
        int32_t descriptor;          /**< DESCRIPTOR: closed by lauter_event_clear() unless it was taken; else -1. */
        uint32_t reserved;           /**< 0. */
} lauter_event;

/**
 * Take the next event, doing whatever work is due first.
 *
 * @param[in,out] event Set `size` (and zero the rest) before the first use; cleared first if it held an event.
 * @return 1 if there was one, 0 if not.
 *
 * **Ownership** clear with lauter_event_clear(), or by the next lauter_host_next() with the same event. **Threads** any; an
 * event goes to one of them. **Errors** FORKED, SYSTEM, INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_host_next(lauter_host *host, lauter_event *event, lauter_error **error);

/** Take an event's descriptor: it is the caller's then, to be closed. -1 if there is none. **Since** 0.1 */
LAUTER_API int32_t lauter_event_take_descriptor(lauter_event *event);

/** Free what an event holds and make it empty; `size` stays, so that it can be used again. An empty one, and NULL, do
 * nothing. **Since** 0.1 */
LAUTER_API void lauter_event_clear(lauter_event *event);

/** A part that is kept beyond its event. */
typedef struct lauter_kept lauter_kept;

/**
 * Keep a part of an event beyond lauter_event_clear(): its type and data stay where they are, readable from any thread, also when
 * its worker and its host are gone. No byte is copied.
 *
 * Under `parts in-place` that is memory which the worker can still write, and cannot use for something else until then:
 * what it sends next takes the slower way when there is no other room.
 *
 * @param index Below `part_count`.
 * @param[out] kept What keeps it, with the event's other parts.
 *
 * **Ownership** end with lauter_part_release(). **Threads** any. **Errors** INVALID. **Since** 0.1
 */
LAUTER_CHECKED int32_t lauter_part_retain(const lauter_event *event, size_t index, lauter_kept **kept,
                                          lauter_error **error);

/** Keep a part no longer. NULL does nothing. **Threads** any. **Since** 0.1 */
LAUTER_API void lauter_part_release(lauter_kept *kept);

#ifdef __cplusplus
}
#endif

#endif
