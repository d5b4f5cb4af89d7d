# SPDX-License-Identifier: Apache-2.0
"""Programs in C that use the worker library, beside a copy of it: a folder that a sandbox can be shown."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "Integration")]

import ffi  # noqa: E402
import support  # noqa: E402
from header import header_path  # noqa: E402


class Stage:
    """The folder: its programs find the library where they lie."""

    def __init__(self):
        self.folder = support.scratch()
        library = ffi.library_path().resolve()
        shutil.copy(library, self.folder / "liblauter.so.0")
        (self.folder / "liblauter.so").symlink_to("liblauter.so.0")

    def compile(self, source: Path, name: str, *flags) -> str:
        program = self.folder / name
        subprocess.run(
            ["gcc", *flags, "-Wall", "-Wextra", "-Werror", "-O2", "-g", f"-I{header_path().parent}", str(source),
             "-o", str(program), f"-L{self.folder}", "-llauter", "-lpthread", f"-Wl,-rpath,{self.folder}"],
            check=True,
        )  # fmt: skip
        return str(program)

    def policy(self, *words, preset="notebook") -> ffi.Policy:
        return ffi.Policy(preset, ("read", self.folder), *words)


@pytest.fixture(scope="session")
def stage():
    made = Stage()
    yield made
    shutil.rmtree(made.folder)


@pytest.fixture(scope="session")
def program(stage):
    return stage.compile(HERE / "programs" / "worker.c", "worker", "-std=gnu11")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """With LAUTER_MUST_RUN=1 a test that was skipped has not shown what it is there for: a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("LAUTER_MUST_RUN") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped although LAUTER_MUST_RUN=1: {report.longrepr}"


@pytest.fixture(autouse=True)
def not_for_ever():
    """A test that hangs fails by an alarm: the library returns INTERRUPTED, and the handler raises."""

    def ring(*_):
        raise TimeoutError("the test took more than a minute")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(int(os.environ.get("LAUTER_TEST_SECONDS", "60")))
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def nothing_left_behind(stage):
    """After every test: no process that runs a program of the stage."""
    yield
    support.eventually(lambda: not support.processes_with(str(stage.folder)), within=5)


@pytest.fixture
def host():
    with ffi.Host() as host:
        yield host


@pytest.fixture
def start(host, stage, program):
    """Starts the test worker in a sandbox."""

    def spawn(*arguments, policy=None, **properties):
        launch = ffi.Launch("worker", program, *arguments, **properties)
        return host.spawn(policy or stage.policy(), launch).wait_ready()

    return spawn
