# SPDX-License-Identifier: Apache-2.0
"""What a worker costs while it has nothing to do: init's memory, the host's descriptors and memory."""

import ctypes
import gc
import os
from pathlib import Path

import pytest
import support

#: Bytes of init that are no other process's.
BAR = 200 << 10


def private_memory(pid) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) << 10


@pytest.mark.root  # init is not dumpable: its own user may not look
@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_an_idle_init_has_little_memory_of_its_own(host, bench, preset):
    assert private_memory(os.getpid()) > 8 * BAR, "the probe does not see what a Python has"
    worker = host.spawn(bench.policy(preset=preset), bench.worker()).wait_ready()
    # It lets go of the launch after it has told that the worker runs.
    support.eventually(lambda: private_memory(worker.pid) <= BAR, within=5)


@pytest.mark.root
def test_a_large_policy_does_not_stay_in_init(host, bench, tmp_path):
    """Its plan takes more than init's arena and more than the bar."""
    words = [("env", f"NAME{i}={'x' * 8000}") for i in range(100)]
    for i in range(300):
        (tmp_path / str(i)).mkdir()
        words.append(("read", tmp_path / str(i)))
    policy = bench.policy(*words)
    assert len(policy.text()) > 4 * BAR
    worker = host.spawn(policy, bench.worker()).wait_ready()
    support.eventually(lambda: private_memory(worker.pid) <= BAR, within=5)


def test_workers_leave_low_descriptors_to_the_host(host, bench):
    """A program that uses select(2) can have but 1,024; and a launch copies what lies below its own."""

    def low():
        return {int(name) for name in os.listdir("/proc/self/fd") if int(name) < 256}

    before = low()
    with open("/dev/null"):
        assert len(low()) == len(before) + 1
    workers = [host.spawn(bench.policy(), bench.worker(stdin="pipe")).wait_ready() for _ in range(5)]
    assert low() == before
    assert workers[-1].ask("echo", "x").text == "x"


def test_a_host_with_few_descriptors_keeps_workers_where_there_is_room(bench):
    """In a process of its own: its limit is below where descriptors would go."""
    program = f"""
import resource, sys; sys.path.insert(0, {str(support.HERE)!r})
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import ffi
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
    workers = [host.spawn(policy, ffi.Launch("worker", {bench.path("worker")!r})).wait_ready() for _ in range(3)]
    print(*(worker.ask("echo", "x").text for worker in workers))
"""
    assert support.run_python(program) == "x x x\n"


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd")]
    _fields_ += [(name, ctypes.c_size_t) for name in ("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]


def allocated() -> int:
    """Bytes that somebody in this process has of malloc and has not given back."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


def test_an_idle_worker_costs_its_host_little(host, bench):
    """At most 32 KiB, six descriptors (session, control socket, two streams, pidfd, and those as one), a mapping."""

    def costs():
        gc.collect()
        maps = Path("/proc/self/maps").read_text().count("lauter-page")
        return allocated(), len(os.listdir("/proc/self/fd")), maps

    before = costs()
    block = ctypes.create_string_buffer(1 << 20)
    assert costs()[0] >= before[0] + (1 << 20), "the probe does not see a block of memory"
    del block
    policy, launch = bench.policy(), bench.worker()
    [host.spawn(policy, launch).wait_ready() for _ in range(2)]
    host.drain()
    few = costs()
    count = 40
    workers = [host.spawn(policy, launch).wait_ready() for _ in range(count)]
    host.drain()
    many = costs()
    memory, descriptors, maps = (late - early for early, late in zip(few, many))
    assert 0 < memory <= count * (32 << 10)
    assert (descriptors, maps) == (count * 6, count)
    assert workers[-1].ask("echo", "x").text == "x"
