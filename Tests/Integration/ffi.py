# SPDX-License-Identifier: Apache-2.0
"""A thin face over `lauter.h` for the tests: objects that close, exceptions, events as plain values."""

import ctypes
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from header import HEADER

#: Constants without their prefix: `C.ERROR_STALE`, `C.EVENT_DONE`.
C = type("C", (), {name.removeprefix("LAUTER_"): v for name, v in HEADER.constants.items()})
RawPart = HEADER.structures["lauter_part"]
RawEvent = HEADER.structures["lauter_event"]
RawReport = HEADER.structures["lauter_report"]


def build_path() -> Path:
    """Where the library under test was built."""
    given = os.environ.get("LAUTER_BUILD")
    return Path(given) if given else Path(__file__).parents[2] / "build"


def library_path() -> Path:
    """The library under test: LAUTER_LIBRARY, or the one of the build folder."""
    given = os.environ.get("LAUTER_LIBRARY")
    if given:
        return Path(given)
    found = sorted((build_path() / "lib").glob("liblauter.so*"))
    if not found:
        raise FileNotFoundError(f"no liblauter.so in {build_path() / 'lib'}: build it, or set LAUTER_BUILD")
    return found[0]


def load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_path()))
    HEADER.bind(library)
    return library


lib = load()


def name_of(prefix: str, value: int) -> str:
    """The constant's name behind a number, for messages."""
    names = [n for n, v in vars(C).items() if n.startswith(prefix) and v == value]
    return names[0] if names else f"{prefix}{value}"


def start_time(pid: int):
    """When a process started, in ticks; None if it is gone, or a zombie that waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


class LauterError(Exception):
    """What a function of the library returned, or an event carried."""

    def __init__(self, code: int, pointer=None):
        self.code = code
        self.name = lib.lauter_code_name(code).decode().removeprefix("LAUTER_ERROR_")
        self.errno = lib.lauter_error_errno(pointer)
        self.step = lib.lauter_error_step(pointer)
        self.subject = lib.lauter_error_subject(pointer).decode()
        self.message = lib.lauter_error_message(pointer).decode()
        super().__init__(f"{self.name}: {self.message} [{self.subject}]")


def call(function: str, *arguments) -> int:
    """Call a function whose last parameter is `error`; raise what it reports."""
    error = ctypes.c_void_p()
    code = getattr(lib, function)(*arguments, ctypes.byref(error))
    if code < 0:
        raised = LauterError(code, error)
        carried = lib.lauter_error_code(error)
        lib.lauter_error_free(error)
        if carried != code:
            raise AssertionError(f"{function} returned {code}, its error says {carried}")
        raise raised
    if error.value:
        raise AssertionError(f"{function} succeeded and set an error")
    return code


def bytes_of(text) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def owned_text(pointer: ctypes.c_void_p):
    """Take over a `char *` that the library handed out."""
    if not pointer.value:
        return None
    text = ctypes.string_at(pointer).decode()
    lib.lauter_string_free(pointer)
    return text


class Policy:
    def __init__(self, preset="notebook", *words):
        self.handle = ctypes.c_void_p()
        call("lauter_policy_new", bytes_of(preset), ctypes.byref(self.handle))
        for word, value in words:
            self.set(word, value)

    def set(self, word, value):
        call("lauter_policy_set", self.handle, bytes_of(word), bytes_of(value))
        return self

    def parse(self, text):
        call("lauter_policy_parse", self.handle, bytes_of(text))
        return self

    def text(self) -> str:
        text = ctypes.c_void_p()
        call("lauter_policy_print", self.handle, ctypes.byref(text))
        return owned_text(text)

    def check(self, word, value):
        """None if allowed, else the sentence that says why not."""
        why = ctypes.c_void_p()
        allowed = call("lauter_policy_check", self.handle, bytes_of(word), bytes_of(value), ctypes.byref(why))
        why = owned_text(why)
        assert (allowed == 1) == (why is None), (allowed, why)
        return why

    def explain(self, launch: "Launch") -> str:
        text = ctypes.c_void_p()
        call("lauter_policy_explain", self.handle, launch.handle, ctypes.byref(text))
        return owned_text(text)

    def __del__(self):
        lib.lauter_policy_free(self.handle)


class Launch:
    def __init__(self, kind, *argv, **properties):
        self.handle = ctypes.c_void_p()
        call("lauter_launch_new", bytes_of(kind), ctypes.byref(self.handle))
        for argument in argv:
            self.set("argument", argument)
        for name, value in properties.items():
            self.set(name.replace("_", "-"), value)

    def set(self, name, value):
        call("lauter_launch_set", self.handle, bytes_of(name), bytes_of(value))
        return self

    def __del__(self):
        lib.lauter_launch_free(self.handle)


@dataclass
class Report:
    reason: int
    exit_code: int
    signal: int
    rung: int
    core_dumped: int
    wall_us: int
    cpu_user_us: int
    cpu_system_us: int
    peak_bytes: int
    label: str
    why: str
    stderr_tail: str
    missing: str
    denied: str
    tree_peak_bytes: int
    memory_by: str
    json: str

    @property
    def reason_name(self) -> str:
        return name_of("REASON_", self.reason)


@dataclass
class Event:
    """A copy of an event, which outlives the library's."""

    kind: int
    worker: int
    worker_cookie: int
    call: int
    call_cookie: int
    parent: int
    status: int
    stream: int
    dropped: int
    name: str
    parts: list = field(default_factory=list)
    error: LauterError = None
    report: Report = None
    channel: int = 0
    channel_cookie: int = 0

    @property
    def kind_name(self) -> str:
        return name_of("EVENT_", self.kind)

    @property
    def status_name(self) -> str:
        return "OK" if self.status == 0 else name_of("ERROR_", self.status).removeprefix("ERROR_")

    @property
    def data(self) -> bytes:
        """The bytes of the first part; empty without one."""
        return self.parts[0][1] if self.parts else b""

    @property
    def text(self) -> str:
        return self.data.decode()


def text_field(value) -> str:
    return value.decode(errors="replace")


def copy_report(pointer) -> Report:
    raw = RawReport.from_address(pointer)
    assert raw.size >= ctypes.sizeof(RawReport)
    text = ctypes.c_void_p()
    call("lauter_report_json", pointer, ctypes.byref(text))
    values = {name: getattr(raw, name) for name, _ in RawReport._fields_ if name != "size"}
    values = {n: text_field(v) if isinstance(v, bytes) else v for n, v in values.items()}
    return Report(**values, json=owned_text(text))


def copy_event(raw) -> Event:
    parts = (RawPart * raw.part_count).from_address(raw.parts) if raw.part_count else []
    return Event(
        raw.kind, raw.worker, raw.worker_cookie, raw.call, raw.call_cookie, raw.parent, raw.status,
        raw.stream, raw.dropped, raw.name.decode(errors="surrogateescape"),
        [(part.type.decode(errors="surrogateescape"), ctypes.string_at(part.data, part.size) if part.size else b"") for part in parts],
        LauterError(lib.lauter_error_code(raw.error), raw.error) if raw.error else None,
        copy_report(raw.report) if raw.report else None, raw.channel, raw.channel_cookie,
    )  # fmt: skip


def raw_parts(parts):
    """An array of parts for the library, and what must stay alive while it is used."""
    items = [part if isinstance(part, tuple) else ("text/plain", part) for part in parts]
    items = [(bytes_of(kind), bytes_of(data)) for kind, data in items]
    array = (RawPart * max(1, len(items)))()
    for slot, (kind, data) in zip(array, items):
        slot.type = kind
        slot.data = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p)
        slot.size = len(data)
    return array, len(items), items


class Host:
    """A host whose workers are killed when the `with` block ends."""

    #: The inits of all workers of all hosts with their start times, for checks that they are gone.
    started = []

    def __init__(self):
        self.handle = ctypes.c_void_p()
        call("lauter_host_new", ctypes.byref(self.handle))
        self._event = RawEvent(size=ctypes.sizeof(RawEvent))
        #: Every event that was taken, in order.
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.handle:
            lib.lauter_event_clear(ctypes.byref(self._event))
            lib.lauter_host_free(self.handle)
            self.handle = None

    @property
    def fd(self) -> int:
        return lib.lauter_host_fd(self.handle)

    def spawn(self, policy=None, launch=None, cookie=0) -> "Worker":
        worker = ctypes.c_uint64()
        policy = policy or Policy()
        call("lauter_spawn", self.handle, policy.handle, launch.handle, cookie, ctypes.byref(worker))
        spawned = Worker(self, worker.value)
        try:
            pid = spawned.pid
        except LauterError as error:  # it may have ended already
            assert error.code == C.ERROR_STALE, error
        else:
            Host.started.append((pid, start_time(pid)))
        return spawned

    def wait(self, timeout_ms) -> int:
        return call("lauter_host_wait", self.handle, timeout_ms)

    def next(self):
        """The next event, or None."""
        if call("lauter_host_next", self.handle, ctypes.byref(self._event)) == 0:
            return None
        event = copy_event(self._event)
        self.seen.append(event)
        return event

    def until(self, found, timeout=20.0) -> Event:
        """Take events until one satisfies `found`, and return it. Late is a failure that shows what came."""
        deadline = time.monotonic() + timeout
        while True:
            event = self.next()
            if event is not None:
                if found(event):
                    return event
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                came = [(e.kind_name, e.status_name, e.name, e.data[:60]) for e in self.seen[-20:]]
                raise AssertionError(f"not within {timeout} s; came: {came}")
            self.wait(max(1, int(left * 1000)))

    def drain(self) -> list:
        """All events that can be had now."""
        taken = []
        while (event := self.next()) is not None:
            taken.append(event)
        return taken


class Worker:
    def __init__(self, host: Host, number: int):
        self.host, self.id = host, number

    def _do(self, function, *arguments):
        return call(function, self.host.handle, self.id, *arguments)

    @property
    def pid(self) -> int:
        pid = ctypes.c_int32()
        self._do("lauter_worker_pid", ctypes.byref(pid))
        return pid.value

    def wait_ready(self, timeout_ms=20000):
        self._do("lauter_worker_wait_ready", timeout_ms)
        return self

    def signal(self, number):
        self._do("lauter_worker_signal", number)

    def stdin(self, data: bytes):
        self._do("lauter_worker_stdin", data, len(data))

    def dial(self, port, timeout_ms=5000) -> int:
        descriptor = ctypes.c_int32()
        self._do("lauter_worker_dial", port, timeout_ms, ctypes.byref(descriptor))
        return descriptor.value

    def open_file(self, path, flags=1, timeout_ms=5000) -> int:
        descriptor = ctypes.c_int32()
        self._do("lauter_worker_open", bytes_of(path), flags, timeout_ms, ctypes.byref(descriptor))
        return descriptor.value

    def stop(self, ask_ms=2000, term_ms=2000):
        self._do("lauter_worker_stop", ask_ms, term_ms)

    def kill(self):
        self._do("lauter_worker_kill")

    def pause(self):
        self._do("lauter_worker_pause")

    def resume(self):
        self._do("lauter_worker_resume")

    def start(self, verb, *parts, lane=0, timeout_ms=-1, cookie=0) -> "Call":
        array, count, keep = raw_parts(parts)
        number = ctypes.c_uint64()
        self._do(
            "lauter_call_start", lane, bytes_of(verb), array, count, timeout_ms, cookie, ctypes.byref(number)
        )
        del keep
        return Call(self.host, number.value)

    def open(self, name, *parts, window=0, cookie=0) -> "Channel":
        array, count, keep = raw_parts(parts)
        number = ctypes.c_uint64()
        self._do("lauter_channel_open", bytes_of(name), array, count, window, cookie, ctypes.byref(number))
        del keep
        return Channel(self.host, number.value)

    def execute(self, source, **options) -> "Call":
        return self.start("execute", ("text/x-python", source), **options)

    def ask(self, verb, *parts, timeout=20.0, **options) -> Event:
        """Start a call and take events until it is done."""
        return self.start(verb, *parts, **options).done(timeout)

    def run(self, source, timeout=20.0) -> Event:
        return self.execute(source).done(timeout)

    def exited(self, timeout=20.0) -> Event:
        """Take events until this worker's last one."""
        return self.host.until(lambda e: e.kind == C.EVENT_EXITED and e.worker == self.id, timeout)

    def wait_exit(self, timeout_ms=20000) -> Event:
        """The blocking form of `exited`; drops what else there is of this worker."""
        raw = RawEvent(size=ctypes.sizeof(RawEvent))
        self._do("lauter_worker_wait_exit", timeout_ms, ctypes.byref(raw))
        event = copy_event(raw)
        lib.lauter_event_clear(ctypes.byref(raw))
        return event

    def output(self, stream=None) -> bytes:
        """What the worker wrote so far, of the events taken."""
        return b"".join(
            e.data
            for e in self.host.seen
            if e.kind == C.EVENT_STREAM and e.worker == self.id and stream in (None, e.stream)
        )


class Channel:
    def __init__(self, host: Host, number: int):
        self.host, self.id = host, number

    def _do(self, function, *arguments):
        return call(function, self.host.handle, self.id, *arguments)

    def accept(self, window=0, cookie=0):
        self._do("lauter_channel_accept", window, cookie)
        return self

    def send(self, *parts):
        array, count, keep = raw_parts(parts)
        self._do("lauter_channel_send", array, count)
        del keep

    def receive(self, timeout_ms=20000) -> Event:
        raw = RawEvent(size=ctypes.sizeof(RawEvent))
        self._do("lauter_channel_receive", timeout_ms, ctypes.byref(raw))
        event = copy_event(raw)
        lib.lauter_event_clear(ctypes.byref(raw))
        return event

    def end(self):
        self._do("lauter_channel_end")

    def cancel(self, name="Cancelled", message="enough"):
        self._do("lauter_channel_cancel", bytes_of(name), bytes_of(message))


class Call:
    def __init__(self, host: Host, number: int):
        self.host, self.id = host, number

    def interrupt(self):
        call("lauter_call_interrupt", self.host.handle, self.id)

    def abandon(self):
        call("lauter_call_abandon", self.host.handle, self.id)

    def reply(self, *parts):
        array, count, keep = raw_parts(parts)
        call("lauter_call_reply", self.host.handle, self.id, array, count)
        del keep

    def fail(self, name, message):
        call("lauter_call_fail", self.host.handle, self.id, bytes_of(name), bytes_of(message))

    def wait(self, timeout_ms=20000) -> Event:
        """The blocking form: sleeps in the library, leaves other events alone."""
        raw = RawEvent(size=ctypes.sizeof(RawEvent))
        call("lauter_call_wait", self.host.handle, self.id, timeout_ms, ctypes.byref(raw))
        event = copy_event(raw)
        lib.lauter_event_clear(ctypes.byref(raw))
        return event

    def done(self, timeout=20.0) -> Event:
        """Take the host's events until this call's last one."""
        return self.host.until(lambda e: e.kind == C.EVENT_DONE and e.call == self.id, timeout)

    def outputs(self) -> list:
        return [e for e in self.host.seen if e.kind == C.EVENT_OUTPUT and e.call == self.id]
