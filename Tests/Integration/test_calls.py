# SPDX-License-Identifier: Apache-2.0
"""Calls: parts in both directions, order, bounds, deadlines, calls from the worker, ids that are stale."""

import ctypes
import time

import ffi
import pytest
from ffi import C, Call, LauterError


def pattern(size: int) -> bytes:
    """What the worker's `send` sends."""
    block = 1 << 16
    whole = bytearray()
    for high in range(0, size, block):
        base = bytes((i * 31 + (i >> 8) * 7) & 0xFF for i in range(block)) if high == 0 else base
        # i >> 8 grows by 256 a block, which times 7 is 0 modulo 256; i >> 16 adds the block's number.
        whole += bytes((b + (high >> 16)) & 0xFF for b in base) if high >> 16 & 0xFF else base
    return bytes(whole[:size])


def rotating_sum(data: bytes) -> int:
    total = 0
    for byte in data:
        total = ((total << 1 | total >> 31) & 0xFFFFFFFF) ^ byte
    return total


def test_parts_come_back_as_they_went(worker):
    parts = [
        ("text/plain", "ein Gruß"),
        ("application/octet-stream", bytes(range(256))),
        ("image/png", b""),
        ("application/x-" + "y" * 241, b"a type of 255 bytes"),
        ("", b"no type at all"),
    ]
    done = worker.ask("echo", *parts, cookie=7)
    assert done.status == C.OK and done.call_cookie == 7
    assert done.parts == [(kind, ffi.bytes_of(data)) for kind, data in parts]


@pytest.mark.parametrize("count", [0, 1, 255, 256])
def test_any_number_of_parts_up_to_the_bound_is_taken(worker, count):
    done = worker.ask("echo", *[("text/plain", str(i)) for i in range(count)])
    assert [data for _, data in done.parts] == [str(i).encode() for i in range(count)]


@pytest.mark.parametrize("size", [1, 65535 - 64, 65535, 65536, 65537, 3 * 65536, 1_000_003])
def test_sizes_around_a_frame_s_end_survive_both_ways(worker, size):
    data = pattern(size)
    done = worker.ask("echo", ("application/octet-stream", data))
    assert done.data == data


def test_many_parts_of_all_sizes_survive_both_ways(worker):
    parts = [("application/octet-stream", pattern(size)) for size in (0, 1, 70_000, 0, 65_536, 3, 200_000)]
    assert worker.ask("echo", *parts).parts == parts


def test_fifty_megabytes_go_and_come(worker):
    size = 50 << 20
    data = pattern(size)
    head = data[: 1 << 20]
    assert worker.ask("sum", ("application/octet-stream", head)).text == f"{1 << 20} {rotating_sum(head)}"
    assert worker.ask("sum", ("application/octet-stream", data), timeout=60).text.startswith(f"{size} ")
    done = worker.ask("send", str(size), timeout=60)
    assert len(done.data) == size and done.data == data


def test_calls_before_ready_are_kept_until_it_is(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("slow-ready", "100"))
    calls = [worker.start("echo", str(i)) for i in range(10)]
    assert [call.wait().text for call in calls] == [str(i) for i in range(10)]


def test_calls_are_served_in_the_order_of_their_start(host, worker):
    calls = [worker.start("echo", str(i)) for i in range(100)]
    calls[-1].done()
    assert [e.text for e in host.seen if e.kind == C.EVENT_DONE] == [str(i) for i in range(100)]


def test_calls_may_be_answered_in_any_order(host, worker):
    held = [worker.start("hold") for _ in range(C.CALLS_MAX - 1)]
    assert worker.start("release").wait().text == str(len(held))
    assert [e.call for e in host.drain() if e.kind == C.EVENT_DONE] == [c.id for c in reversed(held)]


def test_the_bound_is_255_calls_in_flight(worker):
    held = [worker.start("hold") for _ in range(C.CALLS_MAX)]
    with pytest.raises(LauterError) as refused:
        worker.start("hold")
    assert refused.value.code == C.ERROR_LIMIT
    assert len({call.id for call in held}) == C.CALLS_MAX


def test_a_failure_brings_its_name_and_message(worker):
    done = worker.ask("fail", "ValueError", "no such colour")
    assert (done.status, done.name, done.text) == (C.ERROR_FAILED, "ValueError", "no such colour")
    assert done.error is None


def test_outputs_come_in_order_before_the_result(host, worker):
    call = worker.start("outputs", "1000", cookie=5)
    call.done()
    outputs = call.outputs()
    assert [e.text for e in outputs] == [str(i) for i in range(1000)]
    assert all(e.name == "progress" and e.call_cookie == 5 for e in outputs)
    assert host.seen[-1].kind == C.EVENT_DONE


def test_a_second_answer_to_the_same_call_is_ignored(host, worker):
    assert worker.ask("twice").text == "first"
    assert worker.ask("echo", "next").text == "next"
    assert [e.kind for e in host.drain()] == []


def test_waiting_leaves_other_events_alone_and_in_order(host, worker):
    first = worker.start("outputs", "3", cookie=1)
    second = worker.start("echo", "second", cookie=2)
    assert second.wait().text == "second"
    kinds = [(e.kind, e.call_cookie) for e in host.drain() if e.call]
    assert kinds == [(C.EVENT_OUTPUT, 1)] * 3 + [(C.EVENT_DONE, 1)]
    with pytest.raises(LauterError) as refused:
        first.wait(0)
    assert refused.value.code == C.ERROR_STALE


def test_waiting_too_short_is_a_timeout_and_the_call_goes_on(worker):
    call = worker.start("nap", "200")
    with pytest.raises(LauterError) as refused:
        call.wait(20)
    assert refused.value.code == C.ERROR_TIMEOUT
    assert call.wait().status == C.OK


def test_a_call_whose_time_is_up_is_interrupted_and_its_worker_lives(host, worker):
    begun = time.monotonic()
    done = worker.ask("spin", timeout_ms=100)
    assert 0.09 < time.monotonic() - begun < 2
    assert done.status == C.ERROR_TIMEOUT and done.error.code == C.ERROR_TIMEOUT and done.error.message
    assert worker.ask("echo", "alive").text == "alive"


def test_a_worker_that_ignores_the_interrupt_is_killed_after_the_grace(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(interrupt_grace="200ms")).wait_ready()
    begun = time.monotonic()
    done = worker.ask("deaf", timeout_ms=100)
    assert 0.25 < time.monotonic() - begun < 3
    assert done.status == C.ERROR_TIMEOUT
    report = worker.exited().report
    assert report.reason == C.REASON_DEADLINE and report.why


def test_the_time_of_a_call_runs_while_it_waits_behind_another(host, worker):
    blocker = worker.start("nap", "400")
    waiting = worker.start("nap", "1")
    late = worker.start("spin", timeout_ms=100)
    assert late.done().status == C.ERROR_TIMEOUT
    statuses = {e.call: e.status for e in host.seen if e.kind == C.EVENT_DONE}
    assert statuses[blocker.id] == C.OK and statuses[waiting.id] == C.OK


def test_a_call_behind_one_without_end_is_done_when_its_time_is_up(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(interrupt_grace="200ms")).wait_ready()
    endless = worker.start("spin")
    late = worker.start("echo", "late", timeout_ms=100)
    done = late.wait(5000)
    assert done.status == C.ERROR_TIMEOUT and done.error.code == C.ERROR_TIMEOUT
    endless.interrupt()
    assert endless.wait().status == C.ERROR_FAILED
    # The worker was doing as it was told: it lives, and its late answer is nobody's.
    assert worker.ask("echo", "alive").text == "alive"


def test_the_end_is_told_though_nobody_takes_a_large_result(host, worker):
    worker.start("send", str(20 << 20))
    time.sleep(0.2)  # time for the result to arrive, untaken; with less the test is weaker, never wrong
    worker.stop(1000, 1000)
    assert worker.wait_exit().report.reason == C.REASON_STOPPED


def test_a_pending_call_fails_with_the_death_of_its_worker_and_the_reason(host, worker):
    pending = [worker.start("hold") for _ in range(5)]
    dying = worker.start("raise", "11")
    exited = worker.exited()
    done = [e for e in host.seen if e.kind == C.EVENT_DONE]
    assert {e.call for e in done} == {call.id for call in [*pending, dying]}
    for event in done:
        assert event.status == C.ERROR_DIED
        assert "SIGSEGV" in event.error.message or "segmentation" in event.error.message.lower()
    assert host.seen[-1] is exited


def test_the_death_of_a_worker_is_told_within_milliseconds(host, bench):
    times = []
    for _ in range(10):
        worker = host.spawn(bench.policy(), bench.worker()).wait_ready()
        pending = worker.start("hold")
        worker.ask("empty")
        begun = time.monotonic()
        worker.kill()
        assert pending.wait().status == C.ERROR_DIED
        times.append(time.monotonic() - begun)
        worker.exited()
    assert sorted(times)[5] < 0.05, times


def test_an_answer_that_was_sent_is_not_lost_to_the_death_that_followed(host, bench):
    for _ in range(50):
        worker = host.spawn(bench.policy(), bench.worker()).wait_ready()
        done = worker.ask("last-words")
        assert (done.status, done.data) == (C.OK, b"last words")
        assert worker.exited().report.exit_code == 7


def test_an_abandoned_call_runs_on_and_says_no_more(host, worker):
    call = worker.start("nap", "100")
    call.abandon()
    assert worker.ask("echo", "behind it").text == "behind it"
    assert not [e for e in host.seen if e.call == call.id]
    with pytest.raises(LauterError) as refused:
        call.wait(0)
    assert refused.value.code == C.ERROR_STALE


def test_an_abandoned_call_s_outputs_are_dropped(host, worker):
    call = worker.start("outputs", "100")
    call.abandon()
    worker.ask("echo", "after")
    assert not [e for e in host.seen if e.call == call.id]


def test_a_worker_calls_its_host_and_gets_the_answer(host, worker):
    call = worker.start("ask", "input", ("text/plain", "name? "), ("application/json", b"{}"), cookie=3)
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    assert (asked.name, asked.parent, asked.worker) == ("input", call.id, worker.id)
    assert asked.parts == [("text/plain", b"name? "), ("application/json", b"{}")]
    Call(host, asked.call).reply("Ada", ("image/png", pattern(200_000)))
    done = call.done()
    assert done.parts == [("text/plain", b"Ada"), ("image/png", pattern(200_000))]


def test_a_worker_s_call_may_be_answered_with_a_failure(host, worker):
    call = worker.start("ask", "input", "name? ")
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    Call(host, asked.call).fail("EOFError", "nobody is there")
    done = call.done()
    assert (done.status, done.name, done.text) == (C.ERROR_FAILED, "EOFError", "nobody is there")


def test_a_worker_s_call_can_be_answered_once(host, worker):
    worker.start("ask", "input", "name? ")
    asked = Call(host, host.until(lambda e: e.kind == C.EVENT_CALL).call)
    asked.reply("Ada")
    for again in (lambda: asked.reply("Bob"), lambda: asked.fail("E", "m")):
        with pytest.raises(LauterError) as refused:
            again()
        assert refused.value.code == C.ERROR_STALE


def test_a_worker_s_call_is_stale_once_the_worker_has_ended(host, worker):
    worker.start("ask", "input", "name? ")
    asked = Call(host, host.until(lambda e: e.kind == C.EVENT_CALL).call)
    worker.kill()
    worker.exited()
    with pytest.raises(LauterError) as refused:
        asked.reply("too late")
    assert refused.value.code == C.ERROR_STALE


def test_the_library_itself_answers_what_the_policy_allows(host, worker, bench):
    def ask(word, value):
        done = worker.ask("ask", "lauter.check", word, value)
        assert done.status == C.OK, done
        return done.text if done.parts else None

    assert ask("read", bench.folder) is None
    assert "--read /data/x" in ask("read", "/data/x")
    assert ask("run", "/bin/true") is None
    assert not [e for e in host.seen if e.kind == C.EVENT_CALL]


@pytest.mark.parametrize("parts", [(), ("read",), ("fly", "/moon"), ("read", "relative"), ("read", b"\xff\xfe")])
def test_a_senseless_check_fails_and_harms_nobody(worker, parts):
    done = worker.ask("ask", "lauter.check", *parts)
    assert done.status == C.ERROR_FAILED or done.parts
    assert worker.ask("echo", "alive").text == "alive"


def test_a_verb_out_of_bounds_is_refused(worker):
    with pytest.raises(LauterError) as refused:
        worker.start("x" * 256)
    assert refused.value.code in (C.ERROR_INVALID, C.ERROR_LIMIT)
    assert worker.ask("echo", "alive").text == "alive"


def test_more_parts_than_the_bound_are_refused(worker):
    with pytest.raises(LauterError) as refused:
        worker.start("echo", *["x"] * (C.PARTS_MAX + 1))
    assert refused.value.code in (C.ERROR_INVALID, C.ERROR_LIMIT)


def test_a_media_type_out_of_bounds_is_refused(worker):
    with pytest.raises(LauterError) as refused:
        worker.start("echo", ("t" * 256, "x"))
    assert refused.value.code in (C.ERROR_INVALID, C.ERROR_LIMIT)


def test_an_unknown_lane_is_refused(worker):
    with pytest.raises(LauterError) as refused:
        worker.start("echo", lane=77)
    assert refused.value.code == C.ERROR_INVALID


def test_parts_that_are_null_with_a_size_are_refused(host, worker):
    array, count, _ = ffi.raw_parts(["x"])
    array[0].data, array[0].size = None, 10
    number = ctypes.c_uint64(99)
    with pytest.raises(LauterError) as refused:
        ffi.call(
            "lauter_call_start", host.handle, worker.id, 0, b"echo", array, count, -1, 0, ctypes.byref(number)
        )
    assert refused.value.code == C.ERROR_INVALID and number.value == 99


def test_what_a_worker_does_not_read_is_bounded_in_the_host(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("never-reads")).wait_ready()
    sent = 0
    with pytest.raises(LauterError) as refused:
        while sent < 256 << 20:
            worker.start("echo", ("application/octet-stream", bytes(4 << 20)))
            sent += 4 << 20
    assert refused.value.code == C.ERROR_LIMIT
    assert 60 << 20 <= sent <= 72 << 20


def test_calls_to_a_program_are_refused(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("stay")).wait_ready()
    with pytest.raises(LauterError) as refused:
        worker.start("echo")
    assert refused.value.code == C.ERROR_STATE


STALE = [
    lambda w, c: w.start("echo"), lambda w, c: w.kill(), lambda w, c: w.stop(), lambda w, c: w.signal(2),
    lambda w, c: w.stdin(b"x"), lambda w, c: w.pid, lambda w, c: w.wait_ready(0), lambda w, c: c.wait(0),
]  # fmt: skip


def test_ids_of_a_worker_whose_end_was_told_are_stale(host, worker):
    call = worker.start("hold")
    worker.kill()
    worker.exited()
    for use in STALE:
        with pytest.raises(LauterError) as refused:
            use(worker, call)
        assert refused.value.code == C.ERROR_STALE
    call.interrupt()  # it was a call once: no error, and nothing to hit


@pytest.mark.parametrize("number", [0, 1 << 63, (1 << 64) - 1, 0xDEADBEEF])
def test_ids_that_never_were_are_stale(host, worker, number):
    nobody, nothing = ffi.Worker(host, number), Call(host, number)
    for use in [*STALE, lambda w, c: c.interrupt(), lambda w, c: c.abandon(), lambda w, c: c.reply("x")]:
        with pytest.raises(LauterError) as refused:
            use(nobody, nothing)
        assert refused.value.code == C.ERROR_STALE


def test_ids_of_one_host_are_not_another_s(host, worker, bench):
    with ffi.Host() as other:
        with pytest.raises(LauterError) as refused:
            ffi.Worker(other, worker.id).start("echo")
        assert refused.value.code == C.ERROR_STALE
    assert worker.ask("echo", "mine").text == "mine"


def test_ids_are_never_used_twice(host, bench):
    workers, calls = set(), set()
    for _ in range(20):
        worker = host.spawn(bench.policy(), bench.worker())
        assert worker.id and worker.id not in workers
        workers.add(worker.id)
        for _ in range(5):
            call = worker.start("echo")
            assert call.id and call.id not in calls
            calls.add(call.id)
            call.done()
        worker.kill()
        worker.exited()
