# SPDX-License-Identifier: Apache-2.0
"""What a worker may use up: each limit beside a twin below it that lives."""

import os
import resource
import signal
import time
from pathlib import Path

import ffi
import pytest
import support
from ffi import C, LauterError

#: Seconds that looks may come too late on a busy machine.
LATE = 2.0


def here(host, worker):
    return host.until(lambda e: e.kind == C.EVENT_STREAM and e.worker == worker.id)


def used(report) -> float:
    """Seconds of CPU time, as the report has them."""
    return (report.cpu_user_us + report.cpu_system_us) / 1e6


# --------------------------------------------------------------------- CPU


@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_the_cpu_limit_ends_a_worker_and_says_so(host, bench, preset):
    policy = bench.policy(("limit", "cpu=300ms"), preset=preset)
    report = host.spawn(policy, bench.burner("deaf")).exited().report
    assert report.reason == C.REASON_CPU, report
    assert report.why == "the CPU limit of 300 ms was reached"
    assert report.signal == signal.SIGKILL
    assert 0.29 < used(report) < 0.29 + LATE
    assert '"reason":"cpu"' in report.json


@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_a_worker_below_its_cpu_limit_lives(host, bench, preset):
    policy = bench.policy(("limit", "cpu=900ms"), preset=preset)
    report = host.spawn(policy, bench.burner("some", 400)).exited().report
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, 0), report
    assert used(report) > 0.39


def test_the_cpu_limit_counts_all_processes_of_a_tree(host, bench):
    """Four that burn beside one another, none of which alone gets as far."""
    worker = host.spawn(bench.policy(("limit", "cpu=800ms")), bench.burner("tree", 4))
    here(host, worker)
    pids = [pid for pid in support.processes_with(bench.path("burner")) if support.state_of(pid)]
    assert len(pids) == 5, "the probe does not see the tree"
    most = 0.0
    while support.processes_with(bench.path("burner")):
        most = max([most, *(support.cpu_of([pid]) for pid in pids)])
    assert worker.exited().report.reason == C.REASON_CPU
    assert 0 < most < 0.8


@pytest.mark.parametrize("name", ["burner", ") R 1 1 1 1 1 1", ") 9 9 9 9 9 9 9"])
def test_the_cpu_limit_counts_children_that_were_reaped(host, bench, name):
    """None of them lives longer than 30 ms. Their parent's name stands among its numbers."""
    report = host.spawn(bench.policy(("limit", "cpu=500ms")), bench.burner("relay", 30, name)).exited().report
    assert report.reason == C.REASON_CPU, report
    assert 0.4 < used(report) < 0.5 + LATE


def test_a_worker_that_hides_is_counted_as_well(host, bench):
    """In strict's /proc nobody sees a process that is not dumpable; init has another."""
    policy = bench.policy(("limit", "cpu=300ms"), preset="strict")
    report = host.spawn(policy, bench.burner("hidden")).exited().report
    assert report.reason == C.REASON_CPU, report


SPINNERS = 'for i in 1 2 3; do timeout 1 sh -c "while :; do :; done" & done; wait'


@pytest.mark.parametrize("preset", ["notebook", "unconfined"])
def test_a_tree_has_no_more_processors_than_it_may(host, preset):
    launch = ffi.Launch("program", "/bin/sh", "-c", SPINNERS)
    policy = ffi.Policy(preset, ("limit", "cpus=0.1"))
    free = host.spawn(ffi.Policy(preset), launch).exited().report
    assert used(free) > 0.2 * free.wall_us / 1e6, "the probe shows nothing"
    try:
        report = host.spawn(policy, launch).exited().report
    except LauterError as refused:
        # Root may make groups wherever there are some.
        assert os.geteuid() != 0 or not Path("/sys/fs/cgroup").is_dir(), refused
        assert refused.code == C.ERROR_UNSUPPORTED and "--limit cpus=none" in str(refused)
        tolerant = ffi.Policy(preset, ("limit", "cpus=0.1"), ("allow-missing", "limit"))
        assert "limit" in host.spawn(tolerant, launch).exited().report.missing.split()
        return
    assert used(report) < 0.1 * report.wall_us / 1e6 + 0.1, report


@pytest.mark.root
def test_a_share_and_a_limit_of_time_hold_together(host):
    launch = ffi.Launch("program", "/bin/sh", "-c", SPINNERS)
    report = host.spawn(ffi.Policy("notebook", ("limit", "cpus=0.25"), ("limit", "cpu=100ms")), launch).exited().report
    assert report.reason == C.REASON_CPU and report.wall_us > 250_000, report


def test_the_cpu_limit_holds_while_the_host_sleeps(bench):
    with ffi.Host() as host:
        host.spawn(bench.policy(("limit", "cpu=200ms")), bench.burner("tree", 2))
        support.eventually(lambda: len(support.processes_with(bench.path("burner"))) >= 3, within=5)
        support.eventually(lambda: not support.processes_with(bench.path("burner")), within=5)


def test_a_python_s_calls_fail_with_the_cpu_limit(host, bench):
    worker = host.spawn(bench.policy(("limit", "cpu=1s")), bench.python()).wait_ready()
    done = worker.run("while True: pass")
    assert done.status == C.ERROR_DIED
    assert "the CPU limit of 1 s was reached" in done.error.message
    assert worker.exited().report.reason == C.REASON_CPU


def wakeups(pid: int) -> int:
    """How often a process has gone to sleep."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError("no count of switches")


@pytest.mark.once
def test_a_worker_that_idles_close_to_its_cpu_limit_costs_few_looks(host, bench):
    worker = host.spawn(bench.policy(("limit", "cpu=1s"), ("limit", "memory=none")), bench.burner("then-idle", 970))
    here(host, worker)
    # 30 ms are left: at the rate at which two processors use those up it would be looked at every 20 ms.
    time.sleep(1)
    before = wakeups(worker.pid)
    time.sleep(1)
    looks = wakeups(worker.pid) - before
    assert 1 <= looks <= 25, looks
    assert support.state_of(worker.pid), "it ended"


@pytest.mark.once
def test_a_worker_far_from_its_cpu_limit_costs_no_look(host, bench):
    worker = host.spawn(bench.policy(("limit", "cpu=1h"), ("limit", "memory=none")), bench.burner("then-idle", 1))
    here(host, worker)

    def sleeps():
        """Init has done what was left of the launch when the worker began, and looks at nothing any more."""
        before = wakeups(worker.pid)
        time.sleep(0.5)
        return wakeups(worker.pid) == before

    assert any(sleeps() for _ in range(4))
    before = wakeups(worker.pid)
    worker.signal(signal.SIGWINCH)  # the probe sees a wakeup
    support.eventually(lambda: wakeups(worker.pid) > before, within=5)


# --------------------------------------------------------------------- open files


@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_open_files_are_limited(host, bench, preset):
    worker = host.spawn(bench.policy(("limit", "open-files=50"), preset=preset), bench.burner("descriptors"))
    worker.exited()
    assert worker.output() == b"47 EMFILE\n"
    wider = host.spawn(bench.policy(("limit", "open-files=60"), preset=preset), bench.burner("descriptors"))
    wider.exited()
    assert wider.output() == b"57 EMFILE\n"


def test_no_limit_of_open_files_exceeds_the_host_s(host, bench):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    worker = host.spawn(bench.policy(("limit", "open-files=1048576")), bench.burner("descriptors"))
    assert worker.exited().report.exit_code == 0
    assert int(worker.output().split()[0]) <= hard


# --------------------------------------------------------------------- file size


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_a_file_that_grows_too_large_ends_its_writer_and_the_report_names_the_limit(host, bench, preset):
    policy = bench.policy(("limit", "file-size=100K"), preset=preset)
    report = host.spawn(policy, bench.burner("grow", "/tmp/x", 102401)).exited().report
    assert (report.reason, report.signal) == (C.REASON_SIGNALED, signal.SIGXFSZ)
    assert report.why == "it was ended by SIGXFSZ: the file size limit of 100 KiB was reached"
    fits = host.spawn(policy, bench.burner("grow", "/tmp/x", 102400)).exited().report
    assert (fits.reason, fits.exit_code) == (C.REASON_EXITED, 0)


def test_who_ignores_the_signal_of_a_file_too_large_gets_an_error(host, bench):
    worker = host.spawn(bench.policy(("limit", "file-size=8K")), bench.burner("grow", "/tmp/x", 8193, "ignore"))
    assert worker.exited().report.exit_code == 2
    assert worker.output() == b"EFBIG\n"


# --------------------------------------------------------------------- output


@pytest.mark.parametrize("preset", ["notebook", "strict", "unconfined"])
def test_the_output_limit_ends_a_worker_that_prints_without_end(host, bench, preset):
    worker = host.spawn(bench.policy(("limit", "output=100K"), preset=preset), bench.probe("print-for-ever"))
    report = worker.exited().report
    assert report.reason == C.REASON_OUTPUT, report
    assert report.why == "the output limit of 100 KiB was passed"
    assert len(worker.output()) == 100 << 10
    assert '"reason":"output"' in report.json


def test_output_up_to_the_limit_is_no_reason(host, bench):
    for limit, reason in [(12, C.REASON_EXITED), (11, C.REASON_OUTPUT)]:
        worker = host.spawn(bench.policy(("limit", f"output={limit}")), bench.probe("write-both", "sixty ", "bytes\n"))
        # Of both streams together, whoever has ended first.
        assert worker.exited().report.reason == reason
        assert len(worker.output()) == limit


def test_outputs_of_calls_count_results_do_not(host, bench):
    worker = host.spawn(bench.policy(("limit", "output=1K")), bench.worker()).wait_ready()
    assert worker.ask("echo", "x" * 4096).status == C.OK
    call = worker.start("outputs", "100000")
    done = call.done()
    assert done.status == C.ERROR_DIED and "the output limit of 1 KiB was passed" in done.error.message
    assert sum(len(e.data) for e in call.outputs()) <= 1024
    assert worker.exited().report.reason == C.REASON_OUTPUT


def test_output_that_was_dropped_counts(host, bench):
    """Nobody takes an event; the host dispatches for another worker."""
    other = host.spawn(bench.policy(), bench.worker()).wait_ready()
    loud = host.spawn(bench.policy(("limit", "output=3M")), bench.probe("print-for-ever"))
    deadline = time.monotonic() + 20
    ended = None
    while ended is None and time.monotonic() < deadline:
        try:
            ended = loud.wait_exit(10)
        except LauterError as error:
            assert error.code == C.ERROR_TIMEOUT
            other.start("echo", "x").wait(1000)
    assert ended.report.reason == C.REASON_OUTPUT


def test_what_is_written_to_a_terminal_counts(host, bench):
    worker = host.spawn(bench.policy(("limit", "output=10K")), bench.probe("print-for-ever", terminal="24x80"))
    report = worker.exited().report
    assert report.reason == C.REASON_OUTPUT, report
    assert len(worker.output()) == 10 << 10


def test_what_goes_past_the_host_cannot_be_counted(host, bench):
    policy = bench.policy(("limit", "output=1M"))
    with pytest.raises(LauterError) as refused:
        host.spawn(policy, bench.probe("exit", 0, stdout="inherit"))
    assert (refused.value.code, refused.value.subject) == (C.ERROR_UNSUPPORTED, "limit output")
    assert "--limit output=none" in refused.value.message
    policy.set("allow-missing", "limit")
    report = host.spawn(policy, bench.probe("exit", 0, stdout="inherit")).exited().report
    assert report.exit_code == 0 and report.missing.split() == ["limit"]
