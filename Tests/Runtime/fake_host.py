# SPDX-License-Identifier: Apache-2.0
"""A host in a page of Python, written from docs/protocol.md alone: one worker, one socketpair, one control page."""

import collections
import fcntl
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

RUNTIME = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "bindings", "python", "lauter", "runtime"
)
INTERPRETER = os.environ.get("LAUTER_TEST_PYTHON", sys.executable)

HELLO, READY, CALL, OUTPUT, RESULT, FAILURE, STOP, INTERRUPT, RELEASE = 1, 2, 3, 4, 5, 6, 8, 9, 10
OPEN, DATA, CREDIT, END, CANCEL, NEED = 16, 17, 18, 19, 20, 21
MORE, PLACED = 1, 2
MESSAGES = (CALL, OUTPUT, RESULT, FAILURE, OPEN, DATA, CANCEL)
HEADER = struct.Struct("<IBBHQ")
GREETING = struct.Struct("<IHHIIQH")
MAGIC = 0x5254554C
FRAME_MAX = 65536
METADATA = "application/vnd.lauter.metadata+json"

Message = collections.namedtuple("Message", "kind id name parent parts")


class Breach(Exception):
    """The worker broke the protocol."""


class WorkerEnded(Exception):
    """The session ended."""


def greeting(low=1, high=1, magic=MAGIC, arena=0, in_place=False):
    """A host's greeting frame."""
    payload = GREETING.pack(magic, low, high, 16 if in_place else 0, arena, 1 << 30, 4) + b"test"
    return HEADER.pack(len(payload), HELLO, 0, 0, 0) + payload


def encode(name, parts, parent=0):
    """A message's payload."""
    name = name.encode()
    out = [struct.pack("<HHIQ", len(parts), len(name), 0, parent), name]
    for media, data in parts:
        out.append(struct.pack("<HQ", len(media.encode()), len(data)) + media.encode())
    return b"".join(out + [data for _, data in parts])


def decode(kind, id, payload, first_size):
    """A Message; every rule of the protocol that concerns one is checked."""
    count, name_size, reserved, parent = struct.unpack_from("<HHIQ", payload)
    if count > 256 or name_size > 255 or reserved or (parent and kind != CALL):
        raise Breach("head")
    at = 16 + name_size
    name = payload[16:at].decode()
    heads = []
    for _ in range(count):
        size, length = struct.unpack_from("<HQ", payload, at)
        if size > 255:
            raise Breach("media type")
        heads.append((payload[at + 10 : at + 10 + size].decode(), length))
        at += 10 + size
    if at > first_size:
        raise Breach("the head is not whole in the first frame")
    parts = []
    for media, length in heads:
        parts.append((media, payload[at : at + length]))
        at += length
    if at != len(payload):
        raise Breach("sizes do not add up")
    return Message(kind, id, name, parent, parts)


class Outcome:
    """What came of a call."""

    def __init__(self, id):
        self.id = id
        self.outputs = []
        self.answer = None

    @property
    def ok(self):
        return self.answer.kind == RESULT

    @property
    def name(self):
        return self.answer.name

    @property
    def bundle(self):
        return dict(self.answer.parts)

    @property
    def text(self):
        return self.bundle.get("text/plain", b"").decode()

    @property
    def trace(self):
        return self.bundle.get("text/x-traceback", b"").decode()

    @property
    def note(self):
        return self.bundle.get("application/vnd.lauter.note", b"").decode()

    def displays(self, name="display"):
        return [dict(output.parts) for output in self.outputs if output.name == name]


class Host:
    """Starts a worker and talks to it. `answers` maps a worker's verbs to functions of the call's Message.

    With `arena`, the MiB of each half, large parts may be placed there; it then checks what the worker places.
    """

    def __init__(
        self, env=None, hello=None, options=("-u",), page=True, wait=True, preexec=None, command=None, arena=0,
        in_place=False,
    ):
        self.answers = {}
        self.asked = []
        self.frames = 0
        self._buffer = b""
        self._partial = {}
        self._outcomes = {}
        self._next_id = 1
        self._last_asked = 0
        self._slots = list(range(1, 256))
        self._slot_of = {}
        self._streams = {1: bytearray(), 2: bytearray()}
        self.cancelled = []  # ids of the worker's calls
        self.channels = {}  # by id: what came on them, as (kind, what)
        self.in_place = in_place
        self.holds = False  # whether it keeps what was placed; "whole": whole parts alone
        self.held = []  # places that it has not released
        self.placed = []  # sizes of the places that the worker has sent
        self.released = 0  # bytes that the worker has released
        self._out = {}  # places of ours
        ours, theirs = socket.socketpair()
        self.socket = ours
        ours.sendall(hello if hello is not None else greeting(arena=arena, in_place=in_place))
        self.half = arena << 20
        self.arena = None
        if arena:
            self.arena_fd = os.memfd_create("arena")
            os.ftruncate(self.arena_fd, 2 * self.half)
            self.arena = mmap.mmap(self.arena_fd, 2 * self.half)
        else:
            self.arena_fd = os.open(os.devnull, os.O_RDWR)
        self.page_fd = os.memfd_create("page")
        os.ftruncate(self.page_fd, 4096)
        self.page = mmap.mmap(self.page_fd, 4096)
        if page:
            struct.pack_into("<IHH", self.page, 0, MAGIC, 1, 256)
        read_only = os.open("/proc/self/fd/%d" % self.page_fd, os.O_RDONLY)
        out, err = os.pipe(), os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)

        def place():
            # First above everything that is to be overwritten; all others are close-on-exec.
            fds = (null, out[1], err[1], theirs.fileno(), read_only, self.arena_fd)
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 50) for fd in fds]
            for target, fd in enumerate(high):
                os.dup2(fd, target)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.setsid()
            if preexec:
                preexec()

        environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
        environment.update(env or {})
        command = command or [INTERPRETER, *options, os.path.join(RUNTIME, "__main__.py")]
        self.process = subprocess.Popen(command, env=environment, preexec_fn=place, close_fds=False)
        self.pid = self.process.pid
        for fd in (out[1], err[1], null, read_only):
            os.close(fd)
        theirs.close()
        self._readers = []
        for number, end in ((1, out[0]), (2, err[0])):
            reader = threading.Thread(target=self._drain, args=(end, self._streams[number]), daemon=True)
            reader.start()
            self._readers.append(reader)
        self.name = None
        if wait:
            self.wait_ready()

    def _drain(self, fd, into):
        while True:
            data = os.read(fd, 1 << 16)
            if not data:
                os.close(fd)
                return
            into += data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Kill the worker and whatever it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.socket.close()
        self.page.close()
        os.close(self.page_fd)
        os.close(self.arena_fd)

    # -- reading --

    def read_frame(self, timeout=30):
        """(kind, flags, id, payload) of the next frame."""
        buffer = self._buffer
        deadline = time.monotonic() + timeout
        while len(buffer) < 16 or len(buffer) < 16 + HEADER.unpack_from(buffer)[0]:
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("no frame from the worker; stderr: %s" % self.stderr())
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                raise WorkerEnded(self.stderr())
            buffer += data
        size, kind, flags, slot, id = HEADER.unpack_from(buffer)
        known = kind <= RELEASE and kind not in (7, STOP) or OPEN <= kind <= NEED
        if size > FRAME_MAX or flags & ~(MORE | PLACED) or slot or not known:
            raise Breach("frame %r" % ((size, kind, flags, slot, id),))
        self._buffer = buffer[16 + size :]
        self.frames += 1
        return kind, flags, id, buffer[16 : 16 + size]

    def wait_ready(self):
        kind, flags, id, payload = self.read_frame()
        magic, low, high, abilities, reserved, largest, size = GREETING.unpack_from(payload)
        if (kind, flags, id, magic, reserved) != (HELLO, 0, 0, MAGIC, 0) or len(payload) != 26 + size:
            raise Breach("greeting")
        self.greeting = (low, high, abilities, largest)
        self.name = payload[26:].decode()
        if self.read_frame() != (READY, 0, 0, b""):
            raise Breach("ready")

    def pump(self, timeout=30):
        """Read a frame; act on what it makes whole."""
        kind, flags, id, payload = self.read_frame(timeout)
        if kind not in MESSAGES:
            if flags:
                raise Breach("flags %d in a frame of kind %d" % (flags, kind))
            self._take_frame(kind, id, payload)
            return
        chunks = self._partial.setdefault((kind, id), [])
        if kind == CALL and not chunks:
            if id <= self._last_asked:
                raise Breach("call %d came after a later one" % id)
            self._last_asked = id
        if flags & PLACED:
            if not chunks:
                raise Breach("a head that is placed")
            payload = self._read_places(payload, len(chunks) == 1 and not flags & MORE)
        chunks.append(payload)
        if flags & MORE:
            return
        del self._partial[kind, id]
        message = decode(kind, id, b"".join(chunks), len(chunks[0]))
        if kind == CALL:
            self.asked.append(message)
            answer = self.answers.get(message.name)
            if answer is not None:
                answer(message)
            elif message.name in ("lauter.check", "lauter.sync"):
                self.reply(message, [])
            return
        if kind in (OPEN, DATA, CANCEL):
            if kind == OPEN and (not id & 1 or id in self.channels):
                raise Breach("a channel %d" % id)
            self.channels.setdefault(id, []).append((kind, message))
            return
        outcome = self._outcomes.get(id)
        if outcome is None or outcome.answer is not None:
            raise Breach("a message for call %d, which is not in flight" % id)
        if kind == OUTPUT:
            outcome.outputs.append(message)
        else:
            outcome.answer = message
            self._slots.append(self._slot_of.pop(id))

    def _take_frame(self, kind, id, payload):
        if kind == INTERRUPT:
            self.cancelled.append(id)
        elif kind == RELEASE:
            for offset, size in struct.iter_unpack("<QQ", payload):
                if self._out.pop(offset, None) != size:
                    raise Breach("a release of what was not placed")
                self.released += size
        elif kind in (CREDIT, NEED):
            self.channels[id].append((kind, struct.unpack("<Q", payload)[0]))
        elif kind == END:
            self.channels[id].append((kind, None))
        else:
            raise Breach("a frame of kind %d" % kind)

    def _read_places(self, payload, is_whole):
        places = list(struct.iter_unpack("<QQ", payload))
        data = []
        for offset, size in places:
            if not (self.half <= offset and 1 <= size and offset + size <= 2 * self.half):
                raise Breach("a place of %d bytes at %d" % (size, offset))
            for other, length in self.held:
                if offset < other + length and other < offset + size:
                    raise Breach("a place that was not released is used again")
            self.held.append((offset, size))
            self.placed.append(size)
            data.append(self.arena[offset : offset + size])
        if sum(size for _, size in places) > 1 << 20 and not (self.in_place and len(places) == 1):
            raise Breach("places of more than 1 MiB in one frame")
        if not self.holds:
            self.release()
        elif self.holds == "whole" and not is_whole:
            # What a host copies it releases right after.
            self.held, copied = self.held[: -len(places)], self.held[-len(places) :]
            self.send(RELEASE, 0, b"".join(struct.pack("<QQ", *place) for place in copied))
        return b"".join(data)

    def release(self, count=None):
        """Be done with what the worker has placed, or the first `count` of it."""
        done, self.held = self.held[:count], self.held[count:] if count else []
        if done:
            self.send(RELEASE, 0, b"".join(struct.pack("<QQ", *place) for place in done))

    # -- channels --

    def on(self, id, kind):
        """What came on a channel of one kind."""
        return [what for each, what in self.channels.get(id, []) if each == kind]

    def until(self, is_so, timeout=30):
        """Pump until `is_so()`, and return what it says."""
        deadline = time.monotonic() + timeout
        while True:
            value = is_so()
            if value:
                return value
            self.pump(max(0, deadline - time.monotonic()))

    def credit(self, id, count):
        self.send(CREDIT, id, struct.pack("<Q", count))

    # -- calls --

    def start(self, verb, parts):
        """Send a call: its Outcome."""
        outcome, slot = self._new_call()
        self.send(CALL, outcome.id, encode(verb, parts), slot)
        return outcome

    def _new_call(self):
        id = self._next_id
        self._next_id += 1
        slot = self._slots.pop(0)
        self._slot_of[id] = slot
        struct.pack_into("<I", self.page, slot * 16 + 8, 0)
        struct.pack_into("<Q", self.page, slot * 16, id)
        self._outcomes[id] = outcome = Outcome(id)
        return outcome, slot

    def send(self, kind, id, payload, slot=0):
        chunks = [payload[at : at + FRAME_MAX] for at in range(0, len(payload), FRAME_MAX)] or [b""]
        for number, chunk in enumerate(chunks):
            more = 1 if number + 1 < len(chunks) else 0
            self.socket.sendall(HEADER.pack(len(chunk), kind, more, slot, id) + chunk)

    def send_placed(self, kind, id, head, body, slot=0, piece=1 << 20):
        """A message whose parts lie in the arena as far as the worker gives its places back, in pieces."""
        self.socket.sendall(HEADER.pack(len(head), kind, MORE, slot, id) + head)
        at = 0
        while at < len(body):
            data = body[at : at + piece]
            at += len(data)
            offset = next(
                (start for start in range(0, self.half - len(data) + 1, piece) if start not in self._out), None
            )
            if offset is None:
                raise AssertionError("the worker releases nothing")
            self.arena[offset : offset + len(data)] = data
            self._out[offset] = len(data)
            more = MORE if at < len(body) else 0
            self.socket.sendall(HEADER.pack(16, kind, PLACED | more, slot, id) + struct.pack("<QQ", offset, len(data)))
            if len(self._out) * piece >= self.half and more:
                self.until(lambda: len(self._out) * piece < self.half)

    def start_placed(self, verb, parts, piece=1 << 20):
        """Send a call whose parts are placed: its Outcome."""
        outcome, slot = self._new_call()
        whole = encode(verb, parts)
        body = b"".join(data for _, data in parts)
        self.send_placed(CALL, outcome.id, whole[: len(whole) - len(body)], body, slot, piece)
        return outcome

    def wait(self, outcome, timeout=30):
        deadline = time.monotonic() + timeout
        while outcome.answer is None:
            self.pump(max(0, deadline - time.monotonic()))
        return outcome

    def execute_start(self, source, **metadata):
        parts = [("text/x-python", source.encode())]
        if metadata:
            import json

            parts.append((METADATA, json.dumps(metadata).encode()))
        return self.start("execute", parts)

    def execute(self, source, timeout=30, **metadata):
        return self.wait(self.execute_start(source, **metadata), timeout)

    def request(self, outcome):
        """Ask a call to stop, on the page alone."""
        at = self._slot_of[outcome.id] * 16 + 8
        struct.pack_into("<I", self.page, at, struct.unpack_from("<I", self.page, at)[0] + 1)

    def interrupt(self, outcome, group=False):
        """Ask a call to stop, as docs/protocol.md says."""
        if outcome.answer is None:
            self.request(outcome)
        (os.killpg if group else os.kill)(self.pid, signal.SIGINT)

    def reply(self, call, parts):
        self.send(RESULT, call.id, encode("", parts))

    def fail(self, call, name, text):
        self.send(FAILURE, call.id, encode(name, [("text/plain", text.encode())]))

    def stop(self, timeout=20):
        """Ask the worker to exit: its status."""
        self.send(STOP, 0, b"")
        return self.process.wait(timeout)

    # -- streams --

    def stdout(self):
        return self._streams[1].decode("utf-8", "replace")

    def stderr(self):
        return self._streams[2].decode("utf-8", "replace")

    def wait_stdout(self, text, timeout=20):
        """Wait until `text` is on standard output."""
        return self._wait_stream(1, text, timeout)

    def wait_stderr(self, text, timeout=20):
        return self._wait_stream(2, text, timeout)

    def _wait_stream(self, number, text, timeout):
        deadline = time.monotonic() + timeout
        while text not in self._streams[number].decode("utf-8", "replace"):
            if time.monotonic() > deadline:
                raise TimeoutError("%r never came; there is %r" % (text, self._streams[number].decode()))
            time.sleep(0.005)
        return self._streams[number].decode("utf-8", "replace")
