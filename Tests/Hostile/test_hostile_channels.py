# SPDX-License-Identifier: Apache-2.0
"""A worker that means harm on channels. See test_hostile.py."""

import contextlib
import re

import pytest
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
        accepting.look()
        return company.event(C.EVENT_EXITED, worker) is not None

    company.go_on(is_over)
    report = company.event(C.EVENT_EXITED, worker).report
    assert report.reason == C.REASON_PROTOCOL, report
    assert re.fullmatch("the worker broke the protocol: .*" + sentence, report.why), report.why
    company.assert_small(32)
