# SPDX-License-Identifier: Apache-2.0
"""Channels: messages both ways beside the calls, each direction with a flow and an end of its own."""

import json
import struct
import threading
from pathlib import Path

import pytest
import support
from ffi import C, Channel, Host, Launch, LauterError

OPEN, DATA, CREDIT, END, CANCEL, NEED = 16, 17, 18, 19, 20, 21
PEER = (Path(__file__).parent / "workers" / "peer.py").read_text()
MIB = 1 << 20
#: What a message of one part of type "a/b" takes besides the part.
EXTRA = 16 + 10 + 3 + 64


def frame(kind, id, payload=b"", flags=0) -> bytes:
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, id) + payload


def message(*parts, name="") -> bytes:
    head = struct.pack("<HHIQ", len(parts), len(name), 0, 0) + name.encode()
    for data in parts:
        head += struct.pack("<HQ", 3, len(data)) + b"a/b"
    return head + b"".join(parts)


def number(value) -> bytes:
    return struct.pack("<Q", value)


class Peer:
    """A worker whose words on its session are ours."""

    def __init__(self, host, policy, abilities=1):
        launch = Launch("worker", support.python_interpreter(), "-c", PEER, str(abilities))
        self.worker = host.spawn(policy, launch)
        if abilities:
            self.worker.wait_ready()

    def say(self, *frames):
        """It says this, and then answers."""
        return self.worker.start("say", ("a/b", b"".join(frames))).wait()

    def heard(self) -> list:
        """(kind, id, payload) of the frames that came, without the calls."""
        return [(kind, id, bytes.fromhex(data)) for kind, _, id, data in json.loads(self.worker.start("heard").wait().data)]


@pytest.fixture
def peer(host, bench):
    return Peer(host, bench.policy())


def opened(peer, window=1000) -> Channel:
    """One of the host's that the worker has accepted with 1,000 bytes."""
    channel = peer.worker.open("talk", window=window)
    (kind, wire, _), (credit, _, granted) = peer.heard()
    assert (kind, credit, granted) == (OPEN, CREDIT, number(window))
    channel.wire = wire
    peer.say(frame(CREDIT, wire, number(1000)))
    return channel


def test_messages_go_both_ways_in_their_order(peer):
    channel = peer.worker.open("talk", "to whom", window=10_000, cookie=7)
    opening, credit = peer.heard()
    assert opening[0] == OPEN and opening[1] % 2 == 0 and b"talk" in opening[2] and b"to whom" in opening[2]
    assert credit == (CREDIT, opening[1], number(10_000))
    wire = opening[1]
    # Without credit nothing goes, and the worker is told what is needed.
    channel.send(("a/b", b"first"))
    channel.send(("a/b", b"second"))
    assert peer.heard() == [(NEED, wire, number(5 + EXTRA))]
    peer.say(frame(CREDIT, wire, number(1000)))
    assert peer.heard() == [(DATA, wire, message(b"first")), (DATA, wire, message(b"second"))]
    peer.say(*(frame(DATA, wire, message(b"%d" % i)) for i in range(20)))
    came = [channel.receive() for _ in range(20)]
    assert [(e.kind, e.channel, e.channel_cookie, e.text) for e in came] == [
        (C.EVENT_CHANNEL_DATA, channel.id, 7, str(i)) for i in range(20)
    ]
    channel.end()
    assert (END, wire, b"") in peer.heard()
    peer.say(frame(DATA, wire, message(b"last")), frame(END, wire))
    last, end, closed = channel.receive(), channel.receive(), channel.receive()
    assert (last.text, end.kind, closed.kind, closed.status) == (
        "last", C.EVENT_CHANNEL_END, C.EVENT_CHANNEL_CLOSED, C.OK)  # fmt: skip
    with pytest.raises(LauterError) as stale:
        channel.send("more")
    assert stale.value.code == C.ERROR_STALE


def test_a_worker_s_channel_carries_nothing_until_it_is_accepted(peer):
    peer.say(frame(OPEN, 1, message(b"why", name="mine")))
    event = peer.worker.host.until(lambda e: e.kind == C.EVENT_CHANNEL_OPENED)
    assert (event.name, event.data) == ("mine", b"why")
    assert peer.heard() == []
    channel = Channel(peer.worker.host, event.channel).accept(500, cookie=9)
    assert peer.heard() == [(CREDIT, 1, number(500))]
    with pytest.raises(LauterError) as twice:
        channel.accept()
    assert twice.value.code == C.ERROR_STATE
    peer.say(frame(CREDIT, 1, number(500)), frame(DATA, 1, message(b"hello")))
    event = peer.worker.host.until(lambda e: e.kind == C.EVENT_CHANNEL_DATA)
    assert (event.channel, event.channel_cookie, event.text) == (channel.id, 9, "hello")
    channel.send(("a/b", b"and you"))
    assert (DATA, 1, message(b"and you")) in peer.heard()
    # The worker ends first; the host may go on.
    peer.say(frame(END, 1))
    assert channel.receive().kind == C.EVENT_CHANNEL_END
    channel.send(("a/b", b"still"))
    channel.end()
    assert peer.heard() == [(DATA, 1, message(b"still")), (END, 1, b"")]
    assert channel.receive().kind == C.EVENT_CHANNEL_CLOSED


def test_credit_comes_back_when_the_program_takes_and_not_before(peer):
    channel = opened(peer, window=4 * (100 + EXTRA))
    one = frame(DATA, channel.wire, message(bytes(100)))
    peer.say(one * 4)
    assert peer.heard() == []
    channel.receive()
    assert peer.heard() == [(CREDIT, channel.wire, number(100 + EXTRA))]
    for _ in range(3):
        channel.receive()
    assert sum(struct.unpack("<Q", payload)[0] for _, _, payload in peer.heard()) == 3 * (100 + EXTRA)


def test_a_slow_reader_stops_its_own_writer_and_nothing_else(peer):
    slow, quick = opened(peer, window=2 * MIB), opened(peer, window=2 * MIB)
    # More than the host keeps of other messages.
    body = bytes(60_000)
    peer.say(*(frame(DATA, slow.wire, message(body)) for _ in range(2 * MIB // (60_000 + EXTRA))))
    for i in range(50):
        assert peer.worker.start("echo", str(i)).wait().text == str(i)
        peer.say(frame(DATA, quick.wire, message(b"%d" % i)))
        assert quick.receive().text == str(i)
    is_whole = slow.receive().data == body
    assert is_whole


def test_a_message_larger_than_the_window_is_let_through_alone(peer):
    channel = opened(peer, window=1000)
    peer.say(frame(DATA, channel.wire, message(bytes(100))))
    peer.say(frame(NEED, channel.wire, number(5 * MIB)))
    assert peer.heard() == []  # what came before is not taken yet
    channel.receive()
    (kind, _, granted), *rest = peer.heard()
    total = sum(struct.unpack("<Q", payload)[0] for _, _, payload in [(kind, 0, granted), *rest])
    assert total + 1000 - 100 - EXTRA == 5 * MIB
    payload = message(bytes(5 * MIB - EXTRA))
    pieces = [payload[at : at + 65536] for at in range(0, len(payload), 65536)]
    peer.say(*(frame(DATA, channel.wire, p, flags=p is not pieces[-1]) for p in pieces))
    assert len(channel.receive().data) == 5 * MIB - EXTRA
    assert peer.heard() == [(CREDIT, channel.wire, number(1000))]


def test_large_messages_to_the_worker_wait_for_their_credit_and_then_go_whole(host, bench, peer):
    channel = opened(peer)
    body = bytes(range(256)) * 4000
    channel.send(("a/b", body))
    assert peer.heard() == [(NEED, channel.wire, number(len(body) + EXTRA))]
    with pytest.raises(LauterError) as full:
        channel.send(("a/b", bytes(MIB)))
    assert full.value.code == C.ERROR_LIMIT
    peer.say(frame(CREDIT, channel.wire, number(len(body))))
    came = []
    # A call goes in between the frames of a large message.
    support.eventually(lambda: came.extend(peer.heard()) or sum(len(p) for _, _, p in came) >= len(message(body)), within=20)
    is_whole = {kind for kind, _, _ in came} == {DATA} and b"".join(payload for _, _, payload in came) == message(body)
    assert is_whole
    assert channel.receive().kind == C.EVENT_CHANNEL_WRITABLE
    channel.send(("a/b", b"again"))


@pytest.mark.parametrize("by_host", [True, False])
def test_a_cancel_ends_both_directions_with_its_reason(peer, by_host):
    channel = opened(peer)
    peer.say(frame(DATA, channel.wire, message(b"unread")))
    if by_host:
        channel.cancel("Bored", "nothing new")
        (kind, wire, payload), = peer.heard()
        assert (kind, wire) == (CANCEL, channel.wire) and b"Bored" in payload and b"nothing new" in payload
        # What is still under way is nobody's.
        peer.say(frame(DATA, channel.wire, message(b"late")), frame(END, channel.wire), frame(CREDIT, channel.wire, number(5)))
        with pytest.raises(LauterError) as stale:
            channel.receive()
        assert stale.value.code == C.ERROR_STALE
        assert not [e for e in peer.worker.host.drain() if e.channel]
    else:
        peer.say(frame(CANCEL, channel.wire, message(b"no more", name="Bored")))
        assert channel.receive().text == "unread"
        closed = channel.receive()
        assert (closed.kind, closed.status, closed.name, closed.text) == (
            C.EVENT_CHANNEL_CLOSED, C.ERROR_FAILED, "Bored", "no more")  # fmt: skip
        peer.say(frame(DATA, channel.wire, message(b"late")))
    assert peer.worker.ask("echo", "alive").text == "alive"


BREACHES = {
    "credit overrun": lambda wire: frame(DATA, wire, message(bytes(1001))),
    "begun beyond the credit": lambda wire: frame(DATA, wire, message(bytes(10**6))[:100], flags=1),
    "many heads": lambda wire: frame(DATA, wire, message(*[b""] * 80)),
    "of a channel that never was": lambda wire: frame(DATA, 77, message(b"x")),
    "of the host's that never was": lambda wire: frame(CREDIT, wire + 2000, number(1)),
    "of channel 0": lambda wire: frame(END, 0),
    "an even id": lambda wire: frame(OPEN, 2, message()),
    "the same id again": lambda wire: frame(OPEN, 5, message()) * 2,
    "an id that shrinks": lambda wire: frame(OPEN, 5, message()) + frame(OPEN, 3, message()),
    "data after the end": lambda wire: frame(END, wire) + frame(DATA, wire, message(b"x")),
    "an end within a message": lambda wire: frame(DATA, wire, message(b"xy")[:-1], flags=1) + frame(END, wire) + frame(DATA, wire, b"y"),
    "a second end": lambda wire: frame(END, wire) * 2,
    "too much credit": lambda wire: frame(CREDIT, wire, number(2**30 + 2**17 + 1)),
    "too much credit in steps": lambda wire: frame(CREDIT, wire, number(2**30)) * 2,
    "credit that wraps": lambda wire: frame(CREDIT, wire, number(2**64 - 1)),
    "credit of four bytes": lambda wire: frame(CREDIT, wire, b"1234"),
    "a need beyond all": lambda wire: frame(NEED, wire, number(2**40)),
    "too many": lambda wire: b"".join(frame(OPEN, 2 * i + 1, message()) for i in range(1024)),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_told_and_ends_the_worker(peer, breach):
    channel = opened(peer)
    assert peer.say(BREACHES[breach](channel.wire)).status == C.ERROR_PROTOCOL
    report = peer.worker.exited().report
    assert report.reason == C.REASON_PROTOCOL and report.why
    closed = [e for e in peer.worker.host.seen if e.kind == C.EVENT_CHANNEL_CLOSED and e.channel == channel.id]
    assert [(e.status, e.error.code) for e in closed] == [(C.ERROR_DIED, C.ERROR_DIED)]


def test_what_is_no_breach_is_served(peer):
    channel = opened(peer)
    peer.say(frame(DATA, channel.wire, message(bytes(1000 - EXTRA))))
    peer.say(*(frame(OPEN, 2 * i + 1, message()) for i in range(1023)))
    assert peer.worker.ask("echo", "alive").text == "alive"
    with pytest.raises(LauterError) as full:
        peer.worker.open("one too many")
    assert full.value.code == C.ERROR_LIMIT


def test_hundreds_of_channels_at_once(peer):
    channels = [peer.worker.open(f"number {i}", window=10_000, cookie=i) for i in range(300)]
    wires = [wire for kind, wire, _ in peer.heard() if kind == OPEN]
    for channel in channels:
        for _ in range(3):
            channel.send(("a/b", b"x" * 3000))
    peer.heard()
    peer.say(*(frame(CREDIT, wire, number(10_000)) + frame(DATA, wire, message(b"%d" % wire)) for wire in wires))
    events = [peer.worker.host.until(lambda e: e.kind == C.EVENT_CHANNEL_DATA) for _ in channels]
    assert [(e.channel_cookie, e.text) for e in events] == [(i, str(wire)) for i, wire in enumerate(wires)]
    came = []
    support.eventually(lambda: came.extend(peer.heard()) or len(came) >= 900, within=20)
    assert sorted(wire for kind, wire, _ in came if kind == DATA) == sorted(wires * 3)


def test_the_worker_s_end_closes_its_channels_after_what_came_and_before_its_exit(peer):
    channel, other = opened(peer), opened(peer)
    peer.say(frame(DATA, channel.wire, message(b"last words")))
    peer.worker.kill()
    peer.worker.exited()
    kinds = [(e.kind, e.channel) for e in peer.worker.host.seen if e.channel or e.kind == C.EVENT_EXITED]
    assert kinds[0] == (C.EVENT_CHANNEL_DATA, channel.id) and kinds[-1][0] == C.EVENT_EXITED
    assert sorted(kinds[1:-1]) == sorted((C.EVENT_CHANNEL_CLOSED, c.id) for c in (channel, other))
    with pytest.raises(LauterError) as gone:
        channel.send("x")
    assert gone.value.code == C.ERROR_STALE


def test_a_host_with_open_channels_is_freed(bench):
    host = Host()
    peer = Peer(host, bench.policy())
    channel = opened(peer)
    peer.say(frame(DATA, channel.wire, message(b"unread")))
    channel.send(("a/b", bytes(5000)))
    host.close()


def test_a_thread_that_waits_for_a_channel_is_woken_by_whoever_works(peer):
    channel = opened(peer)
    got = []
    waiting = threading.Thread(target=lambda: got.append(channel.receive()))
    waiting.start()
    for i in range(20):
        peer.worker.ask("echo", str(i))
    peer.say(frame(DATA, channel.wire, message(b"for you")))
    waiting.join(20)
    assert got and got[0].text == "for you"


def test_a_wait_ends_with_its_time_and_with_the_channel(peer):
    channel = opened(peer)
    with pytest.raises(LauterError) as late:
        channel.receive(50)
    assert late.value.code == C.ERROR_TIMEOUT
    ended = []

    def wait():
        try:
            channel.receive()
        except LauterError as error:
            ended.append(error.code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    channel.cancel()
    waiting.join(20)
    assert ended == [C.ERROR_STALE]


def test_channels_of_programs_are_refused(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("exit", "0"))
    with pytest.raises(LauterError) as refused:
        worker.open("nobody listens")
    assert refused.value.code == C.ERROR_STATE
    with pytest.raises(LauterError) as unknown:
        Channel(host, 1234).send("x")
    assert unknown.value.code == C.ERROR_STALE
