# SPDX-License-Identifier: Apache-2.0
"""Hosts to which memfd_create is refused, as containers' filters and a worker's own do: files without a name stand in."""

import errno
import os
import random
import time

import ffi
import pytest
import support
from ffi import C
from refusals import NAMESPACES, UID, below, hindered

pytestmark = pytest.mark.once
IS_ROOT = os.geteuid() == 0
USERS = [None, UID] if IS_ROOT else [None]
O_TMPFILE = 0x40_0000
BARE = [("allow-missing", "namespaces")] + ([("limit", "processes=none")] if IS_ROOT else [])


def refused(error=errno.ENOSYS):
    return [hindered.refusing("memfd_create", error)]


def is_refused():
    """The probe of all below: no test shows anything where memfds can be had."""
    try:
        os.close(os.memfd_create("probe"))
    except OSError as refusal:
        return refusal.errno
    return None


def race(worker, rounds):
    """How many interrupts were in time, and how many too late; none may hit the call that follows."""
    random.seed(3)
    outcomes = {"Interrupted": 0, "": 0}
    pause = 600e-6  # seconds until the interrupt; follows what calls take here, so that both ends are met
    for i in range(rounds):
        aimed, innocent = worker.start("nap", str(i % 2)), worker.start("nap", "0")
        end = time.perf_counter() + random.uniform(0, 2 * pause)
        while time.perf_counter() < end:
            pass
        aimed.interrupt()
        how = aimed.wait().name
        outcomes[how] += 1
        pause = min(pause * 1.1, 20e-3) if how else pause * 0.9
        assert innocent.wait().status == C.OK
    return outcomes


def live(bench, words=()):
    """What a host can do that is refused memfds."""
    refusal = is_refused()
    with ffi.Host() as host:
        c = host.spawn(bench.policy(*words), bench.worker()).wait_ready()
        python = host.spawn(bench.policy(*words), bench.python()).wait_ready()
        init = os.readlink(f"/proc/{c.pid}/exe") if os.geteuid() == 0 else ""
        # The slots of the page, each more than once.
        answers = []
        for _ in range(2):
            answers += [call.wait().text for call in [c.start("echo", str(i)) for i in range(200)]]
        outcomes = race(c, 300)
        spinning = c.start("spin")
        spinning.interrupt()
        ended = [spinning.wait().name]
        # Before its call runs; of 512 the lowest byte says nothing.
        running, waiting = c.start("nap", "300"), c.start("spin")
        for _ in range(512):
            waiting.interrupt()
        ended += [running.wait().status, waiting.wait().name]
        endless = python.execute("print('running', flush=True)\nwhile True: pass")
        host.until(lambda e: e.kind == C.EVENT_STREAM)
        endless.interrupt()
        ended.append(endless.wait().name)
        ended.append(python.run("6 * 7").text)
        c.stop()
        python.kill()
        return refusal, init, answers, outcomes, ended, [w.wait_exit().report.missing for w in (c, python)]


@pytest.mark.parametrize("user", USERS, ids=["here", "ordinary"][: len(USERS)])
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM], ids=["ENOSYS", "EPERM"])
def test_a_host_without_memfds_launches_calls_and_interrupts(bench, user, error):
    refusal, init, answers, outcomes, ended, _ = below(lambda: live(bench), filters=refused(error), user=user, seconds=100)
    assert refusal == error
    if user is None and IS_ROOT:
        assert init.endswith("/lauter/lauter-init"), "the installed copy"
    assert answers == [str(i) for i in range(200)] * 2
    assert min(outcomes.values()) > 10, outcomes
    assert ended == ["Interrupted", C.OK, "Interrupted", "KeyboardInterrupt", "42"]


@pytest.mark.skipif(support.landlock_abi() < 6, reason="without namespaces it takes Landlock's ABI 6")
def test_nor_are_namespaces_needed_for_that(bench):
    filters = refused() + NAMESPACES
    refusal, _, answers, outcomes, ended, missing = below(lambda: live(bench, BARE), filters=filters, seconds=100)
    assert refusal == errno.ENOSYS and all("namespaces" in each.split() for each in missing), missing
    assert len(answers) == 400 and min(outcomes.values()) > 10
    assert ended == ["Interrupted", C.OK, "Interrupted", "KeyboardInterrupt", "42"]


#: A worker that never says that it is ready. A first look at the page shows that it is there.
TRUNCATE = """
import mmap, os, sys
page = mmap.mmap(4, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
assert page[0] == 0x4C
try:
    os.ftruncate(os.open("/proc/self/fd/4", os.O_RDWR), 0)
    if os.fork() == 0:
        page[0]
        os._exit(0)
    print("signal", os.WTERMSIG(os.wait()[1]), flush=True)
except OSError as refusal:
    print(refusal.errno, flush=True)
sys.stdin.readline()
"""


def truncate(bench, preset):
    """What a worker says that truncates its control page, which ends those who have mapped it, and how its host fares."""
    with ffi.Host() as host:
        launch = ffi.Launch("worker", "/usr/bin/python3", "-c", TRUNCATE, stdin="pipe")
        worker = host.spawn(bench.policy(preset=preset), launch)
        host.until(lambda e: e.kind == C.EVENT_STREAM)
        said = worker.output().decode().strip()
        calls = [worker.start("echo", "x") for _ in range(3)]
        for call in calls:
            call.interrupt()
        calls.pop().abandon()
        alive = host.spawn(bench.policy(), bench.worker()).wait_ready().ask("echo", "alive").text
        worker.stdin(b"\n")
        worker.exited()
        return said, alive


def test_a_worker_that_truncates_its_page_does_not_end_its_host(bench):
    assert below(lambda: truncate(bench, "unconfined"), filters=refused()) == ("signal 7", "alive")


@pytest.mark.parametrize("user", USERS, ids=["here", "ordinary"][: len(USERS)])
def test_a_confined_worker_cannot_write_to_its_page(bench, user):
    said, alive = below(lambda: truncate(bench, "notebook"), filters=refused(), user=user)
    assert (int(said), alive) == (errno.EACCES, "alive")


def test_with_memfds_nobody_truncates_the_page(bench):
    said, alive = below(lambda: truncate(bench, "unconfined"), filters=[])
    assert (int(said), alive) == (errno.EPERM, "alive")


def test_where_no_file_can_stand_in_the_error_says_what_to_do(bench):
    def attempt():
        host = ffi.Host()
        host.spawn(bench.policy(), bench.worker()).wait_ready()
        for program in [*refused(), hindered.refusing("openat", errno.EOPNOTSUPP, 2, O_TMPFILE)]:
            hindered.load(program)
        try:
            host.spawn(bench.policy(), bench.worker())
        except ffi.LauterError as error:
            return str(error)
        return "started"

    said = below(attempt, filters=[])
    assert "memfd_create: ENOSYS" in said and "memfds are refused here" in said, said
    assert "TMPDIR" in said, said


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_a_worker_has_memfds_where_a_group_or_nothing_holds_its_memory(bench, preset):
    create = "import os\ntry: said = os.close(os.memfd_create('x'))\nexcept OSError as e: said = e.errno\nsaid"

    def attempt():
        said = []
        with ffi.Host() as host:
            for words in ([], [("limit", "memory=none")]):
                worker = host.spawn(bench.policy(*words, preset=preset), bench.python()).wait_ready()
                answer = worker.run(create)
                text = answer.parts[0][1].decode() if answer.parts else "None"
                worker.kill()
                said.append((worker.exited().report.memory_by, text))
            denied = [e for e in host.seen if e.kind == C.EVENT_DENIED]
        return said, len(denied)

    for user in USERS:
        ((by, limited), (_, free)), denied = below(attempt, filters=[], user=user)
        assert free == "None" and denied == 0
        assert limited == (str(errno.ENOSYS) if by == "sum" else "None"), (by, limited)
