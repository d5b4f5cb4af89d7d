# SPDX-License-Identifier: Apache-2.0
"""Signal handlers of the user's code, kept out of the runtime's own work.

A handler runs between any two instructions of the main thread, and many raise (an alarm that ends what takes too
long). Raised while a frame is half written, or while the worker is idle, that would be the worker's end. So handlers
are installed behind a gate: while a cell's code runs they do what they always do; within a critical section they wait
for its end; and when no call runs their exceptions are told on standard error and go no further.
"""

import functools
import time

from . import interrupt

_told = float("-inf")


class _Gate:
    def __init__(self, handler):
        self.handler = handler

    def __call__(self, number, frame):
        if interrupt.may_raise(frame):
            try:
                return self.handler(number, frame)
            except BaseException as error:
                interrupt.from_handler = error
                raise
        if interrupt.put_off(self, number, frame):
            return None
        try:
            return self.handler(number, frame)
        except SystemExit:
            raise  # a handler of SIGTERM that cleans up and ends the worker
        except BaseException as error:
            _tell(error)


def _tell(error):
    """Say it, but not more than once a second: a timer that fires faster than that leaves no time for anything else."""
    global _told
    now = time.monotonic()
    if now - _told >= 1:
        _told = now
        error.__context__ = None
        interrupt.load(".failure").print_to_stderr(error)


def _bare(handler):
    return handler.handler if isinstance(handler, _Gate) else handler


def after_import(module):
    """Put the gate into the module `signal`."""
    install, current = module.signal, module.getsignal

    @functools.wraps(install)
    def signal(signalnum, handler):
        if callable(handler) and not isinstance(handler, (int, _Gate)):
            handler = _Gate(handler)
        return _bare(install(signalnum, handler))

    @functools.wraps(current)
    def getsignal(signalnum):
        return _bare(current(signalnum))

    module.signal, module.getsignal = signal, getsignal
