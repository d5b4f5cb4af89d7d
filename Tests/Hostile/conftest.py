# SPDX-License-Identifier: Apache-2.0
"""A worker that means harm, and one beside it whose calls must go on meanwhile."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Integration"))

import ffi  # noqa: E402
import pytest  # noqa: E402
import support  # noqa: E402
from ffi import C  # noqa: E402
from importlib.util import module_from_spec, spec_from_file_location  # noqa: E402

_spec = spec_from_file_location("integration_conftest", Path(ffi.__file__).parent / "conftest.py")
_shared = module_from_spec(_spec)
_spec.loader.exec_module(_shared)
bench, host, not_for_ever, nothing_left_behind = (
    _shared.bench, _shared.host, _shared.not_for_ever, _shared.nothing_left_behind,
)  # fmt: skip
pytest_configure, pytest_runtest_makereport = _shared.pytest_configure, _shared.pytest_runtest_makereport

#: Of one call of the honest worker's, while two processors are shared with whatever the other one does.
LATENCY = 2.0
GREET = 'hello abilities 9 name "fake"\nready\n'


def resident() -> int:
    """KiB of this process, now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


class Company:
    """The hostile worker and the honest one, on one host."""

    def __init__(self, host, bench):
        self.host, self.bench = host, bench
        self.honest = host.spawn(bench.policy(), bench.worker()).wait_ready()
        self.ask()
        self.longest = 0.0
        self.before = resident()
        self.most = self.before

    def policy(self, *words):
        """One that shows the command, and the scripts."""
        build = ffi.build_path().resolve()
        return self.bench.policy(("read", build / "bin"), ("read", build / "lib"), *words)

    def start(self, script, greets=True, policy=None, **properties):
        """A worker that does what this script says, after its greeting."""
        command = str(ffi.build_path().resolve() / "bin" / "lauter")
        text = (GREET if greets else "") + script
        launch = ffi.Launch("worker", command, "fake-worker", "-e", text, **properties)
        return self.host.spawn(policy or self.policy(), launch)

    def ask(self):
        """A call of the honest worker's: it is answered, and soon."""
        begun = time.monotonic()
        assert self.honest.ask("echo", "still here").text == "still here"
        took = time.monotonic() - begun
        self.longest = max(getattr(self, "longest", 0.0), took)
        self.most = max(getattr(self, "most", 0), resident())
        assert took < LATENCY, f"a call of another worker's took {took:.2f} s"

    def go_on(self, is_over, within=20.0):
        """Ask the honest one again and again until it is over."""
        end = time.monotonic() + within
        while not is_over():
            assert time.monotonic() < end, f"not within {within} s; came: {self.came()}"
            self.ask()

    def go_on_for(self, seconds):
        end = time.monotonic() + seconds
        self.go_on(lambda: time.monotonic() > end, seconds + LATENCY + 1)

    def came(self):
        return [(e.kind_name, e.status_name, e.name, e.data[:40]) for e in self.host.seen[-20:]]

    def event(self, kind, worker):
        """The last event of this kind, or None."""
        found = [e for e in self.host.seen if e.kind == kind and e.worker == worker.id]
        return found[-1] if found else None

    def until_exited(self, worker, within=20.0):
        """Its report, while the honest one's calls go on."""
        self.go_on(lambda: self.event(C.EVENT_EXITED, worker) is not None, within)
        return self.event(C.EVENT_EXITED, worker).report

    def assert_small(self, mib):
        grown = self.most - self.before
        assert grown < mib << 10, f"the host grew by {grown} KiB"


@pytest.fixture
def company(host, bench):
    company = Company(host, bench)
    yield company
    # Whatever happened: the host works, and a new worker can be had.
    company.ask()
