# SPDX-License-Identifier: Apache-2.0
"""Thousands of workers, one after the other and a few at a time: the host is as it was before."""

import mmap
import os
import signal
import time

import ffi
import pytest
import support
from ffi import C, Launch, LauterError

ROUNDS = int(os.environ.get("LAUTER_FLAT_ROUNDS", "5000"))
AT_A_TIME = 8


class Size:
    """What a host has grown to."""

    def __init__(self):
        self.traces = support.Traces()
        with open("/proc/self/maps") as maps:
            self.mappings = sum(1 for _ in maps)
        # What is a file's is not counted: it depends on what else the machine reads of it.
        with open("/proc/self/smaps_rollup") as rollup:
            sizes = dict(line.split(":", 1) for line in rollup if line.endswith(" kB\n"))
        self.memory = sum(int(sizes[name].split()[0]) << 10 for name in ("Anonymous", "Pss_Shmem"))


def ready_or_over(worker):
    """A program may have ended before it was waited for."""
    try:
        worker.wait_ready()
    except LauterError as error:
        assert error.code == C.ERROR_DIED, error


def start_and_end(host, policy, launches, rounds):
    """Starts `rounds` workers. Of four, one is killed at whatever its launch has come to, one when it runs, and two end
    by themselves."""
    reasons = {}
    running = 0
    for index in range(rounds):
        lasting, passing = launches
        turn = index % 4
        worker = host.spawn(policy, lasting if turn < 2 or passing is None else passing)
        if turn == 1 or (turn >= 2 and passing is None):
            ready_or_over(worker)
        if turn < 2:
            worker.kill()
        elif passing is None:
            worker.stop(2000, 2000)
        running += 1
        while running >= AT_A_TIME or (running and index == rounds - 1):
            name = host.until(lambda e: e.kind == C.EVENT_EXITED).report.reason_name
            reasons[name] = reasons.get(name, 0) + 1
            running -= 1
            host.seen.clear()
    return reasons


def children():
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) or "running"
    except ChildProcessError:
        return None


def test_the_probes_see_what_they_look_for():
    before = Size()
    fd = os.open("/dev/null", os.O_RDONLY)
    block = bytearray(os.urandom(1)) * (64 << 20)
    with open(__file__, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # of a file: no other merges with it
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    after = Size()
    assert children() == "running"
    os.kill(child, 9)
    support.eventually(lambda: children() not in (None, "running"), within=5)
    os.waitpid(child, 0)
    assert children() is None
    assert after.traces.leaks_since(before.traces)["descriptors"] and after.mappings > before.mappings
    assert after.memory - before.memory > 60 << 20
    os.close(fd)
    mapping.close()
    del block


@pytest.mark.parametrize("kind, rounds", [("program", ROUNDS), ("python", max(40, ROUNDS // 25))])
def test_spawned_and_killed_over_and_over_a_host_stays_as_it_was(host, bench, kind, rounds):
    signal.alarm(600)
    policy = bench.policy()
    launches = {
        "program": (Launch("program", "/bin/sleep", "60"), Launch("program", "/bin/true")),
        "python": (bench.python(), None),
    }[kind]
    start_and_end(host, policy, launches, 40)
    before = Size()
    reasons = start_and_end(host, policy, launches, rounds)
    after = Size()
    ended = "REASON_EXITED" if kind == "program" else "REASON_STOPPED"
    assert reasons == {"REASON_KILLED": rounds // 2, ended: rounds // 2}
    assert not after.traces.leaks_since(before.traces)
    assert children() is None
    assert after.mappings - before.mappings <= 8, (before.mappings, after.mappings)
    grown = after.memory - before.memory
    assert grown < 2 << 20, f"{grown >> 10} KiB after {rounds} workers"
