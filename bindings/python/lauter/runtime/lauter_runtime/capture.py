# SPDX-License-Identifier: Apache-2.0
"""`%%capture`: what a cell prints and displays is kept in a variable instead of being shown."""

import io
import sys

from . import display
from .interrupt import load

_FIGURES = __package__ + ".figures"

_running = None


class Captured:
    """What a cell printed and displayed."""

    def __init__(self):
        self._texts = {"stdout": io.StringIO(), "stderr": io.StringIO()}
        self.outputs = []

    stdout = property(lambda self: self._texts["stdout"].getvalue(), doc="What was written to standard output.")
    stderr = property(lambda self: self._texts["stderr"].getvalue(), doc="What was written to standard error.")

    def __str__(self):
        return self.stdout

    def show(self):
        """Show all of it after all."""
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)
        for data, metadata in self.outputs:
            display.publish_display_data(data, metadata)

    __call__ = show


def start(argument, frame):
    """Begin, as `%%capture [--no-stdout] [--no-stderr] [--no-display] [name]` says."""
    global _running
    words = load("shlex").split(argument)
    options = {word for word in words if word.startswith("-")}
    names = [word for word in words if word not in options]
    unknown = options - {"--no-stdout", "--no-stderr", "--no-display"}
    if unknown or len(names) > 1 or not all(name.isidentifier() for name in names):
        raise ValueError("%%capture [--no-stdout] [--no-stderr] [--no-display] [name]")
    finish()
    captured = Captured()
    saved = {}
    for name, text in captured._texts.items():
        if "--no-" + name not in options:
            saved[name] = getattr(sys, name)
            setattr(sys, name, text)
    if "--no-display" not in options:
        display.sink = lambda data, metadata: captured.outputs.append((data, metadata))
    if names:
        frame.f_globals[names[0]] = captured
    _running = saved


def finish():
    """End, if something began: the cell is over."""
    global _running
    if _running is None:
        return
    try:
        if display.sink is not None and _FIGURES in sys.modules:
            sys.modules[_FIGURES].publish(None)
    finally:
        saved, _running = _running, None
        display.sink = None
        for name, stream in saved.items():
            setattr(sys, name, stream)
