# SPDX-License-Identifier: Apache-2.0
"""C with an epoll loop of its own: signalfd, waitpid(-1), a timer, and a worker beside them."""

import subprocess

import guests


def test_a_loop_that_waits_for_every_child_gets_its_own_alone(tmp_path):
    program = tmp_path / "epoll"
    guests.build(
        "gcc", "-std=c99", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{guests.INCLUDE}",
        guests.HERE / "epoll" / "epoll.c", f"-L{guests.LIBRARY}", "-llauter", f"-Wl,-rpath,{guests.LIBRARY}",
        "-o", program,
        folder=tmp_path,
    )  # fmt: skip
    done = subprocess.run(
        [program, guests.python_interpreter()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        "call 0: KeyboardInterrupt",
        "call 1: 42",
        "worker: stopped: it was asked to exit and did",
        "children: 20 of 20",
        "ticks: enough",
    ]
