# SPDX-License-Identifier: Apache-2.0
"""Workers that keep to the letter of the protocol and try to block, spin or swell their host."""

import resource
import time

import pytest
from ffi import C, LauterError


@pytest.fixture
def burden(host, bench):
    def start(rule):
        worker = host.spawn(bench.policy(), bench.liar(rule)).wait_ready()
        return worker, worker.start("anything")

    return start


def peak() -> int:
    """KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_questions_to_the_library_may_be_pipelined_with_other_frames(burden):
    _, call = burden("pipelines-checks")
    done = call.done()
    assert (done.status, done.text) == (C.OK, "all answered"), (done.name, done.error)
    assert [e.text for e in call.outputs()] == ["between two questions"] * 200


@pytest.mark.parametrize("rule", ["shuts-reading", "asks-and-never-listens", "flood-of-outputs", "never-reads"])
def test_a_wait_ends_when_its_time_is_up_whatever_the_worker_does(burden, rule):
    _, call = burden(rule)
    begun = time.monotonic()
    with pytest.raises(LauterError) as ended:
        event = call.wait(300)
        raise LauterError(event.status)  # a worker that was ended for it is as good
    assert time.monotonic() - begun < 1.5
    assert ended.value.code in (C.ERROR_TIMEOUT, C.ERROR_LIMIT, C.ERROR_DIED, C.ERROR_PROTOCOL)


def test_a_wait_ends_in_time_although_what_was_sent_cannot_be_delivered(host, burden):
    worker, _ = burden("shuts-reading")
    host.until(lambda e: e.kind == C.EVENT_OUTPUT)
    begun = time.monotonic()
    with pytest.raises(LauterError) as ended:
        event = worker.start("more", "than it hears").wait(300)
        raise LauterError(event.status)
    assert time.monotonic() - begun < 1.5
    assert ended.value.code in (C.ERROR_TIMEOUT, C.ERROR_DIED, C.ERROR_PROTOCOL, C.ERROR_STATE)


def test_a_worker_that_no_longer_listens_does_not_make_its_host_spin(host, burden):
    worker, call = burden("shuts-reading")
    host.until(lambda e: e.kind == C.EVENT_OUTPUT)
    for _ in range(3):
        try:
            worker.start("more", "than it hears")
        except LauterError:
            break
    end, busy = time.monotonic() + 0.5, time.process_time()
    while time.monotonic() < end:
        host.wait(max(1, int((end - time.monotonic()) * 1000)))
        host.drain()
    assert time.process_time() - busy < 0.2


def test_answers_that_nobody_fetches_cost_the_host_no_memory(host, burden):
    burden("asks-and-never-listens")
    before, end = peak(), time.monotonic() + 2
    longest = 0
    while time.monotonic() < end:
        host.wait(50)
        begun = time.monotonic()
        host.next()
        longest = max(longest, time.monotonic() - begun)
    assert peak() - before < 64 << 10, f"{peak() - before} KiB"
    assert longest < 0.5, longest


def test_a_question_of_64_mib_does_not_hold_up_the_host(host, burden):
    _, call = burden("asks-a-long-question")
    longest, done, begun = 0, None, time.monotonic()
    while done is None and time.monotonic() - begun < 20:
        host.wait(1000)
        step = time.monotonic()
        event = host.next()
        longest = max(longest, time.monotonic() - step)
        if event is not None and event.kind == C.EVENT_DONE and event.call == call.id:
            done = event
    assert done is not None and done.status in (C.OK, C.ERROR_PROTOCOL), done
    assert longest < 0.5, longest


def test_output_in_tiny_pieces_that_nobody_takes_is_bounded_in_events_too(host, burden):
    worker, call = burden("writes-tiny-pieces")
    assert call.wait(60_000).text == "written"
    events = host.drain()
    kept = [e for e in events if e.kind == C.EVENT_STREAM]
    dropped = sum(e.dropped for e in events if e.kind == C.EVENT_DROPPED)
    assert sum(len(e.data) for e in kept) + dropped == 10_000
    assert len(kept) < 6000, "each byte has become an event"
