# SPDX-License-Identifier: Apache-2.0
"""A worker hosts workers, three deep: each is confined by all that are around it, and by its own policy."""

import json
import os
import shutil

import ffi
import pytest
import support
from ffi import C
from refusals import UID, below

pytestmark = pytest.mark.once
IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def stage():
    """Library and tests where a worker can be shown them, and a folder for each depth."""
    stage = support.readable_copy(*(f"folders/{depth}" for depth in range(1, 4)))
    yield stage
    shutil.rmtree(stage)


def nest(stage, act="look", words=(), deepest=3):
    """What the outermost said, and the denials that its host was told."""
    reads = [str(stage / name) for name in ("build", "Tests", "include")]
    words = [("read", path) for path in reads] + [("read", stage / "folders"), *words]
    words += [("env", f"READS={json.dumps(reads)}"), ("env", f"LAUTER_BUILD={stage / 'build'}"), ("env", "PYTHONDONTWRITEBYTECODE=1")]
    script = stage / "Tests" / "Integration" / "workers" / "nest.py"
    launch = ffi.Launch("program", "/usr/bin/python3", script, stage / "Tests" / "Integration", "1", str(deepest),
                        stage / "folders", act)  # fmt: skip
    with ffi.Host() as host:
        worker = host.spawn(ffi.Policy("notebook", *words), launch)
        report = worker.exited(timeout=40).report
        said = worker.output(C.STREAM_STDOUT).decode()
        assert said, report
        return json.loads(said), [e.text for e in host.seen if e.kind == C.EVENT_DENIED]


def check(first, bare):
    """`bare`: how many of the three have no namespaces."""
    assert first["sees"] == [1, 2, 3]
    second = first["inner"]
    assert isinstance(second, dict), second
    assert second["sees"] == [2, 3] and second["signals"] == []
    third = second["inner"]
    assert isinstance(third, dict), third
    assert third["sees"] == [3] and third["signals"] == []
    for each in (first, second):
        assert {"namespaces", "violations"} <= set(each["missing"]) and each["told"] == []
    assert len({first["pid"], second["pid"], third["pid"]}) == 3


def test_three_deep_each_sees_less_and_reaches_nobody_above(stage):
    first, told = nest(stage)
    check(first, 2)
    assert told == [], "to look for namespaces is no violation"


def test_three_deep_where_even_the_outermost_has_no_namespaces(stage):
    words = [("allow-missing", "namespaces")]
    first, _ = below(lambda: nest(stage, words=words), user=UID if IS_ROOT else None)
    check(first, 3)


@pytest.mark.parametrize("outermost", ["with namespaces", "without"])
def test_the_end_of_the_middle_one_is_the_end_of_the_inner(stage, outermost):
    if outermost == "without":
        words = [("allow-missing", "namespaces")]
        said, _ = below(lambda: nest(stage, "end", words), user=UID if IS_ROOT else None)
    else:
        said, _ = nest(stage, "end")
    assert said["was there"] and not said["is there"]


def test_without_the_word_a_worker_is_told_why_it_hosts_none(stage):
    program = (f"import sys; sys.path.insert(0, {str(stage / 'Tests' / 'Integration')!r})\nimport ffi\n"
               "with ffi.Host() as host:\n try: host.spawn(ffi.Policy(), ffi.Launch('program', 'true'))\n"
               " except ffi.LauterError as error: print(error)")  # fmt: skip
    with ffi.Host() as host:
        words = [("read", stage), ("env", f"LAUTER_BUILD={stage / 'build'}")]
        worker = host.spawn(ffi.Policy("notebook", *words), ffi.Launch("program", "/usr/bin/python3", "-c", program))
        report = worker.exited().report
        said = worker.output(C.STREAM_STDOUT).decode()
    assert "--allow-missing namespaces" in said, (said, report)
    assert not [e for e in host.seen if e.kind == C.EVENT_DENIED]
