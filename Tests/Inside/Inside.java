// SPDX-License-Identifier: Apache-2.0
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;

/** Java: threads, fork and join, the collector under the limit of memory, children, sockets, files, its compiler. */
public class Inside {
    static int faults;

    public static void main(String[] arguments) throws Exception {
        check(LongStream.range(0, 10_000_000).parallel().sum() == 49_999_995_000_000L);
        var pool = Executors.newFixedThreadPool(16);
        var results = new ArrayList<java.util.concurrent.Future<Integer>>();
        for (int n = 0; n < 100; n++) {
            int number = n;
            results.add(pool.submit(() -> number * number));
        }
        int sum = 0;
        for (var result : results) sum += result.get();
        check(sum == 328_350);
        pool.shutdown();
        check(pool.awaitTermination(10, TimeUnit.SECONDS));

        // More garbage than the worker may have memory.
        long length = 0;
        for (int n = 0; n < 3_000; n++) length += new byte[2 << 20].length;
        check(length == 3_000L * (2 << 20));
        // What the runtime answers by signals.
        for (int n = 0; n < 1000; n++) {
            try {
                String nothing = n >= 0 ? null : "";
                nothing.length();
            } catch (NullPointerException expected) {
                faults++;
            }
        }
        check(faults == 1000);

        var child = new ProcessBuilder("sh", "-c", "cat; exit 3").start();
        child.getOutputStream().write("through".getBytes());
        child.getOutputStream().close();
        check(new String(child.getInputStream().readAllBytes()).equals("through"));
        check(child.waitFor() == 3);
        try (var server = new ServerSocket(0);
                var client = new Socket("127.0.0.1", server.getLocalPort());
                var accepted = server.accept()) {
            client.getOutputStream().write(7);
            check(accepted.getInputStream().read() == 7);
        }
        Files.writeString(Path.of("file.txt"), "text");
        check(Files.readString(Path.of("file.txt")).equals("text"));
        check(new SecureRandom().nextLong() != new SecureRandom().nextLong());
        check(java.lang.management.ManagementFactory.getThreadMXBean().getThreadCount() > 0);
        System.out.println("DONE");
    }

    static void check(boolean holds) {
        if (!holds) throw new AssertionError();
    }
}
