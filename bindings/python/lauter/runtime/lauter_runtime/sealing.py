# SPDX-License-Identifier: Apache-2.0
"""What has no value form, on its way between Pythons: pickles, which a host hands on and does not open."""

from . import values
from .interrupt import load

PICKLE = "application/vnd.lauter.pickle"
SEALED = "application/vnd.lauter.sealed+json"

_IN_LINE = 1024
_REPR_MAX = 200


def encode(value, name, sealed):
    """The parts of a value; where it has no form and the host takes sealed ones, of its pickle."""
    try:
        return values.encode(value, name)
    except values.NoValueForm as formless:
        if not sealed:
            raise
        try:
            return _sealed(value)
        except Exception as error:
            raise values.NoValueForm(
                "%s; nor can it be pickled: %s: %s" % (formless.reason, type(error).__name__, error)
            ).within(formless.path) from None


def open_pickle(data, buffers):
    """What a pickle holds; its arrays refer to the buffers."""
    return load("pickle").loads(data, buffers=buffers)


def _sealed(value):
    buffers = []

    def keep(buffer):
        try:
            raw = buffer.raw()
        except BufferError:  # not in one piece
            return True
        if raw.nbytes < _IN_LINE or len(buffers) >= 250:
            return True
        buffers.append((values.DATA, raw))
        return False

    # cloudpickle, if it is there, for what a cell has defined.
    try:
        dumps = load("cloudpickle").dumps
    except ImportError:
        dumps = load("pickle").dumps
    data = dumps(value, protocol=5, buffer_callback=keep)
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)
    described = load("json").dumps({"type": name, "repr": _repr(value)})
    return [(SEALED, described.encode()), (PICKLE, data)] + buffers


def _repr(value):
    try:
        text = repr(value)
    except Exception as error:
        text = "<repr() failed: %s>" % type(error).__name__
    return text if len(text) <= _REPR_MAX else text[: _REPR_MAX - 3] + "..."


