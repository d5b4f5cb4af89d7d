# SPDX-License-Identifier: Apache-2.0
"""Tests/Vectors/frames.txt as the host's words to the worker library."""

import socket
import sys
from pathlib import Path

import pytest
from ffi import C

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "Runtime"))

import fake_host  # noqa: E402
import frames  # noqa: E402

VECTORS = [(name, data, outcome) for name, sender, data, outcome in frames.vectors() if sender == "host"]


@pytest.fixture(scope="module")
def reader(stage):
    return stage.compile(HERE / "programs" / "frames.c", "frames", "-std=gnu11")


def told(reader, data):
    """The lines that the worker writes, the last one being why it ended."""
    greets = data.startswith(frames.HELLO)
    with fake_host.Host(hello=frames.HELLO if greets else data, wait=greets, arena=1, command=[reader]) as host:
        host.arena[: frames.HALF] = frames.arena(0, 256) * (frames.HALF // 256)
        if greets:
            # Only now the host knows that the worker reads the arena.
            host.socket.sendall(data[len(frames.HELLO) :])
        host.socket.shutdown(socket.SHUT_WR)
        assert host.process.wait(20) == 0, host.stderr()
        return host.wait_stdout("error").splitlines()


def test_what_is_broken_is_refused_in_the_same_words(reader):
    refused = 0
    for name, data, outcome in VECTORS:
        if outcome.startswith("!"):
            code, words = told(reader, data)[-1].split(" ", 2)[1:]
            assert int(code) == C.ERROR_PROTOCOL, (name, words)
            assert words == "the host broke the protocol: " + outcome[2:], name
            refused += 1
    assert refused > 50


def test_what_is_whole_is_handed_out(reader):
    taken = 0
    for name, data, outcome in VECTORS:
        # A release of what was not placed, credit where there is no channel: other rules than those of bytes.
        if outcome.startswith("=") and not any(word in outcome for word in ("release", "credit", "cancel")):
            *lines, end = told(reader, data)
            assert int(end.split()[1]) == (0 if lines[-1:] == ["stop"] else C.ERROR_DIED), (name, end)
            arrived = [text for text in outcome[2:].split("; ") if text.split(" ")[0] in ("call", "stop", "open")]
            assert lines == arrived, name
            taken += len(arrived)
    assert taken > 15
