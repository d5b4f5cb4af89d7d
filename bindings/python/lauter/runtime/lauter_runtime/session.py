# SPDX-License-Identifier: Apache-2.0
"""The session: frames and messages of docs/protocol.md, read and written by whichever thread needs it.

No thread of ours reads in the background: an idle worker's main thread sleeps in read(2), and a thread that waits for
an answer reads for everybody while it waits. Who may read is one lock, the *role*; others sleep until they are woken
with what they wait for or with the role.
"""

import _thread
import os
from _collections import deque
from _struct import Struct, error as _struct_error

from . import interrupt

HELLO, READY, CALL, OUTPUT, RESULT, FAILURE, STOP, INTERRUPT = 1, 2, 3, 4, 5, 6, 8, 9
FRAME_MAX = 65536
MESSAGE_MAX = 1 << 30
PARTS_MAX = 256
NAME_MAX = 255
MAGIC = 0x5254554C
VERSION = 1

_HEADER = Struct("<IBBHQ")
_GREETING = Struct("<IHHIIQH")
_HEAD = Struct("<HHIQ")
_PART = Struct("<HQ")
_MORE = 1


class _Broken(Exception):
    """What was read is not a message."""


class Message:
    """A whole message. `parts` are pairs of media type and bytes."""

    __slots__ = ("kind", "id", "slot", "name", "parent", "parts")

    def __init__(self, kind, id, slot, name, parent, parts):
        self.kind = kind
        self.id = id
        self.slot = slot
        self.name = name
        self.parent = parent
        self.parts = parts


def encode_head(name, parent, parts):
    """The head of a message, checked against the bounds: ValueError names what is too large."""
    if len(parts) > PARTS_MAX:
        raise ValueError("%d parts in one message: at most %d are possible" % (len(parts), PARTS_MAX))
    name = name.encode("utf-8", "replace")
    pieces = [_HEAD.pack(len(parts), len(name), 0, parent), name]
    total = 0
    for kind, data in parts:
        kind = kind.encode("utf-8", "replace")
        if len(kind) > NAME_MAX:
            raise ValueError("a media type of %d bytes: at most %d are possible" % (len(kind), NAME_MAX))
        total += len(data)
        pieces.append(_PART.pack(len(kind), len(data)))
        pieces.append(kind)
    head = b"".join(pieces)
    if total + len(head) > MESSAGE_MAX:
        raise ValueError("a message of %d bytes: at most %d are possible" % (total, MESSAGE_MAX))
    if len(name) > NAME_MAX or len(head) > FRAME_MAX:
        raise ValueError("the names in a message take %d bytes: too many for one frame" % len(head))
    return head


def decode_message(kind, id, slot, chunks):
    """A message from the payloads of its frames."""
    first = chunks[0]
    try:
        count, name_size, _, parent = _HEAD.unpack_from(first)
        at = _HEAD.size + name_size
        name = first[_HEAD.size : at].decode()
        sizes = []
        for _ in range(count):
            type_size, size = _PART.unpack_from(first, at)
            at += _PART.size
            sizes.append((first[at : at + type_size].decode(), size))
            at += type_size
    except (ValueError, _struct_error) as error:
        raise _Broken("the head of a message cannot be read: %s" % error)
    body = first if len(chunks) == 1 else b"".join(chunks)
    if at + sum(size for _, size in sizes) != len(body):
        raise _Broken("the sizes in a message do not add up")
    parts = []
    for media, size in sizes:
        parts.append((media, body[at : at + size]))
        at += size
    return Message(kind, id, slot, name, parent, parts)


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
        self._poll = None

    # ------------------------------------------------------------------------------------------- writing --

    def is_ours(self):
        """False in a forked child, which must not say a word here."""
        return self.descriptor >= 0 and os.getpid() == self.process

    def greet(self):
        """Exchange greetings. The host's is in the socket before the worker is born."""
        kind, _, _, _, payload = self._read_frame()
        if kind != HELLO or len(payload) < _GREETING.size:
            self._breach("the first frame is not a greeting")
        magic, low, high = _GREETING.unpack_from(payload)[:3]
        if magic != MAGIC:
            self._breach("the first frame is not a greeting")
        import sys

        name = b"python %d.%d.%d" % sys.version_info[:3]
        mine = _GREETING.pack(MAGIC, VERSION, VERSION, 1, 0, MESSAGE_MAX, len(name)) + name
        self._write(_HEADER.pack(len(mine), HELLO, 0, 0, 0) + mine)
        if not low <= VERSION <= high:
            self._breach("no common version: the host speaks %d to %d, this runtime %d" % (low, high, VERSION))

    def ready(self):
        """Say that calls are taken."""
        self._write(_HEADER.pack(0, READY, 0, 0, 0))

    def answer(self, kind, call, name, parts):
        """End the call `call`. ValueError if the message is too large: nothing was written then."""
        self._send(kind, call, name, 0, parts, True)

    def output(self, name, parts):
        """Send an output of the running call. False if there is none to send it to."""
        return self._send(OUTPUT, 0, name, 0, parts, False)

    def _send(self, kind, id, name, parent, parts, ends):
        if not self.is_ours():
            return False
        head = encode_head(name, parent, parts)
        interrupt.enter_critical()
        try:
            with self._writing:
                if kind == OUTPUT:
                    id = self.open_call
                    if not id:
                        return False
                self._write_message(kind, id, head, parts)
                if ends:
                    self.open_call = 0
        finally:
            interrupt.leave_critical()
        return True

    def _write_message(self, kind, id, head, parts):
        total = len(head) + sum(len(data) for _, data in parts)
        if total <= FRAME_MAX:
            pieces = [_HEADER.pack(total, kind, 0, 0, id), head]
            pieces += [data for _, data in parts]
            self._write(b"".join(pieces))
            return
        # Big parts are never copied into one: each frame gathers slices of them.
        left = total
        room = FRAME_MAX
        frame = [b""]
        for data in [head] + [data for _, data in parts]:
            view = memoryview(data).cast("B") if len(data) else b""
            at = 0
            while at < len(view):
                piece = view[at : at + room]
                frame.append(piece)
                at += len(piece)
                room -= len(piece)
                left -= len(piece)
                if not room or not left:
                    size = FRAME_MAX - room
                    frame[0] = _HEADER.pack(size, kind, _MORE if left else 0, 0, id)
                    self._write_pieces(frame, size + _HEADER.size)
                    frame = [b""]
                    room = FRAME_MAX

    def _write_pieces(self, pieces, size):
        try:
            written = os.writev(self.descriptor, pieces)
        except OSError:
            self._gone()
        if written < size:
            self._write(b"".join(pieces)[written:])

    def _write(self, data):
        try:
            written = os.write(self.descriptor, data)
            while written < len(data):
                data = data[written:]
                written = os.write(self.descriptor, data)
        except OSError:
            self._gone()

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
                    while not queue:
                        self._dispatch(self._read_frame())
                finally:
                    self._give_role()
            else:
                self._idle.lock.acquire()
        return queue.popleft()

    def call(self, verb, parts, timeout=None):
        """Call the host and wait for its answer: a Message of kind RESULT or FAILURE.

        None if there is nobody to answer: in a forked child, or after `timeout` seconds. Can be interrupted.
        """
        if not self.is_ours():
            return None
        deadline = None
        if timeout is not None:
            deadline = interrupt.load("time").monotonic() + timeout
        waiter = _Waiter()
        id = 0
        interrupt.enter_critical()
        try:
            with self._writing:
                id = self._next_id
                self._next_id += 1
                self._waiting[id] = waiter
                head = encode_head(verb, self.open_call, parts)
                self._write_message(CALL, id, head, parts)
            return self._wait(waiter, deadline)
        finally:
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
                    if waiter.answer is None and (self._has_frame() or self._sleep(left)):
                        self._dispatch(self._read_frame())
                finally:
                    self._give_role()
            else:
                _sleep_on(waiter.lock, left)
        return waiter.answer

    def _give_role(self):
        # Whoever waits and was not answered must look again: nobody else would read for it.
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
                if flags & _MORE:
                    self._unfinished[kind, id] = [payload]
                    return
                chunks = [payload]
            else:
                chunks.append(payload)
                if flags & _MORE:
                    return
                del self._unfinished[kind, id]
            try:
                message = decode_message(kind, id, slot, chunks)
            except _Broken as error:
                self._breach(str(error))
            if kind == CALL:
                self._queue.append(message)
            else:
                waiter = self._waiting.get(id)
                if waiter is not None:
                    waiter.answer = message
                    waiter.wake()
        elif kind == STOP:
            self._queue.append(Message(STOP, 0, 0, "", 0, []))
        elif kind != INTERRUPT and kind <= 31:
            self._breach("a frame of kind %d from the host" % kind)

    def _has_frame(self):
        buffer = self._buffer
        if len(buffer) < _HEADER.size:
            return False
        return len(buffer) >= _HEADER.size + _HEADER.unpack_from(buffer)[0]

    def _read_frame(self):
        buffer = self._buffer
        while len(buffer) < _HEADER.size:
            buffer += self._receive()
        size, kind, flags, slot, id = _HEADER.unpack_from(buffer)
        if size > FRAME_MAX:
            self._breach("a frame of %d bytes from the host" % size)
        end = _HEADER.size + size
        while len(buffer) < end:
            buffer += self._receive()
        self._buffer = buffer[end:]
        return kind, flags, slot, id, buffer[_HEADER.size : end]

    def _receive(self):
        try:
            data = os.read(self.descriptor, FRAME_MAX + _HEADER.size)
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
