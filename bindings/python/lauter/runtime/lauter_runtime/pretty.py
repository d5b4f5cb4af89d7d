# SPDX-License-Identifier: Apache-2.0
"""`text/plain`: repr() for most, containers broken into lines, and never so large that it is of no use to anybody."""

from itertools import islice

from .interrupt import load

_WIDTH = 79
_ELEMENTS_MAX = 1000
_TEXT_MAX = 1 << 18
_DEPTH_MAX = 50


def text(value):
    """The text of any value; what its __repr__ raises goes to standard error."""
    return _cut(_Printer().show(value, 0, 0), _TEXT_MAX)


def _cut(result, limit):
    if len(result) <= limit:
        return result
    return "%s\n… %d more characters" % (result[:limit], len(result) - limit)


class _Printer:
    def __init__(self):
        self.left = _TEXT_MAX
        self.open = set()

    def show(self, value, indent, depth):
        """`value` as it looks when it begins in column `indent`."""
        kind = type(value)
        try:
            brackets = _BRACKETS.get(kind.__repr__)
        except Exception:
            brackets = None
        if brackets is not None and isinstance(value, (list, tuple, dict, set, frozenset)):
            return self.show_container(value, brackets, indent, depth)
        if kind in (str, bytes, bytearray) and len(value) > self.left:
            result = repr(value[: max(self.left, 0)]) + "… %d in all" % len(value)
        else:
            result = _repr(value)
        self.left -= len(result)
        return result

    def show_container(self, value, brackets, indent, depth):
        if not value:
            return _repr(value)
        if id(value) in self.open or depth > _DEPTH_MAX:
            return "%s…%s" % brackets
        self.open.add(id(value))
        opening, closing = brackets
        if isinstance(value, frozenset) or (isinstance(value, set) and type(value) is not set):
            opening = type(value).__name__ + opening
            closing += ")"
        column = indent + len(opening)
        lines = []
        for count, each in enumerate(_elements(value)):
            if count >= _ELEMENTS_MAX or self.left <= 0:
                lines.append("…" if self.left <= 0 else "...")
                break
            if isinstance(value, dict):
                key = self.show(each, column, depth + 1)
                start = column + len(key) - (key.rfind("\n") + 1) + 2
                lines.append("%s: %s" % (key, self.show(value[each], start, depth + 1)))
            else:
                lines.append(self.show(each, column, depth + 1))
        self.open.discard(id(value))
        if isinstance(value, tuple) and len(value) == 1:
            closing = "," + closing
        size = sum(map(len, lines)) + 2 * len(lines) + indent
        if size <= _WIDTH and not any("\n" in line for line in lines):
            return opening + ", ".join(lines) + closing
        return opening + (",\n" + " " * column).join(lines) + closing


def _elements(value):
    if isinstance(value, (set, frozenset)):
        # Sorted if that is possible and cheap: sets of strings look different each time otherwise.
        if len(value) <= _ELEMENTS_MAX:
            try:
                return sorted(value)
            except Exception:
                pass
        return islice(value, _ELEMENTS_MAX + 1)
    return value


def _repr(value):
    try:
        return repr(value)
    except Exception:
        load(".failure").complain()
        kind = type(value)
        return "<%s.%s object at %#x, whose repr failed>" % (kind.__module__, kind.__qualname__, id(value))


_BRACKETS = {
    list.__repr__: ("[", "]"),
    tuple.__repr__: ("(", ")"),
    dict.__repr__: ("{", "}"),
    set.__repr__: ("{", "}"),
    frozenset.__repr__: ("({", "}"),
}
