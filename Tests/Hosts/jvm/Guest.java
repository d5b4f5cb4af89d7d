// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import sun.misc.Signal;

/**
 * A guest of Lauter's in the JVM: sandboxed workers that several Java threads use, beside ProcessBuilder's children,
 * signals, the collector, and what HotSpot does by SIGSEGV. It prints what it saw as JSON; test_jvm.py judges it.
 *
 *     java Guest PYTHON TOKEN
 */
final class Guest {
    static final int QUIET = 10, WORKERS = 3, CALLS = 200, CHILDREN = 60, SIGNALS = 100;
    static final AtomicLong childSignals = new AtomicLong();
    static final Semaphore hangups = new Semaphore(0);

    static void until(BooleanSupplier condition) throws InterruptedException {
        for (long end = System.nanoTime() + 10_000_000_000L; !condition.getAsBoolean(); Thread.sleep(1)) {
            if (System.nanoTime() > end) throw new IllegalStateException("a condition never held");
        }
    }

    static double milliseconds(long since) {
        return (System.nanoTime() - since) / 1e6;
    }

    /** The children that the kernel counts as this process's. */
    static int ownChildren() throws IOException {
        int found = 0;
        try (DirectoryStream<Path> tasks = Files.newDirectoryStream(Path.of("/proc/self/task"))) {
            for (Path task : tasks) {
                try {
                    String text = Files.readString(task.resolve("children")).trim();
                    if (!text.isEmpty()) found += text.split(" ").length;
                } catch (IOException gone) {
                    continue; // a thread that has ended
                }
            }
        }
        return found;
    }

    /** Starts and ends workers while the program has no child: neither a child nor a SIGCHLD may show up. */
    static String quiet(Lauter host, String python) throws Exception {
        int strangers = 0;
        List<Lauter.Worker> started = new ArrayList<>();
        for (int i = 0; i < QUIET; i++) started.add(host.spawn(python));
        for (Lauter.Worker worker : started) {
            worker.execute("6 * 7");
            strangers += ownChildren();
            worker.kill();
            worker.end.join();
            strangers += ownChildren();
        }
        long before = childSignals.get();
        Process child = new ProcessBuilder("cat").start(); // until its input ends
        int seen = ownChildren();
        child.getOutputStream().close();
        child.waitFor();
        until(() -> childSignals.get() > 0);
        return String.format("{\"workers\":%d,\"strangers\":%d,\"sigchld\":%d,\"children_seen\":%d,\"sigchld_seen\":%d}",
                QUIET, strangers, before, seen, childSignals.get());
    }

    static int runCalls(Lauter.Worker worker) {
        List<Lauter.Call> started = new ArrayList<>();
        for (int i = 0; i < CALLS; i++) started.add(worker.start("print(" + i + "); " + i + " * 3"));
        int right = 0;
        for (int i = 0; i < CALLS; i++) {
            if (started.get(i).done.join().text().equals(String.valueOf(i * 3))) right++;
        }
        return right;
    }

    static int runChildren() throws Exception {
        int right = 0;
        for (int i = 0; i < CHILDREN; i++) {
            Process child = new ProcessBuilder("sh", "-c", "echo " + i + "; exit " + i % 8).start();
            String output = new String(child.getInputStream().readAllBytes());
            if (child.waitFor() == i % 8 && output.equals(i + "\n")) right++;
        }
        return right;
    }

    static int runSignals() throws Exception {
        int handled = 0;
        for (int i = 0; i < SIGNALS; i++) {
            Signal.raise(new Signal("HUP"));
            if (hangups.tryAcquire(10, TimeUnit.SECONDS)) handled++;
        }
        return handled;
    }

    /** How late the machine serves a timer, until it is told to stop. */
    static String ticks(AtomicBoolean stop) throws InterruptedException {
        List<Double> late = new ArrayList<>();
        while (!stop.get()) {
            long begun = System.nanoTime();
            Thread.sleep(5);
            late.add(milliseconds(begun) - 5);
        }
        late.sort(null);
        return String.format("{\"count\":%d,\"median_ms\":%f,\"longest_ms\":%f}", late.size(), late.get(late.size() / 2),
                late.get(late.size() - 1));
    }

    /** Garbage until told to stop; how often the collector ran meanwhile. */
    static long churn(AtomicBoolean stop) {
        long before = collections();
        byte[][] kept = new byte[64][];
        for (int i = 0; !stop.get() || i < 2000; i++) kept[i % kept.length] = new byte[1 << 18];
        return collections() - before;
    }

    static long collections() {
        return ManagementFactory.getGarbageCollectorMXBeans().stream().mapToLong(GarbageCollectorMXBean::getCollectionCount).sum();
    }

    static int length(String text) {
        return text.length();
    }

    /** HotSpot finds a null, in compiled code, and the end of a stack by SIGSEGV. */
    static int faults() {
        int found = 0;
        for (int i = 0; i < 200_000; i++) found += length("x") - 1;
        for (int i = 0; i < 1000; i++) {
            try {
                length(null);
            } catch (NullPointerException expected) {
                found++;
            }
        }
        try {
            deeper(0);
        } catch (StackOverflowError expected) {
            found++;
        }
        return found;
    }

    static int deeper(int depth) {
        return deeper(depth + 1) + 1;
    }

    static long virtualMegabytes() throws IOException {
        return Files.lines(Path.of("/proc/self/status")).filter(line -> line.startsWith("VmSize:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", ""))).sum() / 1024;
    }

    public static void main(String[] arguments) throws Exception {
        String python = arguments[0], token = arguments[1];
        new ProcessBuilder("true").start().waitFor(); // with its first child the JVM resets SIGCHLD to its default
        Signal.handle(new Signal("CHLD"), signal -> childSignals.incrementAndGet());
        Signal.handle(new Signal("HUP"), signal -> hangups.release());
        Lauter host = new Lauter();
        String quiet = quiet(host, python);

        String refused = "";
        try {
            host.spawn("/nowhere/python3");
        } catch (Lauter.Failure refusal) {
            refused = refusal.getMessage();
        }

        // The storm: a thread for each worker's calls, with children, signals, timers, faults and the collector going on.
        List<Lauter.Worker> started = new ArrayList<>();
        for (int i = 0; i < WORKERS; i++) started.add(host.spawn(python));
        started.get(0).execute("import subprocess; p = subprocess.Popen(['sh', '-c', 'sleep 300; : " + token + "'])");
        ExecutorService threads = Executors.newCachedThreadPool();
        AtomicBoolean stop = new AtomicBoolean();
        Future<String> tick = threads.submit(() -> ticks(stop));
        Future<Long> collected = threads.submit(() -> churn(stop));
        Future<Integer> faults = threads.submit(Guest::faults);
        List<Future<Integer>> calls = new ArrayList<>();
        for (Lauter.Worker worker : started) calls.add(threads.submit(() -> runCalls(worker)));
        Future<Integer> children = threads.submit((Callable<Integer>) Guest::runChildren);
        Future<Integer> signals = threads.submit((Callable<Integer>) Guest::runSignals);
        int right = 0;
        for (Future<Integer> call : calls) right += call.get();
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < CALLS; i++) lines.append(i).append('\n');
        boolean inOrder = started.stream().allMatch(worker -> worker.printed().contentEquals(lines));
        new ProcessBuilder("kill", "-QUIT", String.valueOf(ProcessHandle.current().pid())).start().waitFor(); // a thread dump

        String found = String.format("\"calls\":%d,\"calls_right\":%d,\"children\":%d,\"children_right\":%d,\"signals\":%d,"
                + "\"signals_handled\":%d,\"printed_in_order\":%s", WORKERS * CALLS, right, CHILDREN, children.get(), SIGNALS,
                signals.get(), inOrder);
        stop.set(true);
        found += ",\"refused\":\"" + refused + "\",\"tick\":" + tick.get();
        found += String.format(",\"beside\":{\"collections\":%d,\"faults\":%d,\"virtual_mb\":%d}", collected.get(),
                faults.get(), virtualMegabytes());
        threads.shutdown();

        started.get(1).execute("class Big:\n  def _repr_html_(self): return 'x' * 8_000_000\ndisplay(Big())");
        String answer = started.get(1).execute("'hello ' + input('who? ')");
        found += String.format(",\"shown\":%d,\"input\":\"%s\"", host.shown.get(), answer);

        Lauter.Call endless = started.get(1).start("print('on')\nwhile True: pass");
        until(() -> started.get(1).printed().endsWith("on\n"));
        long begun = System.nanoTime();
        endless.interrupt();
        String name = endless.done.join().name;
        found += String.format(",\"interrupt\":{\"name\":\"%s\",\"ms\":%f,\"after\":\"%s\"}", name, milliseconds(begun),
                started.get(1).execute("6 * 7"));

        Lauter.Call lost = started.get(0).start("while True: pass");
        begun = System.nanoTime();
        started.get(0).kill();
        Lauter.Event failed = lost.done.join();
        found += String.format(",\"killed\":{\"status\":%d,\"ms\":%f,\"why\":\"%s\"}", failed.status, milliseconds(begun),
                failed.why);
        for (Lauter.Worker worker : started.subList(1, WORKERS)) worker.stop();
        List<Integer> ends = new ArrayList<>();
        for (Lauter.Worker worker : started) ends.add(worker.end.join().reason);
        host.close();
        System.out.printf("%n{\"guest\":\"OpenJDK %s\",\"quiet\":%s,%s,\"ends\":%s}%n", Runtime.version().feature(), quiet, found, ends);
    }
}
