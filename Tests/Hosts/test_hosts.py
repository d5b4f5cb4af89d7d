# SPDX-License-Identifier: Apache-2.0
"""Hosts in other people's event loops. The C host of the README is tested by Tests/Install."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def run_host(*options, **environment):
    done = subprocess.run(
        [sys.executable, *options, str(HERE / "asyncio_host.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def test_an_asyncio_host_runs_cells_beside_its_own_children():
    done = run_host("-X", "dev")
    said = done.stdout.decode().splitlines()
    assert said[:6] == [
        "worker 0: 0, printed 'cell of worker 0'",
        "worker 1: 21, printed 'cell of worker 1'",
        "beside the endless loop: 499500",
        "the endless loop: KeyboardInterrupt",
        "input: 'hello Ada' (asked 'who? ')",
        "own children: all as they should be",
    ]
    assert "SIGABRT" in said[6] or "abort" in said[6].lower()
    assert said[7].startswith("report: ") and said[8].startswith("report: ") and len(said) == 9
    assert b"Warning" not in done.stderr, done.stderr.decode()


WATCHERS = ["ThreadedChildWatcher", "SafeChildWatcher", "FastChildWatcher", "PidfdChildWatcher"]


@pytest.mark.parametrize("watcher", [w for w in WATCHERS if hasattr(asyncio, w)])
def test_every_child_watcher_of_asyncio_gets_its_children_alone(watcher, tmp_path):
    """SafeChildWatcher and FastChildWatcher wait on SIGCHLD; the fast one for every child there is."""
    sitecustomize = tmp_path / "sitecustomize.py"
    sitecustomize.write_text(
        "import asyncio, warnings\nwarnings.simplefilter('ignore')\n"
        "class Policy(asyncio.DefaultEventLoopPolicy):\n"
        "    def new_event_loop(self):\n"
        "        loop = super().new_event_loop()\n"
        f"        watcher = asyncio.{watcher}()\n"
        "        if hasattr(watcher, 'attach_loop'): watcher.attach_loop(loop)\n"
        "        self.set_child_watcher(watcher)\n"
        f"        open({str(tmp_path / 'used')!r}, 'w').close()\n"
        "        return loop\n"
        "asyncio.set_event_loop_policy(Policy())\n"
    )
    done = run_host(PYTHONPATH=str(tmp_path))
    assert (tmp_path / "used").exists()
    assert "own children: all as they should be" in done.stdout.decode().splitlines()
