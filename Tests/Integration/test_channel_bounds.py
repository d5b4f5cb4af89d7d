# SPDX-License-Identifier: Apache-2.0
"""Channels whose worker, or whose host, asks for more than there is."""

import resource

import pytest
import support
from ffi import C, Host, LauterError
from test_channels import CANCEL, CREDIT, DATA, EXTRA, MIB, NEED, OPEN, Peer, frame, message, number, opened, peer  # noqa: F401


def shared_mappings() -> int:
    """Of memory that the host shares with workers."""
    with open("/proc/self/maps") as file:
        return sum("memfd:lauter-" in line for line in file)


def granted(peer, channel) -> int:
    return sum(int.from_bytes(data, "little") for kind, id, data in peer.heard() if (kind, id) == (CREDIT, channel.wire))


def test_what_is_beyond_the_windows_is_bounded_of_all_channels_together(peer):
    first, second = opened(peer), opened(peer)
    peer.say(frame(NEED, first.wire, number(900 * MIB)))
    assert granted(peer, first) == 900 * MIB - 1000
    peer.say(frame(NEED, second.wire, number(900 * MIB)))
    assert granted(peer, second) == 0
    # Whoever held it gives it back by its end, and the other need not ask again.
    peer.say(frame(CANCEL, first.wire, message(name="Enough")))
    assert granted(peer, second) == 900 * MIB - 1000


def test_what_a_cancelled_channel_brought_counts_until_it_is_taken(peer):
    first, second = opened(peer), opened(peer)
    size = 4 * MIB
    peer.say(frame(NEED, first.wire, number(size)))
    assert granted(peer, first) == size - 1000
    body = message(bytes(size - EXTRA))
    frames = [frame(DATA, first.wire, body[at : at + 65536], flags=at + 65536 < len(body)) for at in range(0, len(body), 65536)]
    peer.say(*frames, frame(CANCEL, first.wire, message(name="Enough")))
    everything = 1 << 30
    peer.say(frame(NEED, second.wire, number(everything)))
    assert granted(peer, second) == 0
    assert len(first.receive().data) == size - EXTRA
    assert granted(peer, second) == everything - 1000


def test_a_cancel_does_not_overtake_its_opening(peer):
    peer.worker.pause()
    channel = peer.worker.open("large", ("a/b", bytes(3 * MIB)))
    channel.cancel("Bored", "at once")
    peer.worker.resume()
    heard = []
    support.eventually(lambda: heard.extend(peer.heard()) or (heard and heard[-1][0] == CANCEL), within=20)
    kinds = [kind for kind, _, _ in heard]
    assert kinds.count(OPEN) > 40 and kinds[-1] == CANCEL and OPEN not in kinds[kinds.index(CANCEL) :]


def test_a_channel_s_message_is_not_held_up_by_a_call_s_megabytes(host, bench):
    peer = Peer(host, bench.policy(), abilities=5)
    channel = opened(peer)
    peer.worker.pause()
    large = peer.worker.start("echo", ("a/b", bytes(16 * MIB)))
    channel.send(("a/b", b"meanwhile"))
    side = peer.worker.start("heard", lane=C.LANE_SIDE)
    peer.worker.resume()
    assert message(b"meanwhile").hex() in side.wait().text
    assert len(large.wait().data) == 16 * MIB


def test_who_waits_for_a_channel_of_a_worker_that_is_not_read_is_told(peer):
    channel = opened(peer)
    ids = range(1, 2 * 5000, 2)
    say = peer.worker.start(
        "say", ("a/b", b"".join(frame(OPEN, id, message()) + frame(CANCEL, id, message(name="No")) for id in ids))
    )
    with pytest.raises(LauterError) as full:
        channel.receive(20_000)
    assert (full.value.code, "take its events first" in str(full.value)) == (C.ERROR_LIMIT, True)
    for _ in range(2 * len(ids)):
        peer.worker.host.until(lambda e: e.kind in (C.EVENT_CHANNEL_OPENED, C.EVENT_CHANNEL_CLOSED))
    say.wait()
    peer.say(frame(DATA, channel.wire, message(b"on it goes")))
    assert channel.receive().text == "on it goes"


def test_the_end_of_a_worker_whose_events_nobody_took_is_waited_for(peer):
    channel = opened(peer)
    # While it stands still the host's message fills the session, and one more waits behind it.
    peer.say(frame(CREDIT, channel.wire, number(2 * MIB)), frame(DATA, channel.wire, message(b"untaken")))
    peer.worker.pause()
    for size in (MIB, 1, 1):
        channel.send(("a/b", bytes(size)))
    peer.worker.resume()
    peer.worker.start(
        "say",
        ("a/b", b"".join(frame(OPEN, id, message()) + frame(CANCEL, id, message(name="No")) for id in range(1, 10_001, 2))),
    )
    peer.worker.stop()
    assert peer.worker.wait_exit(20_000).report.reason == C.REASON_STOPPED


def test_a_worker_that_ended_with_messages_under_way_leaves_nothing_behind(bench):
    with Host() as host:
        before = shared_mappings()

        def one():
            peer = Peer(host, bench.policy())
            channel = opened(peer)
            peer.say(frame(CREDIT, channel.wire, number(64 * MIB)))
            peer.worker.pause()
            channel.send(("a/b", bytes(16 * MIB)))
            channel.send(("a/b", b"behind it"))
            assert shared_mappings() > before  # the probe sees a worker's page
            peer.worker.kill()
            peer.worker.exited()

        for _ in range(3):
            one()
        assert shared_mappings() == before


def test_a_great_number_of_empty_messages_is_bounded_in_number(peer):
    """They take little of a channel's credit, and each some hundred bytes of the host's memory."""
    channel = opened(peer, window=1 << 30)
    count, batch = 150_000, 15_000
    said = [peer.worker.start("say", ("a/b", frame(DATA, channel.wire, message()) * batch)) for _ in range(count // batch)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(LauterError) as refused:
        said[-1].wait(60_000)
    assert refused.value.code == C.ERROR_LIMIT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    came = 0
    while came < count:
        event = peer.worker.host.until(lambda e: e.kind in (C.EVENT_CHANNEL_DATA, C.EVENT_EXITED))
        assert event.kind == C.EVENT_CHANNEL_DATA, event
        came += 1
        peer.worker.host.seen.clear()
    assert peer.worker.start("echo", "alive").wait().text == "alive"
