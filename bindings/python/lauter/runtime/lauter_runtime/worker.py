# SPDX-License-Identifier: Apache-2.0
"""The worker's life: greet, be ready, execute one call after the other in the main thread, exit."""

import os
import sys

from . import interrupt
from .session import Session
from .wire import CALL, FAILURE

session = None
"""The session of this process: None until main() runs."""

_SESSION, _PAGE = 3, 4


def main():
    """Serve until the host says stop. Returns then: the interpreter ends as it always does, with atexit handlers."""
    global session
    try:
        for descriptor in (_SESSION, _PAGE):
            os.set_inheritable(descriptor, False)
        interrupt.open_page(_PAGE)
    except (OSError, ValueError) as error:
        sys.exit("lauter: descriptors 3 and 4 are not what a host hands over: %s" % error)
    os.close(_PAGE)
    session = Session(_SESSION, _at_end)
    session.greet()
    _become_main()
    interrupt.install()
    os.register_at_fork(before=_before_fork, after_in_child=_in_forked_child)
    session.ready()
    # The host is about to hear of it and to send the first call: use that time.
    from . import execute, streams

    streams.set_up()
    _tell_crashes()
    execute.set_up()
    interrupt.watch_lost()
    verbs = {"execute": execute.execute, "call": execute.call_function}
    while True:
        message = session.next()
        if message.kind != CALL:
            break
        _serve(message, verbs.get(message.name), streams)
    streams.flush()


def _serve(call, verb, streams):
    session.open_call = call.id
    if verb is None:
        answer = _failure("UnknownVerb", "this runtime does not know the verb %r" % call.name)
    elif call.parts is None:
        answer = _failure("MemoryError", "no memory for the parts of the call")
    else:
        answer, error = interrupt.aimed(call.id, call.slot, verb, call)
        if os.getpid() != session.process:
            os._exit(1)  # a forked child that was interrupted on its way out
        if error is not None:
            answer = _last_resort(error)
    del call
    streams.repair()
    streams.flush()
    kind, name, parts = answer
    try:
        session.answer(kind, session.open_call, name, parts)
    except (ValueError, MemoryError) as error:
        kind, name, parts = _last_resort(error)
        session.answer(kind, session.open_call, name, parts)


def _failure(name, text):
    text = text.encode("utf-8", "backslashreplace")
    trace = name.encode() + b": " + text if text else name.encode()
    return FAILURE, name, [("text/plain", text), ("text/x-traceback", trace + b"\n")]


def _last_resort(error):
    """A failure without anything that could fail again: an interrupt while a failure was told, or no memory left."""
    name = type(error).__name__[:60]
    try:
        text = str(error)[:1000]
    except Exception:
        text = ""
    return _failure(name, text)


def _become_main():
    """Make a fresh `__main__`: pickle, multiprocessing and `__name__` find the user's namespace there.

    It has no `__file__` and no `__spec__`, so that multiprocessing's spawn does not run the runtime again.
    """
    module = type(sys)("__main__")
    module.__builtins__ = sys.modules["builtins"]
    module.__package__ = None
    sys.modules["__main__"] = module
    sys.argv[0] = ""


def _tell_crashes():
    # A crash in C code leaves Python's stack on standard error, whose end is in the exit report.
    import faulthandler

    try:
        faulthandler.enable(2)
    except (OSError, RuntimeError, ValueError):
        pass


def _at_end():
    streams = sys.modules.get(__package__ + ".streams")
    if streams is not None:
        streams.flush()


def _before_fork():
    # What is buffered would be written twice.
    streams = sys.modules.get(__package__ + ".streams")
    if streams is not None:
        streams.flush()


def _in_forked_child():
    session.in_forked_child()
    interrupt.in_forked_child()
