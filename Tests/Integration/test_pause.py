# SPDX-License-Identifier: Apache-2.0
"""Paused: no process of the tree uses CPU, its times stand still, and it can be killed as ever."""

import os
import random
import signal
import subprocess
import sys
import time

import ffi
import pytest
import support
from ffi import C, LauterError

PRESETS = ["notebook", "strict", "unconfined"]


def here(host, worker):
    return host.until(lambda e: e.kind == C.EVENT_STREAM and e.worker == worker.id)


def tree(bench):
    return support.processes_with(bench.path("burner"))


def states(pids):
    return {support.state_of(pid) for pid in pids}


def is_still(pids, seconds=0.2) -> bool:
    before = support.cpu_of(pids)
    time.sleep(seconds)
    return support.cpu_of(pids) == before


def paused(worker, bench):
    """Pause a worker that is ready, and wait until it holds."""
    worker.pause()
    support.eventually(lambda: states(support.processes_with(bench.path("worker"))) == {"T"}, within=5)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_paused_tree_uses_no_cpu_and_goes_on_when_it_is_resumed(host, bench, preset):
    worker = host.spawn(bench.policy(preset=preset), bench.burner("tree", 3))
    here(host, worker)
    pids = tree(bench)
    assert len(pids) == 4
    assert not is_still(pids), "the probe does not see what is used"
    worker.pause()
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    assert is_still(pids, 0.4)
    worker.resume()
    support.eventually(lambda: "T" not in states(pids), within=5)
    assert not is_still(pids)
    assert host.drain() == [], "nothing of it was an event"


def test_a_tree_that_forks_without_end_is_stopped_as_a_whole(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("relay", 1))
    here(host, worker)
    for _ in range(20):
        worker.pause()
        support.eventually(lambda: states(tree(bench)) <= {"T", "Z"} and tree(bench), within=5)
        assert is_still(tree(bench), 0.02)
        worker.resume()
        support.eventually(lambda: not is_still(tree(bench), 0.02), within=5)


def test_pauses_that_end_at_once_leave_nobody_stopped(host, bench):
    """A fork that is under way gives its child the stop and not the end of it."""
    worker = host.spawn(bench.policy(), bench.burner("relay", 1))
    here(host, worker)
    random.seed(2)
    for i in range(800):
        worker.pause()
        time.sleep(random.choice([0, random.random() * 2e-3]))  # all moments of a fork
        worker.resume()
        time.sleep(random.choice([0, random.random() * 2e-3]))
        if i % 20 == 19:
            before = set(tree(bench))
            # A new child comes every few milliseconds, unless the last one stays. (Not always one with a higher number.)
            support.eventually(lambda: set(tree(bench)) - before, within=5)


def test_pausing_and_resuming_twice_is_as_good_as_once(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("tree", 1))
    worker.resume()
    here(host, worker)
    pids = tree(bench)
    worker.pause()
    worker.pause()
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    worker.resume()
    support.eventually(lambda: "T" not in states(pids), within=5)
    worker.resume()
    assert not is_still(pids)


@pytest.mark.parametrize("name", ["burner", "\nState:\tR", "\nShdPnd:\tfffff"])
@pytest.mark.parametrize("preset", PRESETS)
def test_what_was_stopped_inside_stays_stopped(host, bench, preset, name):
    worker = host.spawn(bench.policy(preset=preset), bench.burner("jobs", name))
    # Known by what they do: the numbers that the worker says are its namespace's.
    here(host, worker)
    pids = tree(bench)
    stopped = [pid for pid in pids if support.state_of(pid) == "T"]
    others = [pid for pid in pids if pid not in stopped]
    assert (len(stopped), len(others)) == (1, 2)
    for _ in range(2):
        worker.pause()
        support.eventually(lambda: states(pids) == {"T"}, within=5)
        worker.resume()
        support.eventually(lambda: "T" not in states(others), within=5)
        assert not is_still(others)
        assert states(stopped) == {"T"} and is_still(stopped)
    os.kill(stopped[0], signal.SIGCONT)  # as the shell inside would
    support.eventually(lambda: states(stopped) == {"R"}, within=5)


def test_a_pause_before_the_program_runs_holds_from_its_beginning(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("tree", 1))
    worker.pause()
    support.eventually(lambda: tree(bench) and states(tree(bench)) == {"T"}, within=5)
    assert is_still(tree(bench))
    worker.resume()
    here(host, worker)


# --------------------------------------------------------------------- times


def test_the_wall_clock_limit_stands_still(host, bench):
    worker = host.spawn(bench.policy(("limit", "wall=500ms")), bench.burner("tree", 1))
    here(host, worker)
    worker.pause()
    time.sleep(0.8)
    assert states(tree(bench)) == {"T"}
    begun = time.monotonic()
    worker.resume()
    report = worker.exited().report
    assert report.reason == C.REASON_WALL
    # What was left of it, less what had passed before the pause.
    assert 0.1 < time.monotonic() - begun < 5
    assert report.wall_us > 1_100_000


def test_the_time_of_a_call_stands_still(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(interrupt_grace="20s")).wait_ready()
    call = worker.start("spin", timeout_ms=400)
    paused(worker, bench)
    late = worker.start("echo", "late", timeout_ms=400)  # begun while paused
    with pytest.raises(LauterError) as ended:
        call.wait(900)
    assert ended.value.code == C.ERROR_TIMEOUT, "the wait's time was up, not the call's"
    begun = time.monotonic()
    worker.resume()
    assert call.wait(10000).status == C.ERROR_TIMEOUT
    assert 0.2 < time.monotonic() - begun < 5
    assert late.wait(10000).status in (C.OK, C.ERROR_TIMEOUT)


def test_the_grace_of_an_interrupt_stands_still(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(interrupt_grace="300ms")).wait_ready()
    call = worker.start("deaf", timeout_ms=1)
    with pytest.raises(LauterError):
        call.wait(100)  # interrupted by now, which does not move it
    paused(worker, bench)
    with pytest.raises(LauterError) as ended:
        call.wait(700)
    assert ended.value.code == C.ERROR_TIMEOUT
    worker.resume()
    assert worker.exited().report.reason == C.REASON_DEADLINE


def test_the_time_to_be_ready_stands_still(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("slow-ready", "5000", ready_timeout="300ms"))
    worker.pause()
    with pytest.raises(LauterError) as ended:
        worker.wait_ready(600)
    assert (ended.value.code, ended.value.subject) == (C.ERROR_TIMEOUT, ""), "only the wait ended"
    worker.resume()
    with pytest.raises(LauterError) as ended:
        worker.wait_ready()
    assert ended.value.subject == "ready-timeout"
    assert worker.exited().report.reason == C.REASON_DEADLINE


# --------------------------------------------------------------------- signals


def test_an_interrupt_of_a_paused_call_arrives_when_it_goes_on(worker, bench):
    call = worker.start("spin")
    paused(worker, bench)
    call.interrupt()
    with pytest.raises(LauterError):
        call.wait(200)
    worker.resume()
    assert call.wait(5000).name == "Interrupted"


def test_signals_wait_for_the_end_of_a_pause(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("signals"))
    here(host, worker)
    pids = tree(bench)
    worker.pause()
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    worker.signal(signal.SIGUSR1)
    worker.signal(signal.SIGCONT)
    host.wait(200)
    assert host.drain() == [] and states(pids) == {"T"}, "SIGCONT has ended the pause"
    worker.resume()
    assert here(host, worker).data == b"usr1\n"


def test_a_signal_that_stops_holds_beyond_the_pause(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("tree", 0))
    here(host, worker)
    pids = tree(bench)
    worker.pause()
    worker.signal(signal.SIGSTOP)
    worker.resume()
    time.sleep(0.1)
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    worker.signal(signal.SIGCONT)
    support.eventually(lambda: states(pids) == {"S"}, within=5)


def test_a_call_that_begins_during_a_pause_waits_for_its_end(worker, bench):
    worker.ask("echo", "a")
    paused(worker, bench)
    call = worker.start("echo", "b")
    with pytest.raises(LauterError) as ended:
        call.wait(200)
    assert ended.value.code == C.ERROR_TIMEOUT
    worker.resume()
    assert call.wait(5000).text == "b"


# --------------------------------------------------------------------- ends


@pytest.mark.parametrize("preset", PRESETS)
def test_a_paused_worker_is_killed_as_quickly_as_ever(host, bench, preset):
    worker = host.spawn(bench.policy(preset=preset), bench.burner("tree", 3))
    here(host, worker)
    pids = tree(bench)
    worker.pause()
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    begun = time.monotonic()
    worker.kill()
    report = worker.exited().report
    assert time.monotonic() - begun < 0.25, "its init had to be killed"
    assert (report.reason, report.signal) == (C.REASON_KILLED, signal.SIGKILL)
    assert not tree(bench)


def test_stopping_a_paused_worker_lets_it_go_on_first(host, worker):
    worker.pause()
    worker.stop(ask_ms=5000, term_ms=5000)
    report = worker.exited().report
    assert (report.reason, report.rung) == (C.REASON_STOPPED, C.RUNG_ASKED)


def test_who_is_ending_cannot_be_paused_and_who_is_gone_is_stale(host, worker):
    worker.kill()
    with pytest.raises(LauterError) as refused:
        worker.pause()
    assert refused.value.code == C.ERROR_STATE
    worker.resume()
    worker.exited()
    for order in (worker.pause, worker.resume):
        with pytest.raises(LauterError) as refused:
            order()
        assert refused.value.code == C.ERROR_STALE


def test_a_worker_can_end_although_it_is_paused(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("tree", 1))
    here(host, worker)
    worker.pause()
    support.eventually(lambda: states(tree(bench)) == {"T"}, within=5)
    first = min(tree(bench))
    os.kill(first, signal.SIGKILL)
    assert worker.exited().report.reason == C.REASON_SIGNALED
    assert not tree(bench)


def test_kill_9_of_a_host_leaves_nothing_of_a_paused_worker(bench):
    program = f"""
import sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
host = ffi.Host()
worker = host.spawn(ffi.Policy("notebook", ("read", {str(bench.folder)!r})), ffi.Launch("program", {bench.path("burner")!r}, "tree", "3"))
host.until(lambda e: e.kind == ffi.C.EVENT_STREAM)
worker.pause()
print("paused", flush=True)
host.wait(60000)
"""

    def inside():
        return [pid for pid in tree(bench) if pid != host.pid]

    host = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert host.stdout.readline() == b"paused\n"
    support.eventually(lambda: len(inside()) == 4 and states(inside()) == {"T"}, within=5)
    host.kill()
    host.wait()
    host.stdout.close()
    support.eventually(lambda: not inside(), within=0.5)


def test_a_host_that_is_freed_takes_a_paused_worker_along(bench):
    with ffi.Host() as host:
        worker = host.spawn(bench.policy(), bench.burner("tree", 1))
        here(host, worker)
        worker.pause()
        support.eventually(lambda: states(tree(bench)) == {"T"}, within=5)
    assert not tree(bench)


@pytest.mark.once
def test_who_has_the_kernel_continue_it_is_stopped_again_and_then_killed(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("restarts", 20))
    here(host, worker)
    worker.pause()
    report = worker.exited().report
    assert report.reason == C.REASON_PROTOCOL, report
    assert "paused" in report.why


@pytest.mark.once
@pytest.mark.parametrize("first_thread", ["sleeps", "exited", "waits"])
def test_who_is_continued_and_takes_hardly_any_cpu_is_found_as_well(host, bench, first_thread):
    """Also where the process's first thread has exited, or waits for what it made by vfork, and looks like no one awake."""
    worker = host.spawn(bench.policy(), bench.burner("thrifty", first_thread))
    here(host, worker)
    worker.pause()
    report = worker.exited(20).report
    assert report.reason == C.REASON_PROTOCOL, report
    assert "paused" in report.why


def test_who_is_continued_from_outside_is_stopped_again(host, bench):
    worker = host.spawn(bench.policy(), bench.burner("tree", 1))
    here(host, worker)
    pids = tree(bench)
    worker.pause()
    support.eventually(lambda: states(pids) == {"T"}, within=5)
    time.sleep(0.1)  # until init has seen that all is still
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    support.eventually(lambda: states(pids) == {"T"}, within=10)
    assert is_still(pids)
    worker.resume()
    support.eventually(lambda: "T" not in states(pids), within=5)


def test_a_paused_python_goes_on_where_it_was(host, python):
    call = python.execute("import time\nfor i in range(5): time.sleep(0.05); print(i)")
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    python.pause()
    with pytest.raises(LauterError):
        call.wait(300)
    python.resume()
    assert call.done().status == C.OK
    assert python.output(C.STREAM_STDOUT).split() == [b"0", b"1", b"2", b"3", b"4"]
