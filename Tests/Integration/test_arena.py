# SPDX-License-Identifier: Apache-2.0
"""Large parts go through memory that host and worker share, and mean what they would mean in line."""

import ctypes
import functools
import resource
import time

import pytest
import support
from ffi import C, Event, LauterError, Launch, Policy, RawEvent, RawPart, call, lib

MISPLACED = [
    "place-in-host-half", "place-across-the-end", "place-behind-the-end", "place-wraps", "place-size-wraps",
    "place-of-nothing", "place-larger-than-the-part", "place-smaller-than-the-part", "places-of-more-than-1-MiB",
    "places-of-4-GiB-together", "place-cut-short", "places-none", "place-for-a-head", "places-never-given-released",
    "places-half-released", "places-released-twice",
]  # fmt: skip
MIB = 1 << 20


@functools.lru_cache
def pattern(size: int) -> bytes:
    """What `send` and `place` of the test worker send."""
    return bytes((i * 31 + (i >> 8) * 7 + (i >> 16)) & 255 for i in range(size))


def order_sum(data: bytes) -> int:
    value = 0
    for byte in data:
        value = ((value << 1 | value >> 31) & 0xFFFFFFFF) ^ byte
    return value


class Taken:
    """A call's `done` event that is not cleared yet."""

    def __init__(self, started, timeout_ms=20000):
        self.raw = RawEvent(size=ctypes.sizeof(RawEvent))
        call("lauter_call_wait", started.host.handle, started.id, timeout_ms, ctypes.byref(self.raw))

    @property
    def part(self) -> RawPart:
        return RawPart.from_address(self.raw.parts)

    def clear(self):
        lib.lauter_event_clear(ctypes.byref(self.raw))


@pytest.fixture
def placing(host, bench):
    def start(policy=None, **properties):
        return host.spawn(policy or bench.policy(), bench.worker("arena", **properties)).wait_ready()

    return start


def number(worker, verb, *parts) -> int:
    return int(worker.ask(verb, *parts).text)


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, MIB, MIB + 1, 3 * MIB + 17])
def test_a_part_arrives_through_the_arena_as_it_was_sent(placing, size):
    worker = placing()
    data = pattern(size)
    size_told, sum_told = worker.ask("sum", ("a/b", data)).text.split()
    assert (int(size_told), int(sum_told)) == (size, order_sum(data))
    assert (number(worker, "placed") > 0) == (size >= 65_536)
    for piece in {1000 if size < MIB else 300_000, MIB}:
        assert worker.ask("place", str(size), str(piece)).data == data
        support.eventually(lambda: number(worker, "out") == 0, within=5)


def test_small_and_large_parts_of_one_message_keep_their_places(placing):
    worker = placing()
    parts = [("a/b", pattern(n)) for n in (10, 200_000, 0, 5, 70_000, 65_535, 300_000)]
    echoed = worker.ask("echo", *parts)
    assert [data for _, data in echoed.parts] == [data for _, data in parts]
    assert number(worker, "placed") >= 3


@pytest.mark.parametrize("has_arena", [True, False])
def test_without_an_arena_all_goes_in_line(host, bench, has_arena):
    """There is none, or the worker does not know of it."""
    policy, arguments = bench.policy(), []
    if not has_arena:
        policy.set("limit", "arena=none")
        arguments = ["arena"]
    worker = host.spawn(policy, bench.worker(*arguments)).wait_ready()
    data = pattern(2 * MIB)
    assert worker.ask("sum", ("a/b", data)).text == f"{len(data)} {order_sum(data)}"
    assert worker.ask("place", str(len(data)), str(MIB)).data == data
    assert number(worker, "placed") == 0 and number(worker, "out") == 0


def test_a_part_larger_than_the_arena_goes_through_as_far_as_there_is_room(placing, bench):
    worker = placing(bench.policy().set("limit", "arena=2M"))
    data = pattern(3 * MIB)
    assert worker.ask("sum", ("a/b", data)).text == f"{len(data)} {order_sum(data)}"
    assert 0 < number(worker, "placed") <= 4
    assert worker.ask("place", str(len(data)), str(100_000)).data == data


def test_there_is_no_arena_to_be_mapped_as_code_where_that_is_not_allowed(host, bench):
    look = "import os, stat, sys; sys.stderr.write(stat.filemode(os.fstat(5).st_mode)[0])"
    seen = {}
    for jit in ("any", "none"):
        launch = Launch("worker", support.python_interpreter(), "-c", look)
        worker = host.spawn(bench.policy(("jit", jit)), launch)
        seen[jit] = worker.wait_exit().report.stderr_tail
    assert seen == {"any": "-", "none": "c"}


@pytest.mark.parametrize("word, value", [("limit", "arena=1M"), ("limit", "arena=3M"), ("limit", "arena=65G")])
def test_an_arena_of_no_such_size_is_refused(word, value):
    with pytest.raises(LauterError) as refused:
        Policy().set(word, value)
    assert refused.value.code == C.ERROR_POLICY and "even number of MiB" in refused.value.message


@pytest.mark.parametrize("rule", MISPLACED)
def test_places_that_are_none_are_a_breach(host, bench, rule):
    worker = host.spawn(bench.policy(), bench.liar(rule)).wait_ready()
    done = worker.ask("anything", timeout=10)
    assert done.status == C.ERROR_PROTOCOL, done
    report = worker.exited().report
    assert report.reason == C.REASON_PROTOCOL and report.why, report


def test_the_liar_s_honest_place_is_taken(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("place-honest")).wait_ready()
    assert worker.ask("anything").text == "the deed"


def test_places_in_an_arena_that_there_is_not_are_a_breach(host, bench):
    policy = bench.policy().set("limit", "arena=none")
    worker = host.spawn(policy, bench.liar("places-of-more-than-1-MiB").set("argument", "blind")).wait_ready()
    assert worker.ask("anything").status == C.ERROR_PROTOCOL


def test_the_arena_s_size_cannot_be_changed_nor_its_seals(placing):
    # EPERM each: the host's mapping cannot be broken.
    assert placing().ask("seals").text == "1 1 1"


def test_what_is_not_used_takes_up_nothing_and_is_given_back(placing):
    worker = placing()
    assert number(worker, "blocks") == 0
    worker.ask("sum", ("a/b", bytes(8 * MIB)))
    assert number(worker, "blocks") >= 8 * MIB

    def given_back():
        worker.host.drain()
        return number(worker, "blocks") == 0

    support.eventually(given_back, within=10, every=0.1)
    assert worker.ask("sum", ("a/b", b"again" * 20_000)).text.startswith("100000 ")


@pytest.mark.parametrize("beyond", [False, True])
def test_what_a_worker_fills_of_its_arena_counts_as_its_memory_and_no_more(host, bench, beyond):
    """In whichever way its memory is counted: that the arena could hold 256 MiB is nothing."""
    policy = bench.policy(("limit", "memory=100M"))
    worker = host.spawn(policy, bench.worker("arena")).wait_ready()
    worker.ask("sum", ("a/b", bytes(60 * MIB)))
    worker.start("spin", timeout_ms=300).done()
    if not beyond:
        assert worker.ask("fill", str(50 * MIB)).status == C.OK
        worker.start("spin", timeout_ms=300).done()
        assert worker.ask("echo", "alive").text == "alive"
    else:
        worker.start("fill", str(120 * MIB))
        worker.start("spin")
        assert worker.exited().report.reason == C.REASON_MEMORY


def test_a_result_is_put_where_its_caller_wants_it(placing):
    worker = placing()
    size = 5 * MIB
    memory = ctypes.create_string_buffer(size + 1)
    started = worker.start("place", str(size), str(MIB))
    call("lauter_call_into", worker.host.handle, started.id, memory, size + 1)
    taken = Taken(started)
    assert taken.part.data == ctypes.addressof(memory) and taken.part.size == size
    assert memory.raw[:size] == pattern(size)
    taken.clear()
    assert memory.raw[:size] == pattern(size)


def test_a_result_that_does_not_fit_there_and_a_failure_are_kept_elsewhere(placing):
    worker = placing()
    memory = ctypes.create_string_buffer(b"untouched", 1000)
    for verb, *parts in (["place", "100000", "1000"], ["fail", "Error", "so long" * 300]):
        started = worker.start(verb, *parts)
        call("lauter_call_into", worker.host.handle, started.id, memory, 1000)
        taken = Taken(started)
        assert not ctypes.addressof(memory) <= taken.part.data < ctypes.addressof(memory) + 1000
        taken.clear()
        assert memory.value == b"untouched"


def test_a_place_for_the_result_of_a_call_that_ended_is_refused(placing):
    worker = placing()
    done = worker.ask("empty")
    memory = ctypes.create_string_buffer(10)
    with pytest.raises(LauterError) as refused:
        call("lauter_call_into", worker.host.handle, done.call, memory, 10)
    assert refused.value.code == C.ERROR_STALE
    with pytest.raises(LauterError) as refused:
        call("lauter_call_into", worker.host.handle, worker.start("empty").id, None, 10)
    assert refused.value.code == C.ERROR_INVALID


def test_nothing_is_written_where_the_result_was_wanted_once_the_call_was_abandoned(placing, bench):
    worker = placing(bench.policy().set("limit", "arena=none"))
    memory = ctypes.create_string_buffer(bytes(40 * MIB), 40 * MIB)
    started = worker.start("send", str(40 * MIB))
    call("lauter_call_into", worker.host.handle, started.id, memory, 40 * MIB)
    support.eventually(lambda: worker.host.next() and False or memory.raw[:64] != bytes(64), within=20)
    started.abandon()
    ctypes.memset(memory, 0, 40 * MIB)
    assert worker.ask("echo", "after").text == "after"
    assert memory.raw == bytes(40 * MIB)


def test_a_part_read_in_place_is_the_worker_s_memory_until_it_is_given_back(placing):
    worker = placing(parts="in-place")
    size = 2 * MIB
    taken = Taken(worker.start("place", str(size), str(size)))
    assert ctypes.string_at(taken.part.data, size) == pattern(size)
    # The worker can write there still: that is what `in-place` means.
    worker.ask("poke", "5", "123")
    assert ctypes.string_at(taken.part.data + 5, 1) == bytes([123])
    assert number(worker, "out") == size
    taken.clear()
    support.eventually(lambda: worker.host.drain() or number(worker, "out") == 0, within=5)


def test_a_part_in_pieces_is_copied_although_it_might_be_read_in_place(placing):
    worker = placing(parts="in-place")
    taken = Taken(worker.start("place", str(2 * MIB), "200000"))
    support.eventually(lambda: number(worker, "out") == 0, within=5)
    worker.ask("poke", "5", "123")
    assert ctypes.string_at(taken.part.data, 2 * MIB) == pattern(2 * MIB)
    taken.clear()


def test_a_part_that_is_kept_outlives_its_event_its_worker_and_its_host(bench):
    from ffi import Host

    host = Host()
    worker = host.spawn(bench.policy(), bench.worker("arena", parts="in-place")).wait_ready()
    taken = Taken(worker.start("place", str(MIB), str(MIB)))
    kept = ctypes.c_void_p()
    call("lauter_part_retain", ctypes.byref(taken.raw), 0, ctypes.byref(kept))
    with pytest.raises(LauterError) as refused:
        call("lauter_part_retain", ctypes.byref(taken.raw), 1, ctypes.byref(ctypes.c_void_p()))
    assert refused.value.code == C.ERROR_INVALID
    data = taken.part.data
    taken.clear()
    assert number(worker, "out") == MIB
    worker.kill()
    worker.wait_exit()
    assert ctypes.string_at(data, MIB) == pattern(MIB)
    host.close()
    assert ctypes.string_at(data, MIB) == pattern(MIB)
    lib.lauter_part_release(kept)


def test_parts_that_are_kept_take_room_and_the_rest_goes_another_way(placing, bench):
    worker = placing(bench.policy().set("limit", "arena=4M"), parts="in-place")
    kept = [Taken(worker.start("place", str(MIB), str(MIB))) for _ in range(2)]
    assert worker.ask("place", str(MIB), str(MIB)).data == pattern(MIB)
    for taken in kept:
        assert ctypes.string_at(taken.part.data, MIB) == pattern(MIB)
        taken.clear()


def test_results_that_nobody_takes_cost_the_host_a_bounded_memory(placing):
    worker = placing()
    calls = [worker.start("place", str(4 * MIB), str(MIB)) for _ in range(60)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        worker.host.wait(50)
    # Nothing was taken: some messages beyond the bound are there, and no more.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
    for started in calls:
        assert started.done().data == pattern(4 * MIB)


def test_what_was_placed_before_its_worker_s_end_arrives(placing):
    worker = placing()
    pending = [worker.start("place", str(3 * MIB), str(500_000)) for _ in range(5)] + [worker.start("exit", "3")]
    assert worker.host.until(lambda e: e.kind == C.EVENT_EXITED).report.exit_code == 3
    done = {e.call: e for e in worker.host.seen if e.kind == C.EVENT_DONE}
    assert [done[call.id].status for call in pending] == [C.OK] * 5 + [C.ERROR_DIED]
    assert all(done[call.id].data == pattern(3 * MIB) for call in pending[:5])
    assert isinstance(done[pending[0].id], Event)
