# SPDX-License-Identifier: Apache-2.0
"""A worker that means harm: its host neither crashes, blocks, leaks nor grows past its bound, and says what happened.

What a worker does here is a script of `lauter fake-worker`. Each test has another worker answer beside it, whose calls must go
on meanwhile (`company`), and ends with nothing left behind (`nothing_left_behind`). Single rules of the protocol are in
Tests/Integration/test_breaches.py too, with a worker of its own; channels in test_hostile_channels.py.
"""

import contextlib
import os
import random
import re
import time

import pytest
from conftest import resident
from ffi import C, LauterError

MIB = 1 << 20
#: A result in a frame of its own that is not the last: `{HEAD} SIZE` says how large its part will be.
HEAD = 'frame result flags 1 id $call head 1 "" part ""'

#: What it does when it is called; what its report says then.
BREACHES = [
    # Every field of a header at its extremes. Sizes:
    ("frame result size 65537 id $call zeros 100", "a frame of 65537 bytes, at most 65536 are allowed"),
    ("frame result size 0x7fffffff id $call zeros 100", "a frame of 2147483647 bytes, at most 65536 are allowed"),
    ("frame result size 0xffffffff id $call zeros 100", "a frame of 4294967295 bytes, at most 65536 are allowed"),
    # Kinds:
    *((f"frame {kind} id $call", f"a frame of the unknown kind {kind}") for kind in (0, 7, 11, 15, 22, 31)),
    ("frame stop", "a frame of kind 8, which is not its to send"),
    ("hello", "it greeted twice"),
    # Flags:
    *((f'frame result flags {flags} id $call head 0 ""', f"a frame with the unknown flags {flags}") for flags in (4, 8, 128, 255)),
    ('frame result flags 2 id $call head 0 ""', "a frame that is to name places in the arena and does not, or may not"),
    # Ids that were never asked for:
    *(
        (f"message {kind} id {id}", f"an answer to call {said}, which was never made")
        for kind in ("result", "failure", "output")
        for id, said in (("0", "0"), ("$call+1000000", r"\d+"), ("0xffffffffffffffff", "18446744073709551615"))
    ),
    ("message call id 9 name ask\nmessage call id 9 name ask", "a second call 9 while the first waits for its answer"),
    # Lengths that lie:
    ("frame result id $call zeros 15", "a message whose head is cut short"),
    ('frame result id $call head 1 ""', "a message whose head is cut short"),
    ('frame result id $call u16 0 u16 1 u32 0 u64 0', "a message whose head is cut short"),
    ('frame result id $call head 1 "" u16 255 u64 0', "a message whose head is cut short"),
    ('frame result id $call head 1 "" u16 0xffff u64 0 zeros 65000', "a name of 65535 bytes, at most 255 are allowed"),
    ('frame result id $call head 257 "" zeros 60000', "a message of 257 parts, at most 256 are allowed"),
    ('frame result id $call head 0xffff ""', "a message of 65535 parts, at most 256 are allowed"),
    (f"{HEAD} 10 zeros 11", "a message whose parts do not add up to its size"),
    (f"{HEAD} 10\nframe result id $call zeros 11", "a message whose parts do not add up to its size"),
    (f"{HEAD} 10\nframe result id $call zeros 9", "a message whose parts do not add up to its size"),
    (f"{HEAD} 1G+1", "a message of more than 1 GiB"),
    (f"{HEAD} 0xffffffffffffffff", "a message of more than 1 GiB"),
    ('frame result id $call head 2 "" part "" 0xfffffffffffffff8 part "" 16 zeros 8', "a message of more than 1 GiB"),
    ('repeat 3\nframe call flags 1 id $n+1 head 1 "x" part "" 512M\ndone', "a message of more than 1 GiB"),
    ('repeat 65\nframe call flags 1 id $n+1 head 1 "x" part "" 1\ndone', "more than 64 unfinished messages"),
    # Places in the arena:
    *(
        (f"{HEAD} 8\nframe result flags 2 id $call u64 {offset} u64 8", rf"8 bytes at \d+ of the arena, which is outside its half")
        for offset in ("0", "$half-8", "$half-4", "$half*2", "$half*2-7", "0xfffffffffffffffc")
    ),
    (f"{HEAD} 1G\nframe result flags 2 id $call u64 $half u64 0xffffffffffffffff", "bytes at .* of the arena, which is outside its half"),
    (f"{HEAD} 8\nframe result flags 2 id $call u64 $half u64 0", "0 bytes at .* of the arena, which is outside its half"),
    (f"{HEAD} 2M\nframe result flags 2 id $call u64 $half u64 1M+1", "1048577 bytes in the places of one frame, at most 1048576 are allowed"),
    (f"{HEAD} 8\nframe result flags 2 id $call", "a frame that is to name places in the arena and does not, or may not"),
    (f"{HEAD} 8\nframe result flags 2 id $call u64 $half u64 8 u8 0", "a frame that is to name places in the arena and does not, or may not"),
    ("frame release u64 0 u64 65536", "a release of 65536 bytes at 0 of the arena, which were not placed"),
    ("frame release u64 $half u64 8", r"a release of 8 bytes at \d+ of the arena, which were not placed"),
]  # fmt: skip

#: What it does when it is called, and what is no breach of anything: the call is answered with "well".
HARMLESS = [
    "",
    "frame 32 id 0xffffffffffffffff slot 0xffff flags 0xff zeros 65536",
    "frame 255 zeros 1",
    "frame interrupt id 0xffffffffffffffff",
    "frame interrupt id 0 zeros 1000",
    "repeat 10000\nframe interrupt id $n\ndone",
    "message call id 0 name lauter.sync\nawait result",
    "message call id 0xffffffffffffffff name lauter.sync\nawait result",
    'frame call id 1 head 0 "lauter.sync" lane 0xffffffff parent 0xffffffffffffffff\nawait result',
    f"{HEAD} 4\nrepeat 5000\nframe result flags 1 id $call\ndone\nframe result flags 1 id $call \"well\"\nframe result id $call",
]


@pytest.mark.parametrize("script, sentence", BREACHES, ids=[script.splitlines()[-1] for script, _ in BREACHES])
def test_a_breach_ends_the_worker_alone_and_is_told(company, script, sentence):
    worker = company.start(f"await call\n{script}\nawait eof\npause")
    pending = worker.start("anything")
    report = company.until_exited(worker)
    assert report.reason == C.REASON_PROTOCOL, report
    assert re.fullmatch("the worker broke the protocol: .*" + sentence, report.why), report.why
    done = company.event(C.EVENT_DONE, worker)
    assert (done.call, done.status) == (pending.id, C.ERROR_PROTOCOL)
    company.assert_small(32)


@pytest.mark.parametrize("script", HARMLESS, ids=[script.splitlines()[0] if script else "nothing" for script in HARMLESS])
def test_what_breaks_no_rule_does_no_harm(company, script):
    ends = "" if '"well"' in script else '\nanswer "well"'
    worker = company.start(f"await call\n{script}{ends}\nawait call\nanswer \"again\"\nawait eof")
    assert worker.ask("anything").text == "well"
    assert worker.ask("anything").text == "again"
    company.assert_small(32)


def test_an_answer_that_comes_twice_or_late_is_dropped(company):
    worker = company.start(
        'await call\nanswer "first"\nanswer "second"\nfail Late "third"\noutput progress "fourth"\n'
        'await call\nsleep 300ms\nanswer "too late"\nawait call\nanswer "in time"\nawait eof'
    )
    assert worker.ask("one").text == "first"
    worker.start("two").abandon()
    assert worker.ask("three").text == "in time"
    said = [e.data for e in company.host.seen if e.worker == worker.id and e.kind in (C.EVENT_DONE, C.EVENT_OUTPUT)]
    assert said == [b"first", b"in time"]


def test_an_answer_after_the_deadline_is_dropped(company):
    worker = company.start('await call\nsleep 700ms\nanswer "too late"\nawait call\nanswer "in time"\nawait eof')
    assert worker.ask("one", timeout_ms=200).status == C.ERROR_TIMEOUT
    assert worker.ask("two").text == "in time"


def test_a_worker_cannot_answer_another_one_s_call(company):
    """Ids are the host's: the neighbour's open call is one below ours."""
    open_call = company.honest.start("nap", "700")
    worker = company.start('await call\nmessage result id $call-1 text/plain "forged"\nmessage failure id $call-1 name Forged\nanswer "mine"\nawait eof')
    assert worker.start("anything").id is not None
    answered = open_call.done()
    assert (answered.status, answered.worker) == (C.OK, company.honest.id), answered
    assert b"forged" not in answered.data
    assert [e.data for e in company.host.seen if e.kind == C.EVENT_DONE and e.worker == worker.id] == [b"mine"]


def test_places_that_overlap_bring_what_lies_there(company):
    worker = company.start(
        'await call\nplace $half "abcdefghijkl"\n'
        f"{HEAD} 16\nframe result flags 2 id $call u64 $half u64 8 u64 $half+4 u64 8\nawait release\n"
        'await call\nanswer "again"\nawait eof'
    )
    assert worker.ask("anything").text == "abcdefghefghijkl"
    assert worker.ask("anything").text == "again"


@pytest.mark.parametrize("parts", ["copy", "in-place"])
def test_bytes_that_change_while_the_host_reads_are_only_bytes(company, parts):
    worker = company.start(
        "fork\nforever\nplace $half zeros 1M\nplace $half hex ffffffffffffffff\nplace $half+512K hex ffffffffffffffff\ndone\ndone\n"
        f"repeat 100\nawait call\n{HEAD} 1M\nframe result flags 2 id $call u64 $half u64 1M\ndone\nawait eof",
        parts=parts,
    )
    for _ in range(100):
        done = worker.ask("anything")
        assert done.status == C.OK and len(done.data) == MIB
        assert set(done.data) <= {0, 255}
        del company.host.seen[:], done
    company.ask()
    company.assert_small(64)


def test_the_arena_and_the_page_cannot_be_truncated_under_the_host(company):
    worker = company.start(
        "await call\ntruncate 5 0\ntruncate 5 1G\ntruncate 4 0\n"
        f'place $half "whole"\n{HEAD} 5\nframe result flags 2 id $call u64 $half u64 5\nawait eof'
    )
    assert worker.ask("anything").text == "whole"
    # All three were refused, for what they were.
    worker.stop()
    said = company.until_exited(worker).stderr_tail
    assert said.count("truncate 5: operation not permitted") == 2 and "truncate 4: " in said and "done" not in said, said


@pytest.mark.parametrize(
    "half", ["raw u8 16", f"{HEAD} 1G", f"{HEAD} 1G\nraw u32 65536 u8 5", 'message call name ask\nframe call flags 1 id 2 head 1 "x" part "" 9'],
)  # fmt: skip
def test_half_a_message_and_then_silence_keeps_nobody_waiting(company, half):
    worker = company.start(f"await call\n{half}\npause", interrupt_grace="300ms")
    worker.start("anything", timeout_ms=500)
    # It was asked to stop when its time was up, and did not.
    report = company.until_exited(worker)
    assert report.reason == C.REASON_DEADLINE, report
    assert company.event(C.EVENT_DONE, worker).status == C.ERROR_TIMEOUT
    # A promise of 1 GiB is none of memory.
    company.assert_small(32)


def test_one_byte_at_a_time_is_slow_and_no_more(company):
    worker = company.start('await call\npace 20ms\nanswer "at last"\npace none\nawait eof')
    worker.start("anything")
    company.go_on(lambda: company.event(C.EVENT_DONE, worker) is not None, 20)
    assert company.event(C.EVENT_DONE, worker).text == "at last"


def test_a_greeting_of_one_byte_a_second_is_too_late(company):
    worker = company.start("pace 1s\nhello\nready\nawait eof", greets=False, ready_timeout="2s")
    begun = time.monotonic()
    report = company.until_exited(worker, 10)
    assert time.monotonic() - begun < 6
    assert report.reason not in (C.REASON_EXITED, C.REASON_STOPPED) and "2 s" in report.why.replace("2000 ms", "2 s"), report


def test_gigabytes_that_mean_nothing_are_read_and_dropped(company):
    """LAUTER_TEST_GIGABYTES: how many; one takes some three seconds."""
    gigabytes = int(os.environ.get("LAUTER_TEST_GIGABYTES", "1"))
    worker = company.start(f"await call\nrepeat 16K*{gigabytes}\nframe 200 zeros 65536\ndone\nanswer \"said it all\"\nawait eof")
    worker.start("anything")
    company.go_on(lambda: company.event(C.EVENT_DONE, worker) is not None, 20 + 10 * gigabytes)
    assert company.event(C.EVENT_DONE, worker).text == "said it all"
    company.assert_small(16)


@pytest.mark.parametrize("flood", ["output progress zeros 1M", "stdout zeros 64K", "call ask zeros 1M", "fork\ndone\noutput progress \"x\""])
def test_a_flood_that_the_host_does_not_take_stops_its_worker_alone(company, flood):
    worker = company.start(f"await call\nforever\n{flood}\ndone")
    worker.start("anything")
    end = time.monotonic() + 1.5
    asked = company.honest.start("nap", "1500")
    while time.monotonic() < end:  # it dispatches, and takes nothing
        company.host.wait(20)
        company.most = max(company.most, resident())
    company.assert_small(80)
    worker.kill()
    assert asked.done().status == C.OK
    company.until_exited(worker)


def test_a_worker_that_reads_nothing_costs_what_it_was_sent_and_no_more(company):
    worker = company.start("await call\npause")
    worker.start("anything")
    part = ("a/b", bytes(8 * MIB))
    sent = 0
    try:
        for _ in range(64):
            worker.start("more", part)
            sent += 1
    except LauterError as refused:
        assert refused.code == C.ERROR_LIMIT, refused
    company.go_on_for(0.3)
    assert sent >= 1
    # At most as much as was handed over, and once.
    company.assert_small(8 * sent + 64)
    worker.kill()
    company.until_exited(worker)


def test_a_thousand_descriptors_sent_along_are_not_kept(company):
    worker = company.start('repeat 2\nawait call\ndescriptors 1000\nanswer "sent"\ndone\nawait eof')
    assert worker.ask("anything").text == "sent"
    before = len(os.listdir("/proc/self/fd"))
    assert worker.ask("anything").text == "sent"
    assert len(os.listdir("/proc/self/fd")) <= before
    worker.stop()
    # From Linux 6.16 on the kernel refuses them for the host.
    assert re.fullmatch(r"(descriptors 1000: (done|operation not permitted)\n){2}", company.until_exited(worker).stderr_tail)


@pytest.mark.parametrize("closing", ["shut writing", "shut both", "close 3"])
def test_a_worker_that_closes_its_session_and_goes_on_is_ended(company, closing):
    worker = company.start(f"await call\n{closing}\npause")
    worker.start("anything")
    report = company.until_exited(worker, 10)
    assert report.reason == C.REASON_PROTOCOL
    assert report.why == "the worker broke the protocol: it closed its session and went on"
    assert company.event(C.EVENT_DONE, worker).status == C.ERROR_PROTOCOL


def test_a_worker_that_closes_its_ears_is_ended_when_its_time_is_up(company):
    worker = company.start("await call\nshut reading\npause", interrupt_grace="300ms")
    worker.start("anything", timeout_ms=500)
    assert company.until_exited(worker).reason == C.REASON_DEADLINE
    assert company.event(C.EVENT_DONE, worker).status == C.ERROR_TIMEOUT


def test_answering_while_it_is_killed(company):
    for turn in range(20):
        worker = company.start("await call\nforever\noutput progress zeros 100000\nanswer zeros 3M\nmessage call id $n+1 name lauter.sync\ndone")
        worker.start("anything")
        company.host.until(lambda e: e.worker == worker.id and e.kind == C.EVENT_OUTPUT)
        worker.kill()
        assert company.until_exited(worker).reason == C.REASON_KILLED
        # It was its last event.
        company.host.drain()
        assert [e for e in company.host.seen if e.worker == worker.id][-1].kind == C.EVENT_EXITED
        del company.host.seen[:]
    company.assert_small(64)


def test_a_child_s_answer_is_the_worker_s(company):
    """Who may speak on the session is the worker's to see to: for its host they are one."""
    worker = company.start('await call\nfork\nanswer "the child"\npause\ndone\nsleep 300ms\nanswer "the parent"\nawait call\nanswer "again"\nawait eof')
    assert worker.ask("anything").text == "the child"
    assert worker.ask("anything").text == "again"


def test_a_child_that_goes_on_answering_does_not_outlive_its_worker(company):
    worker = company.start('await call\nfork\nforever\noutput progress "child"\ndone\ndone\nsleep 100ms\nexit 7')
    worker.start("anything")
    report = company.until_exited(worker)
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, 7), report
    assert company.event(C.EVENT_DONE, worker).status == C.ERROR_DIED


def test_a_worker_that_will_not_stop_is_made_to(company):
    worker = company.start("ignore stop\nignore TERM\nignore INT\nawait eof\npause")
    worker.wait_ready()
    worker.stop(ask_ms=200, term_ms=200)
    report = company.until_exited(worker)
    assert report.reason == C.REASON_STOPPED and report.rung == 3, report


def test_a_worker_that_dies_by_a_signal_in_the_midst_of_a_message(company):
    worker = company.start(f"await call\n{HEAD} 1M zeros 1000\ndie SEGV")
    worker.start("anything")
    report = company.until_exited(worker)
    assert (report.reason, report.signal) == (C.REASON_SIGNALED, 11), report
    assert company.event(C.EVENT_DONE, worker).status == C.ERROR_DIED


def test_garbage_of_every_kind_is_told_and_ends(company):
    """Whatever 64 bytes there are: some worker is ended for them or they mean nothing; the host goes on."""
    random.seed(5)
    for _ in range(12):
        hexes = bytes(random.getrandbits(8) for _ in range(64)).hex()
        worker = company.start(f"await call\nraw hex {hexes}\nanswer \"then\"\nawait eof", interrupt_grace="200ms")
        worker.start("anything", timeout_ms=500)
        company.go_on(lambda: company.event(C.EVENT_DONE, worker) is not None, 10)
        assert company.event(C.EVENT_DONE, worker).status in (C.ERROR_PROTOCOL, C.ERROR_TIMEOUT, C.OK)
        if company.event(C.EVENT_EXITED, worker) is None:
            with contextlib.suppress(LauterError):  # it may end in this moment
                worker.kill()
            company.until_exited(worker)
