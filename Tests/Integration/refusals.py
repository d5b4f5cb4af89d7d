# SPDX-License-Identifier: Apache-2.0
"""A host where something is refused, as containers and careful machines refuse it: a child process of the test's own."""

import ctypes
import errno
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "CLI"))

import hindered  # noqa: E402

#: CLONE_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET.
NEW = 0x7E02_0000
#: An id that no user of the machine should have, nor another run of these tests: the kernel counts its processes.
UID = 50_000 + os.getpid() % 10_000
#: As container runtimes' default profiles do.
NAMESPACES = [hindered.refusing("clone", errno.EPERM, 0, NEW), hindered.refusing("unshare", errno.EPERM)]
MOUNTS = [hindered.refusing("fsopen", errno.EPERM)]
LANDLOCK = [hindered.refusing("landlock_create_ruleset", errno.ENOSYS)]


def without_capabilities():
    """Root as a container has it that may do nothing special."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def no_user_namespaces():
    """user.max_user_namespaces is 0, in a user namespace of this process's own."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x1000_0000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def become(user):
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: its files in /proc are else root's


def below(function, *, filters=NAMESPACES, user=None, before=None, seconds=60):
    """What `function` returns in a process of its own where all this holds. What it raises fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(seconds)
        os.close(reading)
        try:
            if user is not None:
                become(user)
            if before:
                before()
            for program in filters:
                hindered.load(program)
            result = True, function()
        except BaseException:  # noqa: BLE001 - the test is to see all
            result = False, traceback.format_exc()
        with open(writing, "wb") as out:
            pickle.dump(result, out)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        said = told.read()
    _, status = os.waitpid(pid, 0)
    assert said, f"the host ended without a word: {status:#x}"
    is_well, value = pickle.loads(said)
    assert is_well, value
    return value
