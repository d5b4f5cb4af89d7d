# SPDX-License-Identifier: Apache-2.0
"""A worker made with the worker library, frame by frame: its host is a page of Python that checks each rule of the protocol."""

import os
import struct
import sys
from pathlib import Path

import pytest
import stress
import support

sys.path.append(str(Path(__file__).parents[1] / "Runtime"))

import fake_host as wire  # noqa: E402
from fake_host import CANCEL, CREDIT, DATA, END, MORE, NEED, OPEN, PLACED, RELEASE, RESULT, STOP  # noqa: E402

MIB = 1 << 20


@pytest.fixture
def bare(program):
    """Starts the test worker with a host of Python, without a sandbox."""
    hosts = []

    def start(*arguments, **options):
        host = wire.Host(command=[program, *arguments], **options)
        hosts.append(host)
        return host

    yield start
    for host in hosts:
        host.close()


def text(value):
    return ("text/plain", str(value).encode())


def cost(*parts, name="") -> int:
    return len(wire.encode(name, parts)) + 64


def data(size, seed=0) -> bytes:
    return (bytes((i * 7 + seed) & 255 for i in range(4096)) * (size // 4096 + 1))[:size]


def ask(host, verb, *parts):
    return host.wait(host.start(verb, [part if isinstance(part, tuple) else text(part) for part in parts]))


# -------------------------------------------------------------------------------------------------- greeting


def test_it_says_what_it_can_do(bare):
    assert bare().greeting[2] == 0
    assert bare("signals", "side", arena=4).greeting[2] == 1 | 4 | 8 | 16
    assert bare("messages").greeting[2] == 2


def test_a_host_that_went_before_it_greeted_is_gone(bare):
    host = bare(hello=b"", wait=False)
    host.socket.close()
    host.wait_stderr("worker: the host has gone\n")
    assert host.process.wait(10) == 0


# ------------------------------------------------------------------------------------------------ large parts


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("size", [65535, 65536, 300_000, 3 * MIB, 20 * MIB])
def test_large_parts_come_in_places_that_a_host_may_have(bare, size, in_place):
    host = bare(arena=4, in_place=in_place)
    for _ in range(3):
        done = host.wait(host.start_placed("echo", [("x/y", data(size)), text("and")]))
        assert done.answer.parts == [("x/y", data(size)), text("and")]
    assert bool(host.placed) == (size >= 65536)
    if in_place and 65536 <= size <= 4 * MIB:
        assert host.placed == [size] * 3, "each in one place"
    elif host.placed:
        assert max(host.placed) <= 256 << 10, "each in pieces"
    host.until(lambda: not host._out)  # it has released what it read


def test_what_it_reads_in_place_it_releases_when_the_request_is_cleared(bare):
    host = bare(arena=8)
    host.wait(host.start_placed("where", [("x/y", data(MIB))]))
    assert host.wait(host.start("where", [text("next")])).ok
    assert host.released == MIB


def test_a_host_that_releases_nothing_gets_all_the_same(bare):
    host = bare(arena=2, in_place=True)
    host.holds = True
    for number in range(5):
        done = ask(host, "echo", ("x/y", data(MIB - 100, number)))
        assert done.answer.parts[0][1] == data(MIB - 100, number)
    assert host.placed == [MIB - 100] * 2, "and then in line"
    host.release()
    assert ask(host, "echo", ("x/y", data(MIB))).ok
    assert len(host.placed) == 3


def test_a_host_that_copies_has_no_more_than_a_few_pieces_at_a_time(bare):
    host = bare(arena=64)
    host.holds = True
    call = host.start("give", [text(10 * MIB)])
    while True:
        try:
            host.pump(timeout=0.3)
        except TimeoutError:
            break
    assert 1 <= len(host.placed) <= 8
    host.holds = False
    host.release()
    assert len(host.wait(call).answer.parts[0][1]) == 10 * MIB


def test_lent_memory_goes_without_a_copy(bare):
    for in_place, places in ((True, [3 * MIB]), (False, [MIB, MIB, MIB])):
        host = bare(arena=8, in_place=in_place)
        done = ask(host, "lend", 4 * MIB, 3 * MIB)
        assert done.answer.parts[0] == text("arena")
        assert len(done.answer.parts[1][1]) == 3 * MIB
        assert host.placed == places
        for _ in range(5):
            assert ask(host, "lend", 8 * MIB, 5).answer.parts[0] == text("arena"), "the rest is free again"


# ------------------------------------------------------------------------------------------------ who is first


def test_a_small_answer_passes_a_large_one_that_waits(bare):
    host = bare("side")
    large = host.start("give", [text(8 * MIB)])  # more than the socket takes; nobody reads
    support.eventually(lambda: unread(host) > 100_000, within=10)
    small, slot = host._new_call()
    host.send(wire.CALL, small.id, in_lane(wire.encode("which-lane", []), 1), slot)
    host.wait(small)
    assert small.text == "1"
    assert large.answer is None
    assert len(host.wait(large).answer.parts[0][1]) == 8 * MIB


def in_lane(payload, lane):
    return payload[:4] + struct.pack("<I", lane) + payload[8:]


def unread(host) -> int:
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(host.socket, termios.FIONREAD, count)
    return count[0]


def test_it_reads_while_it_cannot_send(bare):
    host = bare()
    first = host.start("give", [text(8 * MIB)])
    support.eventually(lambda: unread(host) > 100_000, within=10)
    host.socket.settimeout(20)
    second = host.start("echo", [("x/y", data(8 * MIB))])  # would never return if it did not
    assert len(host.wait(first).answer.parts[0][1]) == 8 * MIB
    assert host.wait(second).answer.parts[0][1] == data(8 * MIB)


def test_every_thread_at_once(program):
    assert stress.run(program, 2.0) > 10


def test_a_call_that_is_cancelled_is_told_to_the_host_and_its_answer_dropped(bare):
    host = bare()
    call = host.start("ask", [text("slow"), text(30)])
    assert host.wait(call).text.startswith("LAUTER_ERROR_TIMEOUT")
    host.until(lambda: host.cancelled)
    assert host.cancelled == [host.asked[0].id]
    host.reply(host.asked[0], [text("too late")])
    assert ask(host, "echo", "next").text == "next"


# --------------------------------------------------------------------------------------------------- channels


def opened(host, id=2, name="echo", *parts):
    host.channels[id] = []
    host.send(OPEN, id, wire.encode(name, parts))
    return id


def granted(host, id) -> int:
    return sum(host.on(id, CREDIT))


def test_a_channel_carries_messages_both_ways_and_ends_when_both_have(bare):
    host = bare()
    id = opened(host)
    host.until(lambda: granted(host, id) == MIB)
    for number in range(3):
        host.send(DATA, id, wire.encode("", [text(number), ("x/y", data(70_000))]))
    host.credit(id, 10 * MIB)
    host.until(lambda: len(host.on(id, DATA)) == 3)
    assert [message.parts for message in host.on(id, DATA)] == [[text(n), ("x/y", data(70_000))] for n in range(3)]
    host.send(END, id, b"")
    host.until(lambda: host.on(id, END))
    # Over: what comes now means nothing, and the id is never used again.
    host.send(DATA, id, wire.encode("", [text("late")]))
    host.credit(id, 5)
    assert ask(host, "echo", "alive").text == "alive"
    assert opened(host, 4) and host.until(lambda: granted(host, 4) == MIB)


def test_a_channel_is_refused(bare):
    host = bare()
    id = opened(host, 2, "refuse")
    host.until(lambda: host.on(id, CANCEL))
    (reason,) = host.on(id, CANCEL)
    assert (reason.name, reason.parts) == ("Refused", [text("not here")])


def test_what_is_not_cleared_holds_the_host_back_and_is_granted_again_then(bare):
    host = bare()
    window = 4096
    id = opened(host, 2, "echo", text(window))
    host.until(lambda: granted(host, id) == window)
    message = [("x/y", bytes(1000))]
    each = cost(*message)
    for _ in range(3):
        host.send(DATA, id, wire.encode("", message))
    # It waits for credit to echo the first, so that none is cleared.
    assert host.until(lambda: host.on(id, NEED)) == [each]
    assert granted(host, id) == window
    host.credit(id, each)
    host.until(lambda: len(host.on(id, DATA)) == 1)
    host.until(lambda: len(host.on(id, NEED)) == 2)
    host.credit(id, 2 * each)
    host.until(lambda: len(host.on(id, DATA)) == 3)
    host.until(lambda: granted(host, id) > window)
    assert granted(host, id) <= window + 3 * each
    # All in all it may always have one window.
    sent = 3
    host.credit(id, 200 * each)
    for _ in range(100):
        host.until(lambda: granted(host, id) >= (sent + 1) * each)
        host.send(DATA, id, wire.encode("", message))
        sent += 1
        assert granted(host, id) <= window + sent * each
    host.until(lambda: len(host.on(id, DATA)) == sent)


def test_a_message_that_is_larger_than_the_window_is_let_in_when_asked_for(bare):
    host = bare()
    id = opened(host, 2, "echo", text(4096))
    host.until(lambda: granted(host, id) == 4096)
    message = [("x/y", data(3 * MIB))]
    host.credit(id, 100 * MIB)
    host.send(NEED, id, struct.pack("<Q", cost(*message)))
    host.until(lambda: granted(host, id) == cost(*message))
    host.send(DATA, id, wire.encode("", message))
    host.until(lambda: host.on(id, DATA))
    assert host.on(id, DATA)[0].parts == message


def test_a_channel_of_the_workers_sends_as_it_gets_credit(bare):
    host = bare()
    call = host.start("stream", [text(20), text(3000)])
    host.until(lambda: host.channels)
    (id,) = host.channels
    assert id % 2 == 1
    assert host.on(id, OPEN)[0].name == "stream"
    host.until(lambda: granted(host, id) == 4096)
    each = cost(("application/octet-stream", bytes(3000)))
    assert host.until(lambda: host.on(id, NEED)) == [each]
    support.eventually(lambda: support.state_of(host.pid) == "S", within=10)  # until there is credit
    for number in range(20):
        assert len(host.on(id, DATA)) == number
        host.credit(id, each)
        host.until(lambda: len(host.on(id, DATA)) == number + 1)
    host.until(lambda: host.on(id, END))
    host.send(DATA, id, wire.encode("", [text("so")]))
    host.send(DATA, id, wire.encode("", [text("long")]))
    host.send(END, id, b"")
    assert host.wait(call).text == "waited so,long,"


def test_a_channel_that_the_host_cancels_is_over_for_who_waits(bare):
    host = bare()
    call = host.start("stream", [text(20), text(3000)])
    host.until(lambda: host.channels)
    (id,) = host.channels
    host.until(lambda: host.on(id, NEED))
    host.send(CANCEL, id, wire.encode("Gone", [text("enough")]))
    assert host.wait(call).name == "Gone"
    assert ask(host, "echo", "alive").text == "alive"


# --------------------------------------------------------------------------------------------------- the end


def test_a_host_that_goes_ends_it_also_while_it_sends(bare):
    for verb in (None, "give"):
        host = bare()
        if verb:
            host.start(verb, [text(8 * MIB)])
            support.eventually(lambda: unread(host) > 100_000, within=10)
        host.socket.close()
        host.wait_stderr("worker: the host has gone\n")
        assert host.process.wait(10) == 0, "not by SIGPIPE"


def test_requests_that_came_before_the_end_are_handed_out(bare):
    host = bare()
    calls = [host.start("echo", [text(n)]) for n in range(5)]
    host.send(STOP, 0, b"")
    for number, call in enumerate(calls):
        assert host.wait(call).text == str(number)
    assert host.process.wait(10) == 0


HALF = 4 * MIB


def breach(kind, id, payload=b"", flags=0, slot=0):
    return wire.HEADER.pack(len(payload), kind, flags, slot, id) + payload


def places(*each):
    return b"".join(struct.pack("<QQ", *place) for place in each)


HEAD = wire.encode("echo", [("x/y", b"")])
LARGE = struct.pack("<HHIQ", 1, 4, 0, 0) + b"echo" + struct.pack("<HQ", 3, 2 * MIB) + b"x/y"
BREACHES = {
    "a frame that is too large": wire.HEADER.pack(65537, 3, 0, 0, 1),
    "an unknown kind": breach(12, 0),
    "unknown flags": breach(3, 1, HEAD, flags=4),
    "a second greeting": wire.greeting(),
    "what workers say": breach(2, 0),
    "an output": breach(4, 1, HEAD),
    "a head that is cut": breach(3, 1, HEAD[:7]),
    "too many parts": breach(3, 1, struct.pack("<HHIQ", 257, 0, 0, 0)),
    "sizes that do not add up": breach(3, 1, HEAD + b"more"),
    "a message that is too large": breach(3, 1, struct.pack("<HHIQ", 1, 0, 0, 0) + struct.pack("<HQ", 0, 2 << 30), 1),
    "an answer never asked for": breach(RESULT, 7, wire.encode("", [])),
    "a slot that is none": breach(3, 1, HEAD, slot=256),
    "a place in the worker's half": breach(3, 1, LARGE, MORE) + breach(3, 1, places((HALF, 9)), PLACED),
    "a place across the end": breach(3, 1, LARGE, MORE) + breach(3, 1, places((HALF - 5, 9)), PLACED),
    "a place that wraps": breach(3, 1, LARGE, MORE) + breach(3, 1, places((2**64 - 8, 16)), PLACED),
    "a place of nothing": breach(3, 1, LARGE, MORE) + breach(3, 1, places((0, 0)), PLACED),
    "a place that is cut": breach(3, 1, LARGE, MORE) + breach(3, 1, places((0, 9))[:-1], PLACED),
    "a release of what was never placed": breach(RELEASE, 0, places((HALF, 100))),
    "a channel of an odd id": breach(OPEN, 3, wire.encode("x", [])),
    "a channel twice": breach(OPEN, 2, wire.encode("x", [])) * 2,
    "data without credit": breach(OPEN, 2, wire.encode("wait", [])) + breach(DATA, 2, wire.encode("", [])),
    "data of no channel": breach(DATA, 8, wire.encode("", [])),
    "an end of no channel": breach(END, 8),
    "an end twice": breach(OPEN, 2, wire.encode("x", [])) + breach(END, 2) * 2,
    "credit that is too much": breach(OPEN, 2, wire.encode("x", [])) + breach(CREDIT, 2, struct.pack("<Q", 2**63)),
    "credit of another size": breach(OPEN, 2, wire.encode("x", [])) + breach(CREDIT, 2, b"1234567"),
}


@pytest.mark.parametrize("what", BREACHES)
def test_a_host_that_breaks_the_protocol_is_told_of(what, bare):
    host = bare(arena=HALF // MIB)
    assert ask(host, "echo", "a").text == "a"
    host.socket.sendall(BREACHES[what])
    host.wait_stderr("worker: the host broke the protocol: ")
    assert host.process.wait(10) == 1, what


@pytest.mark.parametrize("hello", [wire.greeting(low=2, high=3), wire.greeting(magic=5), b"x" * 64])
def test_a_host_that_cannot_be_understood_is_told_of(hello, bare):
    host = bare(hello=hello, wait=False)
    host.wait_stderr("worker: the host broke the protocol: ")
    assert host.process.wait(10) == 1


def test_an_arena_that_is_shorter_than_the_host_says_is_not_touched(bare):
    host = bare(hello=wire.greeting(arena=64), wait=False)  # and /dev/null
    host.wait_ready()
    assert host.greeting[2] & 8 == 0
    assert ask(host, "echo", ("x/y", data(MIB))).ok
    file = os.memfd_create("short")
    os.ftruncate(file, 2 * MIB)
    host = bare(hello=wire.greeting(arena=4), wait=False, preexec=lambda: os.dup2(file, 5))
    host.wait_ready()
    os.close(file)
    assert host.greeting[2] & 8 == 0
