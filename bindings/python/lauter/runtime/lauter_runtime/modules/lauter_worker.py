# SPDX-License-Identifier: Apache-2.0
"""What code in a Lauter worker can say to its host, beside printing and displaying: calls, and channels.

    from lauter_worker import accept_channel, call, open_channel

    total = call("add", "1", "2")                  # the host's program answers
    with open_channel("progress") as channel:      # messages both ways, while the cell runs
        channel.send("half done")
        for message in channel:
            ...

A thread that waits here lets all others run; an interrupt ends the wait of a cell. In asyncio: asyncio.to_thread(channel.recv).
"""

from lauter_runtime import worker as _worker
from lauter_runtime.wire import RESULT as _RESULT

__all__ = ["Channel", "ChannelCancelled", "HostFailure", "accept_channel", "call", "open_channel"]


class HostFailure(Exception):
    """The host's answer to a call was a failure: `name` is its type, the text its message."""

    def __init__(self, name, message):
        super().__init__(message)
        self.name = name

    def __str__(self):
        return "%s: %s" % (self.name, self.args[0])


class ChannelCancelled(ConnectionError):
    """A channel was ended at once by one of its sides: `name` and the text say why."""

    def __init__(self, name, message):
        super().__init__(message)
        self.name = name

    def __str__(self):
        return "%s: %s" % (self.name, self.args[0])


def call(verb, *parts, timeout=None):
    """Call the host's program and wait for its answer: a list of parts, pairs of media type and bytes.

    A part is a str (`text/plain`), bytes (`application/octet-stream`), or a pair of media type and one of these. HostFailure if
    the host's answer is one; TimeoutError after `timeout` seconds, and the host is told that nobody waits any more.
    """
    _check()
    answer = _worker.session.call(verb, [_part(each) for each in parts], timeout)
    if answer is None:
        raise TimeoutError("no answer to %r within %s seconds" % (verb, timeout))
    if answer.kind != _RESULT:
        raise HostFailure(answer.name, str(answer.parts[0][1], "utf-8", "replace") if answer.parts else "")
    return _owned(answer.parts)


def open_channel(name, *parts):
    """Open a channel to the host, which may refuse it: then using it raises ChannelCancelled."""
    _check()
    return Channel(_worker.session.channels().open(name, [_part(each) for each in parts]))


def accept_channel(name=None, timeout=None):
    """Wait for a channel that the host opens (one of this name), and let it send. TimeoutError after `timeout` seconds."""
    _check()
    channel = _worker.session.channels().accept(name, timeout)
    if channel is None:
        raise TimeoutError("no channel was opened within %s seconds" % timeout)
    return Channel(channel)


class Channel:
    """A channel between this worker and its host: whole messages, in order, both ways. Any thread may use it.

    Who sends faster than the other side reads waits. As a context manager it closes at the end, and cancels on an exception.
    """

    def __init__(self, state):
        self._state = state

    name = property(lambda self: self._state.name, doc="What it was opened as.")
    id = property(lambda self: self._state.id, doc="Its number, of which no other channel of this worker's ever has the same.")
    parts = property(lambda self: _owned(self._state.parts), doc="What it was opened with: pairs of media type and bytes.")

    def __repr__(self):
        return "<Channel %r %d>" % (self.name, self.id)

    def send(self, *parts, timeout=None):
        """Send a message of these parts (as for `call`), once the other side has room for it.

        TimeoutError if that takes longer than `timeout` seconds: nothing was sent then. ValueError after close().
        """
        _check()
        state = self._state
        done = state.send([_part(each) for each in parts], timeout)
        if state.failure is not None:
            raise ChannelCancelled(*state.failure)
        if not done:
            raise TimeoutError("the host has had no room for it for %s seconds" % timeout)
        if state.closed:
            raise ValueError("the channel is closed")

    def recv(self, timeout=None):
        """The next message, if it has one part: str if that is `text/plain`, else bytes.

        EOFError when the other side has ended; TimeoutError after `timeout` seconds. A message of none or of several parts
        stays, for recv_parts().
        """
        state = self._state
        if state.wait(lambda: state.inbox or state.ended or state.failure, timeout):
            try:
                first = state.inbox[0][0]
            except IndexError:
                first = None
            if first is not None and len(first) != 1:
                raise ValueError("a message of %d parts: recv_parts() takes it" % len(first))
        media, data = self.recv_parts(timeout)[0]
        return str(data, "utf-8", "replace") if media == "text/plain" else data

    def recv_parts(self, timeout=None):
        """The next message: a list of pairs of media type and bytes. Errors as recv()."""
        _check()
        state = self._state
        parts = state.receive(timeout)
        if parts is None:
            raise TimeoutError("nothing came within %s seconds" % timeout)
        if parts == ():
            if state.failure is not None:
                raise ChannelCancelled(*state.failure)
            raise EOFError("the host has ended the channel")
        return _owned(parts)

    def close(self):
        """Send no more. What was sent arrives, and what the other side sends can still be received."""
        _check()
        self._state.close()

    def cancel(self, message="", name="Cancelled"):
        """End both directions at once; what is under way is dropped. The other side is told the name and message."""
        _check()
        self._state.cancel(name, message)

    def __iter__(self):
        """Messages, as recv() has them, until the other side has ended."""
        while True:
            try:
                message = self.recv()
            except EOFError:
                return
            yield message

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind is None:
            self.close()
        else:
            self.cancel(str(error), kind.__name__)


def _check():
    if not _worker.session.is_ours():
        raise OSError("a forked process cannot speak to its worker's host")


def _part(value):
    media = None
    if isinstance(value, tuple):
        media, value = value
    if isinstance(value, str):
        return media or "text/plain", value.encode("utf-8", "backslashreplace")
    return media or "application/octet-stream", memoryview(value).cast("B")


def _owned(parts):
    return [(media, bytes(data)) for media, data in parts]


def open_sealed(data, buffers):
    """A sealed value that a host hands on (lauter.Sealed) is opened here."""
    import pickle

    return pickle.loads(data, buffers=buffers)
