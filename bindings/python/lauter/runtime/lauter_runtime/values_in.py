# SPDX-License-Identifier: Apache-2.0
"""Values that cross languages (docs/values.md): Python's objects of their bytes, each rule checked.

Refuses what `lauter_value_check()` refuses, at the same byte with the same words.
"""

import sys
from _struct import Struct

from .interrupt import load
from .values import BIG, COMPLEX, DATE, DAY, DECIMAL, DURATION, EPOCH, LOCAL, SET, TIME, TUPLE, UUID, ZONED
from .values import ARRAY, BYTES_MAX, DEPTH_MAX, ITEMS_MAX, KINDS, SECONDS_MAX, SECONDS_MIN
from .values import Array, is_zone, width_of

_INTEGERS = [Struct(">" + code) for code in "BHIQbhiq"]
_REALS = Struct(">f"), Struct(">d")
_COLLIDING_MOST = 64


class Broken(ValueError):
    """What was read is no value: at `offset` of its first part, for the `reason`."""

    __module__ = "lauter"  # in tracebacks

    def __init__(self, offset, reason):
        super().__init__("the value is broken at byte %d: %s" % (offset, reason))
        self.offset = offset
        self.reason = reason


class NotHeld(ValueError):
    """A value that Python's types cannot hold: a time with nanoseconds."""

    __module__ = "lauter"


def decode(parts):
    """The object that a run of parts' bytes holds. Arrays refer to the parts' memory, and can be written if that can.

    Broken if it is no value, NotHeld if Python cannot hold it.
    """
    reader = _Reader(parts)
    if reader.end > BYTES_MAX:
        raise Broken(0, "more than 1 GiB")
    value = reader.value(0)
    if reader.at != reader.end:
        raise Broken(reader.at, "bytes after the value")
    if reader.part != len(parts):
        raise Broken(reader.at, "a part that no array refers to")
    return value


class _Reader:
    def __init__(self, parts):
        self.parts = parts
        self.data = memoryview(parts[0])
        self.at = 0
        self.end = len(self.data)
        self.items = 0
        self.part = 1
        self.is_key = False  # whether the item read last may be one

    def take(self, size, start):
        at = self.at
        if size > self.end - at:
            raise Broken(start, "cut short")
        self.at = at + size
        return at

    def number(self, form, start):
        form = _INTEGERS[form]
        return form.unpack_from(self.data, self.take(form.size, start))[0]

    def value(self, depth, is_set=False):
        start = self.at
        self.items += 1
        if self.items > ITEMS_MAX:
            raise Broken(start, "more than 16777216 items")
        if start >= self.end:
            raise Broken(start, "cut short")
        code = self.data[start]
        self.at = start + 1
        if code <= 0x7F or code >= 0xE0:
            self.is_key = True
            return code if code <= 0x7F else code - 256
        if 0xA0 <= code <= 0xBF:
            return self.text(code & 31, start)
        if 0xD9 <= code <= 0xDB:
            return self.text(self.number(code - 0xD9, start), start)
        if 0xCC <= code <= 0xD3:
            value = self.number(code - 0xCC, start)
            self.is_key = True
            return value
        if 0x80 <= code <= 0x8F:
            return self.map(code & 15, start, depth)
        if 0x90 <= code <= 0x9F:
            return self.list(code & 15, start, depth, is_set)
        if code in (0xC0, 0xC2, 0xC3):
            self.is_key = False
            return None if code == 0xC0 else code == 0xC3
        if code in (0xCA, 0xCB):
            self.is_key = False
            form = _REALS[code - 0xCA]
            return form.unpack_from(self.data, self.take(form.size, start))[0]
        if 0xC4 <= code <= 0xC6:
            size = self.number(code - 0xC4, start)
            at = self.take(size, start)
            self.is_key = True
            return bytes(self.data[at : at + size])
        if 0xC7 <= code <= 0xC9:
            return self.extension(self.number(code - 0xC7, start), start, depth)
        if 0xD4 <= code <= 0xD8:
            return self.extension(1 << code - 0xD4, start, depth)
        if code in (0xDC, 0xDD):
            return self.list(self.number(code - 0xDB, start), start, depth, is_set)
        if code in (0xDE, 0xDF):
            return self.map(self.number(code - 0xDD, start), start, depth)
        raise Broken(start, "no item begins with this byte")

    def text(self, size, start):
        at = self.take(size, start)
        self.is_key = True
        try:
            return str(self.data[at : at + size], "utf-8")
        except UnicodeDecodeError:
            raise Broken(start, "not UTF-8") from None

    def enter(self, depth, start):
        if depth >= DEPTH_MAX:
            raise Broken(start, "nested more than 64 deep")

    def list(self, count, start, depth, is_set):
        self.enter(depth, start)
        if count > self.end - self.at:
            raise Broken(start, "cut short")
        if not is_set:
            items = [self.value(depth + 1) for _ in range(count)]
            self.is_key = False
            return items
        elements, twice, colliding = set(), None, {}
        for _ in range(count):
            at = self.at
            key = self.key(depth, colliding)
            if twice is None and key in elements:
                twice = at
            elements.add(key)
        if twice is not None:
            raise Broken(twice, "a key or element that came before")
        self.is_key = False
        return elements

    def map(self, count, start, depth):
        self.enter(depth, start)
        if count > (self.end - self.at) // 2:
            raise Broken(start, "cut short")
        items, twice, colliding = {}, None, {}
        for _ in range(count):
            at = self.at
            key = self.key(depth, colliding)
            if twice is None and key in items:
                twice = at
            items[key] = self.value(depth + 1)
        if twice is not None:
            raise Broken(twice, "a key or element that came before")
        self.is_key = False
        return items

    def key(self, depth, colliding):
        start = self.at
        key = self.value(depth + 1)
        if not self.is_key:
            raise Broken(start, "neither a key nor an element of a set")
        if type(key) not in (str, bytes) and (type(key) is not int or key.bit_length() > 64):
            # Of these Python's hashes have no secret: as many as you like have the same, and a dict of them is as slow
            # as the square of their number.
            common = hash(key)
            colliding[common] = colliding.get(common, 0) + 1
            if colliding[common] > _COLLIDING_MOST:
                raise NotHeld("byte %d: keys that were chosen to make Python's dict slow" % start)
        return key

    def extension(self, size, start, depth):
        kind = self.data[self.take(1, start)]
        at = self.take(size, start)
        self.is_key = False
        if kind in (TUPLE, SET):
            self.enter(depth, start)
            code = self.data[at] if size else 0
            if code & 0xF0 != 0x90 and code not in (0xDC, 0xDD):
                raise Broken(start, "an extension that is not of its type's form")
            outer, self.end, self.at = self.end, self.at, at
            items = self.value(depth + 1, kind == SET)
            if self.at != self.end:
                raise Broken(start, "bytes after the value")
            self.end = outer
            return tuple(items) if kind == TUPLE else items
        if kind == ARRAY:
            value = self.array(at, size, start)
        else:
            read = _EXTENSIONS.get(kind)
            if read is None:
                raise Broken(start, "an extension of an unknown type")
            value = read(bytes(self.data[at : at + min(size, BYTES_MAX)]))
        if value is None:
            raise Broken(start, "an extension that is not of its type's form")
        self.is_key = kind in (BIG, DATE, UUID)
        return value

    def array(self, at, size, start):
        data = self.data
        if size < 7:
            return None
        kind, order, rank = data[at], data[at + 1], data[at + 2]
        if not 1 <= kind <= len(KINDS) or order > (rank > 1) or rank > 32 or size < 7 + 8 * rank:
            return None
        width = extent = width_of(kind)
        shape = []
        for axis in range(rank):
            length = int.from_bytes(data[at + 3 + 8 * axis : at + 11 + 8 * axis], "big")
            extent *= max(length, 1)
            if length > BYTES_MAX or extent > BYTES_MAX:
                raise Broken(start, "an array of more than 1 GiB")
            shape.append(length)
        needed = 0 if 0 in shape else extent
        place = at + 3 + 8 * rank
        part = int.from_bytes(data[place : place + 4], "big")
        memory = data[place + 4 : at + size]
        if part:
            if part != self.part or part >= len(self.parts) or len(memory):
                raise Broken(start, "not the next part, or none")
            memory = memoryview(self.parts[part])
            if memory.format != "B" or memory.ndim != 1:
                memory = memory.cast("B")
            self.part += 1
        if len(memory) != needed:
            raise Broken(start, "data of another size than the shape's")
        if kind == 1 and not _is_boolean(memory):
            raise Broken(start, "a boolean that is neither 0 nor 1")
        numpy = sys.modules.get("numpy")
        if not hasattr(numpy, "ndarray"):  # half imported, in another thread
            return Array(kind, tuple(shape), bool(order), memory)
        # Without elements there is no memory to refer to.
        memory = memory if needed else bytes(width)
        return numpy.ndarray(tuple(shape), KINDS[kind - 1], memory, order="F" if order else "C")


def _is_boolean(memory):
    # In pieces: a copy of the whole would double it.
    for at in range(0, len(memory), 1 << 18):
        if bytes(memory[at : at + (1 << 18)]).translate(None, b"\0\1"):
            return False
    return True


def _big(data):
    size = len(data)
    if not 9 <= size <= 65536:
        return None
    value = int.from_bytes(data, "big", signed=True)
    least = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return value if least == size and not -(1 << 63) <= value < 1 << 64 else None


def _decimal(data):
    digits = data[5:] if data[4:5] == b"-" else data[4:]
    exponent = int.from_bytes(data[:4], "big", signed=True)
    if len(data) < 5 or not 1 <= len(digits) <= 4096 or abs(exponent) > 999999 or digits.translate(None, b"0123456789"):
        return None
    if digits[:1] == b"0" and len(digits) > 1:
        return None
    return load("decimal").Decimal((int(data[4:5] == b"-"), [digit - 48 for digit in digits], exponent))


def _days(data):
    days = int.from_bytes(data, "big", signed=True)
    return days if 1 - EPOCH <= days <= 2932896 else None


def _day(days):
    return load("datetime").date.fromordinal(days + EPOCH)


def _microseconds(nanoseconds, what):
    if nanoseconds % 1000:
        raise NotHeld("%s with nanoseconds, which Python's has not" % what)
    return nanoseconds // 1000


def _clock(nanoseconds):
    seconds, rest = divmod(nanoseconds, 10**9)
    return load("datetime").time(seconds // 3600, seconds // 60 % 60, seconds % 60, _microseconds(rest, "a time"))


def _date(data):
    days = _days(data) if len(data) == 4 else None
    return None if days is None else _day(days)


def _time(data):
    nanoseconds = int.from_bytes(data, "big")
    return _clock(nanoseconds) if len(data) == 8 and nanoseconds < DAY else None


def _combined(data):
    days, nanoseconds = _days(data[:4]), int.from_bytes(data[4:12], "big")
    if days is None or nanoseconds >= DAY:
        return None
    return load("datetime").datetime.combine(_day(days), _clock(nanoseconds))


def _local(data):
    return _combined(data) if len(data) == 12 else None


def _zoned(data):
    name = data[16:]
    offset = int.from_bytes(data[12:16], "big", signed=True)
    if not 16 <= len(data) <= 80 or not -86400 < offset < 86400 or not is_zone(name):
        return None
    local = _combined(data)
    return None if local is None else _in_zone(local, offset, name.decode())


def _in_zone(local, offset, name):
    """A local time at an offset. The zone is taken if this machine knows it and it has that offset then."""
    timezone, timedelta = load("datetime").timezone, load("datetime").timedelta
    offset = timedelta(seconds=offset)
    if name:
        try:
            zone = load("zoneinfo").ZoneInfo(name)
            for fold in (0, 1):
                found = local.replace(tzinfo=zone, fold=fold)
                if found.utcoffset() == offset:
                    return found
        except Exception:
            pass  # no such zone here, or a folder of zones: the offset says it all
        return local.replace(tzinfo=timezone(offset, name))
    return local.replace(tzinfo=timezone(offset) if offset else timezone.utc)


def _timestamp(data):
    nanoseconds = 0
    seconds = int.from_bytes(data, "big")
    if len(data) == 8:
        nanoseconds, seconds = seconds >> 34, seconds & (1 << 34) - 1
    elif len(data) == 12:
        nanoseconds, seconds = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big", signed=True)
    elif len(data) != 4:
        return None
    if nanoseconds >= 10**9 or not -62135596800 <= seconds < 253402300800:
        return None
    local = load("datetime").datetime.combine(_day(seconds // 86400), _clock(seconds % 86400 * 10**9 + nanoseconds))
    return _in_zone(local, 0, "")


def _duration(data):
    seconds, nanoseconds = int.from_bytes(data[:8], "big", signed=True), int.from_bytes(data[8:], "big")
    if len(data) != 12 or not SECONDS_MIN <= seconds <= SECONDS_MAX or nanoseconds >= 10**9:
        return None
    return load("datetime").timedelta(seconds=seconds, microseconds=_microseconds(nanoseconds, "a duration"))


def _uuid(data):
    if len(data) != 16:
        return None
    return load("uuid").UUID(bytes=data)


def _complex(data):
    return complex(*Struct(">dd").unpack(data)) if len(data) == 16 else None


_EXTENSIONS = {
    BIG: _big,
    DECIMAL: _decimal,
    DATE: _date,
    TIME: _time,
    LOCAL: _local,
    ZONED: _zoned,
    DURATION: _duration,
    UUID: _uuid,
    COMPLEX: _complex,
    0xFF: _timestamp,
}
