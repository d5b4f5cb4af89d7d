# SPDX-License-Identifier: Apache-2.0
"""Channels: messages both ways beside a worker's calls."""

from __future__ import annotations

from collections import deque
from ctypes import byref, c_uint64
from typing import TYPE_CHECKING, Any, Deque, Iterator, List, Optional

from . import _errors, _native
from ._base import answer_parts
from ._native import Part, lib

if TYPE_CHECKING:
    from ._base import BaseWorker

WINDOW = 1 << 20


class BaseChannel:
    """What a channel is, however its host waits for it."""

    def __init__(self, worker: "BaseWorker", name: str, parts: List[Part], window: int = WINDOW) -> None:
        self.name = name
        """What it is for."""
        self.parts = parts
        """What came with its opening, as media types and bytes."""
        self._worker = worker
        self._window = window
        self._host = worker._host
        self._messages: Deque[List[Part]] = deque()
        self._ended = False  # by the worker
        self._error: Optional[_errors.Error] = None
        self._over = False
        self._writable = True
        self._id = 0
        self._cookie = 0

    def _open(self) -> None:
        packed = _native.Parts(self.parts)
        identity = c_uint64()
        name = _native.encoded(self.name, "name")
        with self._host.lock:
            self._cookie = next(self._host.cookies)
            self._worker._call(
                lib.lauter_channel_open, name, packed.array, packed.count, self._window, self._cookie, byref(identity)
            )
            self._id = identity.value
            self._host.channels[self._cookie] = self

    def _accept(self, identity: int) -> None:
        with self._host.lock:
            self._cookie = next(self._host.cookies)
            self._id = identity
            _native.call(lib.lauter_channel_accept, self._host.use(), identity, self._window, self._cookie)
            self._host.channels[self._cookie] = self

    def on_event(
        self, kind: int, status: int, name: str, parts: List[Part], error: Optional[BaseException]
    ) -> None:
        """An event of this channel's."""
        if kind == _native.CHANNEL_DATA:
            self._messages.append(parts)
        elif kind == _native.CHANNEL_WRITABLE:
            self._writable = True
        elif kind == _native.CHANNEL_END:
            self._ended = True
        else:
            self._ended = self._over = True
            self._writable = True
            if status == -11:
                message = bytes(parts[0][1]).decode("utf-8", "replace") if parts else ""
                cancelled = _errors.ChannelCancelled("%s: %s" % (name, message) if message else name)
                cancelled.name, cancelled.message = name, message
                self._error = cancelled
            elif isinstance(error, _errors.Error):
                self._error = error
            self._host.channels.pop(self._cookie, None)

    def _send(self, parts: List[Part]) -> bool:
        """False if there is no room now."""
        if self._over:
            raise self._error or _errors.ChannelClosed("the channel %r is over" % self.name)
        packed = _native.Parts(parts)
        self._writable = False
        try:
            _native.call(lib.lauter_channel_send, self._host.use(), self._id, packed.array, packed.count)
        except _errors.LimitError as error:
            if error.subject == "parts":
                raise
            return False
        self._writable = True
        return True

    def _take(self) -> Optional[List[Part]]:
        if self._messages:
            return self._messages.popleft()
        if self._error is not None:
            raise self._error
        if self._ended:
            raise _errors.ChannelClosed("the worker has ended the channel %r" % self.name)
        return None

    def close(self) -> None:
        """Send no more. What comes can still be received."""
        if self._over or not self._host.handle:
            return
        try:
            _native.call(lib.lauter_channel_end, self._host.use(), self._id)
        except _errors.StateError:
            pass  # closed before

    def cancel(self, message: str = "", name: str = "Cancelled") -> None:
        """End both directions at once, and tell the worker why."""
        if self._over or not self._host.handle:
            return
        self._over = self._ended = True
        self._messages.clear()
        self._error = _errors.ChannelCancelled("cancelled here: %s" % (message or name))
        self._host.channels.pop(self._cookie, None)
        try:
            texts = _native.encoded(name, "name"), _native.encoded(message, "message")
            _native.call(lib.lauter_channel_cancel, self._host.use(), self._id, *texts)
        except _errors.StateError:
            pass

    def __repr__(self) -> str:
        state = "over" if self._over else "ended by the worker" if self._ended else "open"
        return "<%s.%s %r: %s>" % (type(self).__module__, type(self).__name__, self.name, state)


class _Ready:
    """For wait_for(): there is a message, or room."""

    def __init__(self, channel: BaseChannel, for_sending: bool) -> None:
        self._channel = channel
        self._for_sending = for_sending

    @property
    def is_done(self) -> bool:
        channel = self._channel
        if self._for_sending:
            return channel._writable
        return bool(channel._messages or channel._ended)


class Channel(BaseChannel):
    """Messages both ways beside a worker's calls, in order, each direction with a flow of its own.

    A message is parts: `str` (text/plain), bytes-like (application/octet-stream), or a pair of media type and one of these. Who does not
    receive stops whoever sends on this channel, and nobody else. `with` closes it, and cancels it on an exception.
    """

    def send(self, *message: Any, timeout: Optional[float] = None) -> None:
        """Send one message; waits while the worker has no room for it.

        Raises:
            lauter.TimeoutError: no room after `timeout` seconds; nothing was sent.
            ChannelCancelled, WorkerDied: the channel is over.
        """
        parts = answer_parts(list(message))
        while not self._send(parts):
            if not self._host.wait_for(_Ready(self, True), timeout):
                raise _errors.TimeoutError("the channel %r has had no room for %g s" % (self.name, timeout or 0))

    def recv_parts(self, timeout: Optional[float] = None) -> List[Part]:
        """Wait for the next message: pairs of media type and bytes.

        Raises:
            ChannelClosed: the worker has ended the channel. lauter.TimeoutError: none after `timeout` seconds.
        """
        while True:
            found = self._take()
            if found is not None:
                return found
            if not self._host.wait_for(_Ready(self, False), timeout):
                raise _errors.TimeoutError("nothing came on the channel %r for %g s" % (self.name, timeout or 0))

    def recv(self, timeout: Optional[float] = None) -> Any:
        """Wait for the next message of one part: str if that is text/plain, else bytes.

        Raises:
            ValueError: it has not one part; `recv_parts()` takes any. Others as `recv_parts()`.
        """
        return only_part(self.recv_parts(timeout))

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                yield self.recv()
            except _errors.ChannelCancelled:
                raise
            except _errors.ChannelClosed:
                return

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.close()
        else:
            self.cancel(str(error), kind.__name__)


def only_part(parts: List[Part]) -> Any:
    if len(parts) != 1:
        raise ValueError("a message of %d parts: recv_parts() takes it" % len(parts))
    media, data = parts[0]
    return bytes(data).decode("utf-8", "replace") if media == "text/plain" else bytes(data)


