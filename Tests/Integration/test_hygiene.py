# SPDX-License-Identifier: Apache-2.0
"""What a worker is born with, and as whom: nothing of its host's but what was given. What a host with unusual priorities
and limits hands down is tried in Tests/Launch."""

import collections
import ctypes
import os
import signal

import ffi
import pytest
from ffi import C, Policy
from shells import Shell

DEVICES = ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_dev_has_what_is_listed_and_nothing_else(host, preset):
    words = [("run", "any")] if preset == "strict" else []
    shell = Shell(host, Policy(preset, *words))
    there = [name for name in DEVICES if name in os.listdir("/dev") or name in ("ptmx", "pts", "shm")]
    assert shell.run("ls /dev").split() == there
    assert shell.run("test -e /sys || echo none") == "none"
    assert shell.run("test -e /proc/self && echo there") == "there"


def test_the_machine_and_its_name_are_nobody_s(host):
    shell = Shell(host, Policy("notebook"))
    number = shell.run("cat /etc/machine-id")
    assert len(number) == 32 and int(number, 16)
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if os.path.exists(path):
            with open(path) as file:
                assert file.read().strip() != number
    assert Shell(host, Policy("strict", ("run", "any"))).run("cat /etc/machine-id") == number
    assert shell.run("cat /proc/sys/kernel/hostname") == "lauter" != os.uname().nodename


def test_signals_mask_session_and_limits_are_a_new_process_s(host):
    shell = Shell(host, Policy("notebook"))
    status = dict(line.split(":\t") for line in shell.run("cat /proc/self/status").splitlines())
    for name in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn"):
        assert int(status[name], 16) == 0, (name, status[name])
    assert status["Umask"] == "0022" and status["TracerPid"] == "0"
    if os.geteuid() == 0:
        assert status["Groups"].split() == []
    # pid, name, state, parent, group, session
    pid, *_, group, session = shell.run("cat /proc/$$/stat").split()[:6]
    assert pid == group == session == "2"
    assert shell.run("cat /proc/self/personality").strip("0") == ""
    limits = {line[:25].strip(): line[25:].split()[:2] for line in shell.run("cat /proc/self/limits").splitlines()}
    assert limits["Max nice priority"] == limits["Max realtime priority"] == ["0", "0"]
    assert set(limits["Max core file size"]) <= {"0", "1"}


def test_the_way_back_to_privilege_is_locked(host):
    program = "import ctypes; print(ctypes.CDLL(None).prctl(27, 0, 0, 0, 0))"  # PR_GET_SECUREBITS
    bits = int(Shell(host, Policy("notebook")).run(f'python3 -c "{program}"'))
    assert bits == 0xEF


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_keys_are_not_listed(host, preset):
    """That keyctl is refused, the escape suite tells; that the session keyring is another, Tests/Launch."""
    words = [("run", "any")] if preset == "strict" else []
    assert os.path.exists("/proc/keys"), "no keys to hide"
    said = Shell(host, Policy(preset, *words)).run("cat /proc/keys")
    assert "Permission denied" in said or "No such file" in said


SWAPS = 150


@pytest.mark.parametrize("word", ["read", "write"])
def test_a_folder_swapped_for_a_link_while_workers_start_shows_nothing_else(host, outside_tmp, word):
    """The folder, and the one above it, change places with links to what no policy gives: / and /proc. A policy that is
    resolved while a link is there is refused as such; what is swapped later must not be shown in the folder's place."""
    folder = outside_tmp / "above" / "sys"  # /proc has such a one
    folder.mkdir(parents=True)
    (folder / "name").touch()
    (outside_tmp / "to-root").symlink_to("/")
    (outside_tmp / "to-proc").symlink_to("/proc")
    libc = ctypes.CDLL(None)
    swapper = os.fork()
    if swapper == 0:
        pairs = [(folder, outside_tmp / "to-root"), (outside_tmp / "above", outside_tmp / "to-proc")]
        while True:
            for there, link in pairs:
                for _ in range(2):  # RENAME_EXCHANGE, there and back: never is nothing there
                    libc.renameat2(-100, bytes(there), -100, bytes(link), 2)
    said = collections.Counter()
    try:
        for _ in range(SWAPS):
            launch = ffi.Launch("program", "/bin/ls", str(folder))
            try:
                worker = host.spawn(Policy("notebook", (word, folder)), launch)
            except ffi.LauterError as error:
                said[error.name] += 1
                continue
            report = worker.exited().report
            if report.reason_name == "LAUNCH_FAILED":
                said["refused by init"] += 1
            else:
                said[worker.output(C.STREAM_STDOUT).decode()] += 1
    finally:
        os.kill(swapper, signal.SIGKILL)
        os.waitpid(swapper, 0)
    assert set(said) - {"name\n"} <= {"INVALID", "SYSTEM", "refused by init"}, said
    # Both a launch that went well and one that was swapped under, or nothing was tried.
    assert said["name\n"] and sum(said.values()) - said["name\n"], said
