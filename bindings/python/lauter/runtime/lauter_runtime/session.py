# SPDX-License-Identifier: Apache-2.0
"""The session: read and written by whichever thread needs it.

No thread of ours reads in the background: an idle worker's main thread sleeps in read(2), and a thread that waits for
an answer reads for everybody while it waits. Who may read is one lock, the *role*; others sleep until they are woken
with what they wait for or with the role.
"""

import _thread
import os
import sys
from _collections import deque

from . import interrupt, wire
from .wire import CALL, FAILURE, HELLO, INTERRUPT, OUTPUT, READY, RESULT, STOP

_PIECES_MAX = 512  # writev(2) takes 1,024


class _Waiter:
    """A thread that waits for an answer: woken by releasing `lock`."""

    __slots__ = ("lock", "answer")

    def __init__(self):
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.answer = None

    def wake(self):
        try:
            self.lock.release()
        except RuntimeError:
            pass  # woken already


class Session:
    """The worker's end of descriptor 3."""

    def __init__(self, descriptor, at_end):
        self.descriptor = descriptor
        self.at_end = at_end  # called once the host is gone, before the process exits
        self.process = os.getpid()
        self.open_call = 0  # the call that outputs belong to, until its answer is written
        self._buffer = b""
        self._unfinished = {}
        self._queue = deque()  # calls and `stop`, for the main thread
        self._idle = _Waiter()
        self._waiting = {}
        self._next_id = 1
        self._role = _thread.allocate_lock()
        self._writing = _thread.allocate_lock()
        self._reader = self._writer = 0  # the threads that hold these two
        self._poll = None

    # ------------------------------------------------------------------------------------------- writing --

    def is_ours(self):
        """False in a forked child, which must not say a word here."""
        return self.descriptor >= 0 and os.getpid() == self.process

    def greet(self):
        """Exchange greetings. The host's is in the socket before the worker is born."""
        kind, _, _, _, payload = self._read_frame()
        if kind != HELLO or len(payload) < wire.GREETING.size:
            self._breach("the first frame is not a greeting")
        magic, low, high = wire.GREETING.unpack_from(payload)[:3]
        if magic != wire.MAGIC:
            self._breach("the first frame is not a greeting")
        name = b"python %d.%d.%d" % sys.version_info[:3]
        mine = wire.GREETING.pack(wire.MAGIC, wire.VERSION, wire.VERSION, 1, 0, wire.MESSAGE_MAX, len(name)) + name
        self._write([wire.HEADER.pack(len(mine), HELLO, 0, 0, 0) + mine])
        if not low <= wire.VERSION <= high:
            self._breach("no common version: the host speaks %d to %d, this runtime %d" % (low, high, wire.VERSION))

    def ready(self):
        """Say that calls are taken."""
        self._write([wire.HEADER.pack(0, READY, 0, 0, 0)])

    def answer(self, kind, call, name, parts):
        """End the call `call`. ValueError if the message is too large: nothing was written then."""
        self._send(kind, call, name, 0, parts, True)

    def output(self, name, parts):
        """Send an output of the running call. False if there is none to send it to."""
        return self._send(OUTPUT, 0, name, 0, parts, False)

    def _send(self, kind, id, name, parent, parts, ends):
        if not self.is_ours():
            return False
        head = wire.encode_head(name, parent, parts)
        me = _thread.get_ident()
        if self._writer == me:
            return False  # a finaliser that ran while this thread was writing
        interrupt.enter_critical()
        try:
            with self._writing:
                self._writer = me
                if kind == OUTPUT:
                    id = self.open_call
                    if not id:
                        return False
                self._write(wire.frames_of(kind, id, head, parts))
                if ends:
                    self.open_call = 0
        finally:
            if self._writer == me:
                self._writer = 0
            interrupt.leave_critical()
        return True

    def _write(self, pieces):
        # One function for all of it: at the limit of recursion a call half-way through a message could fail.
        at = 0
        count = len(pieces)
        while at < count:
            batch = pieces[at : at + _PIECES_MAX] if count > _PIECES_MAX else pieces[at:]
            try:
                written = os.writev(self.descriptor, batch)
            except OSError:
                self._gone()
            while at < count and written >= len(pieces[at]):
                written -= len(pieces[at])
                at += 1
            if written:
                pieces[at] = pieces[at][written:]

    def _gone(self):
        # The host is gone: what the user's code still holds open does not matter any more.
        self.at_end()
        os._exit(0)

    def _breach(self, what):
        try:
            os.write(2, ("lauter: the host broke the protocol: %s\n" % what).encode())
        except OSError:
            pass
        os._exit(1)

    # ------------------------------------------------------------------------------------------- reading --

    def next(self):
        """Sleep until the host wants something: a call or a `stop`. The main thread alone asks."""
        queue = self._queue
        while not queue:
            if self._role.acquire(False):
                try:
                    self._reader = _thread.get_ident()
                    while not queue:
                        self._dispatch(self._read_frame())
                finally:
                    self._give_role()
            else:
                self._idle.lock.acquire()
        return queue.popleft()

    def call(self, verb, parts, timeout=None):
        """Call the host and wait for its answer: a Message of kind RESULT or FAILURE.

        None if there is nobody to answer: in a forked child, after `timeout` seconds, or from a signal handler or
        finaliser that ran in the midst of this very work. Can be interrupted.
        """
        me = _thread.get_ident()
        if not self.is_ours() or me in (self._writer, self._reader):
            return None
        deadline = None
        if timeout is not None:
            deadline = interrupt.load("time").monotonic() + timeout
        waiter = _Waiter()
        id = 0
        interrupt.enter_critical()
        try:
            with self._writing:
                self._writer = me
                id = self._next_id
                self._next_id += 1
                self._waiting[id] = waiter
                head = wire.encode_head(verb, self.open_call, parts)
                self._write(wire.frames_of(CALL, id, head, parts))
                self._writer = 0
            return self._wait(waiter, deadline)
        finally:
            if self._writer == me:
                self._writer = 0
            # A late answer to a call that nobody waits for any more is ignored.
            self._waiting.pop(id, None)
            interrupt.leave_critical()

    def _wait(self, waiter, deadline):
        while waiter.answer is None:
            left = -1
            if deadline is not None:
                left = deadline - interrupt.load("time").monotonic()
                if left <= 0:
                    return None
            if self._role.acquire(False):
                try:
                    self._reader = _thread.get_ident()
                    if waiter.answer is None and (self._has_frame() or self._sleep(left)):
                        self._dispatch(self._read_frame())
                finally:
                    self._give_role()
            else:
                _sleep_on(waiter.lock, left)
        return waiter.answer

    def _give_role(self):
        # Whoever waits and was not answered must look again: nobody else would read for it.
        self._reader = 0
        self._role.release()
        if self._waiting:
            for waiter in list(self._waiting.values()):
                waiter.wake()
        self._idle.wake()

    def _sleep(self, seconds):
        """Until the session is readable, so that nothing is consumed when an interrupt raises here."""
        if self._poll is None:
            select = interrupt.load("select")
            self._poll = select.poll()
            self._poll.register(self.descriptor, select.POLLIN)
        return _sleep_in(self._poll, None if seconds < 0 else seconds * 1000)

    def _dispatch(self, frame):
        kind, flags, slot, id, payload = frame
        if kind in (CALL, RESULT, FAILURE):
            chunks = None
            if self._unfinished:
                chunks = self._unfinished.get((kind, id))
            if chunks is None:
                if flags & wire.MORE:
                    self._unfinished[kind, id] = [payload]
                    return
                chunks = [payload]
            else:
                chunks.append(payload)
                if flags & wire.MORE:
                    return
                del self._unfinished[kind, id]
            try:
                message = wire.decode_message(kind, id, slot, chunks)
            except wire.Broken as error:
                self._breach(str(error))
            if kind == CALL:
                self._queue.append(message)
            else:
                waiter = self._waiting.get(id)
                if waiter is not None:
                    waiter.answer = message
                    waiter.wake()
        elif kind == STOP:
            self._queue.append(wire.Message(STOP, 0, 0, "", 0, []))
        elif kind != INTERRUPT and kind <= 31:
            self._breach("a frame of kind %d from the host" % kind)

    def _has_frame(self):
        buffer = self._buffer
        if len(buffer) < wire.HEADER.size:
            return False
        return len(buffer) >= wire.HEADER.size + wire.HEADER.unpack_from(buffer)[0]

    def _read_frame(self):
        buffer = self._buffer
        while len(buffer) < wire.HEADER.size:
            buffer += self._receive()
        size, kind, flags, slot, id = wire.HEADER.unpack_from(buffer)
        if size > wire.FRAME_MAX:
            self._breach("a frame of %d bytes from the host" % size)
        end = wire.HEADER.size + size
        while len(buffer) < end:
            buffer += self._receive()
        self._buffer = buffer[end:]
        return kind, flags, slot, id, buffer[wire.HEADER.size : end]

    def _receive(self):
        try:
            data = os.read(self.descriptor, wire.FRAME_MAX + wire.HEADER.size)
        except OSError:
            data = b""
        if not data:
            self._gone()
        return data

    def in_forked_child(self):
        """Let go of the host: a child that kept the socket could write into the worker's answers."""
        descriptor, self.descriptor = self.descriptor, -1
        self.open_call = 0
        self._writing = _thread.allocate_lock()
        try:
            os.close(descriptor)
        except OSError:
            pass


@interrupt.harmless_while_critical
def _sleep_in(poll, milliseconds):
    return poll.poll(milliseconds)


@interrupt.harmless_while_critical
def _sleep_on(lock, seconds):
    return lock.acquire(True, seconds)
