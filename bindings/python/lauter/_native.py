# SPDX-License-Identifier: Apache-2.0
"""The shared library, by ctypes: structures, functions, and what they report as exceptions."""

from __future__ import annotations

import ctypes
import os
import struct
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, List, Optional, Sequence, Tuple, Union

from . import _errors

Buffer = Union[bytes, bytearray, memoryview]
Part = Tuple[str, Buffer]
"""A media type and bytes."""

ABI_VERSION = 0

(NONE, STARTED, READY, STREAM, OUTPUT, DONE, CALL, DROPPED, EXITED, SUSPENDED, DENIED) = range(11)
(CHANNEL_OPENED, CHANNEL_DATA, CHANNEL_END, CHANNEL_CLOSED, CHANNEL_WRITABLE, CALL_CANCELLED) = range(11, 17)
DESCRIPTOR = 19

PARTS_MAX = 256


class RawPart(ctypes.Structure):
    _fields_ = [("type", c_char_p), ("data", c_void_p), ("size", c_size_t)]


class RawEvent(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32),
        ("kind", c_uint32),
        ("worker", c_uint64),
        ("worker_cookie", c_uint64),
        ("call", c_uint64),
        ("call_cookie", c_uint64),
        ("parent", c_uint64),
        ("status", c_int32),
        ("stream", c_uint32),
        ("dropped", c_uint64),
        ("name", c_void_p),
        ("parts", c_void_p),
        ("part_count", c_size_t),
        ("error", c_void_p),
        ("report", c_void_p),
        ("owner", c_void_p),
        ("channel", c_uint64),
        ("channel_cookie", c_uint64),
        ("descriptor", c_int32),
        ("reserved", c_uint32),
    ]


EVENT = struct.Struct("@IIQQQQQiIQPPNPPPQQiI")
"""The same in the same order, for one look at all of it."""
assert EVENT.size == ctypes.sizeof(RawEvent)

_PART = struct.Struct("@PPN")


class RawReport(ctypes.Structure):
    _fields_ = [
        ("size", c_uint32),
        ("reason", c_uint32),
        ("exit_code", c_int32),
        ("signal", c_int32),
        ("rung", c_uint32),
        ("core_dumped", c_uint32),
        ("wall_us", c_uint64),
        ("cpu_user_us", c_uint64),
        ("cpu_system_us", c_uint64),
        ("peak_bytes", c_uint64),
        ("label", c_char_p),
        ("why", c_char_p),
        ("stderr_tail", c_char_p),
        ("missing", c_char_p),
        ("denied", c_char_p),
        ("tree_peak_bytes", c_uint64),
        ("memory_by", c_char_p),
    ]


_P = c_void_p
_SIGNATURES = {
    "abi_version": (c_uint32,),
    "version": (c_char_p,),
    "error_code": (c_int32, _P),
    "error_errno": (c_int32, _P),
    "error_step": (c_int32, _P),
    "error_subject": (c_char_p, _P),
    "error_message": (c_char_p, _P),
    "error_free": (None, _P),
    "code_name": (c_char_p, c_int32),
    "string_free": (None, _P),
    "policy_new": (c_int32, c_char_p, _P, _P),
    "policy_set": (c_int32, _P, c_char_p, c_char_p, _P),
    "policy_parse": (c_int32, _P, c_char_p, _P),
    "policy_print": (c_int32, _P, _P, _P),
    "policy_check": (c_int32, _P, c_char_p, c_char_p, _P, _P),
    "policy_explain": (c_int32, _P, _P, _P, _P),
    "policy_free": (None, _P),
    "launch_new": (c_int32, c_char_p, _P, _P),
    "launch_set": (c_int32, _P, c_char_p, c_char_p, _P),
    "launch_free": (None, _P),
    "doctor": (c_int32, _P, _P),
    "host_new": (c_int32, _P, _P),
    "host_fd": (c_int32, _P),
    "host_wait": (c_int32, _P, c_int64, _P),
    "host_next": (c_int32, _P, _P, _P),
    "host_free": (None, _P),
    "spawn": (c_int32, _P, _P, _P, c_uint64, _P, _P),
    "worker_pid": (c_int32, _P, c_uint64, _P, _P),
    "worker_signal": (c_int32, _P, c_uint64, c_int32, _P),
    "worker_stdin": (c_int32, _P, c_uint64, c_char_p, c_size_t, _P),
    "worker_stop": (c_int32, _P, c_uint64, c_int64, c_int64, _P),
    "worker_pause": (c_int32, _P, c_uint64, _P),
    "worker_resume": (c_int32, _P, c_uint64, _P),
    "worker_kill": (c_int32, _P, c_uint64, _P),
    "worker_dial_start": (c_int32, _P, c_uint64, c_uint32, c_int64, c_uint64, _P),
    "worker_open_start": (c_int32, _P, c_uint64, c_char_p, c_uint32, c_int64, c_uint64, _P),
    "report_json": (c_int32, _P, _P, _P),
    "call_start": (c_int32, _P, c_uint64, c_uint32, c_char_p, _P, c_size_t, c_int64, c_uint64, _P, _P),
    "call_interrupt": (c_int32, _P, c_uint64, _P),
    "call_abandon": (c_int32, _P, c_uint64, _P),
    "call_reply": (c_int32, _P, c_uint64, _P, c_size_t, _P),
    "call_fail": (c_int32, _P, c_uint64, c_char_p, c_char_p, _P),
    "channel_open": (c_int32, _P, c_uint64, c_char_p, _P, c_size_t, c_size_t, c_uint64, _P, _P),
    "channel_accept": (c_int32, _P, c_uint64, c_size_t, c_uint64, _P),
    "channel_send": (c_int32, _P, c_uint64, _P, c_size_t, _P),
    "channel_end": (c_int32, _P, c_uint64, _P),
    "channel_cancel": (c_int32, _P, c_uint64, c_char_p, c_char_p, _P),
    "event_take_descriptor": (c_int32, _P),
    "event_clear": (None, _P),
    "part_retain": (c_int32, _P, c_size_t, _P, _P),
    "part_release": (None, _P),
}


def _find() -> str:
    """The library of this package; in a distribution's package, which has none, the system's."""
    given = os.environ.get("LAUTER_LIBRARY")
    if given:
        return given
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_lib", "liblauter.so.0")
    return own if os.path.exists(own) else "liblauter.so.0"


class _Found(ctypes.Structure):
    _fields_ = [("path", c_char_p), ("base", c_void_p), ("symbol", c_char_p), ("address", c_void_p)]


def _real_path(path: str) -> str:
    """Where the library was loaded from, which the loader may have found by its name."""
    found = _Found()
    address = ctypes.cast(lib.lauter_abi_version, c_void_p)
    dladdr = ctypes.CDLL(None).dladdr
    dladdr.argtypes = [c_void_p, POINTER(_Found)]
    return os.path.realpath(os.fsdecode(found.path)) if dladdr(address, byref(found)) and found.path else path


def _load() -> Any:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError("%s cannot be loaded: %s" % (path, error), name="lauter", path=path) from None
    for name, (result, *parameters) in _SIGNATURES.items():
        function = getattr(library, "lauter_" + name)
        function.restype = result
        function.argtypes = parameters
    found = library.lauter_abi_version()
    if found != ABI_VERSION:
        raise ImportError("%s has the ABI version %d, this package needs %d" % (path, found, ABI_VERSION))
    return library


path = _find()
lib = _load()
path = _real_path(path)
version: str = lib.lauter_version().decode()


def call(function: Any, *arguments: Any, subject: str = "") -> int:
    """Call a function of the library whose last parameter is `error`: its result, or the exception that fits."""
    error = c_void_p()
    code: int = function(*arguments, byref(error))
    if code < 0:
        raise exception(code, error.value, owned=True)
    return code


def exception(code: int, error: Optional[int], owned: bool = False) -> BaseException:
    """The exception that fits an error of the library."""
    details = _errors.Details(
        code=code,
        code_name=lib.lauter_code_name(code).decode(),
        message=lib.lauter_error_message(error).decode("utf-8", "replace"),
        subject=lib.lauter_error_subject(error).decode("utf-8", "replace"),
        errno=lib.lauter_error_errno(error),
        step=lib.lauter_error_step(error),
    )
    if owned:
        lib.lauter_error_free(error)
    return _errors.of(details)


def text_of(function: Any, *arguments: Any) -> str:
    """The text that a function hands out by its last parameter before `error`."""
    text = c_void_p()
    call(function, *arguments, byref(text))
    return taken_text(text) or ""


def taken_text(text: c_void_p) -> Optional[str]:
    if not text.value:
        return None
    try:
        return ctypes.string_at(text.value).decode("utf-8", "replace")
    finally:
        lib.lauter_string_free(text)


def encoded(text: str, what: str) -> bytes:
    """Text for the library, which ends it at a NUL."""
    if not isinstance(text, str):
        raise TypeError("%s must be str, not %s" % (what, type(text).__name__))
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError("%s contains a NUL character" % what)
    return data


class Parts:
    """Parts for the library, which points into the objects that they came from. It copies them before it returns."""

    __slots__ = ("array", "count", "_kept")

    def __init__(self, parts: Sequence[Part]) -> None:
        count = len(parts)
        if count > PARTS_MAX:
            raise ValueError("a message has at most %d parts, not %d" % (PARTS_MAX, count))
        self.count = count
        self.array = (RawPart * count)()
        kept: List[Any] = []
        for raw, (media, data) in zip(self.array, parts):
            raw.type = media.encode()
            if type(data) is not bytes:
                data = memoryview(data)
                if not data.contiguous:
                    raise ValueError("the bytes of a part lie in one piece")
                raw.size = data.nbytes
                if not raw.size:
                    continue
                view = PyBuffer(data)
                raw.data = view.address
                kept.append(view)
            else:
                raw.size = len(data)
                raw.data = ctypes.cast(data, c_void_p).value
                kept.append(data)
        self._kept = kept


class _PyBuffer(ctypes.Structure):
    _fields_ = [
        ("buf", c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", c_char_p),
        ("shape", c_void_p),
        ("strides", c_void_p),
        ("suboffsets", c_void_p),
        ("internal", c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = [ctypes.py_object, POINTER(_PyBuffer), ctypes.c_int]
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = [POINTER(_PyBuffer)]
_release_buffer.restype = None
_ANY_CONTIGUOUS = 0x0080 | 0x0010 | 0x0008  # PyBUF_ANY_CONTIGUOUS


class PyBuffer:
    """Where the bytes of an object lie, read-only or not, for as long as this is kept."""

    __slots__ = ("_raw", "address")

    def __init__(self, data: Any) -> None:
        raw = _PyBuffer()
        _get_buffer(data, byref(raw), _ANY_CONTIGUOUS)
        self._raw = raw
        self.address = raw.buf

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None:
            _release_buffer(byref(raw))


class _Kept:
    """A part that the library keeps, as a buffer of its own; released with the last view of it."""

    def __init__(self, kept: int) -> None:
        self._kept = kept

    def __del__(self, release: Any = lib.lauter_part_release) -> None:
        release(self._kept)


KEEP_FROM = 64 << 10
"""Parts from this size on stay where the library has put them."""


def parts_of(event: RawEvent, address: int, count: int) -> List[Part]:
    """Copies of an event's parts; of large ones views of the library's memory, which is theirs."""
    if not count:
        return []
    found: List[Part] = []
    for index, (media, data, size) in enumerate(_PART.iter_unpack(ctypes.string_at(address, _PART.size * count))):
        media = ctypes.string_at(media).decode("utf-8", "replace")
        if size < KEEP_FROM:
            found.append((media, ctypes.string_at(data, size) if size else b""))
            continue
        kept = c_void_p()
        call(lib.lauter_part_retain, byref(event), index, byref(kept))
        memory = (ctypes.c_char * size).from_address(data)
        memory.keeper = _Kept(kept.value or 0)
        found.append((media, memoryview(memory).cast("B")))
    return found


def text_at(address: int) -> str:
    return ctypes.string_at(address).decode("utf-8", "replace") if address else ""
