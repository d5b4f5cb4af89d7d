# SPDX-License-Identifier: Apache-2.0
"""The host's own life is undisturbed: its children, signals, threads, forks and descriptors."""

import ctypes
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import ffi
import pytest
import support
from ffi import C, LauterError


@pytest.fixture
def sigchld():
    """Put SIGCHLD back as it was."""
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def one_life(host, bench):
    worker = host.spawn(bench.policy(), bench.worker()).wait_ready()
    assert worker.ask("echo", "x").text == "x"
    worker.start("exit", "5")
    assert worker.exited().report.exit_code == 5


def test_no_sigchld_comes_and_no_child_is_there_to_wait_for(host, bench, sigchld):
    told = []
    signal.signal(signal.SIGCHLD, lambda *_: told.append(1))
    subprocess.run(["true"], check=True)
    assert told, "the probe does not see a child's end"
    told.clear()
    for _ in range(10):
        one_life(host, bench)
    assert not told
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG | 0x40000000)  # __WALL


def test_sigchld_may_be_ignored(host, bench, sigchld):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    one_life(host, bench)


def test_sigchld_may_be_blocked(host, bench, sigchld):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    one_life(host, bench)
    assert signal.SIGCHLD not in signal.sigpending()


def test_a_host_that_waits_for_all_its_children_gets_its_own_alone(host, bench):
    own = subprocess.Popen(["sh", "-c", "exit 9"])
    worker = host.spawn(bench.policy(), bench.probe("exit", "5"))
    pid, status = os.waitpid(-1, 0)
    assert (pid, os.waitstatus_to_exitcode(status)) == (own.pid, 9)
    own.returncode = 9
    assert worker.exited().report.exit_code == 5


def test_signal_dispositions_and_masks_of_the_host_do_not_reach_the_worker(host, bench):
    caught = [signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP]
    before = {n: signal.getsignal(n) for n in caught}
    try:
        for number in caught:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, 40])
        blocked, ignored = bench.outside("signals").removeprefix("blocked").split("ignored")
        # At least: whoever runs the tests in the background of a script has them ignore SIGINT and SIGQUIT already.
        assert {"12", "40"} <= set(blocked.split()) and {"1", "10", "15"} <= set(ignored.split())
        assert bench.inside("signals") == "blocked ignored"
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2, 40])
        for number, action in before.items():
            signal.signal(number, action)


def test_the_library_leaves_the_host_s_signals_as_they_are(bench):
    numbers = sorted(set(range(1, 65)) - {32, 33, int(signal.SIGKILL), int(signal.SIGSTOP)})
    before = [signal.getsignal(n) for n in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with ffi.Host() as host:
        one_life(host, bench)
        during = [signal.getsignal(n) for n in numbers], signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert during == before


def test_a_closed_pipe_raises_no_sigpipe(bench):
    """In a process of its own with SIGPIPE at its default: it would die."""
    program = f"""
import signal, sys; sys.path.insert(0, {str(support.HERE)!r})
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
import ffi
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
    worker = host.spawn(policy, ffi.Launch("program", {bench.path("probe")!r}, "exit", "0", stdin="pipe"))
    try:
        for _ in range(1000):
            worker.stdin(b"x" * 1000)
    except ffi.LauterError as error:
        pass
    session = host.spawn(policy, ffi.Launch("worker", {bench.path("worker")!r})).wait_ready()
    session.start("exit", "0")
    try:
        for _ in range(200):
            session.start("echo", b"x" * 100000)
    except ffi.LauterError as error:
        pass
    session.exited()
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"alive\n")


def test_a_signal_handler_of_the_host_ends_a_wait(host):
    rang = []
    before = signal.signal(signal.SIGUSR1, lambda *_: rang.append(1))
    try:
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(LauterError) as interrupted:
            while True:
                host.wait(10_000)
        timer.join()
        assert interrupted.value.code == C.ERROR_INTERRUPTED
        assert rang and time.monotonic() - begun < 5
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_workers_outlive_the_thread_that_spawned_them(host, bench):
    spawned = []
    thread = threading.Thread(target=lambda: spawned.append(host.spawn(bench.policy(), bench.worker())))
    thread.start()
    thread.join()
    worker = spawned[0].wait_ready()
    for _ in range(20):
        assert worker.ask("echo", "still here").text == "still here"
        time.sleep(0.005)


def test_any_thread_may_use_a_host(bench):
    """Threads spawn, call, wait and kill at once on one host; each gets its own answers."""
    with ffi.Host() as host:
        failures = []

        def work(number):
            try:
                for round in range(10):
                    worker = host.spawn(bench.policy(), bench.worker())
                    calls = [worker.start("echo", f"{number} {round} {i}") for i in range(10)]
                    for i, call in enumerate(calls):
                        assert call.wait().text == f"{number} {round} {i}"
                    worker.kill()
            except BaseException as error:  # noqa: BLE001 - told to the main thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        exited = {e.worker for e in host.seen if e.kind == C.EVENT_EXITED}
        if len(exited) < 60:
            host.until(lambda e: e.kind == C.EVENT_EXITED and (exited.add(e.worker) or len(exited) == 60))


def test_a_thread_that_waits_for_one_worker_is_not_held_up_by_another(host, bench):
    slow = host.spawn(bench.policy(), bench.worker()).wait_ready()
    quick = host.spawn(bench.policy(), bench.worker()).wait_ready()
    nap = slow.start("nap", "1500")
    waiter = threading.Thread(target=nap.wait)
    waiter.start()
    begun = time.monotonic()
    for _ in range(50):
        quick.start("echo").wait()
    took = time.monotonic() - begun
    waiter.join()
    assert took < 1, took


def test_a_sleeping_wait_hears_of_a_worker_that_another_thread_spawned(host, bench):
    threading.Timer(0.1, lambda: host.spawn(bench.policy(), bench.probe("exit", "0"))).start()
    begun = time.monotonic()
    assert host.wait(10_000) == 1
    assert time.monotonic() - begun < 5
    host.until(lambda e: e.kind == C.EVENT_EXITED)


def test_a_host_is_unusable_in_a_forked_child_and_unharmed_in_its_parent(host, worker):
    pending = worker.start("nap", "200")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        codes = []
        for use in (lambda: host.next(), lambda: worker.start("echo"), lambda: host.wait(0), lambda: worker.kill()):
            try:
                use()
                codes.append("worked")
            except LauterError as error:
                codes.append(error.name)
        ffi.lib.lauter_host_free(host.handle)  # must not kill the parent's workers
        os.write(write, ",".join(codes).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        assert pipe.read() == b"FORKED,FORKED,FORKED,FORKED"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pending.wait().status == C.OK
    assert worker.ask("echo", "alive").text == "alive"


def test_a_forked_child_with_copies_of_all_descriptors_delays_no_end(host, bench, worker):
    program = host.spawn(bench.policy(), bench.probe("stay"))
    child = os.fork()
    if child == 0:
        for _ in range(600):
            time.sleep(0.1)
        os._exit(0)
    try:
        begun = time.monotonic()
        worker.start("exit", "3")
        assert worker.exited().report.exit_code == 3
        program.kill()
        program.exited()
        assert time.monotonic() - begun < 1.5
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "the child had ended: it showed nothing"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_threads_that_run_children_of_their_own_meanwhile_get_them_right(host, bench):
    wrong, stop = [], threading.Event()

    def children():
        while not stop.is_set():
            done = subprocess.run(["sh", "-c", "read line; echo $line; exit 7"], input=b"mine\n", stdout=subprocess.PIPE)
            if (done.returncode, done.stdout) != (7, b"mine\n"):
                wrong.append(done)

    threads = [threading.Thread(target=children) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            one_life(host, bench)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_descriptors_of_the_host_do_not_reach_the_worker(host, bench):
    read, write = os.pipe()
    os.set_inheritable(read, True)
    os.set_inheritable(write, True)
    try:
        extra = [os.dup(read) for _ in range(500)]
        for fd in extra:
            os.set_inheritable(fd, True)
        assert bench.outside("descriptors", close_fds=False).count(":10000") > 500
        assert [d.split(":")[0] for d in bench.inside("descriptors").split()] == ["0", "1", "2"]
    finally:
        for fd in [read, write, *extra]:
            os.close(fd)


def test_a_host_without_standard_streams_can_spawn(bench):
    """Descriptors 0, 1 and 2 are closed, so that new ones take their numbers."""
    program = f"""
import os, sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
out = os.dup(1)
out = os.fdopen(out if out > 50 else os.dup2(out, 60), "w")
for fd in (0, 1, 2): os.close(fd)
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
    worker = host.spawn(policy, ffi.Launch("worker", {bench.path("worker")!r})).wait_ready()
    out.write(worker.ask("echo", "fine").text); out.flush()
    worker.ask("print", "1", "text")
    out.write(worker.output().decode()); out.flush()
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=30)
    assert done.stdout == b"finetext"


def test_a_host_with_few_descriptors_left_gets_an_error_and_leaks_none(host, bench):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    filled, failed, spawned = [], 0, 0
    try:
        with pytest.raises(OSError):
            while True:
                filled.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(40):
            os.close(filled.pop())
            before = set(filled)
            try:
                worker = host.spawn(bench.policy(), bench.probe("exit", "0"))
            except LauterError as error:
                failed += 1
                assert error.message and error.code in (C.ERROR_SYSTEM, C.ERROR_LIMIT, C.ERROR_LAUNCH), error
                room = 0
                with pytest.raises(OSError):  # as many are free as before: none leaked
                    while True:
                        before.add(os.open("/dev/null", os.O_RDONLY))
                        room += 1
                for fd in before - set(filled):
                    os.close(fd)
                assert room == failed
            else:
                spawned += 1
                worker.exited()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in filled:
            os.close(fd)
    assert failed > 2 and spawned > 2, (failed, spawned)
    one_life(host, bench)


def test_the_library_writes_nothing_to_the_host_s_streams(bench):
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
    for rule in ("honest", "wrong-magic", "exits-before-ready", "frame-too-large"):
        worker = host.spawn(policy, ffi.Launch("worker", {bench.path("liar")!r}, rule))
        worker.start("anything")
        if rule == "honest":
            worker.stop()
        worker.exited()
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a mount namespace that shares every mount")
def test_no_mount_of_a_launch_shows_in_the_host(bench, tmp_path):
    """In a mount namespace of its own, where each mount is shared, so that one that gets out is seen."""
    program = f"""
import os, subprocess, sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
def mounts():
    return sorted(line.split()[4] for line in open("/proc/self/mountinfo"))
before = mounts()
subprocess.run(["mount", "-t", "tmpfs", "none", {str(tmp_path)!r}], check=True)
assert mounts() != before, "a child's mount is not seen"
subprocess.run(["umount", {str(tmp_path)!r}], check=True)
assert mounts() == before
with ffi.Host() as host:
    words = ("read", {str(bench.folder)!r}), ("write", {str(tmp_path)!r}), ("deny", "/etc/passwd")
    for program in ("exit", "no-such-attempt", "crash"):
        launch = ffi.Launch("program", {bench.path("probe")!r}, program, "0")
        host.spawn(ffi.Policy("notebook", *words), launch).exited()
    stays = host.spawn(ffi.Policy("strict", *words[:1]), ffi.Launch("program", {bench.path("probe")!r}, "stay"))
    host.until(lambda e: e.kind == ffi.C.EVENT_STREAM)
    assert mounts() == before, set(mounts()) - set(before)
assert mounts() == before
print("the same")
"""
    command = ["unshare", "--mount", "--propagation", "shared", sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"the same\n"


def test_the_host_makes_no_file_anywhere(bench, tmp_path):
    """Every system call of a host with good and bad launches that could make one, as strace sees them. (A control group is a
    folder of the kernel's; test_memory.py sees it go.)"""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log, presence = tmp_path / "log", tmp_path / "presence"
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
open({str(presence)!r}, "w").close()
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}), ("write", {str(bench.folder)!r}))
    host.spawn(policy, ffi.Launch("program", {bench.path("probe")!r}, "exit", "0")).exited()
    for word, program in (("/usr", "/no/such/program"), ("/no/such/path", "true")):
        try:
            host.spawn(ffi.Policy("notebook", ("read", word)), ffi.Launch("program", program)).exited()
        except ffi.LauterError:
            pass
"""
    calls = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,link,linkat,rename,renameat2"
    traced = ["strace", "-o", log, "-e", f"trace={calls}", sys.executable, "-B", "-c", program]
    subprocess.run(traced, check=True, timeout=60)
    made = [
        line
        for line in log.read_text().splitlines()
        if not re.search(r' = -1 |^[-+]|^mkdirat\(AT_FDCWD, ".*/lauter-[0-9-]+", 0755\)', line) and (not line.startswith("open") or "O_CREAT" in line)
    ]
    assert len(made) == 1 and str(presence) in made[0], made


def test_loading_the_library_starts_no_thread_and_takes_no_signal(bench):
    assert threading.active_count() >= 1
    before = support.Traces()
    again = ctypes.CDLL(str(ffi.library_path()))
    assert again.lauter_abi_version() == C.ABI_VERSION
    with ffi.Host() as host:
        one_life(host, bench)
        assert support.Traces().threads == before.threads
