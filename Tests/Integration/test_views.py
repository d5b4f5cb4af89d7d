# SPDX-License-Identifier: Apache-2.0
"""What a host keeps of its looks at the machine's files is never shown when it has become another's."""

import subprocess
import sys

import pytest
import support

#: In a mount namespace, whose /etc is a copy that the test may change.
PROGRAM = f"""
import os, subprocess, sys, time; sys.path.insert(0, {str(support.HERE)!r})
import ffi, support

def seen(host, path="/etc/services"):
    worker = host.spawn(ffi.Policy("notebook"), ffi.Launch("program", "/bin/cat", path))
    report = worker.exited().report
    return report.reason_name, report.exit_code, worker.output(ffi.C.STREAM_STDOUT).decode()

def put(text, path="/etc/services"):
    with open(path + ".new", "w") as file:
        file.write(text)
    os.rename(path + ".new", path)

with ffi.Host() as host:
    put("first")
    assert seen(host) == ("REASON_EXITED", 0, "first")
    for number in range(40):  # as fast as it goes: the kernel's clock of files has long ticks
        put(str(number))
        assert seen(host) == ("REASON_EXITED", 0, str(number)), number
    with open("/etc/services", "w") as file:
        file.write("written to")
    assert seen(host) == ("REASON_EXITED", 0, "written to")
    os.unlink("/etc/timezone")
    assert seen(host, "/etc/timezone") == ("REASON_EXITED", 1, "")
    put("Moon/Sea", "/etc/timezone")
    assert seen(host, "/etc/timezone") == ("REASON_EXITED", 0, "Moon/Sea")
    os.unlink("/etc/localtime")
    os.symlink("/usr/share/zoneinfo/Etc/GMT-1", "/etc/localtime")
    worker = host.spawn(ffi.Policy("notebook"), ffi.Launch("program", "/bin/readlink", "/etc/localtime"))
    assert worker.exited() and worker.output() == b"/usr/share/zoneinfo/Etc/GMT-1\\n"
    # A mount changes no folder. Of one on a folder is known; of one on a file the launch finds out, and the next is right.
    subprocess.run(["mount", "-t", "tmpfs", "none", "/etc/ssl/certs"], check=True)
    open("/etc/ssl/certs/mine", "w").write("certificate")
    assert seen(host, "/etc/ssl/certs/mine") == ("REASON_EXITED", 0, "certificate")
    put("on top", "/etc/other")
    support.eventually(lambda: time.time() - max(os.stat(path).st_ctime for path in ("/", "/etc", "/etc/ssl")) > 1.1, within=5)
    assert seen(host)[0] == "REASON_EXITED"  # a look that is kept
    subprocess.run(["mount", "--bind", "/etc/other", "/etc/services"], check=True)
    assert seen(host)[0] == "REASON_LAUNCH"
    assert seen(host) == ("REASON_EXITED", 0, "on top")
print("all")
"""


@pytest.mark.root
def test_what_changes_between_two_launches_is_seen_by_the_second():
    inside = (
        "set -e; cp -a /etc /mnt; mount --bind /mnt/etc /etc; touch /etc/services /etc/timezone;"
        'ln -sf /usr/share/zoneinfo/UTC /etc/localtime; mkdir -p /etc/ssl/certs; exec "$@"'
    )
    command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /mnt; {inside}", "sh", sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"all\n"
