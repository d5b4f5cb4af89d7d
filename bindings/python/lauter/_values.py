# SPDX-License-Identifier: Apache-2.0
"""Values on their way in and out (docs/values.md). What comes out is data; what is none stays sealed."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import sys
from typing import Any, List, Optional, Sequence, Tuple

from . import _errors, _native
from ._native import Part

PICKLE = "application/vnd.lauter.pickle"
"""Python's pickle, protocol 5; the parts that follow are its out-of-band buffers."""
SEALED = "application/vnd.lauter.sealed+json"
"""What a pickle that comes out holds: an object of `type` and `repr`. The pickle follows it."""


def _runtime() -> Any:
    """The codec that the runtime uses in the worker, loaded from beside the library: there is one of it."""
    folder = os.path.join(os.path.dirname(os.path.abspath(_native.path)), "lauter", "runtime", "python", "lauter_runtime")
    name = __package__ + "._runtime"
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None or not os.path.isdir(folder):
        raise ImportError("the Python runtime is not in %s" % folder, name="lauter")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return importlib.import_module(name + ".values"), importlib.import_module(name + ".values_in")


values, values_in = _runtime()
MEDIA: str = values.MEDIA
NoValueForm = values.NoValueForm


class Sealed:
    """A value of a worker's that has no form in the value format: it is held, and not opened.

    It can be handed to a worker again, as an argument; there it is what it was. Opening it here would run code that the worker chose:
    `open(trust=True)` does.
    """

    __slots__ = ("type", "repr", "_data", "_buffers")

    def __init__(self, type: str, repr: str, data: Any, buffers: Sequence[Any] = ()) -> None:
        self.type = type
        """The name of its type, as the worker told it."""
        self.repr = repr
        """What `repr()` said of it in the worker, shortened."""
        self._data = data
        self._buffers = list(buffers)

    def open(self, *, trust: bool) -> Any:
        """The value itself, for who trusts the worker as much as himself: whatever code it has put in runs here.

        Raises:
            PermissionError: without `trust=True`.
        """
        if trust is not True:
            raise PermissionError("a sealed value can run any code here when it is opened: say open(trust=True)")
        return pickle.loads(self._data, buffers=self._buffers)

    def __repr__(self) -> str:
        return "<lauter.Sealed %s: %s>" % (self.type, self.repr)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Opened where that pickle is opened: in a worker.
        data, buffers = bytes(self._data), self._buffers
        if not buffers:
            return pickle.loads, (data,)
        wrapped = [pickle.PickleBuffer(buffer) if protocol >= 5 else bytes(buffer) for buffer in buffers]
        return _loads, (data, wrapped)


def _loads(data: bytes, buffers: Sequence[Any]) -> Any:
    return pickle.loads(data, buffers=buffers)


# The worker has no module of ours: pickled by what both sides have.
_loads.__module__, _loads.__qualname__ = "lauter_worker", "open_sealed"


def encode_call(function: Any, arguments: Sequence[Any], named: Any) -> List[Part]:
    """The parts of a call of the verb `call`: by the value format where all of it has a form there, else by pickle."""
    metadata: Part = ("application/vnd.lauter.metadata+json", b'{"sealed": true}')
    if isinstance(function, str):
        try:
            value = values.encode((list(arguments), dict(named)), "arguments", _native.PARTS_MAX - 2)
            return [("text/plain", function.encode()), metadata, *value]
        except NoValueForm:
            pass
    elif not callable(function):
        raise TypeError("a function, or the name of one in the worker, not %s" % type(function).__name__)
    first, *buffers = pickled((function, list(arguments), dict(named)), _native.PARTS_MAX - 1)
    return [first, metadata, *buffers]


def pickled(value: Any, parts_most: int) -> List[Part]:
    """A pickle and its out-of-band buffers. What cannot be pickled raises what pickle says of it."""
    buffers: List[Any] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = _raw(buffer)
        if raw is None or raw.nbytes < 1024 or len(buffers) >= parts_most - 1:
            return True  # in line
        buffers.append(raw)
        return False

    data = _dumps(value, keep)
    return [(PICKLE, data)] + [("application/octet-stream", buffer) for buffer in buffers]


def _raw(buffer: pickle.PickleBuffer) -> Optional[memoryview]:
    try:
        return buffer.raw()
    except BufferError:  # not in one piece
        return None


def _dumps(value: Any, keep: Any) -> bytes:
    try:
        import cloudpickle  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return pickle.dumps(value, protocol=5, buffer_callback=keep)
    return bytes(cloudpickle.dumps(value, protocol=5, buffer_callback=keep))


def decode(parts: Sequence[Part], trust: bool) -> Any:
    """The value of a result's parts; Sealed if it is one, or what is in it for who trusts the worker."""
    if not parts:
        return None
    media = parts[0][0]
    if media == MEDIA:
        return values_in.decode([data for _, data in parts])
    if media == SEALED and len(parts) > 1 and parts[1][0] == PICKLE:
        kind, text = _described(parts[0][1])
        sealed = Sealed(kind, text, parts[1][1], [data for _, data in parts[2:]])
        return sealed.open(trust=True) if trust else sealed
    raise _errors.ProtocolError("the worker answered with %s where a value was expected" % media)


def _described(data: Any) -> Tuple[str, str]:
    try:
        described = json.loads(bytes(data))
        return str(described["type"])[:200], str(described["repr"])[:2000]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "object", "?"
