# SPDX-License-Identifier: Apache-2.0
"""The verb `execute`: source text in the user's `__main__`, its last expression's value as a MIME bundle."""

import builtins
import mmap
import os
import sys

from . import cells, display, hooks, streams, worker
from .interrupt import load
from .wire import RESULT

METADATA = "application/vnd.lauter.metadata+json"

_MAGICS = __package__ + ".magics"
_FIGURES = __package__ + ".figures"

_RESERVE = 8 << 20

_count = 0
_module = sys.modules["__main__"]
_reserve = None
_descriptors = {}
_EMFILE = 24  # errno.EMFILE
_COROUTINE = 0x80  # inspect.CO_COROUTINE


def set_up():
    """Put what notebooks expect into builtins."""
    from . import ask

    builtins.input = ask.input
    builtins.display = display.display
    hooks.set_up()


def main():
    """The user's namespace, whatever was done to sys.modules."""
    if sys.modules.get("__main__") is not _module:
        sys.modules["__main__"] = _module
    return _module.__dict__


def _keep_reserve():
    """What is given up when it has run out, so that this can be told: address space, which costs no memory, and two
    descriptors, since telling a failure imports modules."""
    global _reserve
    try:
        while len(_descriptors) < 2:
            descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            _descriptors[descriptor] = _identity(descriptor)
    except OSError:
        pass
    if _reserve is None:
        try:
            _reserve = mmap.mmap(-1, _RESERVE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, MemoryError, ValueError):
            pass


def _identity(descriptor):
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _give_descriptors():
    while _descriptors:
        descriptor, identity = _descriptors.popitem()
        try:
            # Code that closes what it did not open may have something of its own there by now.
            if _identity(descriptor) == identity:
                os.close(descriptor)
        except OSError:
            pass


def _give_reserve():
    global _reserve
    if _reserve is not None:
        _reserve.close()
        _reserve = None


def execute(call):
    """Run a cell: the kind, name and parts of its answer. Raises only interrupts that come while it tells a failure."""
    return answer(_cell, call)


def _cell(call):
    global _count
    source, metadata = _arguments(call)
    _count = metadata.get("count", _count + 1)
    silent = bool(metadata.get("silent"))
    filename = "<%s>" % (metadata.get("cell") or "cell %s" % _count)
    value = run(cells.compile_cell(source, filename), main())
    _leave_forked_child(None)
    parts = []
    if not silent:
        if value is not None:
            builtins._ = value
            if not metadata.get("value") and not display.shows_itself(value):
                parts = load(".bundle").parts_of(value)
        publish_figures(value)
    if metadata.get("value"):
        parts = load(".sealing").encode(value, "result", metadata.get("sealed"))
    return parts


def call_function(call):
    """Call a function of the user's: the kind, name and parts of its answer, as execute()."""
    return answer(load(".calling").call, call)


def answer(work, call):
    """What comes of `work(call)`, the parts of a result, or of what it raised."""
    _keep_reserve()
    try:
        parts = work(call)
        _leave_forked_child(None)
        return RESULT, "", parts
    except BaseException as error:
        _give_descriptors()
        if isinstance(error, OSError) and error.errno == _EMFILE:
            # The code may hold on to its files: what shows values must be there before they are the last ones.
            try:
                for name in (".bundle", ".pretty"):
                    load(name)
            except Exception:
                pass  # then the next value says so
        if isinstance(error, MemoryError):
            _give_reserve()
        _leave_forked_child(error)
        failure = load(".failure")
        try:
            publish_figures(None)
        except Exception:
            failure.complain()
        return failure.answer(error)


def run(codes, namespace):
    try:
        value = None
        if any(code.co_flags & _COROUTINE for code in codes):
            return load(".awaiting").run(codes, namespace)
        for code in codes:
            value = eval(code, namespace)
        return value
    finally:
        magics = sys.modules.get(_MAGICS)
        if magics is not None:
            magics.finish()


def _arguments(call):
    if not call.parts:
        raise ValueError("execute needs a part with source text")
    source = str(call.parts[0][1], "utf-8")
    for media, data in call.parts[1:]:
        if media == METADATA:
            return source, metadata_of(data)
    return source, {}


def metadata_of(data):
    """The object in a call's metadata part."""
    metadata = _json_value(data)
    if not isinstance(metadata, dict):
        raise ValueError("the metadata of a call is not an object")
    return metadata


class _Plain:
    # What json.JSONDecoder() gives its scanner.
    strict, object_hook, object_pairs_hook = True, None, None
    parse_float, parse_int, parse_constant = float, int, float


def _json_value(data):
    if "json" not in sys.modules:
        # Its scanner alone: the package would be a third of the time until the first result.
        try:
            text = str(data, "utf-8")
            value, end = load("_json").make_scanner(_Plain)(text, 0)
            if end == len(text):
                return value
        except Exception:
            pass  # the package will say what is wrong
    return load("json").loads(bytes(data))


def publish_figures(value):
    figures = sys.modules.get(_FIGURES)
    if figures is not None:
        figures.publish(value)


def _leave_forked_child(error):
    """If the cell forked and this is the child, end as a script would: it must not answer the worker's calls."""
    if os.getpid() == worker.session.process:
        return
    status = 0
    if isinstance(error, SystemExit):
        code = error.code
        if isinstance(code, int):
            status = code & 0xFF
        elif code is not None:
            print(code, file=sys.stderr)
            status = 1
    elif error is not None:
        load(".failure").print_to_stderr(error)
        status = 1
    streams.flush()
    os._exit(status)
