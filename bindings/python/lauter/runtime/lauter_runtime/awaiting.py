# SPDX-License-Identifier: Apache-2.0
"""Top-level `await`: one event loop that lives as long as the worker, and runs while a cell awaits."""

import asyncio
import asyncio.base_events
import os
import selectors

from . import interrupt

_loop = None
_INTERNALS = os.path.dirname(asyncio.__file__) + os.sep
_SELECTORS = selectors.__file__


def run(coroutine):
    """Run a cell's coroutine to its end and return its value, or raise what it raised."""
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
    asyncio.set_event_loop(_loop)
    loop = _loop
    task = loop.create_task(coroutine)
    cancelled = False

    def redirect(frame):
        nonlocal cancelled
        # Busy user code is interrupted where it is; a loop that sleeps or is about its own business cancels the cell.
        while frame is not None and frame.f_code is not _drive.__code__:
            name = frame.f_code.co_filename
            if not (name.startswith(_INTERNALS) or name == _SELECTORS):
                return False
            frame = frame.f_back
        cancelled = True
        loop.call_soon_threadsafe(task.cancel)
        return True

    interrupt.redirect = redirect
    try:
        _drive(loop, task)
    except BaseException:
        # Raised in a callback or in another task, which ended the loop with ours unfinished.
        if not task.done():
            task.cancel()
            _drive(loop, task)
        if not task.cancelled():
            task.exception()  # it has been looked at
        raise
    finally:
        interrupt.redirect = None
    if task.cancelled():
        if cancelled:
            raise KeyboardInterrupt
        raise asyncio.CancelledError
    error = task.exception()
    if error is not None:
        raise error
    return task.result()


def _drive(loop, task):
    # Not run_until_complete(task): it would raise the task's error with frames of its own.
    stop = lambda _: loop.stop()
    task.add_done_callback(stop)
    try:
        while not task.done():
            loop.run_forever()
    finally:
        task.remove_done_callback(stop)
