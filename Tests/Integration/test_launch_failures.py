# SPDX-License-Identifier: Apache-2.0
"""What cannot be launched: each a clear error with its subject, nothing left behind, and the next spawn works."""

import ctypes
import os
import time

import ffi
import pytest
from ffi import C, Launch, LauterError


@pytest.fixture(autouse=True)
def the_next_spawn_works(host, bench):
    yield
    worker = host.spawn(bench.policy(), bench.worker()).wait_ready()
    assert worker.ask("echo", "still fine").text == "still fine"


def failure(host, policy, launch):
    """The error of a launch: from spawn itself, or from its exited event and wait_ready alike."""
    try:
        worker = host.spawn(policy, launch)
    except LauterError as error:
        return error
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    exited = worker.exited()
    assert exited.report.reason == C.REASON_LAUNCH, exited.report
    assert exited.error is not None
    assert (exited.error.code, exited.error.message) == (refused.value.code, refused.value.message)
    assert exited.report.why
    assert not [e for e in host.seen if e.worker == worker.id and e.kind == C.EVENT_STARTED]
    return refused.value


@pytest.mark.parametrize("word", ["read", "write", "home"])
def test_a_path_that_is_not_there_is_not_found(host, bench, word):
    error = failure(host, bench.policy((word, "/no/such/folder")), bench.probe("ids"))
    assert error.code == C.ERROR_NOT_FOUND
    assert error.subject == "/no/such/folder" and "/no/such/folder" in error.message


def test_a_path_through_a_file_is_not_found(host, bench):
    path = bench.path("probe") + "/below"
    error = failure(host, bench.policy(("read", path)), bench.probe("ids"))
    assert error.code == C.ERROR_NOT_FOUND
    assert error.subject == path


@pytest.mark.parametrize("kind", ["program", "worker"])
def test_a_program_that_is_not_there_is_not_found(host, bench, kind):
    error = failure(host, bench.policy(), Launch(kind, "/no/such/program"))
    assert error.code == C.ERROR_NOT_FOUND
    assert "/no/such/program" in error.subject + error.message


def test_a_program_that_is_outside_the_policy_is_not_found(host, bench):
    outside = ffi.Policy("notebook")
    error = failure(host, outside, bench.probe("ids"))
    assert error.code in (C.ERROR_NOT_FOUND, C.ERROR_DENIED)
    assert bench.path("probe") in error.subject + error.message


def test_a_name_that_no_folder_of_the_path_holds_is_not_found(host, bench):
    error = failure(host, bench.policy(), Launch("program", "surely-no-such-program"))
    assert error.code == C.ERROR_NOT_FOUND
    assert "surely-no-such-program" in error.subject + error.message


def test_a_file_without_the_execute_bit_is_not_executable(host, bench):
    path = bench.folder / "plain"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o644)
    error = failure(host, bench.policy(), Launch("program", path))
    assert error.code == C.ERROR_NOT_EXECUTABLE
    assert str(path) in error.subject + error.message


def test_a_folder_is_not_executable(host, bench):
    error = failure(host, bench.policy(), Launch("program", bench.folder))
    assert error.code == C.ERROR_NOT_EXECUTABLE


def test_bytes_that_no_machine_runs_are_not_executable(host, bench):
    path = bench.folder / "garbage"
    path.write_bytes(b"\x7fELF garbage of no known kind")
    path.chmod(0o755)
    error = failure(host, bench.policy(), Launch("program", path))
    assert error.code == C.ERROR_NOT_EXECUTABLE
    assert str(path) in error.subject + error.message


def test_a_script_whose_interpreter_is_missing_is_told_as_such(host, bench):
    path = bench.folder / "script"
    path.write_text("#!/no/such/interpreter\n")
    path.chmod(0o755)
    error = failure(host, bench.policy(), Launch("program", path))
    assert error.code in (C.ERROR_NOT_FOUND, C.ERROR_NOT_EXECUTABLE)
    assert str(path) in error.subject + error.message


def test_a_working_directory_that_is_not_there_is_told(host, bench):
    error = failure(host, bench.policy(), bench.probe("ids", directory="/no/such/directory"))
    assert error.code in (C.ERROR_NOT_FOUND, C.ERROR_DENIED, C.ERROR_LAUNCH)
    assert "/no/such/directory" in error.subject + error.message


def test_a_program_without_a_name_is_refused(host, bench):
    error = failure(host, bench.policy(), Launch("program"))
    assert error.code == C.ERROR_INVALID


def test_an_empty_program_name_is_refused(host, bench):
    error = failure(host, bench.policy(), Launch("program", ""))
    assert error.code in (C.ERROR_INVALID, C.ERROR_NOT_FOUND)


def test_arguments_beyond_what_the_kernel_takes_are_an_error(host, bench):
    error = failure(host, bench.policy(), bench.probe("exit", "0", "x" * (1 << 20)))
    assert error.code in (C.ERROR_INVALID, C.ERROR_LAUNCH, C.ERROR_LIMIT, C.ERROR_NOT_EXECUTABLE)
    assert error.message


def test_a_python_interpreter_that_is_not_there_is_not_found(host, bench):
    error = failure(host, bench.policy(), bench.python(interpreter="/no/such/python3"))
    assert error.code == C.ERROR_NOT_FOUND
    assert "/no/such/python3" in error.subject + error.message


def test_a_python_interpreter_that_is_none_ends_with_its_words_in_the_report(host, bench):
    worker = host.spawn(bench.policy(), bench.python(interpreter="/bin/false", ready_timeout="10s"))
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    assert refused.value.code in (C.ERROR_DIED, C.ERROR_LAUNCH, C.ERROR_NOT_EXECUTABLE)
    assert worker.exited().report.exit_code == 1


@pytest.mark.root
def test_a_folder_that_the_host_may_not_read_is_denied_to_an_ordinary_user(bench):
    """Shown as a child that gives its rights up: root is refused nothing."""
    private = bench.folder / "private"
    private.mkdir(exist_ok=True)
    private.chmod(0o700)
    (private / "inner").mkdir(exist_ok=True)
    said = run_as_nobody(bench, f"bench.policy(('read', {str(private / 'inner')!r}))")
    assert "DENIED" in said and str(private / "inner") in said, said
    assert "spawned" in run_as_nobody(bench, "bench.policy()")


def run_as_nobody(bench, policy: str) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as after an exec
            with ffi.Host() as host:
                try:
                    worker = host.spawn(eval(policy), bench.probe("exit", 0))
                    said = f"spawned {worker.exited().report.why}"
                except LauterError as error:
                    said = f"{error.name} {error.subject} {error.message}"
            os.write(write, said.encode())
        except BaseException as error:  # noqa: BLE001 - the child's only way to tell
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.mark.parametrize(
    "rule, code", [("exits-before-hello", 3), ("exits-before-ready", 4)], ids=["before hello", "before ready"]
)
def test_a_worker_that_exits_before_it_is_ready_is_told(host, bench, rule, code):
    worker = host.spawn(bench.policy(), bench.liar(rule))
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    assert refused.value.code == C.ERROR_DIED
    report = worker.exited().report
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, code)


def test_a_worker_that_crashes_before_it_is_ready_is_told(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("crashes-before-ready"))
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    assert refused.value.code == C.ERROR_DIED
    assert worker.exited().report.signal == 11


@pytest.mark.parametrize("rule", ["never-greets", "never-ready"])
def test_a_worker_that_is_not_ready_in_time_is_ended(host, bench, rule):
    worker = host.spawn(bench.policy(), bench.liar(rule, ready_timeout="200ms"))
    call = worker.start("echo", "waits for ready")
    begun = time.monotonic()
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    assert 0.1 < time.monotonic() - begun < 3
    assert (refused.value.code, refused.value.subject) == (C.ERROR_TIMEOUT, "ready-timeout")
    exited = worker.exited()
    assert exited.report.reason == C.REASON_DEADLINE, exited.report
    assert (exited.error.code, exited.error.subject) == (C.ERROR_TIMEOUT, "ready-timeout")
    assert "ready" in exited.report.why and "200" in exited.report.why, exited.report.why
    done = [e for e in host.seen if e.kind == C.EVENT_DONE and e.call == call.id]
    assert len(done) == 1 and done[0].status in (C.ERROR_DIED, C.ERROR_TIMEOUT)


def test_waiting_for_ready_a_shorter_time_than_it_takes_is_a_timeout_and_the_worker_lives(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("slow-ready", "400"))
    with pytest.raises(LauterError) as refused:
        worker.wait_ready(50)
    assert refused.value.code == C.ERROR_TIMEOUT
    worker.wait_ready()
    assert worker.ask("echo", "late but here").text == "late but here"


def test_a_hundred_failed_launches_leave_nothing(bench):
    import support

    with ffi.Host() as host:
        for round in range(2):
            for _ in range(1 if round == 0 else 50):
                failure(host, bench.policy(), Launch("program", "/no/such/program"))
                failure(host, bench.policy(("read", "/no/such/folder")), bench.probe("ids"))
                host.seen.clear()
            if round == 0:
                before = support.Traces()
        assert not support.Traces().leaks_since(before)
