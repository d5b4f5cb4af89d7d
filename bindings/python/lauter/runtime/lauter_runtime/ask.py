# SPDX-License-Identifier: Apache-2.0
"""What a worker asks its host: `input` and `getpass`."""

import builtins
import sys

from . import streams, worker
from .wire import RESULT

_python_input = builtins.input
_stdin = sys.stdin


def input(prompt="", /):
    """Ask the person at the notebook for a line. EOFError if there is nobody to ask."""
    if sys.stdin is not _stdin:
        # The user's code has put something of its own there to read from.
        return _python_input(prompt)
    return _ask(prompt, [])


def getpass(prompt="Password: ", stream=None, **_):
    """Ask the person at the notebook for a password. EOFError if there is nobody to ask."""
    return _ask(prompt, [("application/vnd.lauter.metadata+json", b'{"secret":true}')])


def _ask(prompt, metadata):
    streams.flush()
    prompt = str(prompt).encode("utf-8", "backslashreplace")
    answer = worker.session.call("input", [("text/plain", prompt)] + metadata)
    if answer is None:
        raise EOFError("a forked process cannot ask for input")
    text = str(answer.parts[0][1], "utf-8", "replace") if answer.parts else ""
    if answer.kind != RESULT:
        raise EOFError(text or "there is nobody to ask for input")
    return text[:-1] if text.endswith("\n") else text


def check(word, value, timeout):
    """Ask whether the policy allows something: what would allow it, or "" if it is allowed or nobody says."""
    parts = [("text/plain", word.encode()), ("text/plain", value.encode("utf-8", "surrogateescape"))]
    answer = worker.session.call("lauter.check", parts, timeout)
    if answer is None or answer.kind != RESULT or not answer.parts:
        return ""
    return str(answer.parts[0][1], "utf-8", "replace")
