/* SPDX-License-Identifier: Apache-2.0 */
/* Lauter for Node: the host's descriptor in libuv's loop, each event a call of one JavaScript function. lauter.js makes
 * promises of that. One host per loop; a worker_thread may have its own. */
#include <lauter.h>
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

typedef struct {
        uv_poll_t poll; /* first: the handle's address is the host's */
        lauter_host *raw;
        napi_env env;
        napi_ref listener;
        napi_async_cleanup_hook_handle hook;
} Host;

/* A failure of the library's as a JavaScript exception whose `code` is the name in lauter.h. By pointer: C does not say
 * whether an argument is read before the call beside it has stored it. */
static bool threw(napi_env env, int32_t code, lauter_error **error) {
        if (code >= 0) return false;
        napi_throw_error(env, lauter_code_name(code), lauter_error_message(*error));
        lauter_error_free(*error);
        return true;
}

static napi_value text(napi_env env, const char *string) {
        napi_value value;
        napi_create_string_utf8(env, string, NAPI_AUTO_LENGTH, &value);
        return value;
}

static napi_value number(napi_env env, double given) {
        napi_value value;
        napi_create_double(env, given, &value);
        return value;
}

static napi_value id(napi_env env, uint64_t given) {
        napi_value value;
        napi_create_bigint_uint64(env, given, &value);
        return value;
}

/* All of an event that JavaScript is given; nothing in it is borrowed. */
static napi_value describe(napi_env env, const lauter_event *event) {
        napi_value object, parts;
        napi_create_object(env, &object);
        napi_create_array(env, &parts);
        for (size_t i = 0; i < event->part_count; i++) {
                napi_value part, data;
                napi_create_object(env, &part);
                napi_create_buffer_copy(env, event->parts[i].size, event->parts[i].data, NULL, &data);
                napi_set_named_property(env, part, "type", text(env, event->parts[i].type));
                napi_set_named_property(env, part, "data", data);
                napi_set_element(env, parts, (uint32_t)i, part);
        }
        napi_set_named_property(env, object, "kind", number(env, event->kind));
        napi_set_named_property(env, object, "worker", number(env, (double)event->worker_cookie));
        napi_set_named_property(env, object, "cookie", number(env, (double)event->call_cookie));
        napi_set_named_property(env, object, "call", id(env, event->call));
        napi_set_named_property(env, object, "status", number(env, event->status));
        napi_set_named_property(env, object, "name", text(env, event->name));
        napi_set_named_property(env, object, "parts", parts);
        napi_set_named_property(env, object, "why",
                                text(env, event->report ? event->report->why : lauter_error_message(event->error)));
        napi_set_named_property(env, object, "reason", number(env, event->report ? event->report->reason : 0));
        return object;
}

/* begin: loop */
static void on_readable(uv_poll_t *poll, int status, int events) {
        (void)status, (void)events;
        Host *host = (Host *)poll;
        lauter_event event = {.size = sizeof event};
        /* Not for ever: the descriptor stays readable while there is more, and the loop has others to serve. */
        for (int i = 0; i < 100 && host->raw && lauter_host_next(host->raw, &event, NULL) > 0; i++) {
                napi_handle_scope scope;
                napi_value listener, global, argument;
                napi_open_handle_scope(host->env, &scope);
                argument = describe(host->env, &event);
                napi_get_global(host->env, &global);
                napi_get_reference_value(host->env, host->listener, &listener);
                /* Unlike napi_call_function it runs the continuations of promises when it returns. */
                if (napi_make_callback(host->env, NULL, global, listener, 1, &argument, NULL) ==
                    napi_pending_exception) {
                        napi_value exception;
                        napi_get_and_clear_last_exception(host->env, &exception);
                        napi_fatal_exception(host->env, exception);
                }
                napi_close_handle_scope(host->env, scope);
        }
        lauter_event_clear(&event);
}
/* end: loop */

static void on_closed(uv_handle_t *handle) {
        Host *host = (Host *)handle;
        napi_remove_async_cleanup_hook(host->hook);
        free(host);
}

static void close_host(Host *host) {
        if (!host->raw) return;
        uv_poll_stop(&host->poll); /* before its descriptor goes */
        lauter_host_free(host->raw);
        host->raw = NULL;
        napi_delete_reference(host->env, host->listener);
        uv_close((uv_handle_t *)&host->poll, on_closed);
}

/* The program or the worker_thread ends with its host open. */
static void on_environment_end(napi_async_cleanup_hook_handle handle, void *host) {
        (void)handle;
        close_host(host);
}

static napi_value open_host(napi_env env, napi_callback_info info) {
        size_t count = 1;
        napi_value listener, external;
        lauter_error *error;
        uv_loop_t *loop;
        Host *host = calloc(1, sizeof *host);
        napi_get_cb_info(env, info, &count, &listener, NULL, NULL);
        if (!host || threw(env, lauter_host_new(&host->raw, &error), &error)) {
                free(host);
                return NULL;
        }
        host->env = env;
        napi_create_reference(env, listener, 1, &host->listener);
        napi_get_uv_event_loop(env, &loop);
        int refused = uv_poll_init(loop, &host->poll, lauter_host_fd(host->raw));
        if (refused) {
                napi_throw_error(env, uv_err_name(refused), uv_strerror(refused));
                lauter_host_free(host->raw);
                napi_delete_reference(env, host->listener);
                free(host);
                return NULL;
        }
        uv_poll_start(&host->poll, UV_READABLE, on_readable);
        napi_add_async_cleanup_hook(env, on_environment_end, host, &host->hook);
        napi_create_external(env, host, NULL, NULL, &external);
        return external;
}

/* The arguments of a function: a host, then numbers, ids and strings as the letters say. Strings are the caller's to free. */
typedef union {
        int64_t number;
        uint64_t id;
        char *text;
} Argument;

static Host *arguments(napi_env env, napi_callback_info info, const char *letters, Argument *given) {
        napi_value values[8];
        size_t count = 8, size;
        void *host = NULL;
        bool lossless, fine;
        napi_get_cb_info(env, info, &count, values, NULL, NULL);
        fine =
            count > strlen(letters) && napi_get_value_external(env, values[0], &host) == napi_ok && ((Host *)host)->raw;
        for (size_t i = 0; letters[i]; i++) {
                given[i].text = NULL;
                if (!fine) continue;
                napi_value value = values[i + 1];
                if (letters[i] == 'n') {
                        fine = napi_get_value_int64(env, value, &given[i].number) == napi_ok;
                } else if (letters[i] == 'i') {
                        fine = napi_get_value_bigint_uint64(env, value, &given[i].id, &lossless) == napi_ok;
                } else if ((fine = napi_get_value_string_utf8(env, value, NULL, 0, &size) == napi_ok &&
                                   (given[i].text = malloc(size + 1)))) {
                        napi_get_value_string_utf8(env, value, given[i].text, size + 1, &size);
                }
        }
        if (fine) return host;
        for (size_t i = 0; letters[i]; i++)
                if (letters[i] == 's') free(given[i].text);
        napi_throw_type_error(env, NULL, "not the arguments that this function takes, or a closed host");
        return NULL;
}

/* spawn(host, policy, interpreter, cookie) */
static napi_value spawn(napi_env env, napi_callback_info info) {
        Argument given[3];
        Host *host = arguments(env, info, "ssn", given);
        if (!host) return NULL;
        lauter_policy *policy = NULL;
        lauter_launch *launch = NULL;
        lauter_worker worker;
        lauter_error *error;
        int32_t code = lauter_policy_new("notebook", &policy, &error);
        if (code >= 0) code = lauter_policy_parse(policy, given[0].text, &error);
        if (code >= 0) code = lauter_launch_new("python", &launch, &error);
        if (code >= 0) code = lauter_launch_set(launch, "interpreter", given[1].text, &error);
        if (code >= 0) code = lauter_spawn(host->raw, policy, launch, (uint64_t)given[2].number, &worker, &error);
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        free(given[0].text);
        free(given[1].text);
        return threw(env, code, &error) ? NULL : id(env, worker);
}

/* start(host, worker, source, cookie) */
static napi_value start(napi_env env, napi_callback_info info) {
        Argument given[3];
        Host *host = arguments(env, info, "isn", given);
        if (!host) return NULL;
        lauter_part part = {"text/x-python", given[1].text, strlen(given[1].text)};
        lauter_call call;
        lauter_error *error;
        int32_t code = lauter_call_start(host->raw, given[0].id, LAUTER_LANE_MAIN, "execute", &part, 1, -1,
                                         (uint64_t)given[2].number, &call, &error);
        free(given[1].text);
        return threw(env, code, &error) ? NULL : id(env, call);
}

/* reply(host, call, text) */
static napi_value reply(napi_env env, napi_callback_info info) {
        Argument given[2];
        Host *host = arguments(env, info, "is", given);
        if (!host) return NULL;
        lauter_part part = {"text/plain", given[1].text, strlen(given[1].text)};
        lauter_error *error;
        int32_t code = lauter_call_reply(host->raw, given[0].id, &part, 1, &error);
        free(given[1].text);
        threw(env, code, &error);
        return NULL;
}

static napi_value interrupt(napi_env env, napi_callback_info info) {
        Argument given[1];
        lauter_error *error;
        Host *host = arguments(env, info, "i", given);
        if (host) threw(env, lauter_call_interrupt(host->raw, given[0].id, &error), &error);
        return NULL;
}

static napi_value kill_worker(napi_env env, napi_callback_info info) {
        Argument given[1];
        lauter_error *error;
        Host *host = arguments(env, info, "i", given);
        if (host) threw(env, lauter_worker_kill(host->raw, given[0].id, &error), &error);
        return NULL;
}

/* stop(host, worker, milliseconds, milliseconds) */
static napi_value stop(napi_env env, napi_callback_info info) {
        Argument given[3];
        lauter_error *error;
        Host *host = arguments(env, info, "inn", given);
        if (host)
                threw(env, lauter_worker_stop(host->raw, given[0].id, given[1].number, given[2].number, &error),
                      &error);
        return NULL;
}

static napi_value close_now(napi_env env, napi_callback_info info) {
        Host *host = arguments(env, info, "", NULL);
        if (host) close_host(host);
        return NULL;
}

NAPI_MODULE_INIT() {
        struct {
                const char *name;
                napi_callback function;
        } functions[] = {{"open", open_host},      {"spawn", spawn},      {"start", start}, {"reply", reply},
                         {"interrupt", interrupt}, {"kill", kill_worker}, {"stop", stop},   {"close", close_now}};
        struct {
                const char *name;
                double value;
        } constants[] = {{"STREAM", LAUTER_EVENT_STREAM},
                         {"OUTPUT", LAUTER_EVENT_OUTPUT},
                         {"DONE", LAUTER_EVENT_DONE},
                         {"CALL", LAUTER_EVENT_CALL},
                         {"EXITED", LAUTER_EVENT_EXITED}};
        if (lauter_abi_version() != LAUTER_ABI_VERSION) {
                napi_throw_error(env, NULL, "liblauter has another ABI than this addon was compiled for");
                return NULL;
        }
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
                napi_value function;
                napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function);
                napi_set_named_property(env, exports, functions[i].name, function);
        }
        for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
                napi_set_named_property(env, exports, constants[i].name, number(env, constants[i].value));
        return exports;
}
