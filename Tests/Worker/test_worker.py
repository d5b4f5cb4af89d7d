# SPDX-License-Identifier: Apache-2.0
"""A worker made with the worker library, in a sandbox, as its host sees it."""

import subprocess
import time

import ffi
import pytest
import support
from ffi import C

MIB = 1 << 20


def pattern(size: int, seed=0) -> bytes:
    """What `fill` of the worker writes."""
    return bytes((i * 31 + (i >> 8) * 7 + (i >> 16) + seed) & 255 for i in range(size))


def sum_of(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (((value << 1) & 0xFFFFFFFFFFFFFFFF | value >> 31) * 3 + byte) & 0xFFFFFFFFFFFFFFFF
    return value


def big(size: int) -> bytes:
    """As `pattern`, of a size that Python would take long for."""
    return (pattern(65536) * (size // 65536 + 1))[:size]


def test_it_greets_with_its_name(start, host):
    start()
    ready = [event for event in [*host.seen, *host.drain()] if event.kind == C.EVENT_READY]
    assert [event.name for event in ready] == ["test worker"]


def test_it_echoes_parts_of_every_size_and_none(start):
    worker = start()
    sizes = [0, 1, 8191, 8192, 65535 - 16 - 34, 65536, 65537, 300_001, 5 * MIB + 1]
    for size in sizes:
        done = worker.ask("echo", ("application/octet-stream", big(size)), ("text/plain", "and more"))
        assert done.status == C.OK
        assert [part[0] for part in done.parts] == ["application/octet-stream", "text/plain"]
        assert done.parts[0][1] == big(size), size
        assert done.parts[1][1] == b"and more"
    assert worker.ask("echo").parts == []
    many = [("x/%d" % i, big(i * 999)) for i in range(256)]
    assert worker.ask("echo", *many).parts == many


def test_outputs_come_before_the_answer_and_in_their_order(start):
    worker = start()
    call = worker.start("outputs", "500")
    assert call.done().text == "done"
    assert [event.text for event in call.outputs()] == [str(i) for i in range(500)]


def test_a_failure_has_its_type_message_and_traceback(start):
    done = start().ask("fail", "ValueError", "not that")
    assert (done.status, done.name) == (C.ERROR_FAILED, "ValueError")
    assert done.parts == [("text/plain", b"not that"), ("text/x-traceback", b"the traceback")]


def test_a_call_is_answered_once_and_what_is_too_large_leaves_it_open(start):
    worker = start()
    assert worker.ask("twice").text == "once"
    assert "LAUTER_ERROR_LIMIT" in worker.ask("too-large").text
    assert worker.ask("echo", "still here").text == "still here"


@pytest.mark.parametrize("parts", ["copy", "in-place"])
def test_fifty_megabytes_go_both_ways(start, parts):
    worker = start(parts=parts)
    data = big(50 * MIB)
    for _ in range(2):
        assert worker.ask("echo", ("x/y", data)).parts == [("x/y", data)]


def test_large_parts_are_read_where_the_host_has_put_them(start):
    worker = start()
    data = big(MIB)
    assert worker.ask("where", ("x/y", data)).text == f"arena {sum_of(data)}"
    assert worker.ask("where", ("x/y", b"small")).text == f"memory {sum_of(b'small')}"


def test_without_an_arena_everything_goes_in_line(start, stage):
    worker = start(policy=stage.policy(("limit", "arena=none")))
    data = big(3 * MIB)
    assert worker.ask("where", ("x/y", data)).text == f"memory {sum_of(data)}"
    assert worker.ask("echo", ("x/y", data)).data == data
    done = worker.ask("lend", "100000", "99999")
    assert (done.text, done.parts[1][1]) == ("memory", pattern(99999))


def test_an_arena_that_is_too_small_is_used_as_far_as_it_goes(start, stage):
    worker = start(policy=stage.policy(("limit", "arena=4M")))
    data = big(20 * MIB)
    assert worker.ask("echo", ("x/y", data)).data == data
    assert worker.ask("give", 1234567).data == pattern(1234567)


def test_a_part_is_kept_beyond_its_request(start):
    worker = start()
    for size in (5, 2 * MIB):
        assert worker.ask("keep", ("x/y", big(size))).data == big(size)


@pytest.mark.parametrize("parts", ["copy", "in-place"])
def test_memory_that_was_lent_is_sent_as_far_as_it_was_used(start, parts):
    worker = start(parts=parts)
    for size, used in [(1, 1), (70_000, 70_000), (3 * MIB, 2 * MIB + 5), (3 * MIB, 3 * MIB), (200, 7)]:
        done = worker.ask("lend", size, used)
        assert (done.text, done.parts[1][1]) == ("arena", pattern(used)), (size, used)


def test_memory_that_was_lent_and_given_back_can_be_lent_again(start, stage):
    assert start(policy=stage.policy(("limit", "arena=4M"))).ask("unlend", 50, MIB).text == "done"


def test_it_calls_its_host_and_gets_results_and_failures(start, host):
    worker = start()
    call = worker.start("ask", "input", "-1", ("text/plain", "name? "))
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    assert (asked.name, asked.parent, asked.data) == ("input", call.id, b"name? ")
    ffi_call(host, asked).reply(("text/plain", "Ada"))
    assert call.done().text == "Ada"
    call = worker.start("ask", "input", "-1")
    ffi_call(host, host.until(lambda e: e.kind == C.EVENT_CALL)).fail("EOFError", "nobody there")
    done = call.done()
    assert (done.status, done.name, done.text) == (C.ERROR_FAILED, "EOFError", "nobody there")


def ffi_call(host, event):
    return ffi.Call(host, event.call)


def test_a_call_to_the_host_that_takes_too_long_is_cancelled_and_its_answer_dropped(start, host):
    worker = start()
    call = worker.start("ask", "slow", "50")
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    done = call.done()
    assert done.text.startswith("LAUTER_ERROR_TIMEOUT"), done.text
    try:
        ffi_call(host, asked).reply("too late")
    except Exception as error:  # the host may know by now that nobody waits
        assert "STALE" in str(error), error
    assert worker.ask("echo", "next").text == "next"


def test_answers_are_taken_in_any_order(start, host):
    worker = start()
    call = worker.start("ask-later")
    for _ in range(2):
        asked = host.until(lambda e: e.kind == C.EVENT_CALL)
        ffi_call(host, asked).reply(asked.text)
    assert call.done().text == "second first"


def test_eight_threads_call_the_host_at_once_and_each_gets_its_answers(start, host):
    call = start().start("ask-from-threads", "8", "100")
    seen = {}
    for _ in range(800):
        asked = host.until(lambda e: e.kind == C.EVENT_CALL)
        thread, number = map(int, asked.text.split("/"))
        assert seen.get(thread, -1) == number - 1, "in the order of each thread"
        seen[thread] = number
        ffi_call(host, asked).reply(asked.text)
    assert call.done().text == ""


def test_a_busy_call_is_interrupted_by_looking(start, host):
    worker = start()  # says that it takes neither signals nor messages
    for _ in range(3):
        call = worker.start("spin-until", "look")
        host.until(lambda e: e.kind == C.EVENT_OUTPUT and e.call == call.id)
        call.interrupt()
        done = call.done()
        assert (done.name, done.text) == ("Interrupted", "once")
    assert worker.ask("echo", "alive").text == "alive"


def test_a_busy_and_a_sleeping_call_are_interrupted_by_signal(start, host):
    worker = start("signals")
    for verb, says in (("spin-until", "once"), ("sleep", "asleep")):
        call = worker.start(verb, "signal")
        host.until(lambda e: e.kind == C.EVENT_OUTPUT and e.call == call.id)
        call.interrupt()
        done = call.done()
        assert (done.name, done.text) == ("Interrupted", says)


def test_an_interrupt_of_a_call_that_ended_hits_no_other(start, host):
    worker = start("signals")
    for _ in range(200):
        first = worker.start("echo", "a")
        second = worker.start("outputs", "3")
        first.interrupt()
        assert second.done().text == "done"
    assert worker.ask("echo", "alive").text == "alive"


def test_a_call_is_interrupted_by_message(start, host):
    worker = start("messages")
    call = worker.start("spin-until", "message")
    host.until(lambda e: e.kind == C.EVENT_OUTPUT and e.call == call.id)
    call.interrupt()
    assert call.done().name == "Interrupted"


def test_a_channel_echoes_and_ends(start, host):
    worker = start()
    channel = worker.open("echo")
    sizes = [0, 1, 1000, 70_000, 3 * MIB, 5]
    for size in sizes:
        channel.send(("x/y", big(size)), str(size))
        came = channel.receive()
        assert came.kind == C.EVENT_CHANNEL_DATA
        assert came.parts == [("x/y", big(size)), ("text/plain", str(size).encode())]
    for number in range(300):
        channel.send(str(number))
    assert [channel.receive().text for _ in range(300)] == [str(number) for number in range(300)]
    channel.end()
    assert channel.receive().kind == C.EVENT_CHANNEL_END
    assert channel.receive().kind == C.EVENT_CHANNEL_CLOSED


def test_hundreds_of_channels_are_open_at_once(start):
    worker = start()
    channels = [worker.open("echo", "5000") for _ in range(400)]
    for number, channel in enumerate(channels):
        channel.send(f"{number} " + "x" * 2000)
    for number, channel in reversed(list(enumerate(channels))):
        assert channel.receive().text.startswith(f"{number} ")
    refused = worker.open("refuse")
    closed = refused.receive()
    assert (closed.kind, closed.name, closed.text) == (C.EVENT_CHANNEL_CLOSED, "Refused", "not here")
    for channel in channels:
        channel.cancel()
    assert worker.ask("echo", "alive").text == "alive"


def test_a_channel_of_the_workers_goes_as_fast_as_its_host_reads(start, host):
    worker = start()
    call = worker.start("stream", "500", "10000")
    opened = host.until(lambda e: e.kind == C.EVENT_CHANNEL_OPENED)
    channel = ffi.Channel(host, opened.channel).accept(window=30_000)
    for number in range(500):
        came = channel.receive()
        assert came.data == pattern(10_000, number), number
    channel.send("thanks")
    channel.end()
    assert channel.receive().kind == C.EVENT_CHANNEL_END
    done = call.done()
    assert done.text == "waited thanks,", done


def test_stop_ends_it_and_end_of_session_too(start):
    worker = start()
    worker.stop()
    report = worker.exited().report
    assert (report.reason, report.rung, report.exit_code) == (C.REASON_STOPPED, C.RUNG_ASKED, 0), report


def test_calls_that_came_before_a_stop_are_answered(start):
    worker = start()
    calls = [worker.start("echo", str(i)) for i in range(20)]
    worker.stop()
    assert [call.done().text for call in calls] == [str(i) for i in range(20)]
    assert worker.exited().report.exit_code == 0


def test_a_forked_child_is_refused_and_the_worker_goes_on(start):
    worker = start()
    assert worker.ask("fork").text == "7"
    assert worker.ask("echo", "still").text == "still"


def test_it_attaches_once_and_its_programs_inherit_nothing(start):
    worker = start()
    assert worker.ask("attach-again").text.startswith("LAUTER_ERROR_STATE: descriptor 3 is no session")
    # ls has one more: the folder that it lists.
    assert worker.ask("descriptors").text.split() == ["0", "1", "2", "3"]


def test_a_loop_over_the_descriptor_serves_as_well(start, host):
    worker = start("loop")
    assert worker.ask("fd").text == "0"
    for i in range(50):
        assert worker.ask("echo", str(i)).text == str(i)
    data = big(5 * MIB)
    assert worker.ask("echo", ("x/y", data)).data == data
    call = worker.start("ask-from-threads", "2", "50")
    for _ in range(100):
        asked = host.until(lambda e: e.kind == C.EVENT_CALL)
        ffi_call(host, asked).reply(asked.text)
    assert call.done().text == ""
    worker.stop()
    assert worker.exited().report.exit_code == 0


def test_shared_memory_that_is_idle_goes_back_to_the_system(start, stage):
    worker = start()

    def shared():
        for line in open(f"/proc/{pid}/status"):
            if line.startswith("RssShmem"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssShmem")

    worker.ask("lend", 40 * MIB, 40 * MIB)
    (pid,) = support.processes_with(f"{stage.folder}/worker")
    assert shared() > 39 * MIB
    support.eventually(lambda: shared() < MIB, within=5)
    assert worker.ask("give", 100_000).data == pattern(100_000)


def test_a_worker_without_a_host_says_so(program):
    done = subprocess.run([program], stderr=subprocess.PIPE, timeout=10)
    assert done.returncode == 1
    assert b"descriptor 3 is no session: this program is to be started by a lauter host" in done.stderr


def test_it_ends_when_its_host_closes(stage, program):
    begun = time.monotonic()
    with ffi.Host() as other:
        other.spawn(stage.policy(), ffi.Launch("worker", program)).wait_ready()
        assert support.processes_with(program)
    support.eventually(lambda: not support.processes_with(program), within=2)
    assert time.monotonic() - begun < 20
