# SPDX-License-Identifier: Apache-2.0
"""What is started in a worker's sandbox."""

from __future__ import annotations

import os
import sys
from ctypes import byref, c_void_p
from typing import Any, List, Optional, Sequence, Tuple, Union

from ._native import call, encoded, lib

_STREAMS = ("forward", "inherit", "discard")


class Launch:
    """The library's launch, for as long as this is kept."""

    def __init__(self, kind: str, properties: Sequence[Tuple[str, str]]) -> None:
        self.handle = c_void_p()
        call(lib.lauter_launch_new, kind.encode(), byref(self.handle))
        for name, value in properties:
            call(lib.lauter_launch_set, self.handle, name.encode(), encoded(value, name))

    def __del__(self, free: Any = lib.lauter_launch_free) -> None:
        if self.handle:
            free(self.handle)


def milliseconds(seconds: float, what: str) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
        raise ValueError("%s is a number of seconds greater than 0, not %r" % (what, seconds))
    return "%dms" % max(1, round(seconds * 1000))


def launch_of(
    *,
    command: Optional[Sequence[Union[str, "os.PathLike[str]"]]],
    python: Union[None, str, "os.PathLike[str]"],
    cwd: Union[None, str, "os.PathLike[str]"],
    name: Optional[str],
    stdin: bool,
    stdout: Any,
    stderr: Any,
    ready_timeout: float,
    interrupt_grace: float,
) -> Launch:
    """The launch that a worker's arguments describe."""
    properties: List[Tuple[str, str]] = []
    if command is not None:
        if isinstance(command, str) or not command:
            raise TypeError("command is a program and its arguments: a list of str, not %r" % (command,))
        properties += [("argument", os.fspath(word)) for word in command]
    else:
        interpreter = os.fspath(python) if python is not None else sys.executable
        if interpreter:
            properties.append(("interpreter", os.path.abspath(os.path.expanduser(interpreter))))
    if cwd is not None:
        properties.append(("directory", os.fspath(cwd)))
    if name is not None:
        properties.append(("label", name))
    if stdin:
        properties.append(("stdin", "pipe"))
    for stream, choice in (("stdout", stdout), ("stderr", stderr)):
        if isinstance(choice, str):
            if choice not in _STREAMS:
                raise ValueError("%s is one of %s, a file or a function, not %r" % (stream, ", ".join(_STREAMS), choice))
            if choice != "forward":
                properties.append((stream, "null" if choice == "discard" else choice))
        elif not callable(choice) and not hasattr(choice, "write"):
            raise TypeError("%s is text, a file or a function, not %s" % (stream, type(choice).__name__))
    properties.append(("ready-timeout", milliseconds(ready_timeout, "ready_timeout")))
    properties.append(("interrupt-grace", milliseconds(interrupt_grace, "interrupt_grace")))
    return Launch("python" if command is None else "worker", properties)
