# SPDX-License-Identifier: Apache-2.0
"""Workers for code that waits."""

from __future__ import annotations

import math
import os
import socket
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple, Union

from . import _errors, _execution, _native, _values
from ._base import BaseWorker, Function, arguments_of
from ._channel import WINDOW, Channel
from ._execution import Completion, Execution, Output
from ._future import Future, wait_for
from ._host import Awaited, Call, Host
from ._native import Part, lib
from ._policy import Policy
from ._report import Report

_MODES = {"r": 1, "w": 2 | 4 | 8, "a": 2 | 4, "r+": 3, "w+": 3 | 4 | 8}


class Worker(BaseWorker):
    """A process in a sandbox that runs Python code it is handed.

        with lauter.Worker(lauter.Policy.notebook(read=["data"])) as worker:
            worker.run("import statistics")
            worker.eval("statistics.mean([1, 2, 4])")

    It starts in the background: what can be known at once is raised here, what fails later by the first thing that is asked of it.
    One namespace, `__main__`, lasts from call to call. Calls run one after the other; any thread may use a worker. What the code
    prints is written to `sys.stdout` and `sys.stderr` while somebody waits for anything of the worker.

    Args:
        policy: What it may do; or a preset's name. Default: "notebook".
        command: A program that speaks docs/protocol.md, and its arguments, instead of Python: for `request()`.
        python: The interpreter; default: the one that runs this.
        cwd: Its working directory, as it sees it; default: its home.
        name: For reports.
        stdin: Whether `write_stdin()` writes to its standard input; else that is empty.
        stdout, stderr: "forward" (to this process's `sys.stdout` and `sys.stderr`), "inherit" (the descriptors themselves), "discard", a
            file, or a function that is called with text.
        input: What is called when code asks for a line: with a `Prompt`, a str; it returns one. `input=input` asks at the terminal.
            Without it there is nobody to ask: EOFError in the worker.
        handlers: Functions that code in the worker can call, by name: `lauter_worker.call(name, …)` there. Called with a str for
            each part that is text, bytes for others; they return None, str, bytes, a pair of media type and bytes, or a list of these.
        trust: Whether values that are no plain data are opened here, which lets the worker run any code in this process.
        ready_timeout: Seconds until it must take calls.
        interrupt_grace: Seconds that a call whose time was up may go on before the worker is killed.

    Raises:
        PolicyError, LaunchError (an OSError: FileNotFoundError, PermissionError, …), ValueError, TypeError.
    """

    def __init__(self, policy: Union[Policy, str, None] = None, **options: Any) -> None:
        self._incoming: Deque[Channel] = deque()
        super().__init__(Host(), policy, **options)

    # ------------------------------------------------------------------------------------------ calls --

    def run(self, source: str, *, timeout: Optional[float] = None, cell: Optional[str] = None) -> None:
        """Execute source text. What it prints and displays is written where this worker's output goes.

        Args:
            timeout: Seconds; then it is interrupted, and killed if that does not end it.
            cell: What tracebacks call it.

        Raises:
            RemoteError: it raised that. TimeoutError, WorkerDied. KeyboardInterrupt: Ctrl-C here interrupts it there.
        """
        wait_for(self._start("execute", self._source(source, cell=cell, silent=True), timeout), self._host)

    def eval(self, source: str, *, timeout: Optional[float] = None, cell: Optional[str] = None) -> Any:
        """Execute source text and give the value of its last expression, as `call()` gives what a function returns."""
        parts = self._source(source, cell=cell, value=True, sealed=True)
        return self._value(wait_for(self._start("execute", parts, timeout), self._host))

    def call(self, function: Function, /, *arguments: Any, **named: Any) -> Any:
        """Call a function in the worker and give what it returns.

        Args:
            function: A function, which goes in by pickle (by cloudpickle if that is installed: lambdas, closures, what `__main__`
                defines); or text, the name of one there, such as "area" or "math.sqrt".
            arguments, named: Anything that can be pickled. NumPy arrays are not copied here.

        Returns:
            Plain data (docs/values.md): None, bool, int, float, complex, str, bytes, list, tuple, dict, set, dates, decimals, UUIDs, NumPy
            arrays. What is none of these is `Sealed`, unless the worker is trusted.

        Raises:
            RemoteError: it raised that. WorkerDied. Whatever pickle raises for an argument, before anything is sent.
        """
        parts = _values.encode_call(function, arguments, named)
        return self._value(wait_for(self._start("call", parts, None), self._host))

    def submit(self, function: Function, /, *arguments: Any, **named: Any) -> Future:
        """Begin a `call()`. Its future's `interrupt()` stops it."""
        call = Call(self._host, self)
        future = Future(call, self._value)
        self._start("call", _values.encode_call(function, arguments, named), None, call)
        return future

    def execute(
        self,
        source: str,
        *,
        timeout: Optional[float] = None,
        cell: Optional[str] = None,
        count: Optional[int] = None,
        silent: bool = False,
        on_output: Optional[Callable[[Output], Any]] = None,
    ) -> Execution:
        """Execute a cell as a notebook does: its outputs, the value of its last expression as a MIME bundle, its error.

        Args:
            count: The number shown for this execution.
            on_output: Called with each output as it comes.

        Raises:
            TimeoutError, WorkerDied. What the code raises is the result's `error`.
        """
        execution = Execution()

        def add(output: Output) -> None:
            execution.add(output)
            if on_output is not None:
                on_output(output)

        call = Call(self._host, self)
        call.on_output = lambda name, parts: add(_execution.output_of(name, parts))
        before, self._recording = self._recording, lambda stream, text: add(Output("stream", stream, text))
        try:
            self._start("execute", self._source(source, cell=cell, count=count, silent=silent or None), timeout, call)
            try:
                parts = wait_for(call, self._host)
            except _errors.RemoteError as error:
                return _execution.finish(execution, [], error)
            return _execution.finish(execution, parts, None)
        finally:
            self._recording = before

    def complete(self, source: str, cursor: Optional[int] = None) -> Completion:
        """What could stand at a cursor, a number of characters from the source's beginning; default: its end."""
        return _execution.completion_of(self._look("complete", source, cursor=len(source) if cursor is None else cursor))

    def inspect(self, source: str, cursor: Optional[int] = None, detail: int = 0) -> Dict[str, Any]:
        """A MIME bundle about the name at a cursor, `text/plain` first; empty if nothing is known. `detail=1`: its source, too."""
        cursor = len(source) if cursor is None else cursor
        parts = self.request("inspect", *self._source(source, cursor=cursor, detail=detail))
        return _execution.bundle_of(parts)[0]

    def is_complete(self, source: str) -> Tuple[str, str]:
        """Whether source text can be executed: "complete", "incomplete" (and what to indent the next line by), "invalid" or "unknown"."""
        found = self._look("is-complete", source)
        return str(found.get("status", "unknown")), str(found.get("indent", ""))

    def _look(self, verb: str, source: str, **metadata: Any) -> Dict[str, Any]:
        return _execution.bundle_of(self.request(verb, *self._source(source, **metadata)))[1]

    def request(self, verb: str, *parts: Part, timeout: Optional[float] = None) -> List[Part]:
        """Call a verb of the worker's program with parts, pairs of media type and bytes, and give the parts that it answers.

        Small parts are bytes; large ones are memoryviews of memory that is theirs alone, and can be written.
        """
        return wait_for(self._start(verb, parts, timeout), self._host)

    # -------------------------------------------------------------------------------------------- channels --

    def open_channel(self, name: str, *message: Any, window: int = WINDOW) -> Channel:
        """Open a channel; the worker takes it by `lauter_worker.accept_channel(name)`.

        Args:
            message: What goes with its opening, as `Channel.send()` takes it.
            window: Bytes that the worker may send ahead of what was received.
        """
        from ._base import answer_parts

        channel = Channel(self, name, answer_parts(list(message)), window)
        channel._open()
        return channel

    def accept_channel(self, timeout: Optional[float] = None) -> Channel:
        """Wait for a channel that the worker opens by `lauter_worker.open_channel(name)`.

        Raises:
            lauter.TimeoutError: none after `timeout` seconds. WorkerDied.
        """
        worker = self

        class Opened:
            @property
            def is_done(self) -> bool:
                return bool(worker._incoming) or worker.is_done

        if not self._host.wait_for(Opened(), timeout):
            raise _errors.TimeoutError("the worker opened no channel for %g s" % (timeout or 0))
        if not self._incoming:
            raise self._death()
        channel = self._incoming.popleft()
        channel._accept(channel._id)
        return channel

    def on_channel(self, channel: int, name: str, parts: List[Part]) -> None:
        opened = Channel(self, name, parts)
        opened._id = channel
        self._incoming.append(opened)

    def on_call(self, call: int, parent: int, name: str, parts: List[Part]) -> None:
        handler = self._handler(name)
        if handler is None:
            self._fail(call, "EOFError" if name == "input" else "UnknownVerb")
            return
        try:
            answer = handler(*arguments_of(parts))
        except Exception as error:
            self._fail(call, error)
        except BaseException as error:
            self._fail(call, error)
            raise
        else:
            self._reply(call, answer)

    # ------------------------------------------------------------------------------- its network and files --

    def dial(self, port: int, timeout: Optional[float] = 10.0) -> socket.socket:
        """A socket, connected to a port of the worker's own network: what serves a page there, say. Blocking, as sockets begin.

        Raises:
            ConnectionRefusedError: nobody listens there. PermissionError: the policy has `net none`.
        """
        found = socket.socket(fileno=self._descriptor(lib.lauter_worker_dial_start, timeout, port))
        found.setblocking(True)
        return found

    def open(self, path: str, mode: str = "rb", timeout: Optional[float] = 10.0, **options: Any) -> Any:
        """Open a file as the worker sees it, with its rights: a file object, as `open()` gives. "r", "w", "a", "r+" and "w+", with "b".

        The worker can change and shorten it meanwhile.

        Raises:
            FileNotFoundError, PermissionError (outside the policy), ValueError (a symbolic link).
        """
        flags = _MODES.get(mode.replace("b", "").replace("t", ""))
        if flags is None:
            raise ValueError("mode is one of r, w, a, r+ and w+, with b or t, not %r" % mode)
        found = self._descriptor(lib.lauter_worker_open_start, timeout, _native.encoded(os.fspath(path), "path"), flags)
        return open(found, mode, **options)

    def _descriptor(self, function: Any, timeout: Optional[float], *arguments: Any) -> int:
        awaited = Awaited()
        with self._host.lock:
            cookie = next(self._host.cookies)
            self._host.awaited[cookie] = awaited
            try:
                self._call(function, *arguments, -1 if timeout is None else math.ceil(timeout * 1000), cookie)
            except BaseException:
                del self._host.awaited[cookie]
                raise
        self._host.wait_for(awaited)
        if awaited.error is not None:
            raise awaited.error
        return awaited.descriptor

    # ---------------------------------------------------------------------------------------------- the end --

    def wait_ready(self, timeout: Optional[float] = None) -> None:
        """Wait until it takes calls.

        Raises:
            LaunchError: it could not be started. WorkerDied. lauter.TimeoutError: not ready after `timeout` seconds.
        """
        worker = self

        class Ready:
            @property
            def is_done(self) -> bool:
                return bool(worker._runtime) or worker.is_done

        if not self._host.wait_for(Ready(), timeout):
            raise _errors.TimeoutError("the worker is not ready after %g s" % (timeout or 0))
        if not self._runtime:
            raise self._death()

    def wait(self, timeout: Optional[float] = None) -> Report:
        """Wait until it has ended: how it did.

        Raises:
            lauter.TimeoutError: it goes on after `timeout` seconds.
        """
        if not self._host.wait_for(self, timeout):
            raise _errors.TimeoutError("the worker goes on after %g s" % (timeout or 0))
        if self._report is None:
            raise _errors.StateError("the worker was closed")
        return self._report

    def stop(self, timeout: float = 2.0, term_timeout: float = 1.0) -> Report:
        """Ask it to exit; after `timeout` seconds send SIGTERM, after `term_timeout` more kill all of it. The report says what it took."""
        if self.is_running:
            self._call(lib.lauter_worker_stop, round(timeout * 1000), round(term_timeout * 1000))
        return self.wait()

    def kill(self) -> Report:
        """Kill it and every process that it ever started."""
        if self.is_running:
            self._call(lib.lauter_worker_kill)
        return self.wait()

    def close(self) -> None:
        """Free all of it; what still runs is killed. `stop()` before lets it end by itself."""
        self._host.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is None and self.is_running and not self._host.calls:
                self.stop()
        finally:
            self.close()


def doctor() -> Dict[str, Any]:
    """What this machine can enforce, found by doing it: see docs/hosting.md. Takes some hundred milliseconds."""
    import json

    found: Dict[str, Any] = json.loads(_native.text_of(lib.lauter_doctor))
    return found
