# SPDX-License-Identifier: Apache-2.0
"""A strict reader of docs/protocol.md, written from the page alone, and the vectors of Tests/Vectors/frames.txt."""

import struct
from pathlib import Path

VECTORS = Path(__file__).parents[1] / "Vectors" / "frames.txt"
HALF = 1 << 20
HELLO = struct.pack("<IBBHQ", 30, 1, 0, 0, 0) + struct.pack("<IHHIIQH", 0x5254554C, 1, 1, 8, 1, 1 << 30, 4) + b"test"

KINDS = {
    1: "hello", 2: "ready", 3: "call", 4: "output", 5: "result", 6: "failure", 8: "stop", 9: "interrupt", 10: "release",
    16: "open", 17: "data", 18: "credit", 19: "end", 20: "cancel", 21: "need",
}  # fmt: skip
ONE_SIDED = {"ready": "worker", "output": "worker", "stop": "host"}


class Breach(Exception):
    pass


def vectors():
    """(name, sender, bytes, outcome) of each line."""
    for line in VECTORS.read_text().splitlines():
        if line.startswith("#"):
            continue
        name, sender, words, outcome = line.split("\t")
        data = b""
        for word in words.split():
            unit, _, times = word.partition("*")
            data += HELLO if word == "hello" else bytes.fromhex(unit) * int(times or 1)
        yield name, sender, data, outcome


def arena(at, size):
    """Bytes of the arena that the vectors speak of."""
    return bytes(31 * (at % HALF + index) & 255 for index in range(size))


def places(payload):
    if not payload or len(payload) % 16:
        raise Breach("a frame that is to name places in the arena and does not, or may not")
    return [struct.unpack_from("<QQ", payload, at) for at in range(0, len(payload), 16)]


def shown(found):
    return "".join(" %d+%d" % place for place in found)


class Reader:
    """What one side sends, read: `read(bytes)` gives the outcome as the vectors write it."""

    def __init__(self, sender):
        self.sender = sender
        self.start = 0 if sender == "host" else HALF
        self.greeted = False
        self.unfinished = {}
        self.copied = []
        self.arrived = []

    def read(self, data):
        try:
            while len(data) >= 16:
                size, kind, flags, slot, id = struct.unpack_from("<IBBHQ", data)
                if size > 65536:
                    raise Breach("a frame of %d bytes, at most 65536 are allowed" % size)
                if kind not in KINDS and kind <= 31:
                    raise Breach("a frame of the unknown kind %d" % kind)
                if flags > 3 and kind in KINDS:
                    raise Breach("a frame with the unknown flags %d" % flags)
                if len(data) < 16 + size:
                    break
                if kind in KINDS:
                    self.frame(KINDS[kind], kind, flags, id, data[16 : 16 + size])
                data = data[16 + size :]
        except Breach as breach:
            return "! %s" % breach
        if self.copied:
            self.arrived.append("copied" + shown(self.copied))
        if data or self.unfinished:
            self.arrived.append("...")
        return "= " + "; ".join(self.arrived)

    def frame(self, name, kind, flags, id, payload):
        if not self.greeted:
            if name != "hello":
                raise Breach("its first frame is not a greeting of this protocol")
            return self.hello(payload)
        if name == "hello":
            raise Breach("it greeted twice")
        if ONE_SIDED.get(name, self.sender) != self.sender:
            raise Breach("a frame of kind %d, which is not its to send" % kind)
        if name in ("ready", "stop"):
            self.arrived.append(name)
        elif name in ("interrupt", "end"):
            self.arrived.append("%s %d" % (name, id))
        elif name == "release":
            self.arrived.append(name + shown(places(payload)))
        elif name in ("credit", "need"):
            if len(payload) != 8:
                raise Breach("a frame of kind %d with %d bytes, which is not its size" % (kind, len(payload)))
            self.arrived.append("%s %d %d" % ((name, id) + struct.unpack("<Q", payload)))
        else:
            self.message(name, flags, id, payload)

    def hello(self, payload):
        if len(payload) < 26:
            raise Breach("its first frame is not a greeting of this protocol")
        magic, low, high, _, _, _, size = struct.unpack_from("<IHHIIQH", payload)
        if magic != 0x5254554C:
            raise Breach("its first frame is not a greeting of this protocol")
        if not low <= 1 <= high:
            raise Breach("it speaks versions %d to %d, this library speaks 1" % (low, high))
        if size > 255 or len(payload) != 26 + size:
            raise Breach("its first frame is not a greeting of this protocol")
        self.greeted = True
        self.arrived.append('hello "%s" %d-%d' % (payload[26:].decode(), low, high))

    def message(self, name, flags, id, payload):
        message = self.unfinished.get((name, id))
        if message is None:
            if flags & 2:
                raise Breach("a frame that is to name places in the arena and does not, or may not")
            message = head(name, id, payload)
        elif flags & 2:
            found = places(payload)
            for at, size in found:
                if not size or not self.start <= at <= at + size <= self.start + HALF:
                    raise Breach("%d bytes at %d of the arena, which is outside its half" % (size, at))
            total = sum(size for _, size in found)
            if total > HALF:
                raise Breach("%d bytes in the places of one frame, at most %d are allowed" % (total, HALF))
            add(message, b"".join(arena(*place) for place in found))
            self.copied += found
        else:
            add(message, payload)
        if flags & 1:
            if (name, id) not in self.unfinished and len(self.unfinished) == 64:
                raise Breach("more than 64 unfinished messages")
            self.unfinished[name, id] = message
            return
        self.unfinished.pop((name, id), None)
        title, types, sizes, body = message
        if len(body) != sum(sizes):
            raise Breach("a message whose parts do not add up to its size")
        text, at = title, 0
        for media, size in zip(types, sizes):
            text += " %s:%s" % (media, body[at : at + size].hex())
            at += size
        self.arrived.append(text)


def head(name, id, payload):
    cut = Breach("a message whose head is cut short")
    if len(payload) < 16:
        raise cut
    count, size, lane, parent = struct.unpack_from("<HHIQ", payload)
    if count > 256:
        raise Breach("a message of %d parts, at most 256 are allowed" % count)
    if size > 255:
        raise Breach("a name of %d bytes, at most 255 are allowed" % size)
    at = 16 + size
    names, sizes = [payload[16:at]], []
    for _ in range(count):
        if at + 10 > len(payload):
            raise cut
        length, part = struct.unpack_from("<HQ", payload, at)
        if length > 255:
            raise Breach("a name of %d bytes, at most 255 are allowed" % length)
        sizes.append(part)
        if sum(sizes) > 1 << 30:
            raise Breach("a message of more than 1 GiB")
        names.append(payload[at + 10 : at + 10 + length])
        at += 10 + length
    if at > len(payload):
        raise cut
    if any(b"\0" in found for found in names):
        raise Breach("a name or media type with a NUL byte")
    title = '%s %d "%s"' % (name, id, names[0].decode())
    title += " lane %d" % lane if lane else ""
    title += " parent %d" % parent if parent else ""
    message = [title, [found.decode() for found in names[1:]], sizes, b""]
    add(message, payload[at:])
    return message


def add(message, data):
    message[3] += data
    if len(message[3]) > sum(message[2]):
        raise Breach("a message whose parts do not add up to its size")
