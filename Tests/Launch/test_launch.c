/* SPDX-License-Identifier: Apache-2.0 */
/* The launch from the host's side: what a worker is born with, and what is told when it is not. */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void sandbox_tests(void);
void host_tests(void);
void step_tests(void);

static void describes(void) {
        plan p;
        const char *text;
        char line[256];
        sandbox(&p);
        finish(&p, "describe", NULL);
        packet last = run_to_end(&p, NULL, &text);
        expect_equal(last.code, 0);
        int uid = is_root() ? 1000 : (int)getuid(), gid = is_root() ? 1000 : (int)getgid();
        int groups = is_root() ? 0 : getgroups(0, NULL);
        snprintf(line, sizeof line, "pid 2 uid %d gid %d groups %d umask 022 core 0 host worker in /\n", uid, gid,
                 groups);
        expect_text(text, line);
        expect_text(text, "session 1 group 1 blocked 0 ignored 0 interrupt default\n");
        expect_text(text, "fds 0 1 2\n");
        expect_text(text, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
                          "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
        static const char *const spaces[] = {"user", "pid", "mnt", "net", "ipc", "uts", "cgroup"};
        for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
                char path[64], mine[64], inside[16];
                snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[i]);
                ssize_t size = readlink(path, mine, sizeof mine - 1);
                mine[size > 0 ? size : 0] = 0;
                snprintf(inside, sizeof inside, "ns %s:[", spaces[i]);
                expect_text(text, inside);
                expect_no_text(text, mine);
        }
}

static void ignores_interrupt(void) {
        plan p;
        const char *text;
        execution e = {
            .candidates = {PROBE}, .arguments = {"probe", "describe"}, .ignores_interrupt = 1, .directory = "/tmp"};
        sandbox(&p);
        end_building(&p);
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        expect_text(text, "ignored 1 interrupt ignored");
        expect_text(text, "in /tmp\n");
}

static void hands_over_the_session(void) {
        plan p;
        worker w;
        char answer[128] = "";
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "session"}, .has_session = 1};
        sandbox(&p);
        end_building(&p);
        step_execute(&p, &e);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, STARTED);
        expect_equal(write(w.session, "hello", 5), 5);
        expect_equal(hear(&w).kind, EXITED);
        expect(ended(&w, 5000), "init does not end");
        /* Sent before the end, read after it. */
        ssize_t size = read(w.session, answer, sizeof answer - 1);
        expect(size > 0, "the answer is lost");
        expect_text(answer, "got hello, page LUTR, writable 0");
        expect_equal(read(w.session, answer, sizeof answer), 0);
        forget(&w);
}

static void tells_ends(void) {
        plan p;
        packet last;
        sandbox(&p);
        finish(&p, "exit", "7", NULL);
        last = run_to_end(&p, NULL, NULL);
        expect_equal(last.code, 7);
        expect_equal(last.signal, 0);
        sandbox(&p);
        finish(&p, "die", "11", NULL);
        last = run_to_end(&p, NULL, NULL);
        expect_equal(last.code, -1);
        expect_equal(last.signal, SIGSEGV);
        sandbox(&p);
        finish(&p, "use", "64", NULL);
        last = run_to_end(&p, NULL, NULL);
        /* The kernel counts in batches. */
        expect(last.peak_kib >= 60 << 10 && last.peak_kib < 80 << 10, "peak %llu KiB",
               (unsigned long long)last.peak_kib);
        expect(last.user_us + last.system_us > 1000, "no CPU time for 64 MiB");
}

static void tells_exec_errors(void) {
        static const struct {
                const char *candidates[3];
                int error;
        } cases[] = {
            {{"/bin/nothing"}, ENOENT}, {{"/bin/nothing", "/bin/probe/nothing"}, ENOENT},
            {{"/bin/plain"}, EACCES},   {{"/bin/nothing", "/bin/plain", "/nowhere"}, EACCES},
            {{"/bin"}, EACCES},         {{"/bin/garbage"}, ENOEXEC},
            {{NULL}, ENOENT},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
                plan p;
                execution e = {.arguments = {"x"}};
                memcpy(e.candidates, cases[i].candidates, sizeof cases[i].candidates);
                sandbox(&p);
                end_building(&p);
                uint32_t number = step_execute(&p, &e);
                expect_failure(&p, number, cases[i].error);
        }
        plan p;
        execution second = {.candidates = {"/bin/nothing", "/bin/plain", PROBE}, .arguments = {"probe", "exit", "3"}};
        sandbox(&p);
        end_building(&p);
        step_execute(&p, &second);
        expect_equal(run_to_end(&p, NULL, NULL).code, 3);
        execution nowhere = {.candidates = {PROBE}, .arguments = {"probe"}, .directory = "/nowhere"};
        sandbox(&p);
        end_building(&p);
        uint32_t number = step_execute(&p, &nowhere);
        expect_failure(&p, number + 1, ENOENT);
}

/* A tree that is not the one that the plan was made for, and plans that are none. */
static void refuses_plans(void) {
        plan p;
        struct stat st;
        stat("/usr", &st);
        int before = count_descriptors();

        plan_begin(&p);
        step_private_mounts(&p);
        uint32_t n = step_open_tree_of(&p, 0, "/usr", st.st_dev, st.st_ino + 1);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ESTALE);

        sandbox(&p);
        end_building(&p); /* no program */
        expect_failure(&p, 0, EINVAL);

        plan_begin(&p);
        step(&p, 99); /* no such step */
        expect_failure(&p, 0, EPROTO);

        sandbox(&p);
        finish(&p, "exit", "0", NULL);
        p.size--;
        expect_failure(&p, 0, EPROTO);

        expect_equal(count_descriptors(), before);
        expect(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD, "a child is left");
}

static void withstands_its_worker(void) {
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "attack", NULL);
        packet last = run_to_end(&p, NULL, &text);
        expect_equal(last.code, 23);
        expect_text(text, "steal a child's: done");
        expect_text(text, "memory of a child: done");
        expect_text(text, "trace a child: done");
        expect_text(text, "steal: Operation not permitted");
        expect_text(text, "memory: Permission denied");
        expect_text(text, "trace: Operation not permitted");
        expect_text(text, "alive: done");
}

static void obeys(void) {
        plan p;
        worker w;
        packet last;
        char line[8];
        sandbox(&p);
        finish(&p, "count-interrupts", "2", NULL);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, STARTED);
        expect(read(w.output, line, 7) == 7, "not ready");
        order(&w, SIGINT, 0);
        expect(read(w.output, line, 7) == 7, "the first did not arrive"); /* two at once may be one */
        order(&w, SIGINT, 1);
        last = hear(&w);
        expect_equal(last.kind, EXITED);
        expect_equal(last.code, 42);
        forget(&w);

        sandbox(&p);
        finish(&p, "wait", NULL);
        expect_equal(start(&w, &p, NULL), 0);
        expect_equal(hear(&w).kind, STARTED);
        order(&w, SIGTERM, 0);
        last = hear(&w);
        expect_equal(last.signal, SIGTERM);
        expect_equal(last.flags, 0);
        forget(&w);
}

static void keeps_the_time(void) {
        plan p;
        packet last;
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "wait"}, .wall_ms = 100};
        sandbox(&p);
        end_building(&p);
        step_execute(&p, &e);
        last = run_to_end(&p, NULL, NULL);
        expect_equal(last.signal, SIGKILL);
        expect_equal(last.flags, 2);
        e.arguments[1] = "exit";
        e.arguments[2] = "5";
        e.wall_ms = 60000;
        sandbox(&p);
        end_building(&p);
        step_execute(&p, &e);
        last = run_to_end(&p, NULL, NULL);
        expect_equal(last.code, 5);
        expect_equal(last.flags, 0);
}

int main(int count, char **words) {
        if (count < 2) return 2;
        probe_folder = words[1];
        test("a worker is born with what the plan says and nothing else", describes);
        test("an interrupt before the runtime's handler is ignored where asked", ignores_interrupt);
        test("the session and the page arrive, and an unread answer survives the end", hands_over_the_session);
        test("the end is told: code, signal, CPU time, memory", tells_ends);
        test("exec errors are told as what they are, and a missing directory apart", tells_exec_errors);
        test("another tree than the plan's, and what is no plan, are refused", refuses_plans);
        test("init withstands a worker of the same uid", withstands_its_worker);
        test("orders reach the worker and its group", obeys);
        test("the wall-clock limit kills, and only when it is reached", keeps_the_time);
        step_tests();
        sandbox_tests();
        host_tests();
        return report();
}
