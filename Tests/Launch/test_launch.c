/* SPDX-License-Identifier: Apache-2.0 */
/* The launch from the host's side: what a worker is born with, what is told when it is not, and what the host
 * notices of it all (nothing). */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void host_tests(void);

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
        snprintf(line, sizeof line, "pid 2 uid %d gid %d groups %d umask 022 core 0 host worker in /\n", uid, gid, groups);
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
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "describe"}, .ignores_interrupt = 1,
                       .directory = "/tmp"};
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
        expect(last.peak_kib >= 64 << 10 && last.peak_kib < 80 << 10, "peak %llu KiB", (unsigned long long)last.peak_kib);
        expect(last.user_us + last.system_us > 1000, "no CPU time for 64 MiB");
}

static packet first_word(const plan *p, const options *o) {
        worker w;
        packet first = {0};
        int error = start(&w, p, o);
        expect(error == 0, "no launch: stage %d, %s", w.result.stage, strerror(-error));
        if (error)
                return first;
        first = hear(&w);
        expect(ended(&w, 5000) || first.kind == STARTED, "init does not end");
        forget(&w);
        return first;
}

static void expect_failure(plan *p, uint32_t number, int error) {
        packet first = first_word(p, NULL);
        expect(first.kind == FAILED && first.step == number && first.error == error,
               "wanted step %u %s; got kind %d step %u %s", number, strerror(error), first.kind, first.step,
               strerror(first.error));
}

static void tells_exec_errors(void) {
        static const struct {
                const char *candidates[3];
                int error;
        } cases[] = {
                {{"/bin/nothing"}, ENOENT},
                {{"/bin/nothing", "/bin/probe/nothing"}, ENOENT},
                {{"/bin/plain"}, EACCES},
                {{"/bin/nothing", "/bin/plain", "/nowhere"}, EACCES},
                {{"/bin"}, EACCES},
                {{"/bin/garbage"}, ENOEXEC},
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

/* One failing step each: the number, the errno. */
static void tells_failing_steps(void) {
        plan p;
        struct stat st;
        stat("/usr", &st);
        uint32_t n;
        execution e = {.candidates = {PROBE}, .arguments = {"probe"}};
        int free_slot, before = count_descriptors();

        plan_begin(&p);
        step_private_mounts(&p);
        n = step_open_tree(&p, 0, "/no/such/path");
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ENOENT);

        plan_begin(&p);
        step_private_mounts(&p);
        n = step_open_tree_of(&p, 0, "/usr", st.st_dev, st.st_ino + 1);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ESTALE);

        plan_begin(&p);
        n = step_identity(&p, 4242, 4242, 0);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, EINVAL);

        free_slot = sandbox(&p);
        n = step_attach(&p, free_slot, "/x", READ, 1);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, EBADF);

        sandbox(&p);
        n = step_directory(&p, "/dev/null/x", 0755);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ENOTDIR);

        sandbox(&p);
        n = step_file(&p, "/bin/x", 0644, "x"); /* on a read-only tree */
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, EROFS);

        sandbox(&p);
        n = step_symlink(&p, "/proc/x", "y");
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ENOENT);

        sandbox(&p);
        n = step_mask(&p, "/nothing", 0);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ENOENT);

        sandbox(&p);
        n = step_proc(&p, "/proc", "nonsense=1");
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, EINVAL);

        sandbox(&p);
        n = step_new_root(&p, 0);
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, EBUSY);

        sandbox(&p);
        n = step_read_only(&p, "/nothing");
        finish(&p, "exit", "0", NULL);
        expect_failure(&p, n, ENOENT);

        sandbox(&p);
        step_enter_root(&p);
        n = step_drop_privilege(&p, 200);
        step_execute(&p, &e);
        expect_failure(&p, n, EINVAL);

        sandbox(&p);
        end_building(&p);
        n = step_limit(&p, 999, 1, 1);
        step_execute(&p, &e);
        expect_failure(&p, n, EINVAL);

        sandbox(&p);
        end_building(&p);
        n = step_landlock(&p, 1 << 2, "/nothing", 1 << 2);
        step_execute(&p, &e);
        expect_failure(&p, n, ENOENT);

        sandbox(&p);
        end_building(&p);
        n = step_seccomp(&p, "12345678", 8);
        step_execute(&p, &e);
        expect_failure(&p, n, EINVAL);

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

static void builds_the_root(void) {
        plan p;
        const char *text;
        char folder[] = "/tmp/launch-test-XXXXXX", path[128];
        mkdtemp(folder);
        chmod(folder, 0777);
        snprintf(path, sizeof path, "%s/secret", folder);
        close(open(path, O_CREAT | O_WRONLY, 0644));
        chmod(path, 0666);
        snprintf(path, sizeof path, "%s/hidden", folder);
        mkdir(path, 0755);

        int slot = 1;
        plan_begin(&p);
        step_private_mounts(&p);
        step_open_tree(&p, 0, probe_folder);
        step_open_tree(&p, slot, folder);
        step_open_tree(&p, slot + 1, folder);
        step_identity(&p, is_root() ? 1000 : getuid(), is_root() ? 1000 : getgid(), is_root());
        step_new_root(&p, 1 << 20);
        step_attach(&p, 0, "/bin", READ, 1);
        step_attach(&p, slot, "/deep/er/read", READ, 1);
        step_attach(&p, slot + 1, "/write", WRITE, 1);
        step_directory(&p, "/made/with/parents", 0750);
        step_file(&p, "/etc/hosts", 0644, "127.0.0.1 localhost\n");
        step_symlink(&p, "/link", "write");
        step_mask(&p, "/write/secret", 0);
        step_mask(&p, "/write/hidden", 1);
        step_tmpfs(&p, "/tmp", 65536, 01777);
        step_tmpfs(&p, "/late", 65536, 0755);
        step_read_only(&p, "/late");
        step_proc(&p, "/proc", "masked");
        step_devpts(&p, "/dev/pts");
        end_building(&p);
        static const char *const tries[] = {"read /deep/er/read/secret", "write /deep/er/read/new",
                                            "write /write/new", "read /etc/hosts", "write /etc/new",
                                            "write /link/other", "list /made/with/parents",
                                            "read /write/secret", "chmod /write/secret", "list /write/hidden",
                                            "chmod /write/hidden", "write /tmp/x", "write /late/x", "read /proc/keys",
                                            "chmod /proc/sys/kernel", "list /proc/acpi", "read /proc/cpuinfo",
                                            "read /dev/pts/ptmx", "stat /usr", "stat /.lauter-mask"};
        size_t count = sizeof tries / sizeof *tries;
        uint32_t steps = p.steps;
        size_t size = p.size;
        static char all[8192];
        for (size_t i = 0; i < count; i++) {
                char word[16], *space;
                static char where[128];
                snprintf(word, sizeof word, "%s", tries[i]);
                if ((space = strchr(word, ' ')))
                        *space = 0;
                snprintf(where, sizeof where, "%s", strchr(tries[i], ' ') + 1);
                execution run = {.candidates = {PROBE}, .arguments = {"probe", "try", word, where}};
                p.size = size;
                p.steps = steps;
                step_execute(&p, &run);
                run_to_end(&p, NULL, &text);
                strncat(all, text, sizeof all - strlen(all) - 1);
        }
        expect_text(all, "read /deep/er/read/secret: done");
        expect_text(all, "write /deep/er/read/new: Read-only file system");
        expect_text(all, "write /write/new: done");
        expect_text(all, "read /etc/hosts: done");
        expect_text(all, "write /etc/new: Read-only file system");
        expect_text(all, "write /link/other: done");
        expect_text(all, "list /made/with/parents: done");
        expect_text(all, "read /write/secret: Permission denied");
        expect_text(all, "chmod /write/secret: Read-only file system");
        expect_text(all, "list /write/hidden: Permission denied");
        expect_text(all, "chmod /write/hidden: Read-only file system");
        expect_text(all, "write /tmp/x: done");
        expect_text(all, "write /late/x: Read-only file system");
        expect_text(all, "read /proc/keys: Permission denied");
        expect_text(all, "chmod /proc/sys/kernel: Read-only file system");
        expect_text(all, "read /proc/cpuinfo: done");
        expect_text(all, "read /dev/pts/ptmx: done");
        expect_text(all, "stat /usr: No such file");
        expect_text(all, "stat /.lauter-mask: No such file");
        snprintf(path, sizeof path, "%s/new", folder);
        expect(access(path, F_OK) == 0, "the file that was written is not there");
        expect(stat(path, &(struct stat){0}) == 0, "stat");
        snprintf(path, sizeof path, "rm -rf %s", folder);
        if (system(path) != 0)
                expect(0, "cannot clean up");
}

static void restricts_the_worker(void) {
        plan p;
        const char *text;
        /* Landlock: reading files allowed below /bin alone. */
        execution e = {.candidates = {PROBE}, .arguments = {"probe", "try", "read", "/bin/plain", "read", "/etc/x"}};
        sandbox(&p);
        step_file(&p, "/etc/x", 0644, "x");
        end_building(&p);
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        expect_text(text, "read /bin/plain: Permission denied"); /* its mode is 000: not Landlock's doing */
        expect_text(text, "read /etc/x: done");
        e.arguments[3] = "/bin/garbage";
        sandbox(&p);
        step_file(&p, "/etc/x", 0644, "x");
        end_building(&p);
        step_landlock(&p, 1 << 2, "/bin", 1 << 2);
        step_execute(&p, &e);
        run_to_end(&p, NULL, &text);
        expect_text(text, "read /bin/garbage: done");
        expect_text(text, "read /etc/x: Permission denied");
        /* seccomp: kill(2) is ENOSYS; without it the same call works. */
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        execution describe = {.candidates = {PROBE}, .arguments = {"probe", "describe"}};
        sandbox(&p);
        end_building(&p);
        step_limit(&p, RLIMIT_CORE, 1, 1);
        step_seccomp(&p, filter, sizeof filter);
        step_execute(&p, &describe);
        run_to_end(&p, NULL, &text);
        expect_text(text, "core 1 ");
        expect_text(text, "Seccomp:\t2");
        expect_no_text(text, "host worker");
}

/* A filter that lets a program begin only with the plan's password, which nobody else knows. */
static void passes_the_filter(void) {
        plan p;
        uint64_t pass = 0x1122334455667788;
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 6, 0),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 4),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x11223344, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[4]) + 4),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x55667788, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        };
        for (int right = 0; right < 2; right++) {
                execution e = {.candidates = {"/bin/nothing", PROBE}, .arguments = {"probe", "exit", "8"},
                               .pass = right ? pass : pass + 1};
                sandbox(&p);
                end_building(&p);
                step_seccomp(&p, filter, sizeof filter);
                uint32_t number = step_execute(&p, &e);
                if (right)
                        expect_equal(run_to_end(&p, NULL, NULL).code, 8);
                else
                        expect_failure(&p, number, EPERM);
        }
}

static void loopback(void) {
        plan p;
        const char *text;
        sandbox(&p);
        finish(&p, "loopback", NULL);
        run_to_end(&p, NULL, &text);
        expect_text(text, "lo down");
        sandbox(&p);
        step_loopback(&p);
        finish(&p, "loopback", NULL);
        run_to_end(&p, NULL, &text);
        expect_text(text, "lo up");
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
        expect(read(w.output, line, 6) == 6, "not ready");
        order(&w, SIGINT, 0);
        usleep(20000); /* two at once may be one; this is about both ways, not about the time */
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

static void adopts_an_id_mapped_tree(void) {
        plan p;
        const char *text;
        char folder[] = "/tmp/launch-test-XXXXXX", path[64];
        mkdtemp(folder); /* root's, mode 0700 */
        int space = claunch_idmap_namespace("0 60001 1", "0 60001 1");
        expect(space >= 0, "no namespace: %s", strerror(-space));
        int tree = (int)syscall(428, AT_FDCWD, folder, 1 | O_CLOEXEC);
        struct {
                uint64_t set, clear, propagation, space;
        } attr = {.set = 0x100000, .space = (uint64_t)space};
        expect(syscall(442, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) == 0, "no id map: %s", strerror(errno));
        for (int mapped = 0; mapped < 2; mapped++) {
                plan_begin(&p);
                step_private_mounts(&p);
                step_open_tree(&p, 0, probe_folder);
                if (mapped)
                        step_adopt_tree(&p, 1, 8);
                else
                        step_open_tree(&p, 1, folder);
                step_identity(&p, 1000, 1000, 1);
                step_new_root(&p, 1 << 20);
                step_attach(&p, 0, "/bin", READ, 1);
                step_attach(&p, 1, "/data", WRITE, 1);
                finish(&p, "try", "write", "/data/x", NULL);
                run_to_end(&p, &(options){.trees = &tree, .tree_count = 1}, &text);
                expect_text(text, mapped ? "write /data/x: done" : "write /data/x: Permission denied");
        }
        struct stat st = {.st_uid = 1};
        snprintf(path, sizeof path, "%s/x", folder);
        expect(stat(path, &st) == 0 && st.st_uid == 0, "the file is not root's");
        unlink(path);
        rmdir(folder);
        close(space);
        close(tree);
}

int main(int count, char **words) {
        if (count < 2)
                return 2;
        probe_folder = words[1];
        test("a worker is born with what the plan says and nothing else", describes);
        test("an interrupt before the runtime's handler is ignored where asked", ignores_interrupt);
        test("the session and the page arrive, and an unread answer survives the end", hands_over_the_session);
        test("the end is told: code, signal, CPU time, memory", tells_ends);
        test("exec errors are told as what they are, and a missing directory apart", tells_exec_errors);
        test("each failing step is told with its number and errno", tells_failing_steps);
        test("the new root holds what was put there, as it was asked", builds_the_root);
        test("limits, Landlock and a filter bind the worker", restricts_the_worker);
        test("a program passes a filter that lets nobody else execute", passes_the_filter);
        test("the loopback interface comes up when asked", loopback);
        test("init withstands a worker of the same uid", withstands_its_worker);
        test("orders reach the worker and its group", obeys);
        test("the wall-clock limit kills, and only when it is reached", keeps_the_time);
        if (is_root())
                test("an id-mapped tree that the host made is writable", adopts_an_id_mapped_tree);
        host_tests();
        return report();
}
