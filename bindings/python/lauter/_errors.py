# SPDX-License-Identifier: Apache-2.0
"""Exceptions, as Python has them."""

from __future__ import annotations

import builtins
import errno as _errno
from concurrent.futures import BrokenExecutor
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Optional, Type

if TYPE_CHECKING:
    from ._report import Report


class Details(NamedTuple):
    """What the library says of an error."""

    code: int
    code_name: str
    message: str
    subject: str
    errno: int
    step: int


class Error(Exception):
    """What every exception of this package is, beside the built-in one that it also is."""

    code = ""
    """The library's name for it: "LAUTER_ERROR_DIED"; empty for what the library does not know."""
    subject = ""
    """What it is about: a path, a word of a policy, an id."""

    def _with(self, details: Details) -> "Error":
        self.code = details.code_name
        self.subject = details.subject
        return self


class InvalidError(Error, ValueError):
    """An argument is not of the documented form."""


class PolicyError(InvalidError):
    """An unknown preset or word, or a value that the word does not take: `subject` names it."""


class SystemCallError(Error, OSError):
    """A system call of the library's failed: `errno`."""


class LaunchError(SystemCallError):
    """A worker could not be started: `step` is the number of the step, as `lauter explain` prints them, or 0."""

    step = 0


class NotFoundError(LaunchError, FileNotFoundError):
    """No such path, program or interpreter."""


class DeniedError(LaunchError, PermissionError):
    """Permission refused, or outside the policy."""


class NotExecutableError(LaunchError, PermissionError):
    """The program was found but cannot be executed."""


class UnsupportedError(LaunchError):
    """This machine or kernel cannot enforce what the policy asks: `lauter.doctor()` says why, and what to do."""


class TimeoutError(Error, builtins.TimeoutError):
    """The time was up."""


class LimitError(Error, RuntimeError):
    """A bound is reached: calls in flight, the size of a message, what may wait unsent."""


class StateError(Error, RuntimeError):
    """Not possible now: a worker that is not ready, has no session, has ended, or another process's."""


class WorkerDied(Error, BrokenExecutor):
    """The worker ended, and with it what was asked of it."""

    report: "Optional[Report]" = None
    """How it ended and what it used; None if that is not known yet."""


class ProtocolError(WorkerDied):
    """The worker broke the protocol and was killed."""


class ChannelClosed(Error, EOFError):
    """The channel is over: nothing more comes, or can be sent."""


class ChannelCancelled(ChannelClosed, ConnectionError):
    """The channel was cancelled: `name` and `message` say why."""

    name = ""
    message = ""


class RemoteTraceback(Exception):
    """The worker's traceback, as the cause of what is raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return '\n"""\n%s"""' % self.text


class RemoteError(Error):
    """Code in the worker raised an exception.

    When its type is one of Python's built-in ones, what is raised is of that type too: `except KeyError` catches it. Nothing of
    it but text came out of the worker.
    """

    name = ""
    """Name of its type in the worker, whatever that type is."""
    message = ""
    """str() of it there."""
    traceback = ""
    """The formatted traceback, without frames of the runtime. Text of the worker's: not to be believed."""
    note = ""
    """What would allow it, if the policy forbade what failed: "/data/x is outside the policy; allow it with --read /data"."""

    def __init__(self, name: str = "", message: str = "", traceback: str = "", note: str = "") -> None:
        Exception.__init__(self, message)
        self.name = name
        self.message = message
        self.traceback = traceback
        self.note = note
        if traceback:
            self.__cause__ = RemoteTraceback(traceback)

    def __str__(self) -> str:
        text = self.message if type(self) is not RemoteError else "%s: %s" % (self.name, self.message)
        return text + ("\n" + self.note if self.note else "")

    def __reduce__(self) -> Any:
        return remote_error, (self.name, self.message, self.traceback, self.note)


class Interrupted(RemoteError):
    """The call was interrupted in the worker (`KeyboardInterrupt` there)."""


_kinds: Dict[str, Type[RemoteError]] = {"KeyboardInterrupt": Interrupted}
# Raised out of a generator they would mean something else.
_APART = (StopIteration, StopAsyncIteration)


def _kind(name: str) -> Type[RemoteError]:
    """RemoteError, which is also the built-in exception of that name if there is one."""
    known = _kinds.get(name)
    if known is not None:
        return known
    builtin = getattr(builtins, name, None)
    if not isinstance(builtin, type) or builtin.__name__ != name:
        return RemoteError
    if not issubclass(builtin, Exception) or issubclass(builtin, _APART) or "Group" in name:
        return RemoteError
    made = type("Remote" + name, (RemoteError, builtin), {"__module__": "lauter", "__new__": _new, "__doc__": builtin.__doc__})
    return _kinds.setdefault(name, made)


def _new(kind: Any, *_: Any) -> Any:
    # OSError's own would choose another class by the errno, UnicodeError's want arguments that no text has.
    return Exception.__new__(kind) if not issubclass(kind, OSError) else OSError.__new__(kind)


def remote_error(name: str, message: str = "", traceback: str = "", note: str = "") -> RemoteError:
    """The exception for a failure that a worker told."""
    return _kind(name)(name, message, traceback, note)


_BY_CODE: Dict[int, Type[Error]] = {
    -1: InvalidError,
    -2: SystemCallError,
    -3: PolicyError,
    -4: NotFoundError,
    -5: DeniedError,
    -6: UnsupportedError,
    -7: StateError,
    -8: TimeoutError,
    -10: WorkerDied,
    -12: ProtocolError,
    -13: LimitError,
    -14: StateError,
    -15: NotExecutableError,
    -16: LaunchError,
    -17: StateError,
}
_ERRNO = {-4: _errno.ENOENT, -5: _errno.EACCES, -6: _errno.ENOTSUP, -15: _errno.EACCES}


def _system(kind: Type[Error], number: int) -> Type[Error]:
    """A kind that is also the built-in exception for that errno: ConnectionRefusedError, say."""
    builtin = type(OSError(number, ""))
    if builtin is OSError or issubclass(kind, builtin):
        return kind
    name = "%s.%s" % (kind.__name__, builtin.__name__)
    known = _mixed.get(name)
    if known is None:
        made = type(kind.__name__, (kind, builtin), {"__module__": "lauter", "__doc__": kind.__doc__})
        known = _mixed.setdefault(name, made)
    return known


_mixed: Dict[str, Type[Error]] = {}


def of(details: Details) -> Error:
    """The exception for an error of the library."""
    kind = _BY_CODE.get(details.code, Error)
    if not issubclass(kind, SystemCallError):
        return kind(details.message)._with(details)
    number = details.errno or _ERRNO.get(details.code, 0)
    error: Any = _system(kind, number)(number, details.message)
    if isinstance(error, LaunchError):
        error.step = details.step
    if details.subject:
        error.filename = details.subject
    error._with(details)
    return error  # type: ignore[no-any-return]
