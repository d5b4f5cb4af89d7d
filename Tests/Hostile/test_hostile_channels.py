# SPDX-License-Identifier: Apache-2.0
"""A worker that means harm on channels. See test_hostile.py."""

import contextlib
import re
import time

import pytest
from conftest import resident
from ffi import C, Channel, LauterError

#: Opens a channel, which the host's program accepts with a window of 1,000 bytes and does not read.
OPEN = 'message open id 1 name talk\nawait credit'

#: What it does when it is called; what its report says then.
BREACHES = [
    ("message open id 2 name even", "a channel with the id 2, which is not its to choose"),
    ("message open id 0 name zero", "a channel with the id 0, which is not its to choose"),
    (f"{OPEN}\nmessage open id 1 name again", "a channel with the id 1, which is not above those before"),
    ("message open id 9 name a\nmessage open id 7 name b", "a channel with the id 7, which is not above those before"),
    ("repeat 1025\nmessage open id $n*2+1 name many\ndone", "more than 1024 channels"),
    (f"{OPEN}\nmessage data id 1 zeros 2000", r"\d+ bytes on channel 1, which has credit for 1000"),
    (f"{OPEN}\nrepeat 20\nmessage data id 1 zeros 1\ndone", r"\d+ bytes on channel 1, which has credit for \d+"),
    ("message open id 1 name hasty\nmessage data id 1 zeros 1", r"\d+ bytes on channel 1, which has credit for 0"),
    ('message open id 1 name hasty\nframe data flags 1 id 1 head 1 "" part "" 512M', r"\d+ bytes on channel 1, which has credit for 0"),
    *((f"frame {kind} id {id} {payload}", f"a frame of channel {id}, which there never was")
      for kind, payload in (("credit", "u64 1"), ("end", ""), ("need", "u64 1")) for id in (2, 3, 18446744073709551615)),
    ("message data id 5", "a frame of channel 5, which there never was"),
    ("message cancel id 5 name X", "a frame of channel 5, which there never was"),
    (f"{OPEN}\nframe credit id 1 u64 0xffffffffffffffff", "more credit on channel 1 than there can be"),
    (f"{OPEN}\nrepeat 3\nframe credit id 1 u64 512M\ndone", "more credit on channel 1 than there can be"),
    (f"{OPEN}\nframe need id 1 u64 0xffffffffffffffff", "more credit on channel 1 than there can be"),
    (f"{OPEN}\nframe credit id 1 u32 1", "a frame of kind 18 with 4 bytes, which is not its size"),
    (f"{OPEN}\nframe need id 1", "a frame of kind 21 with 0 bytes, which is not its size"),
    (f"{OPEN}\nframe end id 1\nmessage data id 1", "data on channel 1 after its end"),
]  # fmt: skip


class Accepting:
    """Accepts what is opened by a worker, and takes all events, but reads as the test says."""

    def __init__(self, company, worker, window=1000):
        self.company, self.worker, self.window = company, worker, window
        self.channels = []

    def look(self):
        """Accept what was opened since."""
        for event in self.company.host.seen:
            if event.kind == C.EVENT_CHANNEL_OPENED and event.channel not in [each.id for each in self.channels]:
                channel = Channel(self.company.host, event.channel)
                self.channels.append(channel)
                with contextlib.suppress(LauterError):  # it may be over, with its worker
                    channel.accept(self.window)


@pytest.mark.parametrize("script, sentence", BREACHES, ids=[script.splitlines()[-1] for script, _ in BREACHES])
def test_a_breach_on_a_channel_ends_the_worker_alone_and_is_told(company, script, sentence):
    worker = company.start(f"await call\n{script}\nawait eof\npause")
    worker.start("anything")
    accepting = Accepting(company, worker)

    def is_over():
        # Who does not read its credit is not read either: of those that are too many the last would never be seen.
        if "many" not in script:
            accepting.look()
        return company.event(C.EVENT_EXITED, worker) is not None

    company.go_on(is_over)
    report = company.event(C.EVENT_EXITED, worker).report
    assert report.reason == C.REASON_PROTOCOL, report
    assert re.fullmatch("the worker broke the protocol: .*" + sentence, report.why), report.why
    company.assert_small(32)


def test_what_breaks_no_rule_of_channels_does_no_harm(company):
    """Credit of nothing, needs without end, frames of a channel that is over."""
    worker = company.start(
        "await call\n"
        f"{OPEN}\nframe credit id 1 u64 0\nrepeat 1000\nframe need id 1 u64 1G\ndone\n"
        'message cancel id 1 name Over\nmessage data id 1\nframe credit id 1 u64 5\nframe end id 1\nmessage cancel id 1 name Again\n'
        'answer "well"\nawait eof'
    )
    pending = worker.start("anything")
    accepting = Accepting(company, worker)

    def is_over():
        accepting.look()
        return company.event(C.EVENT_DONE, worker) is not None

    company.go_on(is_over)
    done = company.event(C.EVENT_DONE, worker)
    assert (done.call, done.status, done.data) == (pending.id, C.OK, b"well"), done
    company.go_on(lambda: company.event(C.EVENT_CHANNEL_CLOSED, worker) is not None)
    assert len([e for e in company.host.seen if e.kind == C.EVENT_CHANNEL_CLOSED]) == 1


def test_thousands_of_channels_one_after_the_other_leave_nothing(company):
    """1,000 at a time, opened and cancelled by the worker, which nobody accepts."""
    worker = company.start(
        "await call\nrepeat 10000\nmessage open id $n*2+1 name many text/plain zeros 1000\nmessage cancel id $n*2+1 name Over\ndone\n"
        'answer "all"\nawait eof'
    )
    worker.start("anything")

    def is_over():
        over = company.event(C.EVENT_DONE, worker) is not None
        if not over:
            del company.host.seen[:]
        return over

    company.go_on(is_over, 60)
    assert company.event(C.EVENT_DONE, worker).data == b"all"
    company.assert_small(48)


def test_a_thousand_channels_full_of_what_nobody_takes_stop_their_worker_alone(company):
    """Each is accepted with 100 KB of credit, and all of it is used: together the bound of what waits holds."""
    script = "\n".join([
        "await call", "repeat 1000", "message open id $n*2+1 name many", "await credit", "done",
        "repeat 1000", "message data id $n*2+1 zeros 90000", "done", 'answer "sent"', "await eof",
    ])  # fmt: skip
    worker = company.start(script)
    worker.start("anything")
    for _ in range(1000):
        event = company.host.until(lambda e: e.kind == C.EVENT_CHANNEL_OPENED)
        Channel(company.host, event.channel).accept(100_000)
    asked = company.honest.start("nap", "1000")
    end = time.monotonic() + 1.0
    while time.monotonic() < end:  # it dispatches, and takes nothing
        company.host.wait(20)
        company.most = max(company.most, resident())
    # Less than the 90 MB that were sent: what one worker can have waiting is bounded.
    company.assert_small(64)
    assert asked.done().status == C.OK
    # What it sent can be had, all that waits here.
    company.host.until(lambda e: e.kind == C.EVENT_CHANNEL_DATA and len(e.data) == 90_000)
    worker.kill()
    company.until_exited(worker)


def test_a_worker_that_opens_channels_and_hears_nothing_stops_itself_alone(company):
    """What it is granted waits for it; beyond a bound of that its host reads no more of its words, until its time is up."""
    worker = company.start(
        "await call\nrepeat 1000\nmessage open id $n*2+1 name many\ndone\nrepeat 1000\nawait credit\ndone\npause", interrupt_grace="300ms"
    )
    worker.start("anything", timeout_ms=1500)
    accepting = Accepting(company, worker)

    def is_over():
        accepting.look()
        return company.event(C.EVENT_EXITED, worker) is not None

    company.go_on(is_over)
    assert company.event(C.EVENT_EXITED, worker).report.reason == C.REASON_DEADLINE
    company.assert_small(32)


def test_channels_end_with_their_worker_and_say_why(company):
    worker = company.start("await call\nrepeat 50\nmessage open id $n*2+1 name many\ndone\nawait credit\ndie KILL")
    worker.start("anything")
    accepting = Accepting(company, worker)

    def is_over():
        accepting.look()
        return company.event(C.EVENT_EXITED, worker) is not None

    company.go_on(is_over)
    closed = [e for e in company.host.seen if e.kind == C.EVENT_CHANNEL_CLOSED and e.worker == worker.id]
    assert len(closed) == 50 and {e.status for e in closed} == {C.ERROR_DIED}
    assert [e for e in company.host.seen if e.worker == worker.id][-1].kind == C.EVENT_EXITED
