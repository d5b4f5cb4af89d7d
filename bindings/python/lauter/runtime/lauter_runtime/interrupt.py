# SPDX-License-Identifier: Apache-2.0
"""Interrupts that hit the call they were aimed at, or nothing (docs/protocol.md, "The control page and interrupts").

Python runs signal handlers in the main thread, between any two instructions: of the user's code, or of ours. The
handler raises only where that is harmless:

- no call is marked: the signal was meant for a call that has ended, nothing happens;
- the interrupted frame is `aimed` itself, which clears the mark: the call is over, nothing happens;
- the main thread is in a *critical* section (half a frame is written, say): the raise is put off to its end, except
  in the functions registered with `harmless_while_critical`, which do nothing but sleep.
"""

import _signal
import _thread
import mmap
import sys

_SIGINT = int(_signal.SIGINT)
_PAGE_SIZE = 4096
_PAGE_MAGIC = 0x5254554C

_ids = None  # the page as u64s
_counts = None  # the page as u32s
_slots = 0

_running = 0  # the call that runs: its id, or 0. Setting it is the mark.
_slot = 0
_claimed = 0

_main = _thread.get_ident()  # where Python runs signal handlers
_critical = 0  # of the main thread
_deferred = False  # an interrupt waits for the end of the critical section
_waiting = []  # so do these signal handlers of the user's
_sleepers = set()
_HOOK = None
_is_child = False

redirect = None
"""While a top-level await runs: a function that takes the interrupted frame and says whether it has seen to the
interrupt in another way (True), because a raise there would break the event loop."""

from_handler = None
"""The exception that a signal handler of the user's raised last, while its call runs."""


def open_page(descriptor):
    """Map the control page. Its absence is a broken host: ValueError."""
    global _ids, _counts, _slots
    page = mmap.mmap(descriptor, _PAGE_SIZE, mmap.MAP_SHARED, mmap.PROT_READ)
    view = memoryview(page)
    _ids = view.cast("Q")
    _counts = view.cast("I")
    if _counts[0] != _PAGE_MAGIC or _counts[1] & 0xFFFF != 1:
        raise ValueError("descriptor 4 is not a control page of version 1")
    _slots = min(_counts[1] >> 16, _PAGE_SIZE // 16)


def install():
    """Take SIGINT. Also undoes what a call did to it: an idle worker must survive any signal."""
    if _signal.getsignal(_SIGINT) is not _on_signal:
        _signal.signal(_SIGINT, _on_signal)


def running():
    """The id of the call that is marked, or 0."""
    return _running


def _claim():
    global _claimed
    if 0 < _slot < _slots and _ids[2 * _slot] == _running:
        requests = _counts[4 * _slot + 2]
        if requests > _claimed:
            _claimed = requests
            return True
    return False


def may_raise(frame):
    """Whether a signal handler that interrupted this frame may raise: the call's code runs, and not our own."""
    if _is_child:
        return True
    if not _running or frame is None or frame.f_code is _AIMED or frame.f_code is _HOOK:
        return False
    return not _critical or frame.f_code in _sleepers


def put_off(handler, number, frame):
    """Call a signal handler when the critical section ends. False if there is none."""
    if not _critical:
        return False
    _waiting.append((handler, number, frame))
    return True


def _on_signal(number, frame):
    global _deferred
    if not may_raise(frame):
        # Within a critical section it is not too late: to be looked at when that ends.
        _deferred = True
        return
    if _claim() and not (redirect is not None and redirect(frame)):
        raise KeyboardInterrupt


def again():
    """Give back the interrupt that was just claimed: it is delivered once more, a moment later."""
    global _claimed
    _claimed -= 1
    try:
        # From another thread: a signal raised here would land in this very function.
        _thread.start_new_thread(_deliver, (_running,))
    except RuntimeError:
        pass  # no thread to be had: the host's next interrupt will do


def _deliver(call):
    from os import getpid, kill
    from time import sleep

    while True:
        sleep(0.001)
        if _running != call or not 0 < _slot < _slots or _counts[4 * _slot + 2] <= _claimed:
            return
        kill(getpid(), _SIGINT)


def watch_lost():
    """Deliver again what Python swallows: an interrupt that lands in a `__del__` or a weak reference's callback."""
    previous = sys.unraisablehook

    def hook(lost):
        if lost.exc_type is KeyboardInterrupt and _running and _claimed and _thread.get_ident() == _main:
            again()
        else:
            previous(lost)

    global _HOOK
    _HOOK = hook.__code__
    sys.unraisablehook = hook


def harmless_while_critical(function):
    """Decorator: in this function's own frame an interrupt is raised even within a critical section."""
    _sleepers.add(function.__code__)
    return function


def enter_critical():
    """Put interrupts off. Nests. Other threads than the main one are never interrupted."""
    global _critical
    if _thread.get_ident() == _main:
        _critical += 1


def leave_critical():
    """End a critical section, and raise the interrupt that was put off if its call still runs."""
    global _critical, _deferred
    if _thread.get_ident() != _main:
        return
    _critical -= 1
    if _critical:
        return
    while _waiting:
        handler, number, frame = _waiting.pop(0)
        handler(number, frame)
    if _deferred:
        _deferred = False
        if _running and _claim():
            raise KeyboardInterrupt


def is_main():
    """Whether this is the thread where Python runs signal handlers."""
    return _thread.get_ident() == _main


def settle():
    """What was put off happens now: within a critical section, of the main thread, where only a sleep follows."""
    global _critical, _deferred
    if not _deferred and not _waiting:
        return
    inner, _critical = _critical, 0
    try:
        while _waiting:
            handler, number, frame = _waiting.pop(0)
            handler(number, frame)
        if _deferred:
            _deferred = False
            if _running and _claim():
                raise KeyboardInterrupt
    finally:
        _critical = inner


def load(name):
    """Import a module, wholly or not at all: an interrupt on the way would leave half a module behind for ever.

    A name that begins with a dot is a module of ours.
    """
    if name[0] == ".":
        name = __package__ + name
    enter_critical()
    try:
        __import__(name)
        return sys.modules[name]
    finally:
        leave_critical()


def _marked(call, slot, function, arguments):
    global _running, _slot, _claimed, _deferred
    _slot = slot
    _claimed = 0
    _deferred = False
    _running = call
    try:
        # A request from before the mark: its signal found nothing to claim, so look now.
        if _claim():
            raise KeyboardInterrupt
        return function(*arguments)
    finally:
        install()


def aimed(call, slot, function, *arguments):
    """Run `function(*arguments)` as the call `call`: interrupts aimed at it raise KeyboardInterrupt in there.

    Returns `(value, None)` or `(None, error)`. When it returns, the mark is cleared and no interrupt can raise.
    """
    global _running, _critical, redirect, from_handler
    value = error = None
    try:
        value = _marked(call, slot, function, arguments)
    except BaseException as raised:
        error = raised
    _running = 0
    _critical = 0
    redirect = from_handler = None
    # Again: a handler of the user's may have raised before `_marked` took SIGINT back.
    install()
    return value, error


_AIMED = aimed.__code__


def in_forked_child():
    """A child of the worker is an ordinary process: Ctrl-C means there what it means anywhere."""
    global _running, _is_child, _critical
    _running = _critical = 0
    _is_child = True
    try:
        _signal.signal(_SIGINT, _signal.default_int_handler)
    except ValueError:
        pass  # forked from a thread: there our handler, without a mark, does nothing
