// SPDX-License-Identifier: Apache-2.0

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** A host for any number of Java threads: one thread of its own takes the events, futures carry them to the others. */
final class Lauter {
    // Of lauter.h; test_jvm.py compares them.
    static final int EVENT_STREAM = 3, EVENT_OUTPUT = 4, EVENT_DONE = 5, EVENT_CALL = 6, EVENT_EXITED = 8;

    static {
        System.loadLibrary("lauter_jni");
    }

    static final class Failure extends RuntimeException {
        private static final long serialVersionUID = 1;

        Failure(byte[] code, byte[] message) {
            super(new String(code, UTF_8) + ": " + new String(message, UTF_8));
        }
    }

    /** What Java keeps of an event. */
    static final class Event {
        final int kind, status, reason;
        final long worker, cookie, call;
        final String name, why;
        final byte[][] types, data;

        Event(int kind, long worker, long cookie, long call, int status, int reason, byte[] name, byte[] why,
                byte[][] types, byte[][] data) {
            this.kind = kind;
            this.worker = worker;
            this.cookie = cookie;
            this.call = call;
            this.status = status;
            this.reason = reason;
            this.name = new String(name, UTF_8);
            this.why = new String(why, UTF_8);
            this.types = types;
            this.data = data;
        }

        String text() {
            return data.length > 0 ? new String(data[0], UTF_8) : "";
        }
    }

    private final long raw = open();
    private final Map<Long, CompletableFuture<Event>> waiting = new ConcurrentHashMap<>();
    private final Map<Long, StringBuffer> printed = new ConcurrentHashMap<>();
    private final AtomicLong cookies = new AtomicLong();
    private final Thread loop = new Thread(this::run, "lauter");
    final AtomicLong shown = new AtomicLong();

    Lauter() {
        loop.setDaemon(true);
        loop.start();
    }

    // begin: loop
    private void run() {
        while (await(raw)) {
            for (Event event; (event = next(raw)) != null;) {
                take(event);
            }
        }
    }

    private void take(Event event) {
        switch (event.kind) {
            case EVENT_STREAM -> printed.get(event.worker).append(event.text());
            case EVENT_OUTPUT -> { for (byte[] part : event.data) shown.addAndGet(part.length); }
            case EVENT_CALL -> reply(raw, event.call, "Ada".getBytes(UTF_8));
            case EVENT_DONE -> waiting.remove(event.cookie).complete(event);
            case EVENT_EXITED -> waiting.remove(event.worker).complete(event);
            default -> { }
        }
    }

    void close() throws InterruptedException {
        wake(raw);
        loop.join(); // nobody may use a host that is freed
        free(raw);
    }
    // end: loop

    /** The future is there before what completes it can come: the loop may see a call's end before its caller its id. */
    private <T> T expect(java.util.function.BiFunction<Long, CompletableFuture<Event>, T> begin) {
        long cookie = cookies.incrementAndGet();
        CompletableFuture<Event> future = new CompletableFuture<>();
        waiting.put(cookie, future);
        try {
            return begin.apply(cookie, future);
        } catch (RuntimeException refused) {
            waiting.remove(cookie);
            throw refused;
        }
    }

    Worker spawn(String interpreter) {
        return expect((cookie, end) -> {
            printed.put(cookie, new StringBuffer());
            return new Worker(spawn(raw, new byte[0], interpreter.getBytes(UTF_8), cookie), cookie, end);
        });
    }

    final class Call {
        final long id;
        final CompletableFuture<Event> done;

        Call(long id, CompletableFuture<Event> done) {
            this.id = id;
            this.done = done;
        }

        void interrupt() {
            Lauter.interrupt(raw, id);
        }
    }

    final class Worker {
        final long id, cookie;
        final CompletableFuture<Event> end;

        Worker(long id, long cookie, CompletableFuture<Event> end) {
            this.id = id;
            this.cookie = cookie;
            this.end = end;
        }

        Call start(String source) {
            return expect((call, done) -> new Call(Lauter.start(raw, id, source.getBytes(UTF_8), call), done));
        }

        String execute(String source) {
            Event event = start(source).done.join();
            if (event.status != 0) throw new IllegalStateException(event.name + event.why);
            return event.text();
        }

        String printed() {
            return printed.get(cookie).toString();
        }

        void kill() {
            Lauter.kill(raw, id);
        }

        void stop() {
            Lauter.stop(raw, id, 5000, 1000);
        }
    }

    private static native long open();
    private static native boolean await(long host);
    private static native void wake(long host);
    private static native void free(long host);
    private static native Event next(long host);
    private static native long spawn(long host, byte[] policy, byte[] interpreter, long cookie);
    private static native long start(long host, long worker, byte[] source, long cookie);
    private static native void reply(long host, long call, byte[] text);
    private static native void interrupt(long host, long call);
    private static native void kill(long host, long worker);
    private static native void stop(long host, long worker, long ask, long term);
}
