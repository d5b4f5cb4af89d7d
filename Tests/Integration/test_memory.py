# SPDX-License-Identifier: Apache-2.0
"""The memory limit holds for all of a worker's processes together: by a control group, or by its init's looking."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import ffi
import pytest
import support
from ffi import C

LIMIT = ("limit", "memory=64M")
#: Private memory is refused by another limit before this one is reached: to a process, not to several.
WAYS = ["stack", "shared", "zero", "let-go", "by-a-child", "hidden", "headless", "system-v", "memfd", "files", "together"]
#: Milliseconds for which a hog keeps what it has: longer than init waits between two looks.
KEPT = 3000


def hog(bench, way, size, kept=KEPT):
    return ffi.Launch("program", bench.path("hog"), way, str(size), str(kept))


def end_of(host, worker):
    """The report of one of several workers, whose ends come in any order."""
    seen = [e for e in host.seen if e.kind == C.EVENT_EXITED and e.worker == worker.id]
    return seen[0].report if seen else worker.exited().report


def groups() -> dict:
    """The folders in which this process's hosts make groups, by controller of version 1; of version 2, "unified"."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        after = fields[fields.index("-") + 1 :]
        if not after[0].startswith("cgroup"):
            continue
        for own in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = own.split(":", 2)
            folder = Path(fields[4]) / path.lstrip("/")
            if after[0] == "cgroup2" and not controllers:
                found["unified"] = folder if path == "/" else folder.parent
            elif after[0] == "cgroup":
                found.update({name: folder for name in set(controllers.split(",")) & set(after[2].split(","))})
    return found


def ours() -> list:
    """What there is of hosts' groups; a host's own pid, to know its own by."""
    return [path for folder in groups().values() for path in folder.glob("lauter-*")]


def made_by(pid) -> list:
    return [path for path in ours() if path.name.split("-")[2] == str(pid)]


def version() -> int:
    """Of the groups that hold a worker's memory here; 0: none."""
    there = groups()
    if "memory" in there and os.access(there["memory"], os.W_OK):
        return 1
    if "memory" not in there and "unified" in there and os.access(there["unified"], os.W_OK):
        # The machine's root group is divided by the host; another by whoever delegated it.
        names = ("cgroup.subtree_control",) + (("cgroup.controllers",) if there["unified"].is_mount() else ())
        return 2 if any("memory" in (there["unified"] / name).read_text().split() for name in names) else 0
    return 0


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_memory_beyond_the_limit_ends_the_worker_however_it_is_taken(host, bench, preset):
    policy = bench.policy(LIMIT, ("tmp", "48M"), preset=preset)
    workers = {way: host.spawn(policy, hog(bench, way, 96)) for way in WAYS}
    mechanisms = set()
    for way, worker in workers.items():
        report = end_of(host, worker)
        mechanisms.add(report.memory_by)
        if way == "memfd" and report.memory_by == "sum":
            # What no look finds cannot be made.
            assert (report.exit_code, worker.output()) == (3, b"ENOSYS\n"), way
            continue
        assert report.reason == C.REASON_MEMORY, (way, report, worker.output())
        assert report.why == "the memory limit of 64 MiB was reached", way
        assert '"reason":"memory"' in report.json
        assert report.signal == signal.SIGKILL, way
    assert mechanisms == {f"cgroup v{version()}" if version() else "sum"}


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_memory_below_the_limit_is_the_worker_s_however_it_is_taken(host, bench, preset):
    policy = bench.policy(LIMIT, ("tmp", "48M"), preset=preset)
    workers = {way: host.spawn(policy, hog(bench, way, 40, 1200)) for way in [*WAYS, "private"]}
    for way, worker in workers.items():
        report = end_of(host, worker)
        if way == "memfd" and report.memory_by == "sum":
            continue
        assert (report.reason, report.exit_code) == (C.REASON_EXITED, 0), (way, report)
        assert worker.output() == b"held\n", way
        if way in ("let-go", "by-a-child") and report.memory_by == "sum":
            continue  # no process has it in its figures, and below the limit nobody looks closer
        assert report.tree_peak_bytes > 30 << 20, way


def test_what_is_shared_after_a_fork_counts_once(host, bench):
    """Five processes with 40 of 64 MiB each, which are the same 40; and a sixth in the midst of a vfork, for a second."""
    worker = host.spawn(bench.policy(LIMIT), hog(bench, "copies", 40, 2000))

    def resident():
        sizes = []
        for pid in support.processes_with(bench.path("hog")):
            with contextlib.suppress(OSError):
                sizes += re.findall(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return sum(int(kib) > 39 << 10 for kib in sizes)

    support.eventually(lambda: resident() >= 6, within=5)
    assert worker.exited().report.exit_code == 0


def test_a_process_alone_is_told_that_there_is_no_memory_before_it_is_ended(host, bench):
    worker = host.spawn(bench.policy(LIMIT), hog(bench, "private", 96))
    report = worker.exited().report
    assert (report.reason, report.exit_code, worker.output()) == (C.REASON_EXITED, 3, b"ENOMEM\n")


def test_a_python_s_calls_fail_with_the_memory_limit(host, bench):
    worker = host.spawn(bench.policy(("limit", "memory=128M")), bench.python()).wait_ready()
    code = "import mmap, time; m = mmap.mmap(-1, 256 << 20)\nfor i in range(0, 256 << 20, 4096): m[i] = 1\ntime.sleep(5)"
    done = worker.run(code)
    assert done.status == C.ERROR_DIED
    assert "the memory limit of 128 MiB was reached" in done.error.message
    assert worker.exited().report.reason == C.REASON_MEMORY


def test_a_worker_without_a_limit_says_so(host, bench):
    report = host.spawn(bench.policy(("limit", "memory=none")), hog(bench, "shared", 96, 10)).exited().report
    assert (report.exit_code, report.memory_by) == (0, "")


def test_a_killed_worker_is_not_said_to_have_reached_a_limit(host, bench):
    worker = host.spawn(bench.policy(LIMIT), hog(bench, "shared", 40))
    host.until(lambda e: e.kind == C.EVENT_STREAM and e.worker == worker.id)
    worker.kill()
    assert worker.exited().report.reason == C.REASON_KILLED


@pytest.mark.root
@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_where_no_group_can_be_made_init_adds_up_and_the_report_says_so(bench, preset):
    """The machine's groups are covered in this host's mount namespace."""
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
with ffi.Host() as host:
    policy = ffi.Policy({preset!r}, ("read", {str(bench.folder)!r}), ("limit", "memory=64M"))
    for size in ("96", "40"):
        worker = host.spawn(policy, ffi.Launch("program", {bench.path("hog")!r}, "together", size, "1500"))
        report = worker.exited().report
        print(report.memory_by, report.reason, flush=True)
"""
    inside = "test ! -d /sys/fs/cgroup || mount -t tmpfs none /sys/fs/cgroup; exec \"$@\""
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-c", program]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
    assert said.split("\n") == [f"sum {C.REASON_MEMORY}", f"sum {C.REASON_EXITED}", ""]


@pytest.mark.root
def test_init_that_adds_up_has_little_memory_of_its_own_and_sleeps(bench):
    program = f"""
import sys, time; sys.path.insert(0, {str(support.HERE)!r})
import ffi, test_idle, support
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}), ("limit", "memory=64M"))
    worker = host.spawn(policy, ffi.Launch("program", {bench.path("hog")!r}, "together", "40", "60000"))
    host.until(lambda e: e.kind == ffi.C.EVENT_STREAM)
    time.sleep(3)
    before = support.cpu_of([worker.pid])
    time.sleep(2)
    assert support.cpu_of([worker.pid]) - before <= 0.01
    assert test_idle.private_memory(worker.pid) <= test_idle.BAR, test_idle.private_memory(worker.pid)
    worker.kill()
    print(worker.exited().report.memory_by)
"""
    inside = "test ! -d /sys/fs/cgroup || mount -t tmpfs none /sys/fs/cgroup; exec \"$@\""
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-c", program]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout == b"sum\n"


# --------------------------------------------------------------------- the groups themselves

needs_groups = pytest.mark.skipif(version() == 0, reason="no memory controller that may be divided")


@pytest.mark.root
@pytest.mark.hardware
@needs_groups
def test_nothing_is_left_of_the_groups_of_two_hundred_workers(bench):
    with ffi.Host() as host:
        launch = bench.burner("descriptors")
        policy = bench.policy(("limit", "cpu=1h"))
        for _ in range(20):
            workers = [host.spawn(policy, launch) for _ in range(10)]
            assert len(made_by(os.getpid())) >= 10, "the probe does not see them"
            for worker in workers:
                assert end_of(host, worker).memory_by == f"cgroup v{version()}"
        assert len(made_by(os.getpid())) <= 8
    assert not made_by(os.getpid())


@pytest.mark.root
@pytest.mark.hardware
@needs_groups
def test_the_groups_of_a_killed_host_are_taken_away_by_the_next(bench):
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
host = ffi.Host()
policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}), ("limit", "cpu=1h"))
for _ in range(3):
    host.spawn(policy, ffi.Launch("program", {bench.path("burner")!r}, "jobs"))
print("there", flush=True)
sys.stdin.read()
"""
    dead = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert dead.stdout.readline() == b"there\n"
    with ffi.Host() as other:
        other.spawn(bench.policy(), hog(bench, "shared", 1, 1)).exited()
        assert len(made_by(dead.pid)) == {1: 6, 2: 3}[version()], "a living host's groups were taken away, or there are none"
    dead.kill()
    dead.wait()
    dead.stdin.close()
    dead.stdout.close()
    assert made_by(dead.pid)
    # Its inits end by themselves, and the kernel takes them out of their groups a moment later.
    support.eventually(lambda: not [p for p in made_by(dead.pid) if (p / "cgroup.procs").read_text()], within=5)
    with ffi.Host() as host:
        host.spawn(bench.policy(), hog(bench, "shared", 1, 1)).exited()
        assert not made_by(dead.pid)
    assert not made_by(os.getpid())


@pytest.mark.root
@pytest.mark.hardware
@needs_groups
def test_a_group_that_was_used_does_not_tell_the_next_worker_s_report_anything(bench):
    with ffi.Host() as host:
        policy = bench.policy(LIMIT)
        assert host.spawn(policy, hog(bench, "shared", 40, 1)).exited().report.tree_peak_bytes > 40 << 20
        names = {path.name for path in made_by(os.getpid())}
        assert host.spawn(policy, hog(bench, "shared", 1, 1)).exited().report.tree_peak_bytes < 20 << 20
        if version() == 1:
            assert {path.name for path in made_by(os.getpid())} == names, "it was not used again"
        assert host.spawn(policy, hog(bench, "shared", 96, 1)).exited().report.reason == C.REASON_MEMORY
        assert not {path.name for path in made_by(os.getpid())} & names, "one that has had no memory is used again"
        assert host.spawn(policy, hog(bench, "shared", 40, 1)).exited().report.exit_code == 0


@pytest.mark.root
@pytest.mark.hardware
@needs_groups
def test_root_s_own_processes_are_counted_by_a_group(bench):
    with ffi.Host() as host:
        worker = host.spawn(bench.policy(("limit", "processes=3"), preset="unconfined"), hog(bench, "together", 4, 1))
        assert (worker.exited().report.exit_code, made_by(os.getpid())) == (3, [])
        wide = host.spawn(bench.policy(("limit", "processes=5"), preset="unconfined"), hog(bench, "together", 4, 1))
        assert wide.exited().report.exit_code == 0
