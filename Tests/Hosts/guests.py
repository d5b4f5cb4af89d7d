# SPDX-License-Identifier: Apache-2.0
"""Hosts that are programs of other ecosystems: how they are built and run, and what each of them has to show.

Each starts sandboxed workers from its own event loop while it runs children, signals, timers and whatever its runtime does
besides, and prints what it saw as JSON on a line of its own. The counts are the same for all, the rest is the guest's own.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "Integration"))

from header import HEADER  # noqa: E402
from support import REPOSITORY, eventually, processes_with, python_interpreter  # noqa: E402

C = HEADER.constants
BUILD = Path(os.environ.get("LAUTER_BUILD", REPOSITORY / "build")).resolve()
LIBRARY = BUILD / "lib"
INCLUDE = REPOSITORY / "include"
#: Bounds, generous: what is measured is compared with what would be wrong, not with what is fast (docs/performance.md).
PROMPT_MS = 2000


def build(*command, folder, environment=None):
    """Run a compiler; its words are the failure's."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}: {done.stdout.decode()}"


def folder_for(name: str) -> Path:
    """Where a guest is built: kept between runs, as its compiler's caches are."""
    folder = BUILD / "hosts" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Guest:
    """One run of a guest, watched from outside."""

    def __init__(self, *command, environment=None):
        self.token = f"lauter-guest-{uuid.uuid4().hex}"
        self.process = subprocess.Popen(
            [*map(str, command), python_interpreter(), self.token],
            env={**os.environ, "LD_LIBRARY_PATH": str(LIBRARY), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def workers_tree(self) -> list:
        """The shells that a worker's code started. (The guest's own command has the token without the colon, and so has
        for a moment whatever the guest forks.)"""
        return processes_with(f": {self.token}")

    def outcome(self, within=100):
        """What it found. Meanwhile its worker's own child must have been there; afterwards it must be gone."""
        seen = []
        ended = threading.Event()

        def watch():
            while not ended.is_set():
                seen.extend(self.workers_tree())
                ended.wait(0.01)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            self.stdout, self.stderr = self.process.communicate(timeout=within)
        finally:
            self.process.kill()
            ended.set()
            watcher.join()
        said = self.stdout.decode(errors="replace")
        assert self.process.returncode == 0, f"{said[-4000:]}\n{self.stderr.decode(errors='replace')[-8000:]}"
        assert seen, "no process of a worker's was ever seen"
        eventually(lambda: not self.workers_tree(), within=5)
        return json.loads([line for line in said.splitlines() if line.startswith('{"')][-1])


def undisturbed(found, *, calls, children, signals, stall_ms=PROMPT_MS):
    """What holds for every guest: both sides did all their work, and neither saw the other. `stall_ms`: how long the guest's
    own runtime may keep its loop busy."""
    quiet = found["quiet"]
    assert quiet["strangers"] == 0, "children that the guest did not start"
    assert quiet["sigchld"] == 0, "a SIGCHLD while the guest had no child"
    assert quiet["children_seen"] == 1 and quiet["sigchld_seen"] == 1, f"the probes see nothing: {quiet}"
    assert (found["calls"], found["calls_right"]) == (calls, calls)
    assert (found["children"], found["children_right"]) == (children, children)
    assert (found["signals"], found["signals_handled"]) == (signals, signals)
    assert found["printed_in_order"] is True
    assert found["refused"].startswith("LAUTER_ERROR_NOT_FOUND: ") and "/nowhere/python3" in found["refused"]
    assert 8_000_000 < found["shown"] < 8_001_000
    assert found["input"] == "'hello Ada'"
    assert found["interrupt"]["name"] == "KeyboardInterrupt"
    assert found["interrupt"]["after"] == "42"
    assert found["killed"]["status"] == C["LAUTER_ERROR_DIED"]
    assert "killed by its host" in found["killed"]["why"]
    ended = C["LAUTER_REASON_STOPPED"]
    assert found["ends"] == [C["LAUTER_REASON_KILLED"], ended, ended]
    assert found["interrupt"]["ms"] < PROMPT_MS and found["killed"]["ms"] < PROMPT_MS
    tick = found["tick"]
    assert tick["count"] >= 5 and tick["median_ms"] < 100 and tick["longest_ms"] < stall_ms, tick


def killed(*command, environment=None):
    """Kill the guest while its workers are at work: every process below goes with it."""
    guest = Guest(*command, environment=environment)
    try:
        eventually(guest.workers_tree, within=60)
        assert guest.process.poll() is None
    finally:
        guest.process.send_signal(signal.SIGKILL)
        _, stderr = guest.process.communicate()
    eventually(lambda: not guest.workers_tree(), within=5)


def told(found, test: str):
    """The row of docs/hosting.md that this run stands behind has its counts."""
    counted = (
        f"{found['quiet']['workers'] + len(found['ends'])} workers, {found['calls']} calls, "
        f"{found['children']} children, {found['signals']} signals"
    )
    page = (REPOSITORY / "docs" / "hosting.md").read_text()
    assert f"| {counted} | `{test}` |" in page, f"docs/hosting.md does not tell {counted} of {test}"
