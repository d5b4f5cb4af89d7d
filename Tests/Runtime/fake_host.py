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

HELLO, READY, CALL, OUTPUT, RESULT, FAILURE, STOP, INTERRUPT = 1, 2, 3, 4, 5, 6, 8, 9
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


def greeting(low=1, high=1, magic=MAGIC):
    """A host's greeting frame."""
    payload = GREETING.pack(magic, low, high, 0, 0, 1 << 30, 4) + b"test"
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
    """Starts a worker and talks to it. `answers` maps a worker's verbs to functions of the call's Message."""

    def __init__(self, env=None, hello=None, options=("-u",), page=True, wait=True, preexec=None, command=None):
        self.answers = {}
        self.asked = []
        self.frames = 0
        self._buffer = b""
        self._partial = {}
        self._outcomes = {}
        self._next_id = 1
        self._slots = list(range(1, 256))
        self._slot_of = {}
        self._streams = {1: bytearray(), 2: bytearray()}
        ours, theirs = socket.socketpair()
        self.socket = ours
        ours.sendall(hello if hello is not None else greeting())
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
            fds = (null, out[1], err[1], theirs.fileno(), read_only)
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
        if size > FRAME_MAX or flags & ~1 or slot or kind not in (HELLO, READY, CALL, OUTPUT, RESULT, FAILURE):
            raise Breach("frame %r" % ((size, kind, flags, slot, id),))
        self._buffer = buffer[16 + size :]
        self.frames += 1
        return kind, flags, id, buffer[16 : 16 + size]

    def wait_ready(self):
        kind, flags, id, payload = self.read_frame()
        magic, low, high, interrupts, reserved, largest, size = GREETING.unpack_from(payload)
        if (kind, flags, id, magic, reserved) != (HELLO, 0, 0, MAGIC, 0) or len(payload) != 26 + size:
            raise Breach("greeting")
        self.greeting = (low, high, interrupts, largest)
        self.name = payload[26:].decode()
        if self.read_frame() != (READY, 0, 0, b""):
            raise Breach("ready")

    def pump(self, timeout=30):
        """Read until a message is whole, and act on it."""
        kind, flags, id, payload = self.read_frame(timeout)
        chunks = self._partial.setdefault((kind, id), [])
        chunks.append(payload)
        if flags & 1:
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
        outcome = self._outcomes.get(id)
        if outcome is None or outcome.answer is not None:
            raise Breach("a message for call %d, which is not in flight" % id)
        if kind == OUTPUT:
            outcome.outputs.append(message)
        else:
            outcome.answer = message
            self._slots.append(self._slot_of.pop(id))

    # -- calls --

    def start(self, verb, parts):
        """Send a call: its Outcome."""
        id = self._next_id
        self._next_id += 1
        slot = self._slots.pop(0)
        self._slot_of[id] = slot
        struct.pack_into("<I", self.page, slot * 16 + 8, 0)
        struct.pack_into("<Q", self.page, slot * 16, id)
        self._outcomes[id] = outcome = Outcome(id)
        self.send(CALL, id, encode(verb, parts), slot)
        return outcome

    def send(self, kind, id, payload, slot=0):
        chunks = [payload[at : at + FRAME_MAX] for at in range(0, len(payload), FRAME_MAX)] or [b""]
        for number, chunk in enumerate(chunks):
            more = 1 if number + 1 < len(chunks) else 0
            self.socket.sendall(HEADER.pack(len(chunk), kind, more, slot, id) + chunk)

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
