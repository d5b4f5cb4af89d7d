/* SPDX-License-Identifier: Apache-2.0 */
/* Lauter for the JVM: what Lauter.java declares native. Text crosses as UTF-8 bytes: JNI's own strings are another UTF-8. */
#include <errno.h>
#include <jni.h>
#include <lauter.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
        lauter_host *raw;
        int wake; /* an eventfd that ends `await` for good */
} Host;

static jbyteArray bytes(JNIEnv *env, const void *data, size_t size) {
        jbyteArray array = (*env)->NewByteArray(env, (jsize)size);
        if (array) (*env)->SetByteArrayRegion(env, array, 0, (jsize)size, data);
        return array;
}

static jbyteArray text(JNIEnv *env, const char *string) { return bytes(env, string, strlen(string)); }

/* A copy of a byte array with a NUL behind it; the caller frees it. NULL with an exception pending. */
static char *copy(JNIEnv *env, jbyteArray array, jsize *size) {
        *size = (*env)->GetArrayLength(env, array);
        char *data = malloc((size_t)*size + 1);
        if (!data) {
                (*env)->ThrowNew(env, (*env)->FindClass(env, "java/lang/OutOfMemoryError"), "copying an argument");
                return NULL;
        }
        (*env)->GetByteArrayRegion(env, array, 0, *size, (jbyte *)data);
        data[*size] = 0;
        return data;
}

/* A failure of the library's as a Lauter.Failure; true if there was one. By pointer: C does not say whether an argument is
 * read before the call beside it has stored it. */
static jboolean threw(JNIEnv *env, int32_t code, lauter_error **error) {
        if (code >= 0) return JNI_FALSE;
        jclass class = (*env)->FindClass(env, "Lauter$Failure");
        jmethodID make = class ? (*env)->GetMethodID(env, class, "<init>", "([B[B)V") : NULL;
        jbyteArray name = make ? text(env, lauter_code_name(code)) : NULL;
        jbyteArray message = name ? text(env, lauter_error_message(*error)) : NULL;
        jobject failure = message ? (*env)->NewObject(env, class, make, name, message) : NULL;
        if (failure) (*env)->Throw(env, failure);
        lauter_error_free(*error);
        return JNI_TRUE;
}

JNIEXPORT jlong JNICALL Java_Lauter_open(JNIEnv *env, jclass class) {
        (void)class;
        lauter_error *error;
        Host *host = calloc(1, sizeof *host);
        if (!host || threw(env, lauter_host_new(&host->raw, &error), &error)) {
                free(host);
                return 0;
        }
        host->wake = eventfd(0, EFD_CLOEXEC);
        if (host->wake < 0) {
                (*env)->ThrowNew(env, (*env)->FindClass(env, "java/lang/IllegalStateException"), strerror(errno));
                lauter_host_free(host->raw);
                free(host);
                return 0;
        }
        return (jlong)(intptr_t)host;
}

/* begin: loop */
/* Sleeps until there is something to take. False for good once `wake` was called. */
JNIEXPORT jboolean JNICALL Java_Lauter_await(JNIEnv *env, jclass class, jlong pointer) {
        (void)env, (void)class;
        Host *host = (Host *)(intptr_t)pointer;
        struct pollfd polled[2] = {{.fd = lauter_host_fd(host->raw), .events = POLLIN},
                                   {.fd = host->wake, .events = POLLIN}};
        while (poll(polled, 2, -1) < 0 && errno == EINTR) continue; /* a signal of the JVM's own */
        return polled[1].revents == 0;
}
/* end: loop */

JNIEXPORT void JNICALL Java_Lauter_wake(JNIEnv *env, jclass class, jlong pointer) {
        (void)env, (void)class;
        eventfd_write(((Host *)(intptr_t)pointer)->wake, 1);
}

JNIEXPORT void JNICALL Java_Lauter_free(JNIEnv *env, jclass class, jlong pointer) {
        (void)env, (void)class;
        Host *host = (Host *)(intptr_t)pointer;
        lauter_host_free(host->raw);
        close(host->wake);
        free(host);
}

/* A Lauter.Event, or NULL: with an exception pending, or because there is none. */
static jobject describe(JNIEnv *env, const lauter_event *event) {
        jclass class = (*env)->FindClass(env, "Lauter$Event");
        jmethodID make = class ? (*env)->GetMethodID(env, class, "<init>", "(IJJJII[B[B[[B[[B)V") : NULL;
        jclass array = make ? (*env)->FindClass(env, "[B") : NULL;
        if (!array) return NULL;
        jobjectArray types = (*env)->NewObjectArray(env, (jsize)event->part_count, array, NULL);
        jobjectArray data = types ? (*env)->NewObjectArray(env, (jsize)event->part_count, array, NULL) : NULL;
        if (!data) return NULL;
        for (jsize i = 0; i < (jsize)event->part_count; i++) {
                jbyteArray type = text(env, event->parts[i].type);
                jbyteArray value = type ? bytes(env, event->parts[i].data, event->parts[i].size) : NULL;
                if (!value) return NULL;
                (*env)->SetObjectArrayElement(env, types, i, type);
                (*env)->SetObjectArrayElement(env, data, i, value);
                (*env)->DeleteLocalRef(env, type);
                (*env)->DeleteLocalRef(env, value);
        }
        const char *why = event->report ? event->report->why : lauter_error_message(event->error);
        jbyteArray name = text(env, event->name), reason = name ? text(env, why) : NULL;
        if (!reason) return NULL;
        return (*env)->NewObject(env, class, make, (jint)event->kind, (jlong)event->worker_cookie,
                                 (jlong)event->call_cookie, (jlong)event->call, (jint)event->status,
                                 (jint)(event->report ? event->report->reason : 0), name, reason, types, data);
}

JNIEXPORT jobject JNICALL Java_Lauter_next(JNIEnv *env, jclass class, jlong pointer) {
        (void)class;
        lauter_event event = {.size = sizeof event};
        lauter_error *error;
        int32_t some = lauter_host_next(((Host *)(intptr_t)pointer)->raw, &event, &error);
        if (threw(env, some, &error) || some == 0) return NULL;
        jobject described = describe(env, &event);
        lauter_event_clear(&event);
        return described;
}

JNIEXPORT jlong JNICALL Java_Lauter_spawn(JNIEnv *env, jclass class, jlong pointer, jbyteArray policy_text,
                                          jbyteArray interpreter, jlong cookie) {
        (void)class;
        jsize size;
        char *words = copy(env, policy_text, &size), *python = words ? copy(env, interpreter, &size) : NULL;
        lauter_policy *policy = NULL;
        lauter_launch *launch = NULL;
        lauter_worker worker = 0;
        lauter_error *error;
        if (python) {
                int32_t code = lauter_policy_new("notebook", &policy, &error);
                if (code >= 0) code = lauter_policy_parse(policy, words, &error);
                if (code >= 0) code = lauter_launch_new("python", &launch, &error);
                if (code >= 0) code = lauter_launch_set(launch, "interpreter", python, &error);
                if (code >= 0)
                        code = lauter_spawn(((Host *)(intptr_t)pointer)->raw, policy, launch, (uint64_t)cookie, &worker,
                                            &error);
                threw(env, code, &error);
        }
        lauter_launch_free(launch);
        lauter_policy_free(policy);
        free(python);
        free(words);
        return (jlong)worker;
}

JNIEXPORT jlong JNICALL Java_Lauter_start(JNIEnv *env, jclass class, jlong pointer, jlong worker, jbyteArray source,
                                          jlong cookie) {
        (void)class;
        jsize size;
        char *data = copy(env, source, &size);
        if (!data) return 0;
        lauter_part part = {"text/x-python", data, (size_t)size};
        lauter_call call = 0;
        lauter_error *error;
        threw(env,
              lauter_call_start(((Host *)(intptr_t)pointer)->raw, (lauter_worker)worker, LAUTER_LANE_MAIN, "execute",
                                &part, 1, -1, (uint64_t)cookie, &call, &error),
              &error);
        free(data);
        return (jlong)call;
}

JNIEXPORT void JNICALL Java_Lauter_reply(JNIEnv *env, jclass class, jlong pointer, jlong call, jbyteArray answer) {
        (void)class;
        jsize size;
        char *data = copy(env, answer, &size);
        if (!data) return;
        lauter_part part = {"text/plain", data, (size_t)size};
        lauter_error *error;
        threw(env, lauter_call_reply(((Host *)(intptr_t)pointer)->raw, (lauter_call)call, &part, 1, &error), &error);
        free(data);
}

JNIEXPORT void JNICALL Java_Lauter_interrupt(JNIEnv *env, jclass class, jlong pointer, jlong call) {
        (void)class;
        lauter_error *error;
        threw(env, lauter_call_interrupt(((Host *)(intptr_t)pointer)->raw, (lauter_call)call, &error), &error);
}

JNIEXPORT void JNICALL Java_Lauter_kill(JNIEnv *env, jclass class, jlong pointer, jlong worker) {
        (void)class;
        lauter_error *error;
        threw(env, lauter_worker_kill(((Host *)(intptr_t)pointer)->raw, (lauter_worker)worker, &error), &error);
}

JNIEXPORT void JNICALL Java_Lauter_stop(JNIEnv *env, jclass class, jlong pointer, jlong worker, jlong ask, jlong term) {
        (void)class;
        lauter_error *error;
        threw(env, lauter_worker_stop(((Host *)(intptr_t)pointer)->raw, (lauter_worker)worker, ask, term, &error),
              &error);
}
