# SPDX-License-Identifier: Apache-2.0
"""Python with everything that starts processes in it, at once and beside workers: see python_host.py."""

import json
import subprocess
import sys

import guests


def test_a_python_host_and_its_pools_threads_and_children_do_not_disturb_each_other():
    done = subprocess.run(
        [sys.executable, str(guests.HERE / "python_host.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["quiet"] == {"cells": 3, "sigchld": 0, "sigchld_seen": 1, "strangers": False}
    assert found["cells"] == 30, done.stderr.decode()
    assert len(found["beside"]) == 5
    for what, (right, count) in found["beside"].items():
        assert right == count >= 3, f"{what}: {right} of {count}"
    assert done.stderr == b""
