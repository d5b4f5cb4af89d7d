# SPDX-License-Identifier: Apache-2.0
"""Futures of a worker's calls."""

from __future__ import annotations

import concurrent.futures
from typing import Any, Callable, List, Optional, TypeVar

from . import _errors
from ._host import Call, Host
from ._native import Part

T = TypeVar("T")


class Future(concurrent.futures.Future):  # type: ignore[type-arg]
    """What a call will come to. There is no thread behind it: it is the thread in `result()` or `exception()` that waits for the worker,
    or any that waits for something of the same worker. `concurrent.futures.wait()` and `as_completed()` do not know that: for these there
    is `lauter.Executor`.
    """

    def __init__(self, call: Call, decode: Callable[[List[Part]], Any]) -> None:
        super().__init__()
        self._call = call
        self._decode = decode
        call.on_done = self._on_done

    def _on_done(self, call: Call) -> None:
        if not self.set_running_or_notify_cancel():
            return
        error = call.error
        result: Any = None
        if error is None:
            try:
                result = self._decode(call.parts)
            except Exception as undecodable:
                error = undecodable
        call.parts = []
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(result)

    def interrupt(self) -> None:
        """Ask the call to stop, as Ctrl-C would. It hits this call or nothing; `result()` tells what came of it."""
        self._call.interrupt()

    def cancel(self) -> bool:
        """Drop the call, and interrupt it if it runs. False if it has ended already."""
        if not super().cancel():
            return False
        self._call.interrupt()
        self._call.abandon()
        self.set_running_or_notify_cancel()
        return True

    def running(self) -> bool:
        """Whether it has not ended: a worker does not say which of its calls it has begun."""
        return not self.done()

    def done(self) -> bool:
        """Whether it has ended. Looks what has come, without waiting."""
        if not super().done() and self._call.host.handle:
            self._call.host.dispatch()
        return super().done()

    def _wait(self, timeout: Optional[float]) -> None:
        if not self._call.host.wait_for(self._call, timeout):
            raise _errors.TimeoutError("the call is not done after %g s" % (timeout or 0))

    def result(self, timeout: Optional[float] = None) -> Any:
        """Wait for what it returns.

        Raises:
            lauter.TimeoutError: not done after `timeout` seconds; the call goes on.
            RemoteError: it raised that.
            WorkerDied: the worker ended before it did.
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Wait for what it raises; None if it returns."""
        self._wait(timeout)
        return super().exception(0)


def wait_for(call: Call, host: Host) -> List[Part]:
    """Wait for a call and give its parts. Ctrl-C here interrupts it there, and drops it."""
    try:
        host.wait_for(call)
    except BaseException:
        if not call.is_done and host.handle:
            try:
                call.interrupt()
                call.abandon()
            except _errors.Error:
                pass  # it is gone
        raise
    if call.error is not None:
        raise call.error
    return call.parts


