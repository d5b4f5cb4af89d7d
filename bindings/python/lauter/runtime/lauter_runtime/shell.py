# SPDX-License-Identifier: Apache-2.0
"""Other programs from a cell: `!command`, `x = !command`, `%%bash` and its kin."""

import os
import re
import subprocess
import sys

from . import streams
from .interrupt import load


def shell(command):
    """`!command`: output goes where the cell's does."""
    frame = sys._getframe(1)
    frame.f_globals["_exit_code"] = run(shell_of(expanded(command, frame)))


def captured(command):
    """`x = !command`: its output as a list of lines."""
    frame = sys._getframe(1)
    done = subprocess.run(shell_of(expanded(command, frame)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    frame.f_globals["_exit_code"] = done.returncode
    return done.stdout.decode("utf-8", "replace").splitlines()


def shell_of(command):
    """The arguments that have a shell run a command line."""
    return ["/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh", "-c", command]


def run(arguments, text=None):
    """Run a program, with `text` as its standard input, and return its status."""
    streams.flush()
    source = {"stdin": subprocess.DEVNULL} if text is None else {"input": text.encode("utf-8", "surrogateescape")}
    if not streams.are_redirected():
        return subprocess.run(arguments, **source).returncode
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **source)
    sys.stdout.write(done.stdout.decode("utf-8", "replace"))
    sys.stderr.write(done.stderr.decode("utf-8", "replace"))
    return done.returncode


def script(program):
    """The cell magic that has a program run the cell's other lines."""

    def magic(argument, text, frame):
        words = program + load("shlex").split(argument)
        if not words:
            raise ValueError("%%script needs a program")
        for word in words:
            if word in ("--bg", "--out", "--err", "--proc", "--no-raise-error"):
                raise ValueError("%s is not known here; use subprocess for it" % word)
        status = run(words, text)
        frame.f_globals["_exit_code"] = status
        if status:
            raise subprocess.CalledProcessError(status, text.encode("utf-8", "surrogateescape"))

    return magic


def expanded(command, frame):
    """`{expression}` and `$name` filled in, where they mean something in Python; the shell gets the rest."""
    names = dict(frame.f_globals)
    names.update(frame.f_locals)

    def braces(found):
        try:
            return str(eval(found.group(1), names))
        except Exception:
            return found.group(0)

    def dollar(found):
        name = found.group(1)
        return str(names[name]) if name in names else found.group(0)

    command = re.sub(r"(?<!\$)\{([^{}]+)\}", braces, command)
    return re.sub(r"(?<![\\$])\$([A-Za-z_]\w*)", dollar, command)
