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
from .wire import CALL, CANCEL, CREDIT, DATA, END, FAILURE, HELLO, INTERRUPT, NEED, OPEN
from .wire import OUTPUT, READY, RELEASE, RESULT, STOP

_ARENA = 5

_PIECES_MAX = 512  # writev(2) takes 1,024
_JOINED_MAX = 4096  # what is larger is not copied to save a second piece
_LOOK_SECONDS = 1
_IDLE_SECONDS = 1  # then memory of the arena goes back
_MESSAGES = (CALL, RESULT, FAILURE, OPEN, DATA, CANCEL)
_OF_CHANNELS = (CREDIT, END, NEED)


class Waiter:
    """A thread that waits for something to arrive: woken by releasing `lock`."""

    __slots__ = ("lock", "answer", "session", "id")

    def __init__(self, session=None):
        self.lock = _thread.allocate_lock()
        self.lock.acquire()
        self.answer = None
        self.session = session
        self.id = 0

    def assign(self):
        """The id of a call to the host, whose answer is waited for."""
        session = self.session
        self.id = session.next_id
        session.next_id += 1
        session.waiting[self.id] = self
        return self.id

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
        self._idle = Waiter()
        self.waiting = {}
        self.next_id = 1
        self._role = _thread.allocate_lock()
        self._writing = _thread.allocate_lock()  # one frame
        self._telling = _thread.allocate_lock()  # one output or answer
        self._reader = 0  # the thread that has the role
        self._writers = set()  # threads in the midst of a message
        self._poll = None
        self.arena = None  # opened by the first large part
        self.arena_half = 0
        self._channels = None
        self.host_reads_in_place = False

    # ------------------------------------------------------------------------------------------- writing --

    def is_ours(self):
        """False in a forked child, which must not say a word here."""
        return self.descriptor >= 0 and os.getpid() == self.process

    def is_reading(self):
        """Whether this very thread is in the midst of reading: a finaliser asks, or a signal handler."""
        return self._reader == _thread.get_ident()

    def greet(self):
        """Exchange greetings. The host's is in the socket before the worker is born."""
        kind, _, _, _, payload = self._read_frame()
        if kind != HELLO or len(payload) < wire.GREETING.size:
            self._breach("the first frame is not a greeting")
        magic, low, high, abilities, arena, _, size = wire.GREETING.unpack_from(payload)
        if magic != wire.MAGIC or size > wire.NAME_MAX or len(payload) != wire.GREETING.size + size:
            self._breach("the first frame is not a greeting")
        name = b"python %d.%d.%d" % sys.version_info[:3]
        self._look_at_arena(arena << 20)
        self.host_reads_in_place = bool(abilities & wire.READS_IN_PLACE)
        mine = wire.GREETING.pack(
            wire.MAGIC, wire.VERSION, wire.VERSION, 1 | (wire.READS_ARENA if self.arena_half else 0), 0, wire.MESSAGE_MAX, len(name)
        )
        mine += name
        self._write([wire.HEADER.pack(len(mine), HELLO, 0, 0, 0) + mine])
        if not low <= wire.VERSION <= high:
            self._breach("no common version: the host speaks %d to %d, this runtime %d" % (low, high, wire.VERSION))

    def _look_at_arena(self, half):
        try:
            if half and os.fstat(_ARENA).st_size == 2 * half:
                os.set_inheritable(_ARENA, False)
                self.arena_half = half
            else:
                os.close(_ARENA)
        except OSError:
            pass  # there is none

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
        me = _thread.get_ident()
        # It may be a finaliser that ran while this thread was writing.
        if not self.is_ours() or me in self._writers:
            return False
        head = wire.encode_head(name, parent, parts)
        interrupt.enter_critical()
        try:
            self._writers.add(me)
            # Outputs of one call go one after the other, and before its answer.
            with self._telling:
                if kind == OUTPUT:
                    id = self.open_call
                    if not id:
                        return False
                self._write_message(kind, id, head, parts)
                if ends:
                    self.open_call = 0
        finally:
            self._writers.discard(me)
            interrupt.leave_critical()
        return True

    def send(self, kind, id, head, parts):
        """Send a message that no other of its kind and id can meet. False as for `output`.

        Instead of an id it may be given what has an `assign()`, which is asked for one right before the first frame
        leaves: ids arrive as they grow.
        """
        me = _thread.get_ident()
        if not self.is_ours() or me in self._writers:
            return False
        interrupt.enter_critical()
        try:
            if kind != CALL and kind != INTERRUPT:
                self._read_what_came()
            self._writers.add(me)
            self._write_message(kind, id, head, parts)
        finally:
            self._writers.discard(me)
            interrupt.leave_critical()
        return True

    def _read_what_came(self):
        """Before a message that nobody waits for an answer to: credit and releases that nobody reads make the host stop
        reading, too, and neither would go on."""
        if self.is_reading() or not self._role.acquire(False):
            return  # somebody reads
        try:
            self._reader = _thread.get_ident()
            while self._has_frame() or self._sleep(0, raises=False):
                self._dispatch(self._read_frame())
        finally:
            self._give_role()

    def send_frame(self, kind, id, payload=b""):
        """Send a frame that is no message. False as for `output`."""
        return self.send(kind, id, payload, ())

    def reply_frame(self, kind, id, payload):
        """Send such a frame while reading, which this thread may do in the midst of a message of its own."""
        me = _thread.get_ident()
        is_writer = me in self._writers
        try:
            self._writers.add(me)
            self.write_frame(kind, 0, id, [payload], len(payload))
        finally:
            if not is_writer:
                self._writers.discard(me)

    def _write_message(self, kind, id, head, parts):
        total = len(head)
        for _, data in parts:
            total += len(data)
        if total <= wire.FRAME_MAX:
            self.write_frame(kind, 0, id, [head] + [data for _, data in parts], total)
            return
        interrupt.load(".large").write(self, kind, id, head, parts, total)

    def write_frame(self, kind, flags, id, pieces, size):
        """One frame of these pieces; its id, which is now a number. Others may write in between."""
        with self._writing:
            if type(id) is not int:
                id = id.assign()
            pieces.insert(0, wire.HEADER.pack(size, kind, flags, 0, id))
            self._write([b"".join(pieces)] if size <= _JOINED_MAX else pieces)
        return id

    def open_arena(self):
        """The arena, or None if there is none."""
        if self.arena is None and self.arena_half:
            self.arena = interrupt.load(".arena").Arena(_ARENA, self.arena_half)
        return self.arena

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
                        if self.arena is not None and self.arena.is_idle() and not self._has_frame():
                            if not self._sleep(_IDLE_SECONDS):
                                self.arena.give_back()
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
        if not self.is_ours() or _thread.get_ident() in self._writers or self.is_reading():
            return None
        head = wire.encode_head(verb, self.open_call, parts)
        waiter = Waiter(self)
        interrupt.enter_critical()
        try:
            self.send(CALL, waiter, head, parts)
            self.wait(waiter, lambda: waiter.answer is not None, timeout)
            return waiter.answer
        finally:
            # A late answer to a call that nobody waits for any more is ignored.
            if self.waiting.pop(waiter.id, None) is not None and waiter.answer is None:
                self.send_frame(INTERRUPT, waiter.id)
            interrupt.leave_critical()

    def wait(self, waiter, is_done, timeout=None, raises=True):
        """Read, or sleep until `waiter` is woken, until there is what is waited for. False after `timeout` seconds.

        Within a critical section, and with the waiter among those in `waiting`. Interrupts raise if they may.
        """
        sleep_on = _sleep_on if raises else _sleep_on_unharmed
        is_main = raises and interrupt.is_main()
        deadline = None
        if timeout is not None:
            deadline = interrupt.load("time").monotonic() + timeout
        while not is_done():
            left = -1
            if deadline is not None:
                left = deadline - interrupt.load("time").monotonic()
                if left <= 0:
                    return False
            if is_main:
                # A signal may have come before the sleep, or in the very moment when it begins, where Python cannot see it.
                interrupt.settle()
                left = _LOOK_SECONDS if left < 0 else min(left, _LOOK_SECONDS)
            if self._role.acquire(False):
                try:
                    self._reader = _thread.get_ident()
                    if not is_done() and (self._has_frame() or self._sleep(left, raises)):
                        self._dispatch(self._read_frame())
                finally:
                    self._give_role()
            else:
                sleep_on(waiter.lock, left)
        return True

    def _give_role(self):
        # Whoever waits and was not answered must look again: nobody else would read for it.
        self._reader = 0
        self._role.release()
        if self.waiting:
            for waiter in list(self.waiting.values()):
                waiter.wake()
        self._idle.wake()

    def _sleep(self, seconds, raises=True):
        """Until the session is readable, so that nothing is consumed when an interrupt raises here."""
        if self._poll is None:
            select = interrupt.load("select")
            self._poll = select.poll()
            self._poll.register(self.descriptor, select.POLLIN)
        milliseconds = None if seconds < 0 else seconds * 1000
        return _sleep_in(self._poll, milliseconds) if raises else self._poll.poll(milliseconds)

    def _dispatch(self, frame):
        try:
            self._take(*frame)
        except wire.Broken as error:
            self._breach(str(error))

    def _take(self, kind, flags, slot, id, payload):
        if flags > 3 and kind <= 31:
            self._breach("flags %d in a frame from the host" % flags)
        if kind in _MESSAGES:
            if flags or self._unfinished:
                message = self._assemble(kind, flags, slot, id, payload)
                if message is None:
                    return
            else:
                message = wire.decode_message(kind, id, slot, payload)
            if kind == CALL:
                self._queue.append(message)
            elif kind == RESULT or kind == FAILURE:
                waiter = self.waiting.get(id)
                if waiter is not None:
                    if message.parts is None:
                        text = [("text/plain", b"no memory for the host's answer")]
                        message = wire.Message(FAILURE, id, 0, "MemoryError", 0, text, 0)
                    waiter.answer = message
                    waiter.wake()
            else:
                self.channels().take_message(message)
        elif kind == RELEASE:
            if self.arena is None:
                self._breach("a release of what was never placed")
            self.arena.released(payload)
            # Others may wait for these.
            for waiter in list(self.waiting.values()):
                waiter.wake()
        elif kind == STOP:
            self._queue.append(wire.Message(STOP, 0, 0, "", 0, [], 0))
        elif kind in _OF_CHANNELS:
            self.channels().take_frame(kind, id, payload)
        elif kind != INTERRUPT and kind <= 31:
            self._breach("a frame of kind %d from the host" % kind)

    def _assemble(self, kind, flags, slot, id, payload):
        """A message of several frames, when its last one has come."""
        large = interrupt.load(".large")
        message = self._unfinished.get((kind, id))
        if flags & wire.PLACED:
            if message is None or not self.open_arena():
                self._breach("places where there can be none")
            self.arena.read(payload, message)
            self.reply_frame(RELEASE, 0, payload)
        elif message is None:
            message = large.Assembly(kind, id, slot, payload)
            self._unfinished[kind, id] = message
        else:
            message.add(payload)
        if flags & wire.MORE:
            return None
        del self._unfinished[kind, id]
        return message.message()

    def channels(self):
        """The channels of this worker, for whom a module is loaded first."""
        if self._channels is None:
            self._channels = interrupt.load(".channels").Channels(self)
        return self._channels

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
        if self.arena is not None:
            self.arena.in_forked_child()
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


def _sleep_on_unharmed(lock, seconds):
    return lock.acquire(True, seconds)
