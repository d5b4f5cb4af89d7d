# SPDX-License-Identifier: Apache-2.0
"""Top-level `await`: one event loop that lives as long as the worker, and runs while a cell awaits."""

import asyncio
import asyncio.base_events
import inspect
import os
import selectors

from . import interrupt

_loop = None
_INTERNALS = os.path.dirname(asyncio.__file__) + os.sep
_SELECTORS = selectors.__file__


async def _cell(codes, namespace):
    """A cell's value and None, or None and what it raised: a task that fails has asyncio add its own ado."""
    # All of a cell runs within the loop if any of it awaits: asyncio.create_task() beside an `await` must work.
    try:
        for code in codes:
            value = eval(code, namespace)
            if code.co_flags & inspect.CO_COROUTINE:
                value = await value
        return value, None
    except BaseException as error:
        return None, error


def run(codes, namespace):
    """Run a cell to its end and return its value, or raise what it raised."""
    global _loop
    loop = task = None
    cancelled = False

    def redirect(frame):
        nonlocal cancelled
        # Busy user code is interrupted where it is; a loop that sleeps or is about its own business cancels the cell.
        if frame.f_code is _cell.__code__:
            # Here a coroutine may have been made and not been awaited yet.
            interrupt.again()
            return True
        while frame.f_code not in _OURS:
            name = frame.f_code.co_filename
            frame = frame.f_back
            if frame is None or not (name.startswith(_INTERNALS) or name == _SELECTORS):
                return False
        cancelled = True
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)
        return True

    interrupt.redirect = redirect
    try:
        interrupt.enter_critical()
        try:
            if _loop is None or _loop.is_closed():
                _loop = asyncio.new_event_loop()
            loop = _loop
            asyncio.set_event_loop(loop)
            task = loop.create_task(_cell(codes, namespace))
        finally:
            interrupt.leave_critical()
        if cancelled:
            task.cancel()  # asked for before there was a task
        _drive(loop, task)
    except BaseException:
        # Raised in a callback or in another task, which ended the loop with ours unfinished.
        if task is not None and not task.done():
            task.cancel()
            _drive(loop, task)
        raise
    finally:
        interrupt.redirect = None
    if task.cancelled():
        raise KeyboardInterrupt  # before it had begun
    value, error = task.result()
    if error is None:
        return value
    if cancelled and isinstance(error, asyncio.CancelledError):
        raise KeyboardInterrupt().with_traceback(error.__traceback__) from None
    raise error


def _drive(loop, task):
    # Not run_until_complete(task): that raises, where the loop was stopped by somebody else.
    stop = lambda _: loop.stop()
    task.add_done_callback(stop)
    try:
        while not task.done():
            loop.run_forever()
    finally:
        task.remove_done_callback(stop)


_OURS = (run.__code__, _drive.__code__)
