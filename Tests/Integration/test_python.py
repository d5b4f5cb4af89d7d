# SPDX-License-Identifier: Apache-2.0
"""The Python runtime behind the library: the profile as a host sees it. What it does by itself is tested beside it."""

import time

import pytest
from ffi import C, Call, Channel, LauterError


def test_a_sum_is_computed(python):
    done = python.run("1 + 1")
    assert done.status == C.OK
    assert ("text/plain", b"2") in done.parts


def test_a_statement_has_no_value_and_its_state_stays(python):
    assert python.run("x = 20").parts == []
    assert python.run("x + 22").text == "42"


def test_what_is_printed_comes_before_the_result(host, python):
    python.run("import sys; print('a'); sys.stderr.write('b'); import os; os.system('echo c'); 5")
    assert python.output(C.STREAM_STDOUT) == b"a\nc\n"
    assert python.output(C.STREAM_STDERR) == b"b"
    assert host.seen[-1].kind == C.EVENT_DONE


def test_an_exception_is_a_failure_with_a_traceback_of_the_cell_alone(python):
    done = python.run("def f():\n    raise ValueError('no such colour')\nf()")
    assert (done.status, done.name, done.text) == (C.ERROR_FAILED, "ValueError", "no such colour")
    traceback = dict(done.parts)["text/x-traceback"].decode()
    assert "no such colour" in traceback and "line 2" in traceback
    assert "lauter" not in traceback.lower()


def test_exit_is_a_failure_and_the_worker_lives(python):
    assert python.run("exit()").name == "SystemExit"
    assert python.run("1").text == "1"


def test_input_asks_the_host(host, python):
    call = python.execute("name = input('who? ')\nname.upper()")
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    assert (asked.name, asked.text, asked.parent) == ("input", "who? ", call.id)
    Call(host, asked.call).reply("Ada")
    assert call.done().text == "'ADA'"


def test_a_file_outside_the_policy_is_explained(python):
    done = python.run("open('/data/secret.txt')")
    assert done.status == C.ERROR_FAILED
    note = dict(done.parts)["application/vnd.lauter.note"].decode()
    assert "outside the policy" in note and "--read /data/secret.txt" in note


def test_a_memory_limit_is_an_exception_and_the_worker_lives(host, bench):
    worker = host.spawn(bench.policy(("limit", "memory=512M")), bench.python()).wait_ready()
    assert worker.run("len(bytes(64 << 20))").text == str(64 << 20)
    assert worker.run("x = [0] * (20 << 30)").name == "MemoryError"
    assert worker.run("1 + 1").text == "2"


def test_a_crash_is_reported_with_its_signal(host, python):
    done = python.run("import ctypes; ctypes.string_at(0)")
    assert done.status == C.ERROR_DIED
    assert python.exited().report.signal == 11


def test_an_endless_cell_is_ended_by_its_deadline_and_the_state_stays(host, python):
    python.run("kept = 'kept'")
    begun = time.monotonic()
    done = python.execute("while True: pass", timeout_ms=200).done()
    assert done.status == C.ERROR_TIMEOUT and time.monotonic() - begun < 2
    assert python.run("kept").text == "'kept'"


@pytest.mark.parametrize("attempt", ["import os; os.kill(os.getpid(), 9)", "import os; os._exit(3)"])
def test_a_python_that_ends_itself_is_reported(python, attempt):
    assert python.run(attempt).status == C.ERROR_DIED
    report = python.exited().report
    assert (report.signal, report.exit_code) in ((9, -1), (0, 3))


def test_a_fork_bomb_is_contained(host, bench):
    worker = host.spawn(bench.policy(("limit", "processes=30")), bench.python()).wait_ready()
    done = worker.run(
        "import os, time\nchildren = 0\n"
        "try:\n"
        "    while True:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(60)\n"
        "            os._exit(0)\n"
        "        children += 1\n"
        "except BlockingIOError:\n"
        "    pass\n"
        "children"
    )
    assert 5 <= int(done.text) <= 30
    assert host.spawn(bench.policy(), bench.worker()).wait_ready().ask("echo", "fine").text == "fine"


def test_multiprocessing_and_threads_work(python):
    done = python.run(
        "import multiprocessing, threading\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    squares = pool.map(abs, [-1, -2, -3])\n"
        "found = []\n"
        "thread = threading.Thread(target=lambda: found.append(4))\n"
        "thread.start(); thread.join()\n"
        "squares + found"
    )
    assert done.status == C.OK, done.parts
    assert done.text == "[1, 2, 3, 4]"


def test_large_parts_cross_both_ways(python):
    source = "blob = bytes(range(256)) * 80_000; display({'a/b': blob}, raw=True); len(%r)" % ("x" * 5_000_000)
    started = python.start("execute", ("text/x-python", source.encode()))
    done = started.done()
    assert done.text == "5000000", (done.name, done.error)
    assert [dict(e.parts)["a/b"] for e in started.outputs()] == [bytes(range(256)) * 80_000]
    # It went through the arena: this worker has mapped both halves.
    assert python.run("open('/proc/self/maps').read().count('memfd:lauter-arena')").text == "2"


def test_code_in_a_cell_and_the_host_s_program_speak_on_channels(host, python):
    started = python.execute(
        "from lauter_worker import accept_channel, open_channel\n"
        "mine, yours = open_channel('mine', 'hello'), accept_channel('yours')\n"
        "mine.send('to the host'); mine.close()\n"
        "got = list(yours); yours.send(b''.join(m.encode() for m in got)); yours.close()\n"
        "list(mine)"
    )
    opened = host.until(lambda e: e.kind == C.EVENT_CHANNEL_OPENED)
    assert (opened.name, opened.text) == ("mine", "hello")
    theirs = Channel(host, opened.channel).accept()
    ours = python.open("yours")
    for words in ("one ", "two ", "three"):
        ours.send(words)
    ours.end()
    theirs.send("to the worker")
    theirs.end()
    assert started.done().text == "['to the worker']"
    assert {e.channel for e in host.seen if e.kind == C.EVENT_CHANNEL_CLOSED} == {theirs.id, ours.id}
    said = [(e.channel, e.data) for e in host.seen if e.kind == C.EVENT_CHANNEL_DATA]
    assert sorted(said) == sorted([(theirs.id, b"to the host"), (ours.id, b"one two three")])


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_messages_on_channels_keep_their_order_however_large(host, python, size):
    """With a window of 100 KB the larger ones go through one by one, and through the arena."""
    started = python.execute(
        "from lauter_worker import accept_channel\n"
        "c = accept_channel()\n"
        "for m in c: c.send(m[::-1])\n"
        "c.close(); 'done'"
    )
    channel = python.open("echo", window=100_000)
    sent, received = 0, []
    while len(received) < 12:
        while sent < 12:
            try:
                channel.send(("a/b", bytes([sent]) + bytes(size)))
            except LauterError as full:
                assert full.code == C.ERROR_LIMIT
                break
            sent += 1
        event = host.until(lambda e: e.kind in (C.EVENT_CHANNEL_DATA, C.EVENT_CHANNEL_WRITABLE))
        if event.kind == C.EVENT_CHANNEL_DATA:
            received.append((len(event.data), event.data[-1]))
    channel.end()
    assert started.done().text == "'done'"
    assert received == [(size + 1, n) for n in range(12)]


def test_an_input_that_is_interrupted_is_cancelled(host, python):
    started = python.execute("input('name? ')")
    asked = host.until(lambda e: e.kind == C.EVENT_CALL)
    started.interrupt()
    assert started.done().name == "KeyboardInterrupt"
    assert [e.call for e in host.seen if e.kind == C.EVENT_CALL_CANCELLED] == [asked.call]
    assert python.run("6 * 7").text == "42"


def test_a_thousand_channels_are_opened_and_written_to_by_code_that_waits_for_nothing(host, python):
    """Credit and releases come for all of them: the worker reads these, although no code of its own asks for anything."""
    started = python.execute(
        "from lauter_worker import open_channel\n"
        "many = [open_channel('many') for _ in range(1000)]\n"
        "first = many[0]\n"
        "for n in range(3000): first.send(bytes(70_000))\n"
        "'sent'"
    )
    opened, size = [], 0

    def take(event):
        nonlocal size
        if event.kind == C.EVENT_CHANNEL_OPENED:
            opened.append(Channel(host, event.channel).accept(1 << 29))
        elif event.kind == C.EVENT_CHANNEL_DATA:
            size += len(event.data)
            host.seen.clear()
        return event.kind == C.EVENT_DONE

    assert host.until(take, 60).text == "'sent'"
    assert len(opened) == 1000 and size == 3000 * 70_000
    assert started.id
