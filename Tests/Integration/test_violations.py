# SPDX-License-Identifier: Apache-2.0
"""System calls that are not a worker's to make: who is told, what comes of them, and what they cost the host."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import ffi
import pytest
import support
from ffi import C

#: What a machine that is busy may take.
SOON = 20.0


def violator(bench, *arguments, **properties):
    return ffi.Launch("program", bench.path("violator"), *arguments, **properties)


def denials(host) -> list:
    return [event for event in host.seen if event.kind == C.EVENT_DENIED]


def fields(event) -> dict:
    assert [kind for kind, _ in event.parts] == ["text/plain", "application/json"]
    return json.loads(event.parts[1][1])


def ended(host, worker):
    """The worker's report, with all its events in `host.seen`."""
    return host.until(lambda e: e.kind == C.EVENT_EXITED and e.worker == worker.id).report


def printed(host) -> str:
    return b"".join(e.data for e in host.seen if e.kind == C.EVENT_STREAM).decode()


def test_ten_thousand_violations_are_one_event_and_a_count(host, bench):
    worker = host.spawn(bench.policy(), violator(bench, "calls", 10_000))
    report = ended(host, worker)
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, 0), report
    assert printed(host) == "EPERM\n"
    (event,) = denials(host)
    assert (event.name, event.worker) == ("ptrace", worker.id)
    told = fields(event)
    assert event.status == told["number"]
    assert told["sentence"] == event.text
    assert (told["name"], told["count"], told["observed"]) == ("ptrace", 1, False)
    assert told["architecture"] == platform.machine()
    assert told["arguments"][:4] == ["0x0", "0xb", "0x16", "0x21"]
    assert re.fullmatch(rf"blocked system call ptrace \({event.status}\) by thread 2 at 0x[0-9a-f]+", event.text)
    (counted,) = json.loads(report.denied)
    assert counted == {**told, "count": 10_000}
    assert json.loads(report.json)["denied"] == [counted]
    assert report.missing.split().count("violations") == 0


def test_who_made_the_call_and_where_is_told(host, bench):
    worker = host.spawn(bench.policy(), violator(bench, "thread"))
    assert ended(host, worker).exit_code == 0
    thread, function = map(int, printed(host).split())
    (event,) = denials(host)
    told = fields(event)
    assert told["thread"] == thread
    assert 0 < int(told["program_counter"], 16) - function < 256


def test_what_libraries_probe_is_refused_and_not_told(host, bench):
    worker = host.spawn(bench.policy(), violator(bench, "probes"))
    assert ended(host, worker).exit_code == 0
    assert printed(host) == "EPERM\nEPERM\nEPERM\nok\n"
    assert denials(host) == []
    # The probe sees them where all is told.
    worker = host.spawn(bench.policy(("violations", "observe")), violator(bench, "probes"))
    ended(host, worker)
    assert [e.name for e in denials(host)] == ["io_uring_setup", "kcmp", "setsockopt"]


def test_silent_refuses_as_well_and_tells_nobody(host, bench):
    report = ended(host, host.spawn(bench.policy(("violations", "silent")), violator(bench, "calls", 3)))
    assert printed(host) == "EPERM\n"
    assert (denials(host), report.denied, report.exit_code) == ([], "[]", 0)


def test_observing_refuses_nothing_and_counts_all(host, bench):
    report = ended(host, host.spawn(bench.policy(("violations", "observe")), violator(bench, "calls", 1)))
    assert printed(host) == "ok\n"
    (event,) = denials(host)
    assert fields(event)["observed"] and event.text.startswith("observed system call ptrace")
    assert report.exit_code == 0
    assert json.loads(report.denied)[0]["observed"]


def test_more_kinds_than_are_told_apart_are_one_kind_more(host, bench):
    if platform.machine() != "x86_64":
        pytest.skip("x32 is x86_64's")
    report = ended(host, host.spawn(bench.policy(), violator(bench, "kinds", 300)))
    assert printed(host) == "done\n"
    assert len(denials(host)) == 65
    told = json.loads(report.denied)
    assert len(told) == 65 and sum(each["count"] for each in told) == 300
    assert told[0]["sentence"].startswith("blocked x32 system call read (1073741824) by thread")
    assert told[64] == {
        "sentence": "blocked other system calls, of more kinds than are told apart",
        "name": None, "count": 300 - 64, "observed": False,
    }  # fmt: skip


def expect_blocked(host, worker, report):
    (event,) = denials(host)
    assert report.reason == C.REASON_BLOCKED, report
    assert report.why == event.text
    assert re.fullmatch(r"blocked system call ptrace \(\d+\) by thread \d+ at 0x[0-9a-f]+", report.why)
    assert report.signal == signal.SIGKILL
    assert '"reason":"blocked"' in report.json
    assert [each["name"] for each in json.loads(report.denied)] == ["ptrace"]


@pytest.mark.parametrize("how", [("strict", ()), ("notebook", (("violations", "kill"),))])
def test_a_violation_ends_a_strict_worker_with_its_sentence(host, bench, how):
    preset, words = how
    worker = host.spawn(bench.policy(*words, preset=preset), violator(bench, "calls", 5))
    expect_blocked(host, worker, ended(host, worker))
    assert printed(host) == "", "the call came back"


def test_a_childs_violation_ends_the_worker(host, bench):
    worker = host.spawn(bench.policy(preset="strict"), violator(bench, "child"))
    expect_blocked(host, worker, ended(host, worker))
    assert printed(host) == ""


def test_strict_may_be_told_to_go_on(host, bench):
    policy = bench.policy(("violations", "tell"), preset="strict")
    report = ended(host, host.spawn(policy, violator(bench, "calls", 5)))
    assert (report.reason, printed(host)) == (C.REASON_EXITED, "EPERM\n")
    assert json.loads(report.denied)[0]["count"] == 5


def test_python_with_its_libraries_does_nothing_that_is_told(host, bench):
    """Neither preset's Python is disturbed; in strict it would be dead."""
    modules = "asyncio, ctypes.util, multiprocessing, platform, socket, sqlite3, ssl, tempfile, threading, uuid"
    code = f"import {modules}\nplatform.uname(), ctypes.util.find_library('m'), uuid.getnode()\nprint('fine')"
    for preset in ["notebook", "strict"]:
        launch = ffi.Launch("program", support.python_interpreter(), "-c", code)
        assert ended(host, host.spawn(bench.policy(preset=preset), launch)).exit_code == 0
    assert printed(host) == "fine\nfine\n"
    assert denials(host) == []


def test_a_flood_from_eight_threads_delays_no_limit_and_costs_one_event(host, bench):
    policy = bench.policy(("limit", "wall=500ms"))
    begun = time.monotonic()
    worker = host.spawn(policy, violator(bench, "flood", 8))
    report = ended(host, worker)
    assert report.reason == C.REASON_WALL, report
    assert time.monotonic() - begun < 0.5 + SOON / 4
    assert len(denials(host)) == 1
    assert json.loads(report.denied)[0]["count"] > 1000


def test_a_flooding_worker_is_paused_and_goes_on(host, bench):
    worker = host.spawn(bench.policy(), violator(bench, "flood", 4))
    host.until(lambda e: e.kind == C.EVENT_DENIED)
    (pid,) = [p for p in support.processes_with(bench.path("violator")) if support.state_of(p)]
    worker.pause()
    support.eventually(lambda: support.state_of(pid) == "T", within=SOON)
    support.eventually(lambda: support.cpu_of([pid]) == support.cpu_of([pid]), within=SOON)
    used = support.cpu_of([pid])
    worker.resume()
    support.eventually(lambda: support.cpu_of([pid]) > used, within=SOON)
    worker.kill()
    assert ended(host, worker).reason == C.REASON_KILLED


@pytest.mark.parametrize("whom", ["init", "host"])
def test_nothing_hangs_where_init_or_the_host_dies_with_calls_unanswered(bench, whom):
    program = f"""
import os, sys; sys.path.insert(0, {str(support.HERE)!r})
import ffi
host = ffi.Host()
policy = ffi.Policy("notebook", ("read", {str(bench.folder)!r}))
worker = host.spawn(policy, ffi.Launch("program", {bench.path("violator")!r}, "flood", "8"))
host.until(lambda e: e.kind == ffi.C.EVENT_DENIED)
print(worker.pid, flush=True)
event = host.until(lambda e: e.kind == ffi.C.EVENT_EXITED)
print(event.report.reason_name, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        init = int(process.stdout.readline())
        assert support.processes_with(bench.path("violator")), "the probe does not see the worker"
        os.kill(init if whom == "init" else process.pid, signal.SIGKILL)
        said = process.stdout.read()
        support.eventually(lambda: not support.processes_with(bench.path("violator")), within=SOON)
        assert said == ("REASON_LOST\n" if whom == "init" else "")


#: A host below a listener of somebody else's: the kernel gives no second.
LISTENED = """
import ctypes, json, os, platform, struct, sys; sys.path.insert(0, {tests!r})
libc = ctypes.CDLL(None, use_errno=True)
number = {{"x86_64": 317, "aarch64": 277, "riscv64": 277}}[platform.machine()]
program = ctypes.create_string_buffer(struct.pack("=HBBI", 6, 0, 0, 0x7fff0000), 8)  # BPF_RET, SECCOMP_RET_ALLOW
fprog = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(program)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.syscall(number, 1, 8, fprog) >= 0, os.strerror(ctypes.get_errno())
import ffi
from ffi import C
out = []
with ffi.Host() as host:
    for words in {words!r}:
        policy = ffi.Policy("notebook", ("read", {folder!r}), *words)
        worker = host.spawn(policy, ffi.Launch("program", {violator!r}, "calls", "3"))
        event = host.until(lambda e: e.kind == C.EVENT_EXITED and e.worker == worker.id)
        said = b"".join(e.data for e in host.seen if e.kind == C.EVENT_STREAM and e.worker == worker.id)
        report = event.report
        out.append((report.reason, report.why, report.signal, said.decode(), report.missing.split(), report.denied))
    assert not [e for e in host.seen if e.kind == C.EVENT_DENIED]
print(json.dumps(out))
"""


def test_below_another_listener_calls_are_refused_and_the_report_says_that_none_is_told(bench):
    words = [[], [("violations", "kill")], [("violations", "observe")], [("violations", "silent")]]
    program = LISTENED.format(
        tests=str(support.HERE), words=words, folder=str(bench.folder), violator=bench.path("violator")
    )
    tell, kill, observe, silent = json.loads(support.run_python(program))
    assert (tell[0], tell[3], tell[5]) == (C.REASON_EXITED, "EPERM\n", "[]")
    assert "violations" in tell[4]
    # Not weaker: the kernel ends it in init's place.
    assert (kill[0], kill[2], kill[3]) == (C.REASON_BLOCKED, signal.SIGSYS, "")
    assert kill[1].startswith("blocked system call") and "violations" in kill[4]
    # What cannot be observed is not begun.
    assert observe[0] == C.REASON_LAUNCH and "EBUSY" in observe[1] and "listener" in observe[1], observe
    assert (silent[0], silent[3]) == (C.REASON_EXITED, "EPERM\n")
    assert "violations" not in silent[4]
