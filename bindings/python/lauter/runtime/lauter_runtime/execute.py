# SPDX-License-Identifier: Apache-2.0
"""The verb `execute`: source text in the user's `__main__`, its last expression's value as a MIME bundle."""

import builtins
import os
import sys

from . import cells, hooks
from .session import RESULT

METADATA = "application/vnd.lauter.metadata+json"

_MAGICS = __package__ + ".magics"
_FIGURES = __package__ + ".figures"

_count = 0
_COROUTINE = 0x80  # inspect.CO_COROUTINE


def set_up():
    """Put what notebooks expect into builtins."""
    from . import ask, display

    builtins.input = ask.input
    builtins.display = display.display
    hooks.set_up()


def execute(call):
    """Run a cell: the kind, name and parts of its answer. Raises only interrupts that come while it tells a failure."""
    global _count
    try:
        source, metadata = _arguments(call)
        _count = metadata.get("count", _count + 1)
        silent = bool(metadata.get("silent"))
        filename = "<%s>" % (metadata.get("cell") or "cell %s" % _count)
        namespace = sys.modules["__main__"].__dict__
        value = None
        try:
            for code in cells.compile_cell(source, filename):
                value = eval(code, namespace)
                if code.co_flags & _COROUTINE:
                    from . import awaiting

                    value = awaiting.run(value)
        finally:
            magics = sys.modules.get(_MAGICS)
            if magics is not None:
                magics.finish()
        _leave_forked_child(None)
        parts = []
        if not silent:
            if value is not None:
                builtins._ = value
                from . import bundle

                parts = bundle.parts_of(value)
            _publish_figures(value)
        return RESULT, "", parts
    except BaseException as error:
        _leave_forked_child(error)
        from . import failure

        try:
            _publish_figures(None)
        except Exception:
            failure.print_to_stderr()
        return failure.answer(error)


def _arguments(call):
    if not call.parts:
        raise ValueError("execute needs a part with source text")
    source = call.parts[0][1].decode()
    for media, data in call.parts[1:]:
        if media == METADATA:
            import json

            metadata = json.loads(data)
            if not isinstance(metadata, dict):
                raise ValueError("the metadata of execute is not an object")
            return source, metadata
    return source, {}


def _publish_figures(value):
    figures = sys.modules.get(_FIGURES)
    if figures is not None:
        figures.publish(value)


def _leave_forked_child(error):
    """If the cell forked and this is the child, end as a script would: it must not answer the worker's calls."""
    from . import worker

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
        from . import failure

        failure.print_to_stderr(error)
        status = 1
    from . import streams

    streams.flush()
    os._exit(status)
