# SPDX-License-Identifier: Apache-2.0
"""The worker of docs/worker.md, as it stands there."""

import re
import struct

import ffi
import support
from ffi import C

TOUR = support.REPOSITORY / "docs" / "tour" / "worker.c"


def test_it_has_forty_lines_at_most():
    text = TOUR.read_text()
    shown = re.search(r"begin: worker \*/\n(.*)/\* end: worker", text, re.S)[1]
    includes = re.findall(r"^#include", text, re.M)
    assert len(shown.splitlines()) + len(includes) <= 40


def test_it_serves_calls_and_stops(stage, host):
    program = stage.compile(TOUR, "tour", "-std=c99", "-Wpedantic")
    worker = host.spawn(stage.policy(), ffi.Launch("worker", program)).wait_ready()
    for count in (0, 3, 1_000_000):  # the last one is read where the host has put it
        numbers = struct.pack(f"<{count}d", *range(count))
        done = worker.ask("sum", ("application/octet-stream", numbers))
        assert struct.unpack("<d", done.data) == (sum(range(count)),)
    call = worker.start("count", timeout_ms=200)
    done = call.done()
    assert done.status == C.ERROR_TIMEOUT, done
    assert worker.ask("what").name == "UnknownVerb"
    worker.stop()
    report = worker.exited().report
    assert (report.rung, report.exit_code, report.stderr_tail) == (C.RUNG_ASKED, 0, ""), report
