# SPDX-License-Identifier: Apache-2.0
"""Node, by an N-API addon: uv_poll in libuv's loop, child_process, signals, timers, the thread pool, worker_threads."""

import subprocess
from pathlib import Path

import pytest

import guests

HERE = guests.HERE / "node"


@pytest.fixture(scope="module")
def guest():
    node = subprocess.run(
        ["node", "-p", "process.execPath"], stdout=subprocess.PIPE, check=True, text=True
    ).stdout.strip()
    headers = Path(node).parents[1] / "include" / "node"
    folder = guests.folder_for("node")
    guests.build(
        "gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DNAPI_VERSION=8",
        f"-I{headers}", f"-I{guests.INCLUDE}", "addon.c", f"-L{guests.LIBRARY}", "-llauter",
        "-o", folder / "lauter.node",
        folder=HERE,
    )  # fmt: skip
    return [node, HERE / "guest.js"], {"LAUTER_ADDON": str(folder / "lauter.node")}


def test_node_and_its_workers_do_not_disturb_each_other(guest):
    command, environment = guest
    run = guests.Guest(*command, environment=environment)
    found = run.outcome()
    guests.undisturbed(found, calls=600, children=60, signals=100)
    guests.told(found, "test_node.py")
    beside = found["beside"]
    assert beside["fork"] == "from the fork"
    assert beside["hashes"] == 1
    # A worker_thread that ends with its host open takes host and worker along, and no other: a host has a pidfd of each
    # worker and one of its own process.
    assert beside["thread"] == {"right": 50, "pidfds": 6, "code": 0, "pidfds_after": 4}
    assert run.stderr == b""


def test_a_killed_node_takes_its_workers_along(guest):
    command, environment = guest
    guests.killed(*command, environment=environment)
