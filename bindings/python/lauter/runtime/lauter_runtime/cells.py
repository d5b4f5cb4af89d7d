# SPDX-License-Identifier: Apache-2.0
"""From a cell's source to code objects: last expression apart, top-level `await`, future statements that persist."""

import _ast
import sys

from .interrupt import load

TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST
_FEATURES = 0xFFFF0000  # where __future__ keeps its flags, among others

sources = {}
"""Cells by the file name that they were compiled as: linecache shows their lines in tracebacks."""

_future = 0


def remember(filename, source):
    """Let tracebacks and inspect.getsource() show this source."""
    sources[filename] = source
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        cache_lines(linecache, filename, source)


def cache_lines(linecache, filename, source):
    """Put one source into linecache. No modification time: checkcache() leaves it alone then."""
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)


def compile_cell(source, filename):
    """Code objects to be evaluated one after the other; only the last one's value counts. SyntaxError as compile()."""
    remember(filename, source)
    if source.lstrip("\n").startswith("%%"):
        source = load(".magics").cell(source, filename)
    try:
        tree = _parse(source, filename)
    except SyntaxError as error:
        # Only what is no Python can be a notebook's own syntax.
        source, tree = load(".magics").lines(source, filename, error, _parse)
    body = tree.body
    codes = []
    if body and isinstance(body[-1], _ast.Expr):
        last = body.pop()
        if body:
            codes.append(_compile(tree, filename, "exec"))
        if _is_silenced(source, last):
            codes.append(_compile(_ast.Module([last], []), filename, "exec"))
        else:
            codes.append(_compile(_ast.Expression(last.value), filename, "eval"))
    elif body:
        codes.append(_compile(tree, filename, "exec"))
    return codes


def _parse(source, filename):
    return compile(source, filename, "exec", ONLY_AST | TOP_LEVEL_AWAIT | _future, True)


def _compile(tree, filename, mode):
    global _future
    code = compile(tree, filename, mode, TOP_LEVEL_AWAIT | _future, True)
    if code.co_flags & _FEATURES & ~_future:
        __future__ = load("__future__")
        for name in __future__.all_feature_names:
            _future |= code.co_flags & getattr(__future__, name).compiler_flag & _FEATURES
    return code


def _is_silenced(source, last):
    """Whether a semicolon follows the last expression, as notebooks write it to show no value."""
    lines = source.encode("utf-8", "surrogatepass").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    rest = lines[last.end_lineno - 1][last.end_col_offset :]
    return rest.lstrip().startswith(b";")
