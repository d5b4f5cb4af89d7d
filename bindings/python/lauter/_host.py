# SPDX-License-Identifier: Apache-2.0
"""A host of the library's: hands its events to the workers and calls that they belong to."""

from __future__ import annotations

import itertools
import os
import threading
import time
import weakref
from ctypes import addressof, byref, c_uint64, c_void_p, memset, sizeof
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Sequence

from . import _errors, _native
from ._native import EVENT, Part, RawEvent, lib

if TYPE_CHECKING:
    from ._base import BaseWorker
    from ._channel import BaseChannel

_SLICE = 500
"""Milliseconds of one sleep. A signal that arrives between a look at it and the sleep waits no longer than that; most end it."""

_INTERRUPTED = -9


class Call:
    """Something that was asked of a worker, until it is answered."""

    __slots__ = ("host", "worker", "id", "cookie", "on_output", "on_done", "is_done", "parts", "error")

    def __init__(self, host: "Host", worker: "BaseWorker") -> None:
        self.host = host
        self.worker = worker
        self.id = 0
        self.cookie = 0
        self.on_output: Optional[Callable[[str, List[Part]], Any]] = None
        self.on_done: Optional[Callable[["Call"], Any]] = None
        self.is_done = False
        self.parts: List[Part] = []
        self.error: Optional[BaseException] = None

    def finish(self, parts: List[Part], error: Optional[BaseException]) -> None:
        self.parts = parts
        self.error = error
        self.is_done = True
        if self.on_done is not None:
            self.on_done(self)

    def interrupt(self) -> None:
        """Ask it to stop. Hits this call or nothing."""
        if not self.is_done:
            _native.call(lib.lauter_call_interrupt, self.host.handle, self.id)

    def abandon(self) -> None:
        """Nothing of it is wanted any more."""
        self.host.calls.pop(self.cookie, None)
        self.is_done = True
        if self.host.handle:
            _native.call(lib.lauter_call_abandon, self.host.handle, self.id)


class Awaited:
    """A descriptor, or why there is none."""

    __slots__ = ("is_done", "descriptor", "error", "on_done")

    def __init__(self) -> None:
        self.is_done = False
        self.descriptor = -1
        self.error: Optional[BaseException] = None
        self.on_done: Optional[Callable[["Awaited"], Any]] = None


def _free(handle: int, process: int) -> None:
    # In a forked child the host is the parent's, and so are its workers.
    if os.getpid() == process:
        lib.lauter_host_free(handle)


class Host:
    """Owns workers, and their events. Any thread may use it; one at a time waits for all of them."""

    def __init__(self) -> None:
        handle = c_void_p()
        _native.call(lib.lauter_host_new, byref(handle))
        self.handle = handle.value or 0
        self.lock = threading.RLock()
        self.process = os.getpid()
        self.calls: Dict[int, Call] = {}
        self.workers: "weakref.WeakValueDictionary[int, BaseWorker]" = weakref.WeakValueDictionary()
        self.channels: "Dict[int, BaseChannel]" = {}
        self.awaited: Dict[int, Awaited] = {}
        self.cookies = itertools.count(1)
        self._event = RawEvent()
        memset(addressof(self._event), 0, sizeof(self._event))
        self._event.size = sizeof(self._event)
        self._look = memoryview(self._event).cast("B")  # type: ignore[arg-type]
        self._event_ref = byref(self._event)
        self._error = c_void_p()
        self._error_ref = byref(self._error)
        self._id = c_uint64()
        self._id_ref = byref(self._id)
        self._finalizer = weakref.finalize(self, _free, self.handle, self.process)

    # ------------------------------------------------------------------------------------------ asking --

    def use(self) -> int:
        """The library's handle; an exception once it is closed, or in a forked child."""
        if not self.handle:
            raise _errors.StateError("the worker was closed")
        return self.handle

    def start(self, worker: "BaseWorker", verb: bytes, parts: Sequence[Part], timeout: Optional[float], call: Call) -> None:
        """Start a call. `timeout` in seconds is the library's to keep."""
        packed = _native.Parts(parts)
        with self.lock:
            call.cookie = next(self.cookies)
            self.calls[call.cookie] = call
            code = lib.lauter_call_start(
                self.use(),
                worker.id,
                0,
                verb,
                packed.array,
                packed.count,
                -1 if timeout is None else max(0, round(timeout * 1000)),
                call.cookie,
                self._id_ref,
                self._error_ref,
            )
            if code < 0:
                del self.calls[call.cookie]
                raise worker.explained(_native.exception(code, self._error.value, owned=True))
            call.id = self._id.value

    # -------------------------------------------------------------------------------------- dispatching --

    def fileno(self) -> int:
        """Polls readable while dispatch() has something to do."""
        return int(lib.lauter_host_fd(self.use()))

    def dispatch(self) -> int:
        """Handle every event that has come, without waiting: how many."""
        count = 0
        with self.lock:
            while self._next():
                count += 1
        return count

    def wait_for(self, thing: Any, timeout: Optional[float] = None) -> bool:
        """Handle events until `thing.is_done`; False if it is not when the time is up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not thing.is_done:
            with self.lock:
                if thing.is_done:
                    break
                left = _SLICE
                if deadline is not None:
                    left = min(left, max(0, int((deadline - time.monotonic()) * 1000 + 0.999)))
                code = lib.lauter_host_wait(self.use(), left, self._error_ref)
                if code > 0:
                    self._next()
                elif code < 0:
                    error = _native.exception(code, self._error.value, owned=True)
                    if code != _INTERRUPTED:
                        raise error
                elif deadline is not None and time.monotonic() >= deadline:
                    return bool(thing.is_done)
        return True

    def _next(self) -> bool:
        """Take and handle one event. One whose handling was cut short, by Ctrl-C, comes again."""
        if self._event.kind == 0:
            code = lib.lauter_host_next(self.use(), self._event_ref, self._error_ref)
            if code < 0:
                raise _native.exception(code, self._error.value, owned=True)
            if code == 0:
                return False
        self._route(EVENT.unpack(self._look))
        lib.lauter_event_clear(self._event_ref)
        return True

    def _route(self, fields: Any) -> None:
        (_, kind, _, worker_cookie, call_id, call_cookie, parent, status, stream, dropped, name, parts, part_count) = fields[:13]
        if kind == _native.DONE:
            call = self.calls.get(call_cookie)
            if call is not None:
                self._done(call, status, fields)
                self.calls.pop(call_cookie, None)
            return
        if _native.CHANNEL_DATA <= kind <= _native.CHANNEL_WRITABLE:
            channel = self.channels.get(fields[17])
            if channel is not None:
                channel.on_event(kind, status, _native.text_at(name), self._parts(parts, part_count), self._failure(fields))
            return
        if kind == _native.DESCRIPTOR:
            awaited = self.awaited.pop(call_cookie, None)
            if awaited is not None:
                awaited.error = self._failure(fields) if status else None
                awaited.descriptor = lib.lauter_event_take_descriptor(self._event_ref)
                awaited.is_done = True
                if awaited.on_done is not None:
                    awaited.on_done(awaited)
            return
        worker = self.workers.get(worker_cookie)
        if worker is None:
            return
        if kind == _native.STREAM:
            worker.on_stream(stream, self._parts(parts, part_count)[0][1])
        elif kind == _native.OUTPUT:
            call = self.calls.get(call_cookie)
            if call is not None:
                worker.on_output(call, _native.text_at(name), self._parts(parts, part_count))
        elif kind == _native.CALL:
            worker.on_call(call_id, parent, _native.text_at(name), self._parts(parts, part_count))
        elif kind == _native.CALL_CANCELLED:
            worker.on_call_cancelled(call_id)
        elif kind == _native.CHANNEL_OPENED:
            worker.on_channel(fields[16], _native.text_at(name), self._parts(parts, part_count))
        elif kind == _native.DROPPED:
            worker.on_dropped(stream, dropped)
        elif kind == _native.DENIED:
            worker.on_denied(self._parts(parts, part_count))
        elif kind == _native.READY:
            worker.on_ready(_native.text_at(name))
        elif kind == _native.EXITED:
            worker.on_exited(fields[14], self._failure(fields))

    def _parts(self, address: int, count: int) -> List[Part]:
        return _native.parts_of(self._event, address, count)

    def _failure(self, fields: Any) -> Optional[BaseException]:
        error = fields[13]
        return _native.exception(lib.lauter_error_code(error), error) if error else None

    def _done(self, call: Call, status: int, fields: Any) -> None:
        parts = self._parts(fields[11], fields[12])
        if status == 0:
            call.finish(parts, None)
        elif status == -11:
            call.finish([], failure(_native.text_at(fields[10]), parts))
        else:
            error = self._failure(fields)
            if error is None:
                error = _native.exception(status, None)
            call.worker.on_unanswered(call, error)

    # ---------------------------------------------------------------------------------------------- end --

    def close(self) -> None:
        """Kill every worker, and free all. What waits is told that its worker died."""
        with self.lock:
            if not self.handle:
                return
            self.handle = 0
            self._finalizer()
            for worker in list(self.workers.values()):
                worker.on_closed()
            for call in list(self.calls.values()):
                call.finish([], _errors.WorkerDied("the worker was closed"))
            self.calls.clear()
            for awaited in self.awaited.values():
                awaited.error = _errors.WorkerDied("the worker was closed")
                awaited.is_done = True
            for channel in list(self.channels.values()):
                channel.on_event(_native.CHANNEL_CLOSED, -10, "", [], _errors.WorkerDied("the worker was closed"))
            self.channels.clear()


def failure(name: str, parts: Sequence[Part]) -> BaseException:
    """The exception for a failure of code in the worker."""
    texts = {media: bytes(data).decode("utf-8", "replace") for media, data in reversed(parts)}
    message, trace = texts.get("text/plain", ""), texts.get("text/x-traceback", "")
    return _errors.remote_error(name, message, trace, texts.get("application/vnd.lauter.note", ""))
