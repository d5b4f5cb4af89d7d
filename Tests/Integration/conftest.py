# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests; see support.py and ffi.py."""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import ffi  # noqa: E402
import support  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "hardware: may skip although LAUTER_MUST_RUN is set")
    config.addinivalue_line("markers", "root: needs root; an ordinary user's run leaves it out")
    config.addinivalue_line("markers", "once: does not depend on the user; run for one of them")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With LAUTER_MUST_RUN=1 a test that was skipped has not shown what it is there for: a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("LAUTER_MUST_RUN") == "1" and not hasattr(report, "wasxfail"):
        if item.get_closest_marker("hardware") is None:
            report.outcome = "failed"
            report.longrepr = f"skipped although LAUTER_MUST_RUN=1: {report.longrepr}"


@pytest.fixture(scope="session")
def bench():
    bench = support.Workbench()
    yield bench
    bench.close()


@pytest.fixture(autouse=True)
def not_for_ever():
    """A test that hangs fails by an alarm: the library returns INTERRUPTED, and the handler raises."""

    def ring(*_):
        raise TimeoutError("the test took more than two minutes")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(int(os.environ.get("LAUTER_TEST_SECONDS", "120")))
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def nothing_left_behind(bench):
    """After every test: no descriptor, thread or process of ours that was not there before."""
    ffi.Host.started.clear()
    before = support.Traces()
    yield
    inits = [(pid, began) for pid, began in ffi.Host.started if began is not None]

    def gone():
        return not [pid for pid, began in inits if support.start_time(pid) == began]

    support.eventually(gone, within=5)
    try:
        support.eventually(lambda: not support.processes_with(str(bench.folder)), within=5)
    except AssertionError:
        for pid in support.processes_with(str(bench.folder)):  # so that one failure is not every later test's
            os.kill(pid, signal.SIGKILL)
        raise
    leaks = {}

    def clean():  # a thread that was joined is still listed for a moment, until the kernel is done with it
        leaks.clear()
        leaks.update(support.Traces().leaks_since(before))
        return not leaks

    with contextlib.suppress(AssertionError):
        support.eventually(clean, within=2)
    assert not leaks, leaks


@pytest.fixture
def outside_tmp():
    """A scratch folder where no worker has memory of its own, which /tmp is: there `deny` is kept by Landlock."""
    for parent in (os.environ.get("LAUTER_TEST_OUTSIDE_TMP"), "/srv", "/opt", str(Path.home())):
        if parent and os.access(parent, os.W_OK) and not os.path.realpath(parent).startswith(("/tmp", "/var/tmp")):
            break
    else:
        pytest.skip("no folder outside /tmp can be written; LAUTER_TEST_OUTSIDE_TMP can name one")
    folder = support.scratch(parent=os.path.realpath(parent))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def host():
    with ffi.Host() as host:
        yield host


@pytest.fixture
def worker(host, bench):
    """An honest C worker, ready."""
    return host.spawn(bench.policy(), bench.worker()).wait_ready()


@pytest.fixture
def python(host, bench):
    """A Python worker, ready."""
    return host.spawn(bench.policy(), bench.python()).wait_ready()
