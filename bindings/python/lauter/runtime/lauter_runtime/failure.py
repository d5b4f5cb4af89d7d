# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the user's code as failures: name, message, traceback without our frames, and a note on the policy."""

import builtins
import sys
import traceback

from . import FOLDER, cells, interrupt
from .interrupt import load
from .wire import FAILURE, NAME_MAX

NOTE = "application/vnd.lauter.note"
_TEXT_MAX = 1 << 16
_CAUSE, _CONTEXT = BaseException.__cause__, BaseException.__context__
_SUPPRESS = BaseException.__suppress_context__
_GROUP = getattr(builtins, "BaseExceptionGroup", None)
_HEADER = "Traceback (most recent call last):\n"


def answer(error):
    """The kind, name and parts of the failure that tells `error`."""
    if _is_in_chain(error, MemoryError):
        _free_memory_of(error)
    else:
        _remember_for_debugger(error)
    text = message(error)
    name = type(error).__name__
    trace = traceback_text(error)
    note = _note(error)
    if note:
        trace += "note: %s\n" % note
    parts = [("text/plain", _encode(text)), ("text/x-traceback", _encode(trace))]
    if note:
        parts.append((NOTE, _encode(note)))
    return FAILURE, _encode(name)[:NAME_MAX].decode("utf-8", "ignore"), parts


def message(error):
    """str(error), whatever it does."""
    try:
        return _shortened(str(error))
    except Exception:
        return "<exception str() failed>"


def traceback_text(error):
    """The traceback as text, with cells' lines, without frames of the runtime, plain."""
    try:
        formatted = traceback.TracebackException(type(error), error, error.__traceback__)
        _leave_out_our_frames(formatted, set())
        text = "".join(formatted.format())
    except Exception as second:
        # A class that breaks traceback itself (__cause__ as a property that raises, say).
        text = "%s: %s\n(its traceback cannot be shown: %s)\n" % (
            type(error).__name__,
            message(error),
            type(second).__name__,
        )
    if text.startswith(_HEADER) and not text.startswith(_HEADER + "  "):
        text = text[len(_HEADER) :]
    return _shortened(text)


def complain():
    """In an `except`: tell on standard error what does not fail the call, a `_repr_html_` that raised, say.

    What a signal handler raised meanwhile is another matter, and goes on.
    """
    error = sys.exc_info()[1]
    if error is interrupt.from_handler:
        raise error
    print_to_stderr(error)


def print_to_stderr(error):
    """Write an exception's traceback to standard error, if that is possible."""
    try:
        sys.stderr.write(traceback_text(error))
    except Exception:
        pass


def _encode(text):
    return text.encode("utf-8", "backslashreplace")


def _shortened(text):
    if len(text) <= _TEXT_MAX:
        return text
    half = _TEXT_MAX // 2
    return "%s\n… %d characters left out …\n%s" % (text[:half], len(text) - 2 * half, text[-half:])


def _remember_for_debugger(error):
    # As an interactive interpreter does, for pdb.pm().
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    sys.last_exc = error


def _leave_out_our_frames(formatted, seen):
    if formatted is None or id(formatted) in seen:
        return
    seen.add(id(formatted))
    stack = formatted.stack
    if stack is not None:
        first = next((i for i, frame in enumerate(stack) if frame.filename in cells.sources), 0)
        if all(_is_machinery(frame.filename) for frame in stack[:first]):
            del stack[:first]
        stack[:] = [frame for frame in stack if not frame.filename.startswith(FOLDER)]
    _leave_out_our_frames(formatted.__cause__, seen)
    _leave_out_our_frames(formatted.__context__, seen)
    for each in getattr(formatted, "exceptions", None) or ():
        _leave_out_our_frames(each, seen)


def _is_machinery(filename):
    # Between us and a cell that awaits there is the event loop.
    return filename.startswith(FOLDER) or "/asyncio/" in filename


def chain(error):
    """An exception and those that it came from, each once, nearest first."""
    seen = []
    todo = [error]
    while todo and len(seen) < 50:
        error = todo.pop(0)
        if error is None or any(error is each for each in seen):
            continue
        seen.append(error)
        # By the base class: what a class of the user's makes of these names could raise.
        cause = _CAUSE.__get__(error)
        todo.append(cause if cause is not None or _SUPPRESS.__get__(error) else _CONTEXT.__get__(error))
        if _GROUP is not None and isinstance(error, _GROUP):
            todo.extend(_GROUP.exceptions.__get__(error))
    return seen


def _is_in_chain(error, kind):
    return any(isinstance(each, kind) for each in chain(error))


def _free_memory_of(error):
    # Their frames hold what filled the memory, and nothing can run while they do: not even what comes next here.
    for each in chain(error):
        trace = each.__traceback__
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(FOLDER):
                try:
                    trace.tb_frame.clear()
                except RuntimeError:
                    pass  # still running
            trace = trace.tb_next
    sys.last_type = sys.last_value = sys.last_traceback = sys.last_exc = None


def _note(error):
    if isinstance(error, (KeyboardInterrupt, SystemExit, SyntaxError)):
        return ""
    try:
        return load(".notes").note_on(chain(error))
    except Exception:
        # A note is a courtesy: what goes wrong in finding one must not hide the failure.
        return ""
