# SPDX-License-Identifier: Apache-2.0
"""Messages of more than one frame. Imported when the first one comes or goes."""

from . import wire
from .session import Waiter


class Assembly:
    """A message of several frames: what they bring is put where it belongs at once."""

    def __init__(self, kind, id, slot, first):
        self._whole = (kind, id, slot)
        self._name, self._parent, self._sizes, at = wire.decode_head(first)
        self.left = sum([size for _, size in self._sizes])
        if self.left > wire.MESSAGE_MAX:
            raise wire.Broken("a message of %d bytes" % self.left)
        self._size = at + self.left
        self._at = 0
        try:
            self._body = memoryview(bytearray(self.left))
        except MemoryError:
            self._body = None  # it passes by, and its call alone fails
        self.add(first[at:])

    def add(self, data):
        """Take in the next bytes."""
        size = len(data)
        if size > self.left:
            raise wire.Broken("the sizes in a message do not add up")
        if self._body is not None:
            self._body[self._at : self._at + size] = data
        self._at += size
        self.left -= size

    def message(self):
        """The message, after its last frame."""
        if self.left:
            raise wire.Broken("the sizes in a message do not add up")
        parts = None
        if self._body is not None:
            parts = []
            at = 0
            body = self._body.toreadonly()
            for media, size in self._sizes:
                data = body[at : at + size]
                parts.append((media, data if size > wire.FRAME_MAX else bytes(data)))
                at += size
        return wire.Message(*self._whole, self._name, self._parent, parts, self._size)


def frames_of(head, parts, place_from):
    """What goes into each frame of a long message, without a copy of what is big: pieces, their size together, and whether
    they are a part that is to be placed, which may take more frames than one."""
    run = [head]
    size = len(head)
    for _, data in parts:
        count = len(data)
        if not count:
            continue
        view = memoryview(data).cast("B")
        if count >= place_from:
            if size:
                yield run, size, False
                run, size = [], 0
            yield [view], count, True
            continue
        at = 0
        while at < count:
            if size == wire.FRAME_MAX:
                yield run, size, False
                run, size = [], 0
            piece = view[at : at + wire.FRAME_MAX - size]
            run.append(piece)
            at += len(piece)
            size += len(piece)
    if size:
        yield run, size, False


def write(session, kind, id, head, parts, left):
    """Write a message of `left` bytes together, frame by frame: others may write in between."""
    arena = session.open_arena()
    place_from = wire.MESSAGE_MAX if arena is None else wire.PLACED_LEAST
    for pieces, size, is_placed in frames_of(head, parts, place_from):
        left -= size
        more = wire.MORE if left else 0
        if is_placed:
            _write_placed(session, arena, kind, id, pieces[0], more)
        else:
            id = session.write_frame(kind, more, id, pieces, size)


def _write_placed(session, arena, kind, id, part, more):
    """A large part, through the arena as far as there is room."""
    size = len(part)
    if session.host_reads_in_place:
        place = arena.put(part)
        if place is not None:
            session.write_frame(kind, wire.PLACED | more, id, [place], len(place))
            return
    waits = set()
    at = 0
    while at < size:
        piece = part[at : at + arena.PIECE]
        at += len(piece)
        more_after = wire.MORE if at < size else more
        # A part in one frame may stay with the host for long: only what it copies is waited for.
        owner = waits if len(piece) < size else None
        place = None
        while place is None:
            if len(waits) < arena.PIECES:
                place = arena.put(piece, owner)
            if place is None and not (waits and _wait_for_release(session, waits)):
                break
        if place is not None:
            session.write_frame(kind, wire.PLACED | more_after, id, [place], len(place))
            continue
        for start in range(0, len(piece), wire.FRAME_MAX):
            line = piece[start : start + wire.FRAME_MAX]
            flags = more_after if start + len(line) == len(piece) else wire.MORE
            session.write_frame(kind, flags, id, [line], len(line))


def _wait_for_release(session, waits):
    """Until one of these places is released. False if this thread cannot wait."""
    if session.is_reading():
        return False  # a finaliser that ran while this thread was reading
    count = len(waits)
    waiter = Waiter()
    session.waiting[waiter] = waiter
    try:
        # Never raises: half a message has been written.
        session.wait(waiter, lambda: len(waits) < count, raises=False)
    finally:
        del session.waiting[waiter]
    return True
