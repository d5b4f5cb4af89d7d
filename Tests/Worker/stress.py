# SPDX-License-Identifier: Apache-2.0
"""stress.py PROGRAM SECONDS: keep every thread of the test worker busy at once, by each way in and out.

Used by test_wire.py, and under sanitizers by Tests/Sanitizers/run.
"""

import struct
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "Runtime"))

import fake_host as wire  # noqa: E402

MIB = 1 << 20


def text(value):
    return ("text/plain", str(value).encode())


def start_beside(host, verb, parts):
    """A call on the lane *side*."""
    outcome, slot = host._new_call()
    payload = wire.encode(verb, parts)
    host.send(wire.CALL, outcome.id, payload[:4] + struct.pack("<I", 1) + payload[8:], slot)
    return outcome


def run(program: str, seconds: float, **env) -> int:
    """How many rounds there were. What is wrong raises."""
    data = bytes(range(256)) * 4096
    message = [("x/y", data[:50_000])]
    rounds, begun = 0, time.monotonic()
    with wire.Host(command=[program, "side", "messages"], arena=8, env=env) as host:
        try:
            host.answers["question"] = lambda asked: host.reply(asked, asked.parts)
            host.channels[2] = []
            host.send(wire.OPEN, 2, wire.encode("echo", []))
            host.credit(2, 1 << 30)
            while time.monotonic() - begun < seconds:
                asking = host.start("ask-from-threads", [text(8), text(20)])
                which = start_beside(host, "which-lane", [])
                cost = len(wire.encode("", message)) + 64
                host.until(lambda: sum(host.on(2, wire.CREDIT)) >= (rounds + 1) * cost)
                host.send(wire.DATA, 2, wire.encode("", message))
                echoes = [host.start_placed("echo", [("x/y", data)])]
                echoes += [start_beside(host, "echo", [("x/y", data)]) for _ in range(3)]
                host.send(wire.INTERRUPT, asking.id, b"")
                lent = host.start("lend", [text(MIB), text(MIB)])
                assert host.wait(asking).text == "", asking.text
                assert host.wait(which).text == "1"
                for echo in echoes:
                    assert host.wait(echo).answer.parts == [("x/y", data)]
                assert len(host.wait(lent).answer.parts[1][1]) == MIB
                rounds += 1
            host.until(lambda: len(host.on(2, wire.DATA)) == rounds)
            assert all(each.parts == message for each in host.on(2, wire.DATA))
            host.send(wire.STOP, 0, b"")
            assert host.process.wait(20) == 0
            return rounds
        except Exception as error:
            host.process.wait(2) if isinstance(error, OSError) else None
            raise AssertionError(f"{error!r}; the worker said: {host.stderr()}") from error


if __name__ == "__main__":
    print(run(sys.argv[1], float(sys.argv[2])), "rounds of the worker library")
