# SPDX-License-Identifier: Apache-2.0
"""C, in circumstances that real programs are in: see c/host.c for the list. Each runs as root, if the tests do, and as an
ordinary user."""

import os
import shutil
import subprocess
from pathlib import Path

import guests
import pytest
import support

HERE = guests.HERE / "c"
FLAGS = ["-std=c99", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
#: An id that no user of the machine should have.
UID = 48_613

ANYBODY = [
    "threads-end",
    "forks-and-execs",
    "forks-during-launch",
    "forks-and-goes-on",
    "children-by-handler",
    "sigchld-ignored",
    "sigchld-unwaited",
    "sigchld-blocked",
    "signals-on-own-stack",
    "has-many-descriptors",
    "has-no-streams",
    "has-a-filter",
]
#: They make a process or mount namespace, or change their root.
ROOT = ["is-pid-1", "is-subreaper", "is-below-a-lazy-pid-1", "has-no-proc"]


@pytest.fixture(scope="module")
def stage():
    """Where every user can read the library and run the programs."""
    stage = support.scratch("lauter-test-c-")
    shutil.copytree(guests.LIBRARY, stage / "lib", symlinks=True, ignore=shutil.ignore_patterns("*.d"))
    guests.build(
        "gcc", *FLAGS, f"-I{guests.INCLUDE}", *sorted(HERE.glob("*.c")), f"-L{stage / 'lib'}", "-llauter", "-lpthread",
        f"-Wl,-rpath,{stage / 'lib'}", "-o", stage / "host",
        folder=stage,
    )  # fmt: skip
    guests.build(
        "gcc", *FLAGS, f"-I{guests.INCLUDE}", *sorted((guests.HERE / "loader").glob("*.c")), "-ldl", "-lm",
        "-o", stage / "loader",
        folder=stage,
    )  # fmt: skip
    workers = support.HERE / "workers"
    guests.build("gcc", *support.C_FLAGS, "-static", workers / "worker.c", "-o", stage / "worker", folder=stage)
    yield stage
    shutil.rmtree(stage)


def undisturbed(command, user=None):
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        umask=0o022,
        timeout=110,
        **as_user,
    )
    assert (done.returncode, done.stdout) == (0, b"undisturbed\n"), done.stderr.decode()


@pytest.mark.parametrize("name", ANYBODY + ROOT)
def test_a_host_in_c(stage, name):
    if name in ROOT and os.geteuid() != 0:
        pytest.skip("this host takes root")
    undisturbed([stage / "host", name, stage / "worker"])


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests already run as an ordinary user")
@pytest.mark.parametrize("name", ANYBODY)
def test_a_host_in_c_of_an_ordinary_user(stage, name):
    undisturbed([stage / "host", name, stage / "worker"], user=UID)


@pytest.mark.parametrize("name", ["often", "as-it-is", "faults"])
def test_a_program_that_loads_the_library_and_unloads_it(stage, name):
    """A thousand times, without a trace of it in the process; its handlers get its own faults all the time."""
    undisturbed([stage / "loader", name, stage / "lib" / "liblauter.so", stage / "worker"])


def private_memory(pid) -> int:
    """Bytes that are no other process's."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return (sizes["Private_Clean"] + sizes["Private_Dirty"]) << 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at an init, which is not dumpable")
@pytest.mark.parametrize("user", [None, UID], ids=["root", "ordinary"])
def test_an_idle_init_has_little_memory_whoever_its_host_is(stage, user):
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    command = [stage / "host", "idles", stage / "worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", **as_user) as host:
        init = int(host.stdout.readline())
        assert private_memory(os.getpid()) > 1 << 20, "the probe does not see what a Python has"
        support.eventually(lambda: 0 < private_memory(init) <= 200 << 10, within=5)
        host.stdin.close()
        assert host.stdout.read() == b"undisturbed\n"
    assert host.returncode == 0
