# SPDX-License-Identifier: Apache-2.0
"""Frames and messages of docs/protocol.md as bytes. Pure: nothing here reads or writes."""

from _struct import Struct, error as _struct_error

HELLO, READY, CALL, OUTPUT, RESULT, FAILURE, STOP, INTERRUPT, RELEASE = 1, 2, 3, 4, 5, 6, 8, 9, 10
OPEN, DATA, CREDIT, END, CANCEL, NEED = 16, 17, 18, 19, 20, 21
FRAME_MAX = 65536
MESSAGE_MAX = 1 << 30
PARTS_MAX = 256
NAME_MAX = 255
MAGIC = 0x5254554C
VERSION = 1

HEADER = Struct("<IBBHQ")
GREETING = Struct("<IHHIIQH")
_HEAD = Struct("<HHIQ")
_PART = Struct("<HQ")
PLACE = Struct("<QQ")
PLACED_MAX = 1 << 20  # bytes of all places of one frame
MORE, PLACED = 1, 2
PLACED_LEAST = 65536  # what is smaller is faster in line
READS_ARENA, READS_IN_PLACE = 8, 16


class Broken(Exception):
    """What was read is not a message."""


class Message:
    """A whole message. `parts` are pairs of media type and bytes (large ones: a memoryview), or None if there was no
    memory for them."""

    __slots__ = ("kind", "id", "slot", "name", "parent", "parts", "size")

    def __init__(self, kind, id, slot, name, parent, parts, size):
        self.kind = kind
        self.id = id
        self.slot = slot
        self.name = name
        self.parent = parent
        self.parts = parts
        self.size = size  # of head and parts


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


def decode_head(first):
    """Name, parent, media types with sizes, and where the head ends, of a message's first frame."""
    try:
        count, name_size, _, parent = _HEAD.unpack_from(first)
        if count > PARTS_MAX or name_size > NAME_MAX:
            raise Broken("a message of %d parts with a name of %d bytes" % (count, name_size))
        at = _HEAD.size + name_size
        name = first[_HEAD.size : at].decode()
        sizes = []
        for _ in range(count):
            type_size, size = _PART.unpack_from(first, at)
            at += _PART.size
            if type_size > NAME_MAX:
                raise Broken("a media type of %d bytes" % type_size)
            sizes.append((first[at : at + type_size].decode(), size))
            at += type_size
    except (ValueError, _struct_error) as error:
        raise Broken("the head of a message cannot be read: %s" % error)
    if at > len(first):
        raise Broken("the head of a message is not whole in its first frame")
    if "\0" in name or any(["\0" in media for media, _ in sizes]):
        raise Broken("a name or media type with a NUL byte")
    return name, parent, sizes, at


def decode_message(kind, id, slot, payload):
    """A message of one frame."""
    name, parent, sizes, at = decode_head(payload)
    if at + sum([size for _, size in sizes]) != len(payload):
        raise Broken("the sizes in a message do not add up")
    parts = []
    for media, size in sizes:
        parts.append((media, payload[at : at + size]))
        at += size
    return Message(kind, id, slot, name, parent, parts, len(payload))
