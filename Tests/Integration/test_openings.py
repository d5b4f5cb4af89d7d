# SPDX-License-Identifier: Apache-2.0
"""Descriptors from within a worker: connections to its ports, and its files."""

import ctypes
import os
import shutil
import socket
import time

import pytest
import support
from ffi import C, LauterError, Policy, RawEvent, call, lib

READ, WRITE, CREATE, TRUNCATE = C.OPEN_READ, C.OPEN_WRITE, C.OPEN_CREATE, C.OPEN_TRUNCATE

SERVE = """
import socket, threading
server = socket.create_server((%r, 8050), family=socket.%s)
def serve():
    while True:
        peer = server.accept()[0]
        peer.sendall(b"served " + peer.recv(100))
        peer.close()
threading.Thread(target=serve, daemon=True).start()
"""


@pytest.fixture
def python(host, bench):
    def start(*words, preset="notebook"):
        return host.spawn(bench.policy(*words, preset=preset), bench.python()).wait_ready()

    return start


@pytest.fixture
def hidden():
    """A folder of the machine that no worker sees."""
    folder = support.scratch("lauter-hidden-")
    yield folder
    shutil.rmtree(folder)


def refusal(function, *arguments) -> LauterError:
    with pytest.raises(LauterError) as refused:
        os.close(function(*arguments))
    return refused.value


def ran(worker, source):
    done = worker.execute(source).wait()
    assert done.status == C.OK, done.text


def text_of(descriptor) -> str:
    with open(descriptor) as file:
        return file.read()


@pytest.mark.parametrize("address, family", [("127.0.0.1", "AF_INET"), ("::1", "AF_INET6")])
def test_a_port_of_the_worker_s_own_network_is_reached(python, address, family):
    worker = python()
    ran(worker, SERVE % (address, family))
    for word in (b"one", b"two"):
        with socket.socket(fileno=worker.dial(8050)) as connection:
            assert not os.get_inheritable(connection.fileno()) and not os.get_blocking(connection.fileno())
            connection.setblocking(True)
            connection.sendall(word)
            assert connection.recv(100) == b"served " + word
    # It is the worker's network: nothing is there outside.
    with pytest.raises(OSError):
        socket.create_connection((address, 8050), timeout=1).close()


def test_a_port_where_nobody_listens_is_refused_at_once(python):
    worker = python()
    begun = time.monotonic()
    error = refusal(worker.dial, 8051)
    assert (error.code, error.errno) == (C.ERROR_SYSTEM, 111) and "8051" in error.message
    assert time.monotonic() - begun < 2
    assert refusal(worker.dial, 0).code == refusal(worker.dial, 65_536).code == C.ERROR_INVALID


def test_who_listens_and_does_not_accept_is_waited_for_as_long_as_was_said(python):
    worker = python()
    ran(worker, "import socket; s = socket.socket(); s.bind(('127.0.0.1', 7000)); s.listen(0)")
    connections = [worker.dial(7000)]
    begun = time.monotonic()
    with pytest.raises(LauterError) as late:
        for _ in range(20):
            connections.append(worker.dial(7000, 400))
    assert late.value.code == C.ERROR_TIMEOUT
    assert 0.3 < time.monotonic() - begun < 10
    for connection in connections:
        os.close(connection)


@pytest.mark.parametrize("words, preset, code", [
    ([("net", "none")], "notebook", C.ERROR_DENIED),
    ([("net", "host")], "notebook", C.ERROR_STATE),
    ([], "unconfined", C.ERROR_STATE),
])  # fmt: skip
def test_a_worker_without_a_network_of_its_own_is_not_dialled(host, bench, words, preset, code):
    policy = bench.policy(*words) if preset == "notebook" else Policy(preset)
    worker = host.spawn(policy, bench.python()).wait_ready()
    error = refusal(worker.dial, 80)
    assert error.code == code
    assert ("--net private" if code == C.ERROR_DENIED else "connect to them there") in error.message


def test_files_of_the_worker_s_view_are_read_and_written(python):
    worker = python()
    ran(worker, "import os; open('made.txt', 'w').write('by the worker'); home = os.getcwd()")
    home = worker.execute("home").wait().text.strip("'")
    assert text_of(worker.open_file(f"{home}/made.txt")) == "by the worker"
    put = worker.open_file("/tmp/put.txt", WRITE | CREATE)
    assert not os.get_inheritable(put)
    os.write(put, b"by the host")
    os.close(put)
    assert worker.execute("open('/tmp/put.txt').read(), os.stat('/tmp/put.txt').st_uid == os.getuid()").wait().text == (
        "('by the host', True)")  # fmt: skip
    os.close(worker.open_file("/tmp/put.txt", WRITE | TRUNCATE))
    assert text_of(worker.open_file("/tmp/put.txt", READ | WRITE)) == ""
    folder = worker.open_file(home)
    assert os.listdir(folder) == ["made.txt"]
    os.close(folder)
    # What was opened outlives the worker.
    kept = worker.open_file(f"{home}/made.txt")
    worker.kill()
    worker.wait_exit()
    assert text_of(kept) == "by the worker"


def test_a_path_is_the_worker_s_and_not_the_host_s(python, hidden):
    (hidden / "secret").write_text("the host's")
    worker = python()
    assert refusal(worker.open_file, f"{hidden}/secret").code in (C.ERROR_NOT_FOUND, C.ERROR_DENIED)
    ran(worker, f"import os; os.makedirs({str(hidden)!r}); open({str(hidden / 'secret')!r}, 'w').write('its own')")
    assert text_of(worker.open_file(f"{hidden}/secret")) == "its own"


def test_what_the_policy_keeps_from_the_worker_is_not_opened_for_its_host(bench, python, hidden):
    worker = python(("read", "/usr/share"), ("deny", "/usr/share/doc"))
    assert refusal(worker.open_file, "/usr/share/doc").code == C.ERROR_DENIED
    assert refusal(worker.open_file, "/usr/bin/env", WRITE).code == C.ERROR_DENIED
    assert refusal(worker.open_file, "/etc/shadow").code in (C.ERROR_DENIED, C.ERROR_NOT_FOUND)
    for path in ("/proc/1/mem", "/proc/self/environ", "/dev/null", "/sys/kernel", "relative", "", "/tmp/../etc/passwd", "/tmp/" + "x" * 5000):
        assert refusal(worker.open_file, path).code == C.ERROR_INVALID, path
    for flags in (0, CREATE, READ | TRUNCATE, 16):
        assert refusal(worker.open_file, "/tmp/x", flags).code == C.ERROR_INVALID, flags


def test_symbolic_links_fifos_sockets_and_devices_are_refused_without_waiting(python):
    worker = python()
    ran(worker, """
import os, socket
os.mkfifo("/tmp/fifo")
os.symlink("/etc/passwd", "/tmp/link")
os.symlink("/", "/tmp/up")
s = socket.socket(socket.AF_UNIX); s.bind("/tmp/socket")
""")
    begun = time.monotonic()
    for path in ("/tmp/link", "/tmp/up/etc/passwd"):
        error = refusal(worker.open_file, path)
        assert error.code == C.ERROR_INVALID and "symbolic link" in error.message
    for path in ("/tmp/fifo", "/tmp/socket"):
        assert refusal(worker.open_file, path).code == C.ERROR_SYSTEM
    assert refusal(worker.open_file, "/tmp/fifo", WRITE).code == C.ERROR_SYSTEM
    assert time.monotonic() - begun < 3


def test_a_worker_that_swaps_what_is_opened_gains_nothing(python):
    worker = python()
    swapping = worker.execute("""
import os, time
end = time.monotonic() + 1.5
while time.monotonic() < end:
    for make in (lambda: open("/tmp/x", "w").close(), lambda: os.symlink("/etc/passwd", "/tmp/x"), lambda: os.mkfifo("/tmp/x")):
        make(); os.replace("/tmp/x", "/tmp/target")
""")
    came = set()
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        try:
            assert text_of(worker.open_file("/tmp/target")) == ""
            came.add("file")
        except LauterError as error:
            came.add(error.code)
    assert "file" in came and came <= {"file", C.ERROR_INVALID, C.ERROR_SYSTEM, C.ERROR_NOT_FOUND}
    assert swapping.wait().status == C.OK


def test_a_program_with_a_loop_gets_them_as_events(python):
    worker = python()
    ran(worker, SERVE % ("127.0.0.1", "AF_INET"))
    call("lauter_worker_dial_start", worker.host.handle, worker.id, 8050, 5000, 11)
    call("lauter_worker_dial_start", worker.host.handle, worker.id, 8051, 5000, 12)
    call("lauter_worker_open_start", worker.host.handle, worker.id, b"/usr", READ, 5000, 13)
    raw = RawEvent(size=ctypes.sizeof(RawEvent))
    found = {}
    end = time.monotonic() + 20
    while len(found) < 3 and time.monotonic() < end:
        if call("lauter_host_next", worker.host.handle, ctypes.byref(raw)) == 0:
            worker.host.wait(100)
        elif raw.kind == C.EVENT_DESCRIPTOR:
            found[raw.call_cookie] = (raw.status, raw.descriptor >= 0)
            if raw.call_cookie == 11:
                taken = lib.lauter_event_take_descriptor(ctypes.byref(raw))
                assert taken >= 0 and lib.lauter_event_take_descriptor(ctypes.byref(raw)) == -1
    assert found == {11: (0, True), 12: (C.ERROR_SYSTEM, False), 13: (0, True)}
    with socket.socket(fileno=taken) as connection:
        connection.setblocking(True)
        connection.sendall(b"late")
        assert connection.recv(100) == b"served late"
    lib.lauter_event_clear(ctypes.byref(raw))  # closes what was not taken: the fixture counts descriptors


def test_requests_under_way_are_bounded_and_end_with_the_worker(host, bench):
    worker = host.spawn(bench.policy(), bench.python())
    worker.pause()
    asked = 0
    with pytest.raises(LauterError) as full:
        for asked in range(1000):
            call("lauter_worker_open_start", host.handle, worker.id, b"/usr", READ, 60_000, asked)
    assert full.value.code == C.ERROR_LIMIT and asked == 64
    worker.kill()
    worker.exited()
    told = [e for e in host.seen if e.kind == C.EVENT_DESCRIPTOR]
    assert len(told) == 64 and {e.status for e in told} <= {C.OK, C.ERROR_DIED}
    assert refusal(worker.open_file, "/usr").code == C.ERROR_STALE


def test_a_thousand_openings_leave_nothing(python):
    worker = python()
    before = support.Traces()
    for _ in range(1000):
        os.close(worker.open_file("/usr"))
    assert not support.Traces().leaks_since(before)
