# SPDX-License-Identifier: Apache-2.0
"""Standard output and standard error: pipes of the host's, shared with C code and with children.

Python's own layer on top of them writes at each line, so that what is printed is seen while a cell runs, and holds
nothing back when an answer is sent. C's stdio is unbuffered when the interpreter is started with `-u`; otherwise it
is flushed where ctypes is loaded anyway, because loading it costs a third of a start.
"""

import os
import sys

from . import interrupt

_ours = [None, None]
_saved = [-1, -1]
_c_flush = None
_c_is_unbuffered = False


def set_up():
    """Take over sys.stdout and sys.stderr, and keep a way back to descriptors 1 and 2."""
    global _c_is_unbuffered
    for index, name in enumerate(("stdout", "stderr")):
        stream = getattr(sys, name)
        if hasattr(getattr(stream, "buffer", None), "raw"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        else:
            # Started with -u: there each piece of a line would be a write(2) of its own.
            _restore(index, name)
            _c_is_unbuffered = True
        _ours[index] = getattr(sys, name)
        try:
            _saved[index] = os.dup(index + 1)
        except OSError:
            pass


def _restore(index, name):
    try:
        stream = open(
            index + 1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
    except OSError:
        return
    setattr(sys, name, stream)
    setattr(sys, "__%s__" % name, stream)
    _ours[index] = stream


def flush():
    """Write out what Python holds back. A closed pipe is no error here; what a signal handler raises goes on."""
    for stream in {getattr(sys, "stdout", None), getattr(sys, "stderr", None), *_ours}:
        try:
            stream.flush()
        except Exception as error:
            if error is interrupt.from_handler:
                raise
    if not _c_is_unbuffered and "ctypes" in sys.modules:
        _flush_c()


def _flush_c():
    global _c_flush
    try:
        if _c_flush is None:
            import ctypes

            _c_flush = ctypes.CDLL(None).fflush
        _c_flush(None)
    except Exception:
        pass


def are_redirected():
    """Whether Python's streams lead elsewhere than the descriptors that a child would write to."""
    return sys.stdout is not _ours[0] or sys.stderr is not _ours[1]


def repair():
    """Give the next call streams that work, if this one closed them."""
    for index, name in enumerate(("stdout", "stderr")):
        try:
            os.fstat(index + 1)
        except OSError:
            # Left closed, the next file that is opened would become standard output.
            try:
                os.dup2(_saved[index], index + 1)
            except OSError:
                pass
        if not _is_open(getattr(sys, name, None)):
            _restore(index, name)


def _is_open(stream):
    try:
        return stream is not None and not getattr(stream, "closed", False)
    except ValueError:
        return False  # detached
