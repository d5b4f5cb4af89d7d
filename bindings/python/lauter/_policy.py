# SPDX-License-Identifier: Apache-2.0
"""Policies: what a worker may read, write, reach and use up."""

from __future__ import annotations

import datetime
import os
from ctypes import byref, c_void_p
from typing import Any, Iterable, List, Mapping, Optional, Tuple, Union

from ._native import call, encoded, lib, taken_text, text_of

Path = Union[str, "os.PathLike[str]"]
Paths = Union[Path, Iterable[Path]]
Amount = Union[str, int, float, datetime.timedelta]

_PATHS = ("read", "write", "deny")
_TIMES = ("cpu", "wall")


class Policy:
    """What a worker may read, write, reach, execute and use up. A value: it never changes, and equal ones compare equal.

    Args:
        preset: "notebook" (system folders and the language readable, own home and /tmp, a loopback of its own), "strict"
            (pure computation: no network, nothing writable but /tmp, no further program) or "unconfined" (a process tree of its
            own and nothing more).
        read, write, deny: Paths, with everything below them; the most specific one wins. `~` and relative paths are resolved.
        tmp: Bytes of memory for /tmp ("1G", 2**30).
        home: "private", "none" or a path.
        net: "none", "private" (a loopback of its own) or "host".
        env: Variables to set, by name; None passes this process's value on.
        run, jit, nest: "any" or "none": further programs, computed code, namespaces of its own.
        violations: "tell", "kill", "silent" or "observe".
        limit: By name: memory, file_size, output, arena (bytes, or "1G"); processes, cpus, open_files (numbers); cpu, wall
            (seconds, a timedelta, or "10m"); None lifts a limit.
        allow_missing: Words to go on without where the kernel cannot enforce them.

    `docs/policy.md` says what each means. Nothing is looked up or touched before a worker starts.

    Raises:
        PolicyError: an unknown preset or word, or a value that it does not take.
    """

    __slots__ = ("_preset", "_text", "_handle")

    def __init__(
        self,
        preset: str = "notebook",
        *,
        read: Paths = (),
        write: Paths = (),
        deny: Paths = (),
        tmp: Optional[Amount] = None,
        home: Optional[Path] = None,
        net: Optional[str] = None,
        env: Optional[Mapping[str, Optional[str]]] = None,
        run: Optional[str] = None,
        jit: Optional[str] = None,
        nest: Optional[str] = None,
        violations: Optional[str] = None,
        limit: Optional[Mapping[str, Optional[Amount]]] = None,
        allow_missing: Union[str, Iterable[str]] = (),
    ) -> None:
        words: List[Tuple[str, str]] = []
        for word, paths in zip(_PATHS, (read, write, deny)):
            words += [(word, _absolute(path, word)) for path in _several(paths)]
        if tmp is not None:
            words.append(("tmp", _amount(tmp, "tmp")))
        if home is not None:
            words.append(("home", home if home in ("private", "none") else _absolute(home, "home")))  # type: ignore[arg-type]
        for name, value in (env or {}).items():
            words.append(("env", name if value is None else "%s=%s" % (name, value)))
        for word, choice in (("net", net), ("run", run), ("jit", jit), ("nest", nest), ("violations", violations)):
            if choice is not None:
                words.append((word, choice))
        for name, amount in (limit or {}).items():
            name = name.replace("_", "-")
            words.append(("limit", "%s=%s" % (name, "none" if amount is None else _amount(amount, name))))
        words += [("allow-missing", word) for word in _several(allow_missing)]
        self._make(preset)
        for word, value in words:
            call(lib.lauter_policy_set, self._handle, word.encode(), encoded(value, word))
        self._text = text_of(lib.lauter_policy_print, self._handle)

    def _make(self, preset: str) -> None:
        self._preset = preset
        self._handle = c_void_p()
        call(lib.lauter_policy_new, encoded(preset, "preset"), byref(self._handle))

    def __del__(self, free: Any = lib.lauter_policy_free) -> None:
        handle = getattr(self, "_handle", None)
        if handle:
            free(handle)

    @classmethod
    def notebook(cls, **words: Any) -> "Policy":
        """The preset for other people's notebooks, with words as `Policy()` takes them."""
        return cls("notebook", **words)

    @classmethod
    def strict(cls, **words: Any) -> "Policy":
        """The preset for pure computation, with words as `Policy()` takes them."""
        return cls("strict", **words)

    @classmethod
    def unconfined(cls, **words: Any) -> "Policy":
        """The preset for your own code: a process tree that ends as a whole, and no sandbox."""
        return cls("unconfined", **words)

    @classmethod
    def parse(cls, text: str, preset: str = "notebook") -> "Policy":
        """A policy of a text: one `word value` a line, added to the preset. `str(policy)` gives one.

        Raises:
            PolicyError: as `Policy()`, with the line's number in the message.
        """
        made = cls.__new__(cls)
        made._make(preset)
        call(lib.lauter_policy_parse, made._handle, encoded(text, "the text of a policy"))
        made._text = text_of(lib.lauter_policy_print, made._handle)
        return made

    @property
    def preset(self) -> str:
        """The preset that it began with."""
        return self._preset

    def why_not(self, word: str, value: Path) -> Optional[str]:
        """None if the policy allows something, else a sentence that says what would allow it.

        Args:
            word: "read" or "write" (a path), "net" ("host:port" or an address) or "run" (a program).
        """
        text = os.fspath(value)
        if word in ("read", "write"):
            text = _absolute(text, word)
        why = c_void_p()
        arguments = self._handle, encoded(word, "word"), encoded(text, word), byref(why)
        call(lib.lauter_policy_check, *arguments)
        return taken_text(why)

    def allows(self, word: str, value: Path) -> bool:
        """Whether the policy allows something: see `why_not()`."""
        return self.why_not(word, value) is None

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<lauter.Policy %s>" % self._preset

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return {"text/plain": self._text, "text/markdown": "```\n%s```" % self._text}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Policy):
            return NotImplemented
        return (self._preset, self._text) == (other._preset, other._text)

    def __hash__(self) -> int:
        return hash((self._preset, self._text))

    def __reduce__(self) -> Any:
        return _parse, (self._text, self._preset)


def _parse(text: str, preset: str) -> Policy:
    return Policy.parse(text, preset)


def _several(values: Any) -> List[Any]:
    return [values] if isinstance(values, (str, os.PathLike)) else list(values)


def _absolute(path: Any, word: str) -> str:
    path = os.fspath(path)
    if not isinstance(path, str):
        raise TypeError("%s takes str or os.PathLike[str], not %s" % (word, type(path).__name__))
    if not path:
        raise ValueError("%s takes a path, not an empty text" % word)
    return os.path.abspath(os.path.expanduser(path))


def _amount(amount: Any, name: str) -> str:
    if isinstance(amount, bool) or not isinstance(amount, (str, int, float, datetime.timedelta)):
        raise TypeError("%s takes a number or text, not %s" % (name, type(amount).__name__))
    if isinstance(amount, datetime.timedelta):
        amount = amount.total_seconds()
    if name in _TIMES and not isinstance(amount, str):
        return "%dms" % round(amount * 1000)
    return "%g" % amount if isinstance(amount, float) else str(amount)
