# SPDX-License-Identifier: Apache-2.0
"""A worker that breaks a rule of the protocol is killed, with the reason in its report; its host is unharmed."""

import resource

import pytest
import support
from ffi import C, LauterError

AT_BIRTH = [
    "wrong-magic", "version-too-new", "version-backwards", "version-zero", "ready-first", "hello-short",
    "hello-name-too-long", "hello-name-behind-end", "hello-twice", "text-instead", "zeros-instead",
    "answers-before-hello",
]  # fmt: skip
WHEN_CALLED = [
    "frame-too-large", "frame-of-4-GiB", "unknown-flag", "kind-0", "kind-reserved", "kind-16", "stop-from-worker",
    "hello-after-ready", "message-without-head", "head-in-two-frames", "257-parts",
    "parts-not-there", "name-too-long", "name-behind-end", "type-too-long", "part-larger-than-said",
    "part-smaller-than-said", "part-of-2-GiB", "sizes-overflow", "65-unfinished-messages", "answer-to-no-call",
    "call-id-again", "name-with-nul",
]  # fmt: skip


def test_the_liar_that_breaks_no_rule_is_served(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("honest")).wait_ready()
    assert worker.ask("anything").text == "the truth"
    assert worker.ask("anything").text == "the truth"


@pytest.mark.parametrize("rule", AT_BIRTH)
def test_a_breach_at_birth_is_told_and_ends_the_worker(host, bench, rule):
    worker = host.spawn(bench.policy(), bench.liar(rule, ready_timeout="10s"))
    pending = worker.start("echo", "waits for ready")
    with pytest.raises(LauterError) as refused:
        worker.wait_ready()
    assert refused.value.code == C.ERROR_PROTOCOL, refused.value
    report = worker.exited().report
    assert report.reason == C.REASON_PROTOCOL, report
    assert report.why and report.why == report.why.strip(".")
    done = [e for e in host.seen if e.kind == C.EVENT_DONE and e.call == pending.id]
    assert [e.status for e in done] == [C.ERROR_PROTOCOL]
    assert not [e for e in host.seen if e.kind == C.EVENT_READY]


@pytest.mark.parametrize("rule", WHEN_CALLED)
def test_a_breach_in_a_call_is_told_and_ends_the_worker(host, bench, rule):
    worker = host.spawn(bench.policy(), bench.liar(rule)).wait_ready()
    done = worker.ask("anything", timeout=10)
    assert done.status == C.ERROR_PROTOCOL, done
    assert done.error.message
    report = worker.exited().report
    assert report.reason == C.REASON_PROTOCOL and report.why, report


def test_a_worker_that_closes_its_session_is_not_waited_for(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("closes-session", ready_timeout="10s"))
    with pytest.raises(LauterError) as refused:
        worker.wait_ready(5000)
    assert refused.value.code in (C.ERROR_PROTOCOL, C.ERROR_DIED)
    worker.exited()


@pytest.mark.parametrize("rule, code", [("half-a-frame", 5), ("half-a-message", 6)])
def test_words_cut_short_by_the_worker_s_own_end_are_its_end_and_no_breach(host, bench, rule, code):
    worker = host.spawn(bench.policy(), bench.liar(rule)).wait_ready()
    done = worker.ask("anything")
    assert done.status == C.ERROR_DIED
    report = worker.exited().report
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, code)


def test_an_unknown_kind_above_31_is_ignored(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("unknown-kind-above-31")).wait_ready()
    assert worker.ask("anything").text == "the truth"


def test_descriptors_that_a_worker_sends_along_do_not_stay_in_the_host(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("sends-descriptors")).wait_ready()
    before = support.Traces()
    done = worker.ask("anything")
    assert done.status == C.OK, done
    assert not support.Traces().leaks_since(before)


def test_a_flood_of_outputs_that_nobody_takes_costs_the_host_no_memory(host, bench):
    worker = host.spawn(bench.policy(), bench.liar("flood-of-outputs")).wait_ready()
    worker.start("anything")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(300):  # dispatch, but take one event for the many that come
        host.wait(10)
        host.next()
        host.seen.clear()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 128 << 10, f"{grown} KiB"
    worker.kill()
    worker.exited()


def test_a_breach_of_one_worker_does_not_touch_another(host, bench, worker):
    liar = host.spawn(bench.policy(), bench.liar("frame-of-4-GiB")).wait_ready()
    pending = worker.start("nap", "100")
    assert liar.ask("anything").status == C.ERROR_PROTOCOL
    assert pending.wait().status == C.OK
