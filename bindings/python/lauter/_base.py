# SPDX-License-Identifier: Apache-2.0
"""What a worker is, however its host waits for it."""

from __future__ import annotations

import codecs
import json
import os
import sys
import warnings
from ctypes import byref, c_int32
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from . import _errors, _native, _values
from ._execution import METADATA
from ._host import Call, Host
from ._launch import launch_of
from ._native import Part, lib
from ._policy import Policy
from ._report import Report, report_at

Function = Union[str, Callable[..., Any]]
Sink = Union[str, Callable[[str], Any], Any]


class Prompt(str):
    """What the worker's code asks to be shown before it reads a line: text of the worker's."""

    secret = False
    """Whether what is typed should not be seen: it asks for a password."""


class BaseWorker:
    """A process tree in a sandbox. See `lauter.Worker` and `lauter.aio.Worker`."""

    _closed = True

    def __init__(
        self,
        host: Host,
        policy: Union[Policy, str, None],
        *,
        command: Optional[Sequence[Union[str, "os.PathLike[str]"]]] = None,
        python: Union[None, str, "os.PathLike[str]"] = None,
        cwd: Union[None, str, "os.PathLike[str]"] = None,
        name: Optional[str] = None,
        stdin: bool = False,
        stdout: Sink = "forward",
        stderr: Sink = "forward",
        input: Optional[Callable[[Prompt], Any]] = None,
        handlers: Optional[Mapping[str, Callable[..., Any]]] = None,
        trust: bool = False,
        ready_timeout: float = 30.0,
        interrupt_grace: float = 5.0,
    ) -> None:
        self.policy = policy if isinstance(policy, Policy) else Policy(policy or "notebook")
        """What it may do."""
        self.trust = trust
        """Whether what it returns may run code here: see `Sealed`."""
        self.name = name or ""
        self._host = host
        self._input = input
        self._handlers = dict(handlers or {})
        self._sinks = {1: stdout, 2: stderr}
        self._decoders: Dict[int, Any] = {}
        self._report: Optional[Report] = None
        self._error: Optional[BaseException] = None
        self._runtime = ""
        self._unanswered: List[tuple[Call, BaseException]] = []
        self._recording: Optional[Callable[[str, str], Any]] = None
        self.dropped = 0
        """Bytes of its output that were not kept, since nobody waited for anything of it in time."""
        launch = launch_of(
            command=command,
            python=python,
            cwd=cwd,
            name=name,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            ready_timeout=ready_timeout,
            interrupt_grace=interrupt_grace,
        )
        self._cookie = next(host.cookies)
        self.id = 0
        with host.lock:
            handle = host.use()
            host.workers[self._cookie] = self
            identity = _native.c_uint64()
            _native.call(
                lib.lauter_spawn, handle, self.policy._handle, launch.handle, self._cookie, byref(identity)
            )
            self.id = identity.value
        self._closed = False

    # -------------------------------------------------------------------------------------------- state --

    @property
    def report(self) -> Optional[Report]:
        """How it ended and what it used; None while it lives."""
        if self._report is None and not self._closed:
            self._host.dispatch()
        return self._report

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return not self._closed and self.report is None

    @property
    def is_done(self) -> bool:
        # For wait_for(): that it has ended.
        return self._report is not None or self._closed

    @property
    def pid(self) -> int:
        """The process id of its init, for tools that show it; not to be signalled."""
        pid = c_int32()
        self._call(lib.lauter_worker_pid, byref(pid))
        return pid.value

    def fileno(self) -> int:
        """A descriptor that polls readable while `dispatch()` has something to do. Never read it, never close it."""
        return self._host.fileno()

    def dispatch(self) -> int:
        """Handle what has come from the worker, without waiting; for loops that poll `fileno()`. How many events."""
        return self._host.dispatch()

    def __repr__(self) -> str:
        state = self._report.why if self._report else "closed" if self._closed else "running"
        name = " %r" % self.name if self.name else ""
        return "<%s.%s%s %d: %s>" % (type(self).__module__, type(self).__name__, name, self.id, state)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if self._report is not None:
            return self._report._repr_mimebundle_()
        return {"text/plain": "%r\n%s" % (self, self.policy)}

    # ------------------------------------------------------------------------------------------- acting --

    def interrupt(self) -> None:
        """Interrupt every call that was not answered yet, as Ctrl-C would. An idle worker is never hit."""
        for call in [call for call in list(self._host.calls.values()) if call.worker is self]:
            call.interrupt()

    def pause(self) -> None:
        """Stop every process of it, until `resume()`; its times stand still."""
        self._call(lib.lauter_worker_pause)

    def resume(self) -> None:
        """Let a paused worker go on."""
        self._call(lib.lauter_worker_resume)

    def signal(self, number: int) -> None:
        """Send a signal to the worker process. To interrupt a call there is `interrupt()`."""
        self._call(lib.lauter_worker_signal, int(number))

    def write_stdin(self, data: bytes) -> None:
        """Write to its standard input (`stdin=True`); what it does not take now is kept, at most 1 MiB.

        Raises:
            LimitError: more than that would wait; nothing of `data` was taken.
        """
        data = bytes(data)
        if data:
            self._call(lib.lauter_worker_stdin, data, len(data))

    def close_stdin(self) -> None:
        """End its standard input."""
        self._call(lib.lauter_worker_stdin, None, 0)

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            _native.call(function, self._host.use(), self.id, *arguments)
        except _errors.Error as error:
            raise self.explained(error) from None

    def explained(self, error: BaseException) -> BaseException:
        """What is asked of a worker that has ended fails for the reason that it ended."""
        if isinstance(error, _errors.StateError):
            self._host.dispatch()
            if self._report is not None:
                return self._death()
        return error

    def _death(self) -> BaseException:
        if isinstance(self._error, _errors.LaunchError):
            return self._error
        why = self._report.why if self._report else "it was closed"
        died = type(self._error) if isinstance(self._error, _errors.WorkerDied) else _errors.WorkerDied
        error = died("the worker ended: %s" % why)
        error.report = self._report
        if self._error is not None:
            error.code, error.subject = self._error.code, self._error.subject  # type: ignore[attr-defined]
        return error

    # ----------------------------------------------------------------------------------------- requests --

    def _start(
        self, verb: str, parts: Sequence[Part], timeout: Optional[float], call: Optional[Call] = None
    ) -> Call:
        call = call or Call(self._host, self)
        self._host.start(self, _native.encoded(verb, "verb"), parts, timeout, call)
        return call

    def _source(self, source: str, **metadata: Any) -> List[Part]:
        if not isinstance(source, str):
            raise TypeError("source must be str, not %s" % type(source).__name__)
        parts: List[Part] = [("text/x-python", source.encode())]
        given = {name: value for name, value in metadata.items() if value is not None}
        if given:
            parts.append((METADATA, json.dumps(given).encode()))
        return parts

    def _value(self, parts: List[Part]) -> Any:
        return _values.decode(parts, self.trust)

    # ------------------------------------------------------------------------------------------- events --

    def on_ready(self, runtime: str) -> None:
        self._runtime = runtime

    def on_stream(self, stream: int, data: Any) -> None:
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        if not text:
            return
        if self._recording is not None:
            self._recording("stdout" if stream == 1 else "stderr", text)
            return
        self._write(stream, text)

    def _write(self, stream: int, text: str) -> None:
        sink = self._sinks[stream]
        if sink == "forward":
            sink = sys.stdout if stream == 1 else sys.stderr
            if sink is None:
                return
        if callable(sink) and not hasattr(sink, "write"):
            sink(text)
            return
        sink.write(text)
        flush = getattr(sink, "flush", None)
        if flush is not None:
            flush()

    def on_output(self, call: Call, name: str, parts: List[Part]) -> None:
        if call.on_output is not None:
            call.on_output(name, parts)
        elif name == "display":
            # Plain text alone: markup of an untrusted worker's is not shown to anybody who did not ask for it.
            for media, data in parts:
                if media == "text/plain":
                    self._write(1, bytes(data).decode("utf-8", "replace") + "\n")

    def on_dropped(self, stream: int, dropped: int) -> None:
        self.dropped += dropped
        self._decoders.pop(stream, None)

    def on_denied(self, parts: List[Part]) -> None:
        """A system call that was not the worker's to make: the report has them all."""

    def on_channel(self, channel: int, name: str, parts: List[Part]) -> None:
        raise NotImplementedError

    def on_call(self, call: int, parent: int, name: str, parts: List[Part]) -> None:
        raise NotImplementedError

    def on_call_cancelled(self, call: int) -> None:
        """The worker waits for an answer no longer."""

    def _handler(self, name: str) -> Optional[Callable[..., Any]]:
        if name == "input" and name not in self._handlers:
            return self._ask if self._input is not None else None
        return self._handlers.get(name)

    def _ask(self, prompt: str = "", metadata: Any = b"") -> Any:
        shown = Prompt(prompt)
        if metadata:
            shown.secret = bool(json.loads(bytes(metadata)).get("secret"))
        assert self._input is not None
        return self._input(shown)

    def _reply(self, call: int, answer: Any) -> None:
        try:
            parts = _native.Parts(answer_parts(answer))
        except (TypeError, ValueError) as error:
            self._fail(call, error)
            return
        self._tell(lib.lauter_call_reply, call, parts.array, parts.count)

    def _fail(self, call: int, error: Union[BaseException, str]) -> None:
        name, message = (error, "") if isinstance(error, str) else (type(error).__name__, str(error))
        if name == "UnknownVerb":
            message = "the host answers no such call"
        message = message.replace("\0", "\\0")
        self._tell(lib.lauter_call_fail, call, name.encode()[:255], message.encode("utf-8", "replace"))

    def _tell(self, function: Any, *arguments: Any) -> None:
        if not self._host.handle:
            return
        try:
            _native.call(function, self._host.handle, *arguments)
        except _errors.StateError:
            pass  # it waits no longer, or is gone

    def on_unanswered(self, call: Call, error: BaseException) -> None:
        """A call ended without an answer of its own. If its worker died, it is told once the report is there."""
        if isinstance(error, _errors.WorkerDied) and self._report is None and not self._closed:
            self._unanswered.append((call, error))
        else:
            self._finish(call, error)

    def _finish(self, call: Call, error: BaseException) -> None:
        if isinstance(error, _errors.WorkerDied):
            error.report = self._report
            if isinstance(self._error, _errors.LaunchError):
                error = self._error
        call.finish([], error)

    def on_exited(self, report: int, error: Optional[BaseException]) -> None:
        self._error = error
        self._report = report_at(report)
        for stream, decoder in self._decoders.items():
            rest = decoder.decode(b"", True)
            if rest and self._recording is None:
                self._write(stream, rest)
        self._end()

    def on_closed(self) -> None:
        """Its host was closed."""
        self._closed = True
        self._end()

    def _end(self) -> None:
        unanswered, self._unanswered = self._unanswered, []
        for call, error in unanswered:
            self._finish(call, error)

    def __del__(self) -> None:
        if not self._closed and self._report is None and self._host.process == os.getpid():
            warnings.warn("unclosed %r" % self, ResourceWarning, source=self, stacklevel=2)


def answer_parts(answer: Any) -> List[Part]:
    """What a handler returned, as parts: None, str, bytes, a part, or a list of these."""
    if answer is None:
        return []
    if isinstance(answer, list):
        return [part for item in answer for part in answer_parts(item)]
    if isinstance(answer, str):
        return [("text/plain", answer.encode("utf-8", "surrogateescape"))]
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], str):
        return [(answer[0], answer[1] if not isinstance(answer[1], str) else answer[1].encode())]
    if isinstance(answer, (bytes, bytearray, memoryview)):
        return [("application/octet-stream", answer)]
    raise TypeError("a handler returns None, str, bytes, a pair of media type and bytes, or a list of these, not %s" % type(answer).__name__)


def arguments_of(parts: Sequence[Part]) -> List[Any]:
    """The parts of a worker's call, for a handler: str for text/plain, else bytes."""
    return [
        bytes(data).decode("utf-8", "replace") if media == "text/plain" else bytes(data) for media, data in parts
    ]
