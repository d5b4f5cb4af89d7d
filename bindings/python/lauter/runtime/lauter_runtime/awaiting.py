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
    # All of a cell runs within the loop if any of it awaits: asyncio.create_task() beside an `await` must work.
    for code in codes:
        value = eval(code, namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
    return value


def run(codes, namespace):
    """Run a cell to its end and return its value, or raise what it raised."""
    global _loop
    if _loop is None or _loop.is_closed():
        _loop = asyncio.new_event_loop()
    asyncio.set_event_loop(_loop)
    loop = _loop
    task = None
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
        task = loop.create_task(_cell(codes, namespace))
        if cancelled:
            task.cancel()
        _drive(loop, task)
    except BaseException:
        # Raised in a callback or in another task, which ended the loop with ours unfinished.
        if task is not None and not task.done():
            task.cancel()
            _drive(loop, task)
        if task is not None and not task.cancelled():
            task.exception()  # or asyncio complains that nobody has looked at it
        raise
    finally:
        interrupt.redirect = None
    if not task.cancelled():
        error = task.exception()
        if error is not None:
            raise error
        return task.result()
    try:
        return task.result()
    except asyncio.CancelledError as error:
        if not cancelled:
            raise
        # Before 3.11 the place where it was is only known to the first of a chain.
        while isinstance(error.__context__, asyncio.CancelledError):
            error = error.__context__
        raise KeyboardInterrupt().with_traceback(error.__traceback__) from None


def _drive(loop, task):
    # Not run_until_complete(task): it would raise the task's error with frames of its own.
    stop = lambda _: loop.stop()
    task.add_done_callback(stop)
    try:
        while not task.done():
            loop.run_forever()
    finally:
        task.remove_done_callback(stop)


_OURS = (run.__code__, _drive.__code__)
