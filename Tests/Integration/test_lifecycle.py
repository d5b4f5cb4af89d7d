# SPDX-License-Identifier: Apache-2.0
"""A worker's life from spawn to report."""

import json
import os
import select
import signal
import time

import ffi
import pytest
import support
from ffi import C, LauterError


def kinds(host, worker):
    return [e.kind for e in host.seen if e.worker == worker.id]


def test_a_program_starts_writes_and_exits_in_that_order(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("write-both", "to out", "to err"), cookie=42)
    exited = worker.exited()
    assert worker.output(C.STREAM_STDOUT) == b"to out"
    assert worker.output(C.STREAM_STDERR) == b"to err"
    seen = kinds(host, worker)
    assert seen[0] == C.EVENT_STARTED and seen[-1] == C.EVENT_EXITED
    assert seen.count(C.EVENT_STARTED) == seen.count(C.EVENT_EXITED) == 1
    assert all(e.worker_cookie == 42 for e in host.seen)
    assert exited.report.reason == C.REASON_EXITED and exited.report.exit_code == 0


def test_a_worker_says_started_then_ready_with_its_name(host, bench):
    worker = host.spawn(bench.policy(), bench.worker())
    ready = host.until(lambda e: e.kind == C.EVENT_READY)
    assert ready.name == "test worker"
    assert kinds(host, worker) == [C.EVENT_STARTED, C.EVENT_READY]


@pytest.mark.parametrize("code", [0, 1, 77, 126, 127, 255])
def test_an_exit_code_is_reported(host, bench, code):
    report = host.spawn(bench.policy(), bench.probe("exit", code)).exited().report
    assert (report.reason, report.exit_code, report.signal) == (C.REASON_EXITED, code, 0)
    assert str(code) in report.why or code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGABRT, signal.SIGUSR1, signal.SIGKILL])
def test_a_signal_of_its_own_is_reported(host, bench, number):
    report = host.spawn(bench.policy(), bench.probe("raise", int(number))).exited().report
    assert (report.reason, report.exit_code, report.signal) == (C.REASON_SIGNALED, -1, number)
    assert number.name in report.why or str(int(number)) in report.why


def test_a_segmentation_fault_is_called_one_and_leaves_no_core(host, bench):
    report = host.spawn(bench.policy(), bench.probe("crash")).exited().report
    assert (report.reason, report.signal) == (C.REASON_SIGNALED, signal.SIGSEGV)
    assert "segmentation fault" in report.why.lower() or "SIGSEGV" in report.why
    assert report.core_dumped == 0


def test_a_report_tells_what_was_used(host, bench):
    report = host.spawn(bench.policy(), bench.probe("memory", 64), cookie=1).exited().report
    assert report.exit_code == 0
    assert 64 << 20 <= report.peak_bytes < 256 << 20
    assert 0 < report.wall_us < 20_000_000
    assert 0 < report.cpu_user_us + report.cpu_system_us <= 2 * report.wall_us


def test_a_report_carries_label_and_the_end_of_stderr(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("print-first", "x" * 6000 + "the end", label="my worker"))
    worker.wait_ready().kill()
    report = worker.exited().report
    assert report.label == "my worker"
    assert report.stderr_tail.endswith("the end") and len(report.stderr_tail) <= 4096


def test_a_report_is_one_json_object(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(label='a "quoted"\n\\ läbel')).wait_ready()
    worker.ask("print", "2", b"\xff\x00\x1b[1m not text \n")
    worker.start("exit", "3")
    report = worker.exited().report
    parsed = json.loads(report.json)
    assert parsed["label"] == 'a "quoted"\n\\ läbel'
    assert parsed["exit_code"] == 3 and parsed["why"] == report.why
    assert set(parsed) >= {"reason", "signal", "wall_us", "peak_bytes", "stderr_tail"}


def test_a_killed_worker_is_reported_as_killed(host, worker):
    worker.kill()
    report = worker.exited().report
    assert report.reason == C.REASON_KILLED and report.why


def test_kill_takes_everything_that_the_worker_ever_started(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("family", 8))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    support.eventually(lambda: len(support.processes_with(bench.path("probe"))) >= 9, within=2)
    worker.kill()
    worker.exited()
    support.eventually(lambda: not support.processes_with(bench.path("probe")), within=0.5)


def test_a_worker_that_exits_leaves_no_child_behind(host, bench):
    worker = host.spawn(bench.policy(), bench.worker()).wait_ready()
    worker.ask("leave-child")
    assert len(support.processes_with(bench.path("worker"))) == 2
    worker.start("exit", "0")
    begun = time.monotonic()
    worker.exited()
    assert time.monotonic() - begun < 2, "the child held the end back"
    support.eventually(lambda: not support.processes_with(bench.path("worker")), within=0.5)


def test_stop_asks_first(host, worker):
    worker.stop(ask_ms=5000, term_ms=5000)
    report = worker.exited().report
    assert (report.reason, report.rung, report.exit_code) == (C.REASON_STOPPED, C.RUNG_ASKED, 0)


def test_stop_sends_sigterm_to_whom_asking_does_not_move(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("deaf-to-stop")).wait_ready()
    worker.stop(ask_ms=50, term_ms=5000)
    report = worker.exited().report
    assert (report.reason, report.rung, report.signal) == (C.REASON_STOPPED, C.RUNG_TERM, signal.SIGTERM)


def test_stop_kills_whom_nothing_else_moves(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("deaf-to-stop", "deaf-to-term")).wait_ready()
    begun = time.monotonic()
    worker.stop(ask_ms=50, term_ms=50)
    report = worker.exited().report
    assert 0.09 < time.monotonic() - begun < 2
    assert (report.reason, report.rung) == (C.REASON_STOPPED, C.RUNG_KILL)


def test_stop_of_a_program_begins_with_sigterm_and_a_deaf_one_is_killed(host, bench):
    polite = host.spawn(bench.policy(), bench.probe("stay"))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    polite.stop(ask_ms=50, term_ms=5000)
    report = polite.exited().report
    assert (report.reason, report.rung) == (C.REASON_STOPPED, C.RUNG_TERM)
    deaf = host.spawn(bench.policy(), bench.probe("stay", "deaf"))
    host.until(lambda e: e.kind == C.EVENT_STREAM and e.worker == deaf.id)
    deaf.stop(ask_ms=20, term_ms=50)
    report = deaf.exited().report
    assert (report.reason, report.rung) == (C.REASON_STOPPED, C.RUNG_KILL)


def test_the_wall_clock_limit_ends_a_worker_and_says_so(host, bench):
    begun = time.monotonic()
    worker = host.spawn(bench.policy(("limit", "wall=300ms")), bench.probe("stay"))
    report = worker.exited().report
    assert 0.25 < time.monotonic() - begun < 2
    assert report.reason == C.REASON_WALL
    assert "wall" in report.why and "300" in report.why


def test_the_wall_clock_limit_holds_while_the_host_sleeps(bench):
    """Init enforces it: the host need not look."""
    with ffi.Host() as host:
        host.spawn(bench.policy(("limit", "wall=200ms")), bench.probe("stay"))
        host.until(lambda e: e.kind == C.EVENT_STREAM)
        assert support.processes_with(bench.path("probe"))
        support.eventually(lambda: not support.processes_with(bench.path("probe")), within=2)


def test_the_end_of_a_worker_can_be_waited_for(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("write-both", "out", "err"), cookie=4)
    other = host.spawn(bench.policy(), bench.probe("write-both", "out", "err"), cookie=5)
    exited = worker.wait_exit()
    assert (exited.kind, exited.worker_cookie, exited.report.exit_code) == (C.EVENT_EXITED, 4, 0)
    with pytest.raises(LauterError) as refused:
        worker.wait_exit(0)
    assert refused.value.code == C.ERROR_STALE
    other.exited()
    assert not [e for e in host.seen if e.worker == worker.id]
    assert other.output() in (b"outerr", b"errout")


def test_waiting_for_an_end_that_does_not_come_is_a_timeout(host, worker):
    begun = time.monotonic()
    with pytest.raises(LauterError) as refused:
        worker.wait_exit(100)
    assert refused.value.code == C.ERROR_TIMEOUT and 0.09 < time.monotonic() - begun < 2
    assert worker.ask("echo", "alive").text == "alive"


def test_freeing_the_host_kills_its_workers(bench):
    host = ffi.Host()
    for _ in range(3):
        host.spawn(bench.policy(), bench.probe("family", 4))
    for _ in range(3):
        host.until(lambda e: e.kind == C.EVENT_STREAM)
    support.eventually(lambda: len(support.processes_with(bench.path("probe"))) >= 15, within=2)
    host.close()
    support.eventually(lambda: not support.processes_with(bench.path("probe")), within=0.5)


def test_the_pid_is_that_of_a_live_process_in_other_namespaces(host, worker):
    assert support.start_time(worker.pid) is not None
    inner = open(f"/proc/{worker.pid}/status").read().split("NSpid:")[1].split("\n")[0].split()
    assert inner[-1] == "1"


def test_a_program_gets_what_is_written_to_its_standard_input(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("copy", stdin="pipe"))
    sent = bytes(range(256)) * 2000
    for at in range(0, len(sent), 100_000):
        worker.stdin(sent[at : at + 100_000])
    worker.stdin(b"")
    assert worker.exited().report.exit_code == 0
    assert worker.output(C.STREAM_STDOUT) == sent


def test_standard_input_that_nobody_reads_is_bounded(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("stay", stdin="pipe"))
    taken = 0
    with pytest.raises(LauterError) as refused:
        while taken < 16 << 20:
            worker.stdin(b"x" * 65536)
            taken += 65536
    assert refused.value.code == C.ERROR_LIMIT
    assert 1 << 20 <= taken <= 2 << 20


def test_standard_input_is_refused_where_there_is_no_pipe_or_it_has_ended(host, bench):
    without = host.spawn(bench.policy(), bench.probe("stay"))
    with pytest.raises(LauterError) as refused:
        without.stdin(b"text")
    assert refused.value.code == C.ERROR_STATE
    ended = host.spawn(bench.policy(), bench.probe("stay", stdin="pipe"))
    ended.stdin(b"")
    with pytest.raises(LauterError) as refused:
        ended.stdin(b"more")
    assert refused.value.code == C.ERROR_STATE


def test_standard_input_is_empty_by_default(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("copy"))
    assert worker.exited().report.exit_code == 0
    assert worker.output() == b""


def test_a_signal_reaches_a_program(host, bench):
    worker = host.spawn(bench.policy(), bench.probe("stay"))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    worker.signal(signal.SIGUSR2)
    report = worker.exited().report
    assert report.signal == signal.SIGUSR2


@pytest.mark.parametrize("number", [-1, 0, 65, 1000])
def test_a_signal_that_is_none_is_refused(host, worker, number):
    with pytest.raises(LauterError) as refused:
        worker.signal(number)
    assert refused.value.code == C.ERROR_INVALID
    worker.ask("empty")


def test_the_descriptor_is_readable_when_there_is_something_to_do_and_only_then(host, bench):
    poll = select.poll()
    poll.register(host.fd, select.POLLIN)
    assert poll.poll(0) == []
    worker = host.spawn(bench.policy(), bench.probe("write-both", "a", "b"))
    kinds_seen = []
    while C.EVENT_EXITED not in kinds_seen:
        assert poll.poll(10_000), f"silent after {kinds_seen}"
        kinds_seen += [e.kind for e in host.drain()]
    assert worker.output(C.STREAM_STDOUT) == b"a"
    assert host.drain() == []
    assert poll.poll(50) == []


def test_waiting_for_nothing_ends_when_the_time_is_up(host):
    begun = time.monotonic()
    assert host.wait(100) == 0
    assert 0.09 < time.monotonic() - begun < 1
    assert host.wait(0) == 0


def test_the_working_directory_is_the_home_or_what_the_launch_says(host, bench):
    def where(policy, **properties):
        worker = host.spawn(policy, bench.probe("directory", **properties))
        worker.exited()
        return worker.output().decode().strip()

    home = where(bench.policy())
    assert home.startswith("/") and home != "/"
    assert where(bench.policy(("home", "none"))) == "/"
    assert where(bench.policy(), directory=str(bench.folder)) == str(bench.folder)


def test_a_program_is_looked_up_in_the_worker_s_path(host, bench):
    worker = host.spawn(bench.policy(), ffi.Launch("program", "sh", "-c", "echo $0 $PATH"))
    assert worker.exited().report.exit_code == 0
    assert worker.output().startswith(b"sh ")


def test_many_workers_live_side_by_side(host, bench):
    workers = [host.spawn(bench.policy(), bench.worker(), cookie=i) for i in range(20)]
    calls = [w.start("echo", str(i), cookie=1000 + i) for i, w in enumerate(workers)]
    for i, call in enumerate(calls):
        done = next((e for e in host.seen if e.kind == C.EVENT_DONE and e.call == call.id), None) or call.done()
        assert (done.text, done.worker_cookie, done.call_cookie) == (str(i), i, 1000 + i)
    for w in workers:
        w.stop()
    exited = set()
    host.until(lambda e: e.kind == C.EVENT_EXITED and (exited.add(e.worker) or len(exited) == 20))
    assert os.path.exists("/proc/self")


def test_spawning_and_killing_over_and_over_leaves_nothing(bench):
    def cycle(host):
        worker = host.spawn(bench.policy(), bench.worker())
        worker.wait_ready().kill()
        worker.exited()

    with ffi.Host() as host:
        cycle(host)
        before = support.Traces()
        for _ in range(100):
            cycle(host)
            host.seen.clear()
        assert not support.Traces().leaks_since(before)
