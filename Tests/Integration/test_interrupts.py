# SPDX-License-Identifier: Apache-2.0
"""An interrupt hits its call or nothing."""

import random
import signal
import time

from ffi import C


def test_an_interrupt_ends_the_running_call(worker):
    call = worker.start("spin")
    call.interrupt()  # before or after its start: it is never lost
    done = call.wait()
    assert (done.status, done.name) == (C.ERROR_FAILED, "Interrupted")
    assert worker.ask("echo", "alive").text == "alive"


def test_an_interrupt_before_the_worker_is_ready_is_kept(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("slow-ready", "100"))
    call, innocent = worker.start("spin"), worker.start("echo", "spared")
    call.interrupt()
    assert call.wait().name == "Interrupted"
    assert innocent.wait().text == "spared"


def test_an_interrupt_of_a_waiting_call_waits_for_it(worker):
    running, waiting = worker.start("nap", "200"), worker.start("spin")
    waiting.interrupt()
    assert running.wait().status == C.OK
    assert waiting.wait().name == "Interrupted"


def test_an_interrupt_by_message_reaches_its_call(host, bench):
    worker = host.spawn(bench.policy(), bench.worker("by-message")).wait_ready()
    call = worker.start("listen")
    call.interrupt()
    assert call.wait().name == "Interrupted"


def test_an_interrupt_of_a_call_that_has_ended_is_nothing(host, worker):
    ended = worker.start("echo")
    ended.wait()
    running = worker.start("nap", "100")
    for _ in range(100):
        ended.interrupt()
    assert running.wait().status == C.OK


def test_a_thousand_interrupts_on_an_idle_worker_kill_none(host, python):
    ended = python.execute("x = 1")
    assert ended.wait().status == C.OK
    for _ in range(1000):
        ended.interrupt()
        python.signal(signal.SIGINT)  # what an ended call's interrupt no longer sends
    assert python.run("x + 1").text == "2"
    assert not [e for e in host.seen if e.kind == C.EVENT_EXITED]


def test_a_thousand_signals_before_ready_kill_none(host, bench):
    worker = host.spawn(bench.policy(), bench.python())
    call = worker.execute("'born'")
    for _ in range(1000):
        worker.signal(signal.SIGINT)
    done = call.done()
    assert (done.status, done.parts[0][1]) == (C.OK, b"'born'")


def test_an_interrupt_ends_an_endless_loop_and_keeps_the_state(host, python):
    python.run("kept = [1, 2, 3]")
    call = python.execute("print('running', flush=True)\nwhile True: pass")
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    begun = time.monotonic()
    call.interrupt()
    done = call.done()
    assert time.monotonic() - begun < 1
    assert (done.status, done.name) == (C.ERROR_FAILED, "KeyboardInterrupt")
    assert python.run("kept").text == "[1, 2, 3]"


def test_an_interrupt_reaches_the_children_of_the_call(host, python):
    call = python.execute("import os; print('running', flush=True); os.system('sleep 60')")
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    # The child starts after the text: ask again until it is hit, as an impatient person would.
    begun = time.monotonic()
    done = None
    while done is None and time.monotonic() - begun < 10:
        call.interrupt()
        host.wait(50)
        done = next((e for e in host.drain() if e.kind == C.EVENT_DONE), None)
    assert done is not None and time.monotonic() - begun < 5


def test_ten_thousand_interrupts_raced_against_completion_hit_their_call_or_nothing(host, bench):
    """Each call is interrupted about when it ends; the innocent one that follows at once is never hit."""
    worker = host.spawn(bench.policy(), bench.python()).wait_ready()
    worker.run("innocents = 0")
    random.seed(7)
    rounds, hits, misses = 10_000, 0, 0
    begun = time.monotonic()
    pause = 100e-6  # seconds until the interrupt; follows the call's duration, so that both ends are met
    for _ in range(rounds):
        aimed = worker.execute("for _ in range(1500): pass")
        innocent = worker.execute("innocents += 1")
        end = time.perf_counter() + random.uniform(0, 2 * pause)
        while time.perf_counter() < end:
            pass
        aimed.interrupt()
        first, second = aimed.wait(), innocent.wait()
        assert second.status == C.OK, (second.name, second.text)
        if first.status == C.OK:
            misses += 1
            pause *= 0.98
        else:
            assert (first.status, first.name) == (C.ERROR_FAILED, "KeyboardInterrupt"), first
            hits += 1
            pause = min(pause * 1.02, 2e-3)
        host.seen.clear()
    print(f"{rounds} interrupts in {time.monotonic() - begun:.1f} s: {hits} hit, {misses} came too late")
    assert hits > rounds / 20 and misses > rounds / 20, (hits, misses)
    assert worker.run("innocents").text == str(rounds)


def test_interrupts_raced_against_completion_in_a_c_worker(host, worker):
    random.seed(11)
    outcomes = {"Interrupted": 0, "": 0}
    for i in range(2000):
        aimed, innocent = worker.start("nap", str(i % 2)), worker.start("nap", "0")
        end = time.perf_counter() + random.uniform(0, 1.2e-3)
        while time.perf_counter() < end:
            pass
        aimed.interrupt()
        outcomes[aimed.wait().name] += 1
        assert innocent.wait().status == C.OK
        host.seen.clear()
    assert min(outcomes.values()) > 50, outcomes
