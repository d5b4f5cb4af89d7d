# SPDX-License-Identifier: Apache-2.0
"""The verb `call`: a function by name or source, arguments and result as values."""

import _ast
import sys
import types

from . import cells, execute, sealing, values, values_in
from .interrupt import load

_PYTHON = "text/x-python"


def call(call):
    """Call the function: the parts of what it returned."""
    if not call.parts:
        raise ValueError("call needs a part with a function's name or source")
    (media, data), rest = call.parts[0], call.parts[1:]
    metadata = {}
    if rest and rest[0][0] == execute.METADATA:
        metadata, rest = execute.metadata_of(rest[0][1]), rest[1:]
    if media == _PYTHON:
        function = _from_source(str(data, "utf-8"), "<%s>" % (metadata.get("cell") or "call"))
    elif media == "text/plain":
        function = _named(str(data, "utf-8"))
    elif media == sealing.PICKLE:
        function, positional, named = sealing.open_pickle(data, [data for _, data in rest])
    else:
        raise ValueError("call takes a name (text/plain) or source (%s), not %s" % (_PYTHON, media))
    if media != sealing.PICKLE:
        positional, named = _arguments(rest)
    result = function(*positional, **named)
    if isinstance(result, types.CoroutineType):
        # Compiled as this file, whose frames tracebacks leave out.
        code = compile("await coroutine", __file__, "eval", cells.TOP_LEVEL_AWAIT)
        result = load(".awaiting").run([code], {"coroutine": result})
    execute.publish_figures(None)
    return sealing.encode(result, "result", metadata.get("sealed"))


def _arguments(parts):
    if not parts:
        return [], {}
    if parts[0][0] != values.MEDIA:
        raise ValueError("the arguments of a call are a value (%s), not %s" % (values.MEDIA, parts[0][0]))
    arguments = values_in.decode([data for _, data in parts])
    if isinstance(arguments, list):
        return arguments, {}
    if isinstance(arguments, dict):
        arguments = [], arguments
    if isinstance(arguments, tuple) and len(arguments) == 2:
        positional, named = arguments
        if isinstance(positional, list) and isinstance(named, dict) and all(isinstance(key, str) for key in named):
            return positional, named
    raise ValueError("the arguments of a call are a list, a map from names, or a tuple of both")


def _from_source(source, filename):
    namespace = execute.main()
    function = execute.run(cells.compile_cell(source, filename), namespace)
    if function is None:
        last = compile(source, filename, "exec", cells.ONLY_AST).body[-1:]
        if last and isinstance(last[0], (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef)):
            function = namespace.get(last[0].name)
    if not callable(function):
        raise TypeError("the source of a call ends with no function")
    return function


def _named(name):
    """What a dotted name means to a cell; a module that was not imported is."""
    first, *rest = name.split(".")
    namespace = execute.main()
    if first in namespace:
        found = namespace[first]
    elif rest:
        load("importlib").import_module(first)
        found = sys.modules[first]
    else:
        found = getattr(load("builtins"), first, None)
        if found is None:
            raise NameError("name %r is not defined" % first)
    for at, step in enumerate(rest):
        if isinstance(found, types.ModuleType) and not hasattr(found, step) and at < len(rest) - 1:
            load("importlib").import_module("%s.%s" % (found.__name__, step))
        found = getattr(found, step)
    if not callable(found):
        raise TypeError("%s is no function" % name)
    return found
