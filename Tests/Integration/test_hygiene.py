# SPDX-License-Identifier: Apache-2.0
"""What a worker is born with, and as whom: nothing of its host's but what was given. What a host with unusual priorities
and limits hands down is tried in Tests/Launch."""

import os

import pytest
from ffi import Policy
from shells import Shell

DEVICES = ["fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"]


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_dev_has_what_is_listed_and_nothing_else(host, preset):
    words = [("run", "any")] if preset == "strict" else []
    shell = Shell(host, Policy(preset, *words))
    there = [name for name in DEVICES if name in os.listdir("/dev") or name in ("ptmx", "pts", "shm")]
    if preset == "strict":
        there = [name for name in there if name not in ("ptmx", "pts", "tty")]
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
