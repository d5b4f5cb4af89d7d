# SPDX-License-Identifier: Apache-2.0
"""Channels of docs/protocol.md: messages both ways beside the calls. Their user's face is the module `lauter_worker`.

Nothing reads in the background here either: a thread that waits for a message, or for credit, reads for everybody.
"""

import _thread
from _collections import deque
from _struct import Struct

from . import interrupt, wire
from .session import Waiter
from .wire import CANCEL, CREDIT, DATA, END, NEED, OPEN, Broken

WINDOW = 1 << 20
"""Bytes that the host may send on one channel before its reader has taken any."""
OVERHEAD = 64  # that a message takes of the credit beside its own size
CREDIT_MAX = (1 << 30) + (1 << 17)
CHANNELS_MAX = 1024

_U64 = Struct("<Q")


class Channel:
    """One channel's state. What arrives is put here by whichever thread reads; others take it out."""

    def __init__(self, session, name, parts):
        self.session = session
        self.name = name
        self.parts = parts
        self.id = 0
        self.waiters = set()
        self.inbox = deque()  # of parts and what they took of the credit
        self.failure = None  # why it was cancelled: name and text
        self.ended = False  # by the host
        self.closed = False  # by us
        self.sending = _thread.allocate_lock()  # held for one message, so that they go in order
        self._granted = 0  # by the host, in all; written by who reads
        self._spent = 0  # of that; written by who sends
        self._book = _thread.allocate_lock()  # of the four below
        self._allowed = 0  # to the host, in all
        self._received = 0  # of that
        self._buffered = 0  # of that, not taken
        self._needed = 0
        self._accepted = False

    def assign(self):
        """The id of a channel that this worker opens, right before the host hears of it."""
        return self.session.channels().number(self)

    # -- what arrives, told by the thread that reads --

    def wake(self):
        for waiter in list(self.waiters):
            waiter.wake()

    def take(self, message):
        """A message of the host's."""
        cost = message.size + OVERHEAD
        with self._book:
            self._received += cost
            over = self._received > self._allowed
            self._buffered += cost
        if over:
            raise Broken("more on channel %d than it had credit for" % self.id)
        if message.parts is None:
            self.cancel("MemoryError", "no memory for a message on the channel")
            return
        self.inbox.append((message.parts, cost))
        self.wake()

    def credited(self, count):
        self._granted += count
        self.wake()

    def needs(self, count):
        if count > CREDIT_MAX:
            raise Broken("a message of %d bytes is needed on channel %d" % (count, self.id))
        with self._book:
            self._needed = count
        self.grant(self.session.reply_frame)

    def fail(self, name, text):
        """Both directions are over."""
        self.failure = (name, text)
        self.inbox.clear()
        self.session.channels().forget(self)
        self.wake()

    # -- what leaves --

    def accept(self):
        """Let the host send."""
        self._accepted = True
        self.grant(self.session.send_frame)

    def grant(self, send):
        """Allow as much as there is room for, if that is worth a frame."""
        with self._book:
            if not self._accepted or self.ended or self.failure is not None:
                return
            ahead = self._allowed - self._received
            more = WINDOW - ahead - self._buffered
            if self._needed:
                # It is asked for when the host has nothing smaller to send.
                if self._buffered:
                    return
                more = max(more, self._needed - ahead)
                self._needed = 0
            elif more < WINDOW // 2:
                return
            if more <= 0:
                return
            self._allowed += more
        send(CREDIT, self.id, _U64.pack(more))

    def send(self, parts, timeout):
        """Send a message once there is credit for it. False if that did not come in time."""
        head = wire.encode_head("", 0, parts)
        cost = len(head) + sum([len(data) for _, data in parts]) + OVERHEAD
        deadline = None
        if timeout is not None:
            deadline = interrupt.load("time").monotonic() + timeout
        if not self._begin(deadline):
            return False
        try:
            if self._has_credit(cost) or self._wait_for_credit(cost, deadline):
                if self.failure is None and not self.closed:
                    self._spent += cost
                    if not self.session.send(DATA, self.id, head, parts):
                        raise OSError("a message cannot be sent while another one is, from the same thread")
                return True
            return False
        finally:
            self.sending.release()
            interrupt.leave_critical()

    def _begin(self, deadline):
        """Take `sending`, within a critical section; both last. False if it was not to be had in time."""
        while True:
            interrupt.enter_critical()
            if self.sending.acquire(True, _LOOK):
                return True
            interrupt.leave_critical()  # raises what has come meanwhile
            if deadline is not None and interrupt.load("time").monotonic() > deadline:
                return False

    def _has_credit(self, cost):
        return self._granted - self._spent >= cost or self.failure is not None or self.closed

    def _wait_for_credit(self, cost, deadline):
        self.session.send_frame(NEED, self.id, _U64.pack(cost))
        left = None
        if deadline is not None:
            left = max(0, deadline - interrupt.load("time").monotonic())
        return self.wait(lambda: self._has_credit(cost), left)

    def receive(self, timeout):
        """The parts of the next message, () at the end or when it failed, None if none came in time."""
        while True:
            if not self.wait(lambda: self.inbox or self.ended or self.failure, timeout):
                return None
            try:
                parts, cost = self.inbox.popleft()
            except IndexError:
                if self.ended or self.failure:
                    return ()
                continue  # another thread was faster
            with self._book:
                self._buffered -= cost
            self.grant(self.session.send_frame)
            return parts

    def wait(self, is_done, timeout):
        if is_done():
            return True
        return self.session.channels().wait(self.waiters, is_done, timeout)

    def close(self):
        """Send no more."""
        self._begin(None)
        try:
            if self.closed or self.failure is not None:
                return
            self.closed = True
            self.session.send_frame(END, self.id)
            if self.ended:
                self.session.channels().forget(self)
        finally:
            self.sending.release()
            interrupt.leave_critical()

    def cancel(self, name, text):
        """End both directions, and tell why."""
        if self.failure is not None or (self.ended and self.closed):
            return
        parts = [("text/plain", text.encode("utf-8", "backslashreplace"))]
        self.session.send(CANCEL, self.id, wire.encode_head(name, 0, parts), parts)
        is_awaited = bool(self.waiters)
        self.fail(name, text)
        if is_awaited:
            # One of the threads may sleep until there is something to read: the answer to this.
            self.session.send(wire.CALL, Waiter(self.session), wire.encode_head("lauter.sync", 0, ()), ())


_LOOK = 0.05  # seconds until an interrupt is seen while another thread's message waits for credit


class Channels:
    """All of a worker's."""

    def __init__(self, session):
        self.session = session
        self._table = {}
        self._offered = deque()  # opened by the host, and nobody has accepted them
        self._waiters = set()
        self._next_id = 1
        self._latest = 0  # id of the host's

    def number(self, channel):
        channel.id = self._next_id
        self._next_id += 2
        self._table[channel.id] = channel
        return channel.id

    def open(self, name, parts):
        """Open a channel: the host can send at once, and accepts it by granting credit."""
        if len(self._table) >= CHANNELS_MAX:
            raise OSError("%d channels are open: close those that are done" % len(self._table))
        channel = Channel(self.session, name, parts)
        if not self.session.send(OPEN, channel, wire.encode_head(name, 0, parts), parts):
            raise OSError("no channel can be opened here")
        channel.accept()
        return channel

    def accept(self, name, timeout):
        """The next channel that the host has opened (of this name, if one is given). None if there was none in time."""
        found = None

        def look():
            nonlocal found
            if found is not None:
                return True
            for channel in list(self._offered):
                if name is None or channel.name == name:
                    try:
                        self._offered.remove(channel)
                    except ValueError:
                        continue  # another thread was faster
                    found = channel
                    return True
            return False

        if not look() and not self.wait(self._waiters, look, timeout):
            return None
        found.accept()
        return found

    def wait(self, waiters, is_done, timeout):
        """Until `is_done()`, which is looked at whenever something has come for who is among `waiters`."""
        session = self.session
        if session.is_reading():
            raise OSError("a channel cannot be waited for while its session is read, from the same thread")
        waiter = Waiter()
        interrupt.enter_critical()
        try:
            session.waiting[waiter] = waiter
            waiters.add(waiter)
            return session.wait(waiter, is_done, timeout)
        finally:
            waiters.discard(waiter)
            session.waiting.pop(waiter, None)
            interrupt.leave_critical()

    def forget(self, channel):
        self._table.pop(channel.id, None)
        try:
            self._offered.remove(channel)
        except ValueError:
            pass

    # -- what arrives --

    def take_message(self, message):
        if message.kind == OPEN:
            if message.id & 1 or message.id <= self._latest:
                raise Broken("channel %d was opened by the host" % message.id)
            self._latest = message.id
            channel = Channel(self.session, message.name, message.parts)
            channel.id = message.id
            self._table[message.id] = channel
            if message.parts is None:
                channel.cancel("MemoryError", "no memory for the parts of the channel")
                return
            self._offered.append(channel)
            for waiter in list(self._waiters):
                waiter.wake()
            return
        channel = self._find(message.id)
        if channel is None:
            return
        if message.kind == DATA:
            if channel.ended:
                raise Broken("a message on channel %d after its end" % message.id)
            channel.take(message)
        else:
            text = str(message.parts[0][1], "utf-8", "replace") if message.parts else ""
            channel.fail(message.name, text)

    def take_frame(self, kind, id, payload):
        channel = self._find(id)
        if kind == END:
            if channel is not None:
                channel.ended = True
                if channel.closed:
                    self.forget(channel)
                channel.wake()
            return
        if len(payload) != _U64.size:
            raise Broken("%d bytes are no number" % len(payload))
        if channel is not None:
            count = _U64.unpack(payload)[0]
            channel.credited(count) if kind == CREDIT else channel.needs(count)

    def _find(self, id):
        channel = self._table.get(id)
        if channel is None:
            ever = id < self._next_id if id & 1 else 0 < id <= self._latest
            if not ever:
                raise Broken("a frame for channel %d, which never was" % id)
        return channel
