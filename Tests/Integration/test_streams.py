# SPDX-License-Identifier: Apache-2.0
"""What workers write: in order, before the answers that follow it, and bounded."""

import resource
import subprocess
import sys
import time

import support
from ffi import C


def test_everything_written_before_an_answer_arrives_before_it(host, worker):
    expected = b""
    for i in range(200):
        line = f"line {i}\n".encode() * (i % 7 + 1)
        call = worker.start("print", "1", line)
        expected += line
        call.done()
        assert worker.output(C.STREAM_STDOUT) == expected, f"call {i} was done before its output came"


def test_a_large_text_arrives_whole_before_its_answer(host, worker):
    worker.ask("flood", str(900_000))
    assert worker.output(C.STREAM_STDOUT) == b"x" * 900_000


def test_streams_are_told_apart(host, worker):
    worker.ask("print", "1", "out")
    worker.ask("print", "2", "err")
    assert (worker.output(C.STREAM_STDOUT), worker.output(C.STREAM_STDERR)) == (b"out", b"err")


def test_bytes_that_are_no_text_arrive_as_they_are(host, worker):
    data = bytes(range(256)) * 10
    worker.ask("print", "1", data)
    assert worker.output() == data


def test_the_last_words_of_a_dying_worker_arrive_before_its_end(host, bench):
    for _ in range(20):
        worker = host.spawn(bench.policy(), bench.probe("write-both", "a" * 60_000, "b" * 60_000))
        worker.exited()
        assert worker.output(C.STREAM_STDOUT) == b"a" * 60_000
        assert worker.output(C.STREAM_STDERR) == b"b" * 60_000


def test_a_stream_names_the_call_that_ran(host, worker):
    call = worker.start("print", "1", "mine", cookie=9)
    call.done()
    streams = [e for e in host.seen if e.kind == C.EVENT_STREAM]
    assert all(e.call in (0, call.id) for e in streams)


def test_a_flood_that_is_read_arrives_whole(host, worker):
    size = 64 << 20
    call = worker.start("flood", str(size))
    total = 0

    def done(event):
        nonlocal total
        if event.kind == C.EVENT_STREAM:
            total += len(event.data)
            host.seen.clear()
        assert event.kind != C.EVENT_DROPPED, "dropped although it was read"
        return event.kind == C.EVENT_DONE and event.call == call.id

    host.until(done, timeout=60)
    assert total == size


def test_a_flood_that_nobody_reads_blocks_no_call_and_costs_no_memory(host, worker):
    size = 256 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = worker.start("flood", str(size)).wait(60_000)
    assert done.status == C.OK
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 48 << 10, f"{grown} KiB for {size >> 20} MiB that nobody read"
    events = host.drain()
    kept = sum(len(e.data) for e in events if e.kind == C.EVENT_STREAM)
    dropped = sum(e.dropped for e in events if e.kind == C.EVENT_DROPPED)
    assert kept + dropped == size
    assert dropped > 0 and kept > 0


def test_a_program_that_prints_for_ever_can_be_killed_and_costs_no_memory(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("print-for-ever"))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        host.wait(10)
        host.next()
        host.seen.clear()
    worker.kill()
    worker.exited()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 48 << 10


def test_a_child_that_holds_the_streams_does_not_hold_back_the_end(host, worker):
    worker.ask("leave-child")
    begun = time.monotonic()
    worker.start("exit", "0")
    worker.exited()
    assert time.monotonic() - begun < 2


def test_null_streams_are_no_events(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("write-both", "a", "b", stdout="null"))
    worker.exited()
    assert worker.output(C.STREAM_STDOUT) == b""
    assert worker.output(C.STREAM_STDERR) == b"b"


def test_inherited_streams_are_the_host_s_own(bench):
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
with ffi.Host() as host:
    policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
    launch = ffi.Launch("program", {bench.path("probe")!r}, "copy", stdin="inherit", stdout="inherit")
    sys.exit(host.spawn(policy, launch).exited().report.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", program], input=b"through and through", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"through and through")
