# SPDX-License-Identifier: Apache-2.0
"""Values that cross languages (docs/values.md): what of Python's has a form there, and its bytes.

Nothing is imported that the user's code has not: an object of a class whose module is not loaded cannot come.
"""

import sys
from _struct import Struct, calcsize, unpack

MEDIA = "application/vnd.lauter.value"
DATA = "application/octet-stream"
DEPTH_MAX = 64
ITEMS_MAX = 1 << 24
BYTES_MAX = 1 << 30
PART_LEAST = 1024
"""Data of arrays from this size on goes into a part of its own."""

BIG, DECIMAL, DATE, TIME, LOCAL, ZONED, DURATION, UUID, COMPLEX, TUPLE, SET, ARRAY = range(1, 13)
EPOCH = 719163  # 1970-01-01 as datetime.date counts days
DAY = 86400 * 10**9
SECONDS_MIN, SECONDS_MAX = -86399999913600, 86399999999999

KINDS = "|b1 |i1 <i2 <i4 <i8 |u1 <u2 <u4 <u8 <f2 <f4 <f8 <c8 <c16".split()
KINDS += ["<%s8[%s]" % (kind, unit) for kind in "Mm" for unit in ("s", "ms", "us", "ns", "D")]
"""Types of arrays' elements as NumPy writes them: the format's type 1 first."""

_CODES = "?bhiqBHIQefdfd" + 10 * "q"  # of struct's, for one real number

_U16, _U32, _U64, _I8, _I16, _I32, _I64, _F64 = (Struct(">B" + code) for code in "HIQbhiqd")
_EXT = Struct(">BBB"), Struct(">BHB"), Struct(">BIB")
_HEAD = Struct(">BBB")


class NoValueForm(TypeError):
    """What cannot be told in the format. Says where in the value it stands."""

    __module__ = "lauter"  # in tracebacks

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason
        self.path = []  # innermost first

    def within(self, path):
        self.path = path
        return self

    def __str__(self):
        return "".join(reversed(self.path)) + ": " + self.reason


class Array:
    """An array where NumPy is not loaded. `numpy.asarray()` takes it as it is."""

    __slots__ = ("kind", "shape", "is_fortran", "data")

    def __init__(self, kind, shape, is_fortran, data):
        self.kind = kind  # an index into KINDS and 1 more
        self.shape = shape
        self.is_fortran = is_fortran
        self.data = memoryview(data)

    def __repr__(self):
        return "<array of %s, shape %s>" % (KINDS[self.kind - 1], self.shape)

    @property
    def __array_interface__(self):
        kind = KINDS[self.kind - 1]
        whole = {"version": 3, "shape": self.shape, "typestr": kind, "data": self.data}
        if self.is_fortran:
            strides, step = [], width_of(self.kind)
            for length in self.shape:
                strides.append(step)
                step *= length
            whole["strides"] = tuple(strides)
        return whole

    def tolist(self):
        """Nested lists; times and durations as integers of their unit."""
        code = _CODES[self.kind - 1]
        flat = unpack("<%d%s" % (len(self.data) // calcsize(code), code), self.data)
        if KINDS[self.kind - 1][1] == "c":
            flat = [complex(real, imaginary) for real, imaginary in zip(flat[::2], flat[1::2])]
        steps, step = [], 1
        for length in self.shape if self.is_fortran else reversed(self.shape):
            steps.append(step)
            step *= length
        if not self.is_fortran:
            steps.reverse()
        if 0 in self.shape:
            flat = ()

        def nested(axis, at):
            if axis == len(steps):
                return flat[at]
            return [nested(axis + 1, at + index * steps[axis]) for index in range(self.shape[axis])]

        return nested(0, 0)


def width_of(kind):
    """Bytes of one element."""
    return int(KINDS[kind - 1][2:].partition("[")[0])


def encode(value, name="x", parts_most=255):
    """The parts of a value, the arrays' data as they lie in memory. NoValueForm says what has no form, and where in `name`."""
    writer = _Writer(parts_most)
    try:
        writer.write(value, 0)
        if len(writer.out) > BYTES_MAX:
            raise NoValueForm("more than 1 GiB")
    except NoValueForm as error:
        error.path.append(name)
        raise
    return [(MEDIA, bytes(writer.out))] + [(DATA, data) for data in writer.arrays]


def _a(name):
    return ("an " if name[:1] in "aeiouAEIOU" else "a ") + name


def _step(key):
    text = repr(key)
    return "[%s]" % (text if len(text) <= 60 else text[:57] + "...")


class _Writer:
    def __init__(self, parts_most):
        self.out = bytearray()
        self.arrays = []
        self.parts_most = parts_most
        self.items = 0

    def write(self, value, depth):
        self.items += 1
        if self.items > ITEMS_MAX:
            raise NoValueForm("more than 16777216 items")
        write = _WRITERS.get(type(value))
        if write is None:
            write = _writer_for(value)
        write(self, value, depth)

    def none(self, _, __):
        self.out.append(0xC0)

    def boolean(self, value, _):
        self.out.append(0xC3 if value else 0xC2)

    def integer(self, value, _):
        value = int(value)
        out = self.out
        if -32 <= value <= 127:
            out.append(value & 0xFF)
        elif 0 <= value <= 0xFF:
            out += b"\xcc%c" % value
        elif 0 <= value <= 0xFFFF:
            out += _U16.pack(0xCD, value)
        elif 0 <= value <= 0xFFFFFFFF:
            out += _U32.pack(0xCE, value)
        elif 0 <= value <= 0xFFFFFFFFFFFFFFFF:
            out += _U64.pack(0xCF, value)
        elif -0x80 <= value < 0:
            out += _I8.pack(0xD0, value)
        elif -0x8000 <= value < 0:
            out += _I16.pack(0xD1, value)
        elif -0x80000000 <= value < 0:
            out += _I32.pack(0xD2, value)
        elif -0x8000000000000000 <= value < 0:
            out += _I64.pack(0xD3, value)
        else:
            size = (value if value >= 0 else ~value).bit_length() // 8 + 1
            if size > 65536:
                raise NoValueForm("an integer of more than 65536 bytes")
            self.extension(BIG, value.to_bytes(size, "big", signed=True))

    def real(self, value, _):
        self.out += _F64.pack(0xCB, value)

    def text(self, value, _):
        try:
            data = str.encode(value)
        except UnicodeEncodeError as error:
            raise NoValueForm("text with %r, which is no character" % value[error.start]) from None
        size = len(data)
        if size < 32:
            self.out.append(0xA0 | size)
        else:
            self.size(size, 0xD9)
        self.out += data

    def binary(self, value, _):
        if type(value) is memoryview and (value.format not in "Bc" or not value.contiguous):
            raise NoValueForm("a memoryview of other than bytes")
        self.size(len(value) if type(value) is not memoryview else value.nbytes, 0xC4)
        self.out += value

    def size(self, size, code):
        if size > BYTES_MAX:
            raise NoValueForm("more than 1 GiB")
        if size <= 0xFF:
            self.out += b"%c%c" % (code, size)
        elif size <= 0xFFFF:
            self.out += _U16.pack(code + 1, size)
        else:
            self.out += _U32.pack(code + 2, size)

    def count(self, count, small, large, depth):
        if depth >= DEPTH_MAX:
            raise NoValueForm("nested more than 64 deep")
        if count > ITEMS_MAX:
            raise NoValueForm("more than 16777216 items")
        if count <= 15:
            self.out.append(small | count)
        elif count <= 0xFFFF:
            self.out += _U16.pack(large, count)
        else:
            self.out += _U32.pack(large + 1, count)

    def list(self, value, depth):
        self.count(len(value), 0x90, 0xDC, depth)
        index = -1
        try:
            for index, item in enumerate(value):
                self.write(item, depth + 1)
        except NoValueForm as error:
            error.path.append("[%d]" % index)
            raise

    def map(self, value, depth):
        self.count(len(value), 0x80, 0xDE, depth)
        before = len(value)
        written = 0
        for key, item in value.items():
            self.key(key, "%s cannot be a key", depth)
            try:
                self.write(item, depth + 1)
            except NoValueForm as error:
                error.path.append(_step(key))
                raise
            written += 1
        if written != before:
            raise NoValueForm("it changed meanwhile")

    def key(self, key, refusal, depth):
        kind = type(key)
        if kind is not str:
            datetime, uuid = sys.modules.get("datetime"), sys.modules.get("uuid")
            known = kind is bytes or isinstance(key, (int, str)) and kind is not bool or _is_numpy_integer(key)
            if not known and not (uuid is not None and isinstance(key, uuid.UUID)):
                if datetime is None or not isinstance(key, datetime.date) or isinstance(key, datetime.datetime):
                    raise NoValueForm(refusal % ("%s, %s," % (_step(key)[1:-1], _a(kind.__name__))))
        self.write(key, depth + 1)

    def extension(self, kind, payload):
        size = len(payload)
        if size in (1, 2, 4, 8, 16):
            self.out += b"%c%c" % (0xD3 + size.bit_length(), kind)
        else:
            form = 0 if size <= 0xFF else 1 if size <= 0xFFFF else 2
            self.out += _EXT[form].pack(0xC7 + form, size, kind)
        self.out += payload

    def nested(self, kind, depth, write):
        # The payload's size comes first: written apart.
        if depth >= DEPTH_MAX:
            raise NoValueForm("nested more than 64 deep")
        outer, self.out = self.out, bytearray()
        try:
            self.items += 1
            write(depth + 1)
        finally:
            inner, self.out = self.out, outer
        if len(inner) > BYTES_MAX:
            raise NoValueForm("more than 1 GiB")
        self.extension(kind, inner)

    def tuple(self, value, depth):
        self.nested(TUPLE, depth, lambda depth: self.list(value, depth))

    def set(self, value, depth):
        def write(depth):
            self.count(len(value), 0x90, 0xDC, depth)
            for item in value:
                self.key(item, "%s cannot be an element of a set", depth)

        self.nested(SET, depth, write)

    def complex(self, value, _):
        self.extension(COMPLEX, Struct(">dd").pack(value.real, value.imag))

    # ---------------------------------------------------------------------------- the standard library's --

    def decimal(self, value, _):
        sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise NoValueForm("the decimal %s" % value)
        if len(digits) > 4096 or abs(exponent) > 999999:
            raise NoValueForm("a decimal of more than 4096 digits, or with an exponent beyond 999999")
        text = "".join(map(str, digits)).lstrip("0") or "0"
        self.extension(DECIMAL, exponent.to_bytes(4, "big", signed=True) + (b"-" if sign else b"") + text.encode())

    def date(self, value, _):
        self.extension(DATE, _days(value))

    def time(self, value, _):
        if value.tzinfo is not None:
            raise NoValueForm("a time of day in a zone")
        self.extension(TIME, _clock(value))

    def datetime(self, value, _):
        if value != value:
            raise NoValueForm("a time that is none")  # pandas' NaT
        payload = _days(value) + _clock(value)
        offset = value.utcoffset()
        if offset is None:
            self.extension(LOCAL, payload)
            return
        if offset.microseconds:
            raise NoValueForm("a zone whose offset is no whole number of seconds")
        name = getattr(value.tzinfo, "key", None)
        if name is None and type(value.tzinfo) is sys.modules["datetime"].timezone:
            name = value.tzinfo.tzname(None)
            name = "" if name.startswith("UTC") else name
        name = name.encode() if isinstance(name, str) else b""
        if len(name) > 64 or not is_zone(name):
            name = b""
        seconds = offset.days * 86400 + offset.seconds
        self.extension(ZONED, payload + seconds.to_bytes(4, "big", signed=True) + name)

    def duration(self, value, _):
        if value != value:
            raise NoValueForm("a duration that is none")  # pandas' NaT
        seconds = value.days * 86400 + value.seconds
        nanoseconds = value.microseconds * 1000 + getattr(value, "nanoseconds", 0)
        self.extension(DURATION, Struct(">qI").pack(seconds, nanoseconds))

    def uuid(self, value, _):
        self.extension(UUID, value.bytes)

    # -------------------------------------------------------------------------------------------- arrays --

    def own_array(self, value, _):
        self.array(value.kind, value.is_fortran and len(value.shape) > 1, value.shape, value.data)

    def std_array(self, value, _):
        code = value.typecode
        if code in "uw":
            raise NoValueForm("an array of characters")
        name = "f" if code in "fd" else "u" if code.isupper() else "i"
        width = value.itemsize
        kind = KINDS.index("%s%s%d" % ("|" if width == 1 else "<", name, width)) + 1
        self.array(kind, False, (len(value),), memoryview(value).cast("B"))

    def numpy_array(self, value, _):
        numpy = sys.modules["numpy"]
        masked = sys.modules.get("numpy.ma")
        if masked is not None and isinstance(value, masked.MaskedArray):
            raise NoValueForm("a masked array")
        dtype = value.dtype.newbyteorder("<")
        try:
            kind = KINDS.index(dtype.str) + 1
        except ValueError:
            raise NoValueForm("an array of %s" % value.dtype) from None
        if value.dtype != dtype:
            value = value.astype(dtype)
        is_fortran = value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous
        if not is_fortran and not value.flags.c_contiguous:
            value = numpy.ascontiguousarray(value)
        # Not ravel(): that of a subclass may be its own.
        flat = numpy.ndarray.reshape(value.view(numpy.ndarray).T if is_fortran else value.view(numpy.ndarray), -1)
        flat = flat.view("u1")
        if kind == 1 and flat.size and flat.max() > 1:
            flat = (flat != 0).view("u1")
        self.array(kind, is_fortran, value.shape, memoryview(flat))

    def numpy_scalar(self, value, depth):
        numpy = sys.modules["numpy"]
        if isinstance(value, numpy.bool_):
            self.boolean(value, depth)
        elif isinstance(value, numpy.integer) and not isinstance(value, numpy.timedelta64):
            self.integer(value, depth)
        elif isinstance(value, numpy.floating) and value.itemsize <= 8:
            self.real(float(value), depth)
        elif isinstance(value, numpy.complexfloating) and value.itemsize <= 16:
            self.complex(complex(value), depth)
        elif isinstance(value, (numpy.datetime64, numpy.timedelta64)):
            self.numpy_array(numpy.asarray(value), depth)
        elif isinstance(value, (str, bytes)):
            (self.text if isinstance(value, str) else self.binary)(value, depth)
        else:
            raise NoValueForm("%s has no value form" % _a(type(value).__name__))

    def array(self, kind, is_fortran, shape, data):
        extent = width_of(kind)
        for length in shape:
            extent *= max(length, 1)
        if len(shape) > 32 or extent > BYTES_MAX:
            raise NoValueForm("an array of more than 32 axes or 1 GiB")
        head = _HEAD.pack(kind, is_fortran, len(shape)) + b"".join(length.to_bytes(8, "big") for length in shape)
        if len(data) >= PART_LEAST and len(self.arrays) < self.parts_most:
            self.arrays.append(data)
            self.extension(ARRAY, head + len(self.arrays).to_bytes(4, "big"))
        else:
            self.extension(ARRAY, head + b"\0\0\0\0" + bytes(data))


def _days(value):
    return (value.toordinal() - EPOCH).to_bytes(4, "big", signed=True)


def _clock(value):
    # pandas' Timestamp is a datetime that has nanoseconds.
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    nanoseconds = value.microsecond * 1000 + getattr(value, "nanosecond", 0)
    return (seconds * 10**9 + nanoseconds).to_bytes(8, "big")


_ZONE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-_/"


def is_zone(name):
    """Whether bytes are a name as IANA's zones have them: no path out of the folder of zones."""
    return not name.translate(None, _ZONE) and not name.startswith(b"/")


def _is_numpy_integer(value):
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.integer) and not isinstance(value, numpy.timedelta64)


_WRITERS = {
    type(None): _Writer.none,
    bool: _Writer.boolean,
    int: _Writer.integer,
    float: _Writer.real,
    str: _Writer.text,
    bytes: _Writer.binary,
    bytearray: _Writer.binary,
    memoryview: _Writer.binary,
    list: _Writer.list,
    tuple: _Writer.tuple,
    dict: _Writer.map,
    set: _Writer.set,
    frozenset: _Writer.set,
    complex: _Writer.complex,
    Array: _Writer.own_array,
}

# Of loaded modules, in this order: a datetime is a date.
_CLASSES = (
    ("numpy", "ndarray", _Writer.numpy_array),
    ("numpy", "generic", _Writer.numpy_scalar),
    ("decimal", "Decimal", _Writer.decimal),
    ("datetime", "datetime", _Writer.datetime),
    ("datetime", "date", _Writer.date),
    ("datetime", "time", _Writer.time),
    ("datetime", "timedelta", _Writer.duration),
    ("uuid", "UUID", _Writer.uuid),
    ("array", "array", _Writer.std_array),
)


def _writer_for(value):
    for module, name, write in _CLASSES:
        module = sys.modules.get(module)
        found = getattr(module, name, None)
        if isinstance(found, type) and isinstance(value, found):
            return write
    # What a class adds to these is lost: a named tuple is a tuple, a member of an IntEnum its number.
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write
    raise NoValueForm("%s has no value form" % _a(type(value).__name__))
