# SPDX-License-Identifier: Apache-2.0
"""scarce.py MODE: a host that is short of something, in a process of its own. Prints one JSON object an attempt."""

import ctypes
import errno
import fcntl
import json
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Integration"))
from ffi import C, Host, Launch, LauterError, Policy, Worker, call  # noqa: E402


def descriptors(most=256) -> list:
    """Without /proc, which may not be there, and without a descriptor, of which there may be none."""
    found = []
    for fd in range(most):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue
        found.append(fd)
    return found


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | 0x40000000)
    except ChildProcessError:
        return False
    return True


def attempt(policy, launch) -> dict:
    """One launch by a host of its own, and what was told."""
    before = descriptors()
    said = {"far": "host"}
    host = None
    try:
        host = Host()
        said["far"] = "spawn"
        number = ctypes.c_uint64()
        call("lauter_spawn", host.handle, policy.handle, launch.handle, 0, ctypes.byref(number))
        said["far"] = "ready"
        worker = Worker(host, number.value)
        try:
            worker.wait_ready()
        except LauterError as error:
            if error.code != C.ERROR_DIED:  # a program may have ended well before it was waited for
                raise
        report = worker.wait_exit().report
        said.update(far="ran", code=report.exit_code, why=report.why)
    except LauterError as error:
        said.update(errno=error.errno, message=error.message, subject=error.subject, step=error.step)
    finally:
        if host:
            host.close()
    said["left"] = [fd for fd in descriptors() if fd not in before]
    said["lost"] = [fd for fd in before if fd not in descriptors()]
    said["child"] = has_children()
    return said


def tell(said: dict) -> None:
    print(json.dumps(said), flush=True)


def main(mode: str) -> None:
    if mode == "no-proc":
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.umount2(b"/proc", 2) == 0, os.strerror(ctypes.get_errno())
        assert not os.path.exists("/proc/self")
    policy, launch = Policy("notebook"), Launch("program", "/bin/true")
    if mode == "probes":
        before = descriptors()
        extra = os.open("/dev/null", os.O_RDONLY)
        tell({"seen": [fd for fd in descriptors() if fd not in before] == [extra], "child": has_children()})
        if os.fork() == 0:
            os._exit(0)
        tell({"seen": True, "child": has_children()})
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if mode in ("descriptors", "few-descriptors"):
        # No hole below the limit: the k-th that a launch opens at once is the one that fails. Init has the host's limit
        # and few of its descriptors: it has enough where the host had many.
        top = max(descriptors(1024)) if mode == "few-descriptors" else 60
        while (fd := os.dup(0)) < top:
            pass
        os.close(fd)
        for spare in range(0, 200):
            resource.setrlimit(resource.RLIMIT_NOFILE, (fd + spare, hard))
            said = attempt(policy, launch)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            tell({"spare": spare, **said})
            if said["far"] == "ran":
                break
    elif mode == "processes":
        resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))
        tell(attempt(policy, launch))
        resource.setrlimit(resource.RLIMIT_NPROC, (resource.getrlimit(resource.RLIMIT_NPROC)[1],) * 2)
    else:
        tell(attempt(policy, launch))
        if mode == "no-proc":
            tell(attempt(Policy("unconfined"), launch))
            return
    tell(attempt(policy, launch))


main(sys.argv[1])
