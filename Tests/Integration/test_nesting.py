# SPDX-License-Identifier: Apache-2.0
"""`nest any`: a worker makes namespaces and mounts of its own, and is kept in all the same."""

import json
import os
import shutil

import pytest
import support
from ffi import C, Launch, LauterError, Policy
from shells import Shell, missing

#: Where no group holds the limit, init could not keep it: the error is tried by itself.
UNLIMITED = [("limit", "memory=none")]


def nesting(*words):
    return Policy("notebook", ("nest", "any"), *UNLIMITED, *words)


def ask(host, line, policy=None):
    worker = host.spawn(policy or nesting(), Launch("program", "/bin/sh", "-c", f"exec 2>&1; {line}"))
    report = worker.exited().report
    return report.exit_code, worker.output().decode()


ATTEMPTS = {
    "unshare": ("unshare -Ur id -u", "0\n"),
    "mounts": ("unshare -Ur --mount sh -c 'mount -t tmpfs none /tmp && echo x >/tmp/y && cat /tmp/y'", "x\n"),
    "a /proc of its own": ("unshare -Ur --pid --mount-proc --fork sh -c 'echo $$'", "1\n"),
    "bubblewrap": ("bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp sh -c 'echo $$; hostname'", None),
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_other_sandboxes_need_works_with_the_word_and_fails_without(host, name):
    line, wanted = ATTEMPTS[name]
    code, said = ask(host, line)
    assert code == 0 and (said == wanted if wanted else said.startswith("2\n")), said
    code, said = ask(host, line, Policy("notebook", *UNLIMITED))
    assert code != 0 and "ermi" in said, said


def test_the_machine_is_as_far_away_as_without(host, bench, tmp_path):
    """As root of namespaces of its own: files read-only and unnamed, the host, other users' files."""
    (bench.folder / "readable").write_text("before")
    shell = Shell(host, nesting(("read", bench.folder)))
    inside = "unshare -Ur --mount --pid --fork sh -c"
    assert shell.run(f"{inside} 'mount -t tmpfs none /tmp && id -u'") == "0"
    for line in (
        "mount -o remount,rw /usr", "mount -o remount,bind,rw /usr", "umount -l /usr", "umount /proc", "touch /usr/x",
        f"mount -o remount,bind,rw {bench.folder}", f"touch {bench.folder}/x", "mount -t sysfs none /tmp", "mknod /tmp/sda b 8 0",
        "mount -o remount,rw /", "echo x >/proc/sys/kernel/hostname", "echo 1 >/proc/sysrq-trigger",
        "cat /proc/1/environ", "ls /proc/1/root/", "nsenter --target 1 --mount true", "cat /proc/kcore",
    ):  # fmt: skip
        assert shell.run(f"{inside} '({line}) 2>&1 && echo done' | tail -1") != "done", line
    assert shell.run(f"{inside} 'ls -a /root /home {tmp_path} 2>&1' | grep -c cannot") != "0"
    assert shell.run(f"{inside} 'kill -0 $$; echo $?; kill -9 {os.getpid()} 2>/dev/null; echo $?'").split() == ["0", "1"]
    assert (bench.folder / "readable").read_text() == "before" and sorted(os.listdir(bench.folder)).count("x") == 0
    # Still no one gains by a set-user-id program, nor leaves one.
    assert shell.run("grep NoNewPrivs /proc/self/status").split()[1] == "1"
    assert "not permitted" in shell.run(f"{inside} 'touch /tmp/f; chmod u+s /tmp/f' 2>&1")
    refused = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.syscall(101, 0, 0, 0, 0), ctypes.get_errno())"
    assert shell.run(f"{inside} 'python3 -c \"{refused}\"'") == "-1 1", "ptrace stays refused"


@pytest.mark.parametrize(
    "word, value, why",
    [("deny", "/usr/share/zoneinfo", "Landlock"), ("jit", "none", "jit none"), ("run", "none", "run none")],
)
def test_what_it_would_undo_is_not_to_be_had_beside_it(host, word, value, why):
    words = [(word, value)]
    with pytest.raises(LauterError) as refused:
        host.spawn(nesting(*words), Launch("program", "true"))
    assert refused.value.code == C.ERROR_UNSUPPORTED and why in str(refused.value) and "nest any" in str(refused.value)
    assert host.spawn(Policy("notebook", *words), Launch("program", "/bin/true")).exited()


def test_a_limit_that_nobody_could_keep_is_an_error(host):
    by = host.spawn(Policy("notebook"), Launch("program", "/bin/true")).exited().report.memory_by
    policy = Policy("notebook", ("nest", "any"))
    if by != "sum":
        assert host.spawn(policy, Launch("program", "/bin/true")).exited().report.memory_by == by
        return
    with pytest.raises(LauterError) as refused:
        host.spawn(policy, Launch("program", "true"))
    assert refused.value.code == C.ERROR_UNSUPPORTED and "--limit memory=none" in str(refused.value)


@pytest.fixture(scope="module")
def stage():
    """Library and tests where a worker can be shown them."""
    stage = support.readable_copy()
    yield stage
    shutil.rmtree(stage)


def test_workers_with_all_their_namespaces_three_deep(host, stage):
    integration = stage / "Tests" / "Integration"
    words = [("read", stage), ("env", f"LAUTER_BUILD={stage}/build"), ("env", "PYTHONDONTWRITEBYTECODE=1")]
    launch = Launch("program", "/usr/bin/python3", integration / "workers" / "nest_any.py", integration, "2", stage, "limit:memory=none")
    worker = host.spawn(nesting(*words), launch)
    report = worker.exited(timeout=60).report
    said = worker.output().decode()
    assert report.exit_code == 0, said
    assert report.missing.split() == missing()
    told = json.loads(said)
    # Its first process, as seen inside, and few beside it: an ordinary user, in the innermost namespace user 0.
    user, name, pid, seen, root = told["said"]
    assert (user, name, root) == (str(os.geteuid() or 1000), "lauter", "0") and int(pid) <= 3 and int(seen) <= 6, told
    # The kernel has one listener for all of them: nobody tells what the inner ones try.
    assert all(set(each.split()) <= {"violations", "quotas"} for each in told["missing"]), told
