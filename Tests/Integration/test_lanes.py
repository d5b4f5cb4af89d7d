# SPDX-License-Identifier: Apache-2.0
"""Calls that run beside others, and calls of workers that wait for no answer any more."""

import pytest
from ffi import C, LauterError
from test_channels import Peer, frame, message

SIGNALS, SIDE = 1, 4
CALL, INTERRUPT = 3, 9


@pytest.fixture
def sided(host, bench):
    return Peer(host, bench.policy(), SIGNALS | SIDE).worker


def lanes(event) -> str:
    return event.parts[-1][1].decode()


def test_a_call_on_the_side_runs_beside_one_on_main(sided):
    main = sided.start("hold")
    side = sided.start("echo", "quick", lane=C.LANE_SIDE).wait()
    assert (side.text, lanes(side)) == ("quick", "on lane 1")
    assert lanes(sided.start("echo", lane=C.LANE_MAIN).wait()) == "on lane 0"
    sided.start("free").wait()
    assert main.wait().text == "held"


def test_a_small_call_on_the_side_does_not_wait_for_large_ones_on_main(sided):
    large = [sided.start("echo", ("a/b", bytes(20 << 20))) for _ in range(2)]
    assert sided.start("echo", "quick", lane=C.LANE_SIDE).wait().text == "quick"
    sided.host.drain()
    assert not [e for e in sided.host.seen if e.kind == C.EVENT_DONE and e.call == large[1].id]
    for call in large:
        assert call.wait(60_000).status == C.OK


def test_a_worker_without_that_lane_is_not_asked(host, bench):
    worker = Peer(host, bench.policy(), SIGNALS).worker
    with pytest.raises(LauterError) as refused:
        worker.start("echo", lane=C.LANE_SIDE)
    assert refused.value.code == C.ERROR_UNSUPPORTED and "peer" in refused.value.message


def test_a_call_that_was_made_before_that_was_known_ends_then(host, bench):
    worker = Peer(host, bench.policy(), 0).worker
    main, side, other = worker.start("echo"), worker.start("echo", lane=C.LANE_SIDE), worker.start("echo")
    done = side.done()
    assert (done.status, done.error.code) == (C.ERROR_UNSUPPORTED, C.ERROR_UNSUPPORTED)
    assert main.done().status == other.done().status == C.OK


def test_a_call_on_the_side_that_does_not_end_in_time_is_no_waiting_one(host, bench):
    """Its worker is killed for it, though it is not the first in flight; a waiting one on main is only given up."""
    from ffi import Launch
    import support
    from test_channels import PEER

    launch = Launch("worker", support.python_interpreter(), "-c", PEER, str(SIDE), interrupt_grace="100ms")
    worker = host.spawn(bench.policy(), launch).wait_ready()
    first = worker.start("hold")
    waiting = worker.start("hold", timeout_ms=50)
    assert waiting.done().status == C.ERROR_TIMEOUT
    assert worker.start("echo", lane=C.LANE_SIDE).wait().status == C.OK
    late = worker.start("hold", lane=C.LANE_SIDE, timeout_ms=50)
    assert worker.exited().report.reason == C.REASON_DEADLINE
    ended = {e.call: e.status for e in host.seen if e.kind == C.EVENT_DONE}
    assert ended[late.id] == C.ERROR_TIMEOUT and ended[first.id] == C.ERROR_DIED


def test_a_worker_s_call_that_it_cancels_is_told_and_needs_no_answer(host, bench):
    peer = Peer(host, bench.policy())
    peer.say(frame(CALL, 5, message(b"who?", name="input")))
    call = host.until(lambda e: e.kind == C.EVENT_CALL)
    peer.say(frame(INTERRUPT, 5), frame(INTERRUPT, 5), frame(INTERRUPT, 99))
    cancelled = host.until(lambda e: e.kind == C.EVENT_CALL_CANCELLED)
    assert cancelled.call == call.call
    from ffi import Call

    with pytest.raises(LauterError) as stale:
        Call(host, call.call).reply("me")
    assert stale.value.code == C.ERROR_STALE
    # The id is free for the worker again, and nothing is left of the call.
    peer.say(*(frame(CALL, i, message(name="x")) + frame(INTERRUPT, i) for i in range(10, 2000)))
    assert peer.worker.start("echo", "alive").wait().text == "alive"
    assert len([e for e in host.drain() if e.kind == C.EVENT_CALL_CANCELLED]) == 1990
