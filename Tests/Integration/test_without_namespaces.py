# SPDX-License-Identifier: Apache-2.0
"""`allow-missing namespaces`: where the machine refuses them, Landlock, the filter and init alone confine a worker."""

import ctypes
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import ffi
import pytest
import support
from ffi import C
from refusals import LANDLOCK, MOUNTS, NAMESPACES, UID, below, no_user_namespaces, without_capabilities

pytestmark = pytest.mark.once
IS_ROOT = os.geteuid() == 0
USERS = [None, UID] if IS_ROOT else [None]
WORDS = [("allow-missing", "namespaces")]
#: The kernel never counts root's.
MORE = {None: [("limit", "processes=none")] if IS_ROOT else [], UID: []}
PYTHON = "/usr/bin/python3"


@pytest.fixture(params=USERS, ids=lambda user: "here" if user is None else "ordinary")
def user(request):
    return request.param


@pytest.fixture
def ordinary():
    return UID if IS_ROOT else None


class Places:
    """Files, sockets and memory of the user whose worker is to leave them alone."""

    def __init__(self, user):
        self.folder = support.scratch()
        for name in ("private", "readable/folder", "readable/denied", "writable/readable"):
            (self.folder / name).mkdir(parents=True)
        for name in ("private/secret", "readable/file", "readable/denied/secret", "writable/file", "writable/readable/file"):
            (self.folder / name).write_text("a text of the host's")
        self.reach = self.folder / "readable" / "reach.py"
        shutil.copy(support.HERE / "workers" / "reach.py", self.reach)
        self.sockets = []
        self.listen(socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "readable" / "socket"))
        self.listen(socket.AF_UNIX, socket.SOCK_DGRAM, str(self.folder / "readable" / "datagrams"))
        abstract = f"lauter-{self.folder.name}"
        self.listen(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
        self.listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        self.key = os.getpid() << 8 | 0x4C
        self.memory = ctypes.CDLL(None).shmget(self.key, 4096, 0o1666)
        assert self.memory >= 0
        if user is not None:
            for folder, _, files in os.walk(self.folder):
                for name in [folder, *(os.path.join(folder, file) for file in files)]:
                    os.chown(name, user, user)
        (self.folder / "private").chmod(0o700)
        (self.folder / "private" / "secret").chmod(0o600)
        self.at = {"secret": str(self.folder / "private/secret"), "private": str(self.folder / "private"),
                   "readable": str(self.folder / "readable"), "writable": str(self.folder / "writable"), "abstract": abstract,
                   "port": self.sockets[-1].getsockname()[1], "key": self.key, "has_folders": True}  # fmt: skip

    def listen(self, family, kind, address):
        made = socket.socket(family, kind)
        made.bind(address)
        if kind == socket.SOCK_STREAM:
            made.listen(100)
        if family == socket.AF_UNIX and address[0] != "\0":
            os.chmod(address, 0o777)
        self.sockets.append(made)

    def words(self):
        return [("read", self.folder / "readable"), ("deny", self.folder / "readable/denied"),
                ("write", self.folder / "writable"), ("read", self.folder / "writable/readable")]  # fmt: skip

    def arguments(self, **more):
        return PYTHON, str(self.reach), json.dumps({**self.at, **more})

    def close(self):
        for made in self.sockets:
            made.close()
        ctypes.CDLL(None).shmctl(self.memory, 0, None)
        shutil.rmtree(self.folder)


@pytest.fixture
def places(user):
    places = Places(user)
    yield places
    places.close()


def left_folders():
    """Workers' folders that are still there."""
    return [p for p in Path("/tmp").iterdir() if p.name.startswith("lauter-") and len(p.name) == 23 and p.name[7:].isalnum()]


@pytest.fixture(autouse=True)
def no_folder_is_left():
    os.environ.pop("TMPDIR", None)
    before = set(left_folders())
    yield
    support.eventually(lambda: not set(left_folders()) - before, within=5)


# ------------------------------------------------------------------------------------------------------- reach --


def test_what_namespaces_would_close_is_closed_all_the_same(places, user):
    """The twin is the same program without a sandbox, as the same user."""

    def outside():
        done = subprocess.run(places.arguments(host=os.getpid(), has_folders=False), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    shown = below(outside, filters=[], user=user)
    assert {name for name, what in shown.items() if what != "done"} == set(), shown
    for name in ("private/new", "readable/new", "writable/linked"):
        (places.folder / name).unlink(missing_ok=True)

    def inside():
        with ffi.Host() as host:
            policy = ffi.Policy("notebook", *WORDS, *MORE[user], *places.words())
            worker = host.spawn(policy, ffi.Launch("program", *places.arguments(host=os.getpid())))
            event = worker.exited()
            said = worker.output(C.STREAM_STDOUT).decode()
            assert said, event.report
            return json.loads(said), event.report.missing.split()

    said, missing = below(inside, user=user)
    wrong = {n: w for n, w in said.items() if (w == "done") != n.startswith("may_")}
    assert not wrong, wrong
    assert sorted(missing) == ["namespaces", "net", "tmp"]


def test_strict_lets_nothing_be_executed_or_written(bench, ordinary):
    def inside():
        with ffi.Host() as host:
            policy = ffi.Policy("strict", *WORDS, ("read", bench.folder))
            said = []
            for attempt in (["exec", "/bin/true"], ["write", "/tmp/x"], ["read", bench.path("probe")]):
                worker = host.spawn(policy, bench.probe(*attempt))
                worker.exited()
                said.append(worker.output(C.STREAM_STDOUT).decode()[:6].strip())
            return said

    executed, written, read = below(inside, user=ordinary)
    assert (executed, written) == ("EPERM", "EACCES") and read.startswith("ok"), (executed, written, read)


def test_net_host_is_the_machine_s_network_and_no_unix_socket(places, user):
    def inside():
        with ffi.Host() as host:
            policy = ffi.Policy("notebook", *WORDS, *MORE[user], *places.words(), ("net", "host"))
            worker = host.spawn(policy, ffi.Launch("program", *places.arguments(host=os.getpid())))
            worker.exited()
            return json.loads(worker.output(C.STREAM_STDOUT))

    said = below(inside, user=user)
    assert said["connect_by_tcp"] == said["ask_for_interfaces"] == "done"
    assert {said[n] for n in ("connect_to_a_path", "connect_to_an_abstract_name", "send_from_a_pair")} == {"EACCES"}


# --------------------------------------------------------------------------------------------------- refusals --

REFUSALS = {
    "filter": ({"filters": NAMESPACES}, "seccomp filter", "seccomp=unconfined"),
    "mounts": ({"filters": MOUNTS}, "seccomp filter", "seccomp=unconfined"),
    "sysctl": ({"filters": [], "before": no_user_namespaces}, "user.max_user_namespaces is 0", "sysctl user.max_user_namespaces="),
}


def run_true(*words):
    """The report, or the error's text."""
    with ffi.Host() as host:
        try:
            event = host.spawn(ffi.Policy("notebook", *words), ffi.Launch("program", "true")).exited()
        except ffi.LauterError as error:
            return None, str(error)
        return event.report, str(event.error)


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_is_an_error_with_its_remedy_and_the_word_lets_it_pass(kind, ordinary):
    how, cause, remedy = REFUSALS[kind]
    report, error = below(run_true, user=ordinary, **how)
    assert report is None or report.reason == C.REASON_LAUNCH
    assert cause in error and remedy in error and "--allow-missing namespaces" in error, error
    report, _ = below(lambda: run_true(*WORDS), user=ordinary, **how)
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, 0), report.why
    assert report.missing.split()[0] == "namespaces"


@pytest.mark.root
def test_a_root_without_capabilities_is_an_ordinary_user_whom_nobody_counts():
    report, error = below(lambda: run_true(*WORDS), filters=NAMESPACES, before=without_capabilities)
    assert report is None and "does not count the processes of root" in error, error
    words = [*WORDS, ("allow-missing", "limit")]
    report, error = below(lambda: run_true(*words), filters=NAMESPACES, before=without_capabilities)
    assert report.exit_code == 0 and set(report.missing.split()) == {"namespaces", "limit", "tmp", "net"}, (report, error)


def test_the_word_changes_nothing_where_namespaces_can_be_had(user):
    with_it, without_it = (below(lambda: run_true(*words, *MORE[user]), filters=[], user=user)[0] for words in (WORDS, []))
    assert with_it.exit_code == without_it.exit_code == 0
    assert with_it.missing == without_it.missing == ""


def test_without_namespaces_and_without_landlock_there_is_no_worker(ordinary):
    for words in ([], WORDS, [*WORDS, ("allow-missing", "read"), ("allow-missing", "write")]):
        report, error = below(lambda: run_true(*words), filters=[*NAMESPACES, *LANDLOCK], user=ordinary)
        assert report is None, report
        assert ("Linux 6.12" if words else "seccomp=unconfined") in error, error
        assert words or "--allow-missing" not in error


# ------------------------------------------------------------------------------------------------ nothing stays --


def whole_family(bench):
    """The worker and its five, once those between them, which end, are gone."""
    found = []

    def is_still():
        found.append(set(support.processes_with(bench.path("probe"))))
        return len(found[-1]) >= 4 and len(found) > 20 and all(each == found[-1] for each in found[-20:])

    support.eventually(is_still, within=20)
    return sorted(found[-1])


def family(words, bench, act):
    """A worker with detached, deaf processes; what `act` does to it; whether they were there, and are gone."""
    with ffi.Host() as host:
        policy = ffi.Policy("notebook", *words, ("read", bench.folder))
        worker = host.spawn(policy, bench.probe("family", "5"))
        before = whole_family(bench)
        folders = [f for f in left_folders() if f.stat().st_uid == os.geteuid()]
        act(worker)
        support.eventually(lambda: not support.processes_with(bench.path("probe")), within=1)
        event = worker.exited()
        support.eventually(lambda: not [f for f in folders if f.exists()], within=5)
        return len(before), len(folders), event.report.reason_name


@pytest.mark.parametrize("end", ["kill", "init", "init and worker"])
def test_all_that_a_worker_started_ends_with_it(bench, ordinary, end):
    def act(worker):
        if end == "kill":
            return worker.kill()
        pid = worker.pid
        if end == "init and worker":
            os.kill(support.processes_with(bench.path("probe"))[0], signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)

    processes, folders, reason = below(lambda: family(WORDS, bench, act), user=ordinary)
    assert processes >= 4 and folders >= 1
    assert reason == ("REASON_KILLED" if end == "kill" else "REASON_LOST")


def test_all_that_a_worker_started_ends_with_its_host(bench, ordinary):
    reading, writing = os.pipe()

    def host():
        host = ffi.Host()
        host.spawn(ffi.Policy("notebook", *WORDS, ("read", bench.folder)), bench.probe("family", "5"))
        os.write(writing, b"%d" % len(whole_family(bench)))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError, match="without a word"):
        below(host, user=ordinary)
    assert int(os.read(reading, 10)) >= 4
    os.close(reading)
    os.close(writing)
    support.eventually(lambda: not support.processes_with(bench.path("probe")), within=1)


def test_a_folder_that_a_killed_init_left_goes_with_the_next_launch(ordinary):
    """With things in it that are hard to remove. One that is somebody's stays."""

    def inside():
        left, used = Path("/tmp/lauter-00000000000000aa"), Path("/tmp/lauter-00000000000000ab")
        deep = left / "tmp"
        for _ in range(300):
            deep = deep / ("d" * 20)
            if len(str(deep)) > 3900:
                break
        deep.mkdir(parents=True)
        (deep / "file").write_text("x")
        (left / "tmp" / "closed").mkdir()
        (left / "tmp" / "closed" / "file").write_text("x")
        (left / "tmp" / "closed").chmod(0)
        (left / "tmp" / "link").symlink_to("/usr")
        used.mkdir()
        import fcntl

        lock = os.open(used, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A launch gives it a fifth of a second.
        codes = []
        while left.exists() and len(codes) < 20:
            codes.append(run_true(*WORDS)[0].exit_code)
        found = left.exists(), used.exists(), Path("/usr/bin").exists()
        os.close(lock)
        run_true(*WORDS)
        return set(codes), found, used.exists()

    assert below(inside, user=ordinary) == ({0}, (False, True, True), False)


# ---------------------------------------------------------------------------------------------- everything else --


def test_a_pause_stops_all_and_nobody_else(bench, ordinary):
    def inside():
        with ffi.Host() as host:
            sleeper = subprocess.Popen(["sleep", "60"])
            worker = host.spawn(ffi.Policy("notebook", *WORDS, ("read", bench.folder)), bench.probe("family", "5"))
            pids = whole_family(bench)
            worker.pause()
            support.eventually(lambda: all(support.state_of(pid) == "T" for pid in pids), within=5)
            states = support.state_of(sleeper.pid), support.state_of(os.getpid())
            worker.resume()
            support.eventually(lambda: not any(support.state_of(pid) == "T" for pid in pids), within=5)
            worker.kill()
            worker.exited()
            alive = sleeper.poll() is None
            sleeper.kill()
            sleeper.wait()
            return len(pids), states, alive

    count, states, alive = below(inside, user=ordinary)
    assert count >= 4 and "T" not in states and alive


def test_processes_are_counted_from_what_the_user_has(ordinary):
    """The user has forty of his own."""
    program = "import subprocess\nn = []\ntry:\n while len(n) < 60: n.append(subprocess.Popen(['sleep', '60']))\nexcept OSError as e: print(len(n), e.errno)"

    def inside():
        own = [subprocess.Popen(["sleep", "60"]) for _ in range(40)]
        with ffi.Host() as host:
            policy = ffi.Policy("notebook", *WORDS, ("limit", "processes=20"))
            worker = host.spawn(policy, ffi.Launch("program", PYTHON, "-c", program))
            worker.exited()
            said = worker.output(C.STREAM_STDOUT).decode().split()
        for each in own:
            each.kill()
            each.wait()
        return said

    if not IS_ROOT:
        pytest.skip("whoever runs the tests has other processes that come and go")
    count, kind = map(int, below(inside, user=ordinary))
    assert 17 <= count <= 19 and kind == errno.EAGAIN


@pytest.mark.parametrize("limit", ["wall=300ms", "cpu=300ms"])
def test_time_is_limited(bench, ordinary, limit):
    def inside():
        with ffi.Host() as host:
            program = "import os\nos.fork()\nwhile True: pass"
            worker = host.spawn(ffi.Policy("notebook", *WORDS, ("limit", limit)), ffi.Launch("program", PYTHON, "-c", program))
            return worker.exited().report.reason

    assert below(inside, user=ordinary) == (C.REASON_WALL if "wall" in limit else C.REASON_CPU)


def test_python_works_and_is_interrupted(bench, user):
    def inside():
        with ffi.Host() as host:
            worker = host.spawn(ffi.Policy("notebook", *WORDS, *MORE[user]), bench.python()).wait_ready()
            done = worker.run("import subprocess, threading, tempfile, socket\n"
                              "t = threading.Thread(target=lambda: None); t.start(); t.join()\n"
                              "tempfile.NamedTemporaryFile().write(b'x')\n"
                              "subprocess.run(['/bin/echo', 'hello'], capture_output=True, check=True).stdout.decode()")  # fmt: skip
            call = worker.execute("while True: pass")
            time.sleep(0.2)
            call.interrupt()
            ended = call.done()
            again = worker.run("1 + 1")
            worker.stop()
            return done.status_name, ended.status_name, again.status_name, worker.exited().report.reason_name

    assert below(inside, user=user) == ("OK", "FAILED", "OK", "REASON_STOPPED")


def test_a_terminal_s_signals_leave_init_alone(bench, ordinary):
    """Ctrl-C and the hangup at the end reach the worker, and not who watches it."""

    def inside():
        with ffi.Host() as host:
            launch = ffi.Launch("program", "sh", "-c", "trap 'echo caught' INT; test -t 0 && echo ready; while :; do sleep 0.1; done",
                                terminal="24x80")  # fmt: skip
            worker = host.spawn(ffi.Policy("notebook", *WORDS), launch)
            host.until(lambda e: b"ready" in worker.output())
            worker.stdin(b"\x03")
            host.until(lambda e: b"caught" in worker.output())
            worker.stop(0, 500)
            return worker.exited().report.reason_name

    assert below(inside, user=ordinary) == "REASON_STOPPED"


def test_violations_are_told(bench, ordinary):
    def inside():
        with ffi.Host() as host:
            program = "import ctypes; ctypes.CDLL(None).unshare(0x10000000)"
            worker = host.spawn(ffi.Policy("notebook", *WORDS), ffi.Launch("program", PYTHON, "-c", program))
            worker.exited()
            return [e.name for e in host.seen if e.kind == C.EVENT_DENIED]

    assert below(inside, filters=NAMESPACES[:1], user=ordinary) == ["unshare"]


def test_unconfined_has_a_process_tree_of_its_own_all_the_same(bench, ordinary):
    def inside():
        with ffi.Host() as host:
            worker = host.spawn(ffi.Policy("unconfined", *WORDS), bench.probe("family", "5"))
            pids = whole_family(bench)
            worker.kill()
            support.eventually(lambda: not support.processes_with(bench.path("probe")), within=1)
            return len(pids), worker.exited().report.missing.split()

    count, missing = below(inside, user=ordinary)
    assert count >= 4 and missing == ["namespaces"]


def test_many_threads_may_spawn_at_once(ordinary):
    def inside():
        codes = []
        with ffi.Host() as host:
            policy = ffi.Policy("notebook", *WORDS)

            def launch():
                worker = host.spawn(policy, ffi.Launch("program", "true"))
                codes.append(worker.wait_exit().report.exit_code)

            threads = [threading.Thread(target=launch) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return codes

    assert below(inside, user=ordinary) == [0] * 8


def test_a_plan_says_so(ordinary):
    def inside():
        return ffi.Policy("notebook", *WORDS).explain(ffi.Launch("program", "true"))

    text = below(inside, user=ordinary)
    assert text.startswith("in no namespace of its own\n") and "keep signals within" in text and "mount" not in text
