# SPDX-License-Identifier: Apache-2.0
"""What a policy takes from a worker and what it leaves, each denial beside its allowed twin. The attempts that need no
more than a preset are in Tests/Escape."""

import os
import re
import socket
import subprocess

import ffi
import pytest
import support
from ffi import C, Policy

REFUSED = {
    "EPERM", "EACCES", "ENOENT", "EROFS", "ENOSYS", "ESRCH", "ENETUNREACH", "ECONNREFUSED", "EAFNOSUPPORT",
    "EPROTONOSUPPORT", "ENETDOWN", "EADDRNOTAVAIL", "ENOSPC", "EUSERS",
}  # fmt: skip
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the allowed twin needs root")


def is_refused(said: str) -> bool:
    return said.split()[0] in REFUSED


@pytest.fixture
def folder():
    """A folder of the host with a secret in it, which everyone may read, and write as far as modes go."""
    folder = support.scratch()
    folder.chmod(0o755)
    (folder / "secret").write_text("a secret")
    (folder / "secret").chmod(0o644)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.fixture
def neighbour():
    """A process of the host's user, which a worker has no business with."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    assert process.poll() is None, "the neighbour was harmed"
    process.kill()
    process.wait()


# ------------------------------------------------------------------------------------------------- files --


def test_a_file_outside_the_policy_cannot_be_read(bench, folder):
    assert bench.outside("read", folder / "secret") == "ok a secret"
    assert bench.inside("read", folder / "secret", words=[("read", folder)]) == "ok a secret"
    assert is_refused(bench.inside("read", folder / "secret"))


def test_a_denied_file_below_a_readable_folder_cannot_be_read(bench, outside_tmp):
    folder = outside_tmp
    (folder / "secret").write_text("a secret")
    (folder / "open").write_text("open")
    words = [("read", folder), ("deny", folder / "secret")]
    assert bench.inside("read", folder / "open", words=words) == "ok open"
    assert is_refused(bench.inside("read", folder / "secret", words=words))


def test_a_denied_folder_shows_nothing(bench, outside_tmp):
    folder = outside_tmp
    inner = folder / "inner"
    inner.mkdir()
    (inner / "file").write_text("hidden")
    assert bench.inside("list", inner, words=[("read", folder)]) == "ok file"
    words = [("read", folder), ("deny", inner)]
    said = bench.inside("list", inner, words=words)
    assert is_refused(said) or said == "ok"
    assert is_refused(bench.inside("read", inner / "file", words=words))


def test_a_readable_folder_inside_a_denied_one_can_be_read(bench, outside_tmp):
    folder = outside_tmp
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("allowed")
    words = [("read", folder), ("deny", folder / "a"), ("read", folder / "a" / "b")]
    assert bench.inside("read", folder / "a" / "b" / "file", words=words) == "ok allowed"


def test_a_readable_folder_cannot_be_written(bench, folder):
    assert bench.outside("write", folder / "new") == "ok"
    assert is_refused(bench.inside("write", folder / "newer", words=[("read", folder)]))
    assert is_refused(bench.inside("write", folder / "secret", words=[("read", folder)]))
    assert not (folder / "newer").exists()
    assert (folder / "secret").read_text() == "a secret"


def test_a_writable_folder_can_be_written_and_keeps_its_owner(bench, folder):
    assert bench.inside("write", folder / "new", words=[("write", folder)]) == "ok"
    assert (folder / "new").read_text() == "written by the probe"
    assert (folder / "new").stat().st_uid == os.getuid()


def test_no_set_id_program_can_be_left_in_a_writable_folder(bench, folder):
    """With the host's owner, by the id map of a root host: whoever reaches the folder would run it as root."""
    words = [("write", folder)]
    assert bench.inside("create", folder / "plain", "755", words=words) == "ok 755"
    assert bench.inside("chmod", folder / "plain", "700", words=words) == "ok"
    for mode in ("4755", "2755", "6755"):
        said = bench.inside("create", folder / f"new-{mode}", mode, words=words)
        assert is_refused(said) or said == "ok 755", said
        assert is_refused(bench.inside("chmod", folder / "plain", mode, words=words))
    assert not [f for f in folder.iterdir() if f.stat().st_mode & 0o6000]
    if os.geteuid() == 0:
        assert bench.outside("chmod", folder / "plain", "4755") == "ok"


def test_a_symbolic_link_out_of_a_writable_folder_leads_nowhere(bench, folder):
    allowed = folder / "allowed"
    allowed.mkdir()
    (allowed / "link").symlink_to(folder / "secret")
    assert bench.inside("read", allowed / "link", words=[("write", folder)]) == "ok a secret"
    assert is_refused(bench.inside("read", allowed / "link", words=[("write", allowed)]))


def test_the_worker_s_tmp_and_home_are_its_own(bench):
    ours = support.scratch("lauter-test-ours-")
    try:
        assert bench.inside("write", "/tmp/file-of-the-worker") == "ok"
        assert not os.path.exists("/tmp/file-of-the-worker")
        assert ours.name in bench.outside("list", "/tmp").split()
        assert ours.name not in bench.inside("list", "/tmp").split()
        home = bench.inside("directory")
        assert bench.inside("write", f"{home}/file") == "ok"
        assert not os.path.exists(f"{home}/file")
    finally:
        ours.rmdir()


def test_a_home_that_is_given_is_that_folder(bench, folder):
    assert bench.inside("directory", words=[("home", folder)])
    home = bench.inside("directory", words=[("home", folder)])
    assert bench.inside("write", f"{home}/in-home", words=[("home", folder)]) == "ok"
    assert (folder / "in-home").exists()


def test_without_a_home_there_is_none_but_tmp(bench):
    assert re.search(r"^HOME=/home/", bench.inside("environment"), re.M)
    home = re.search(r"^HOME=(.*)$", bench.inside("environment", words=[("home", "none")]), re.M)
    assert home is None or home[1] in ("/", "/tmp")


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/usr/bin", "/dev", "/proc", "/proc/sys/kernel", "/var", "/root"])
def test_nothing_of_the_system_can_be_written(bench, path):
    assert bench.inside("write", "/tmp/x") == "ok"
    assert is_refused(bench.inside("write", f"{path.rstrip('/')}/lauter-escape"))
    assert not os.path.exists(f"{path}/lauter-escape")


@pytest.mark.parametrize("path", ["/etc/shadow", "/root", "/home", "/var/log", "/boot", "/run", "/sys/firmware"])
def test_private_places_of_the_system_show_nothing_of_the_host(bench, path):
    attempt = "list" if os.path.isdir(path) else "read"
    outside = bench.outside(attempt, path) if os.path.exists(path) else "ENOENT"
    if os.geteuid() == 0 and os.path.exists(path):
        assert outside.startswith("ok")
    inside = bench.inside(attempt, path)
    if not is_refused(inside):
        assert attempt == "list" and not set(inside.split()[1:]) & set(outside.split()[1:]), inside


def test_the_size_of_tmp_is_bounded(bench):
    assert bench.inside("fill", "/tmp/full", 4, words=[("tmp", "8M")]) == "ok"
    assert bench.inside("fill", "/tmp/full", 16, words=[("tmp", "8M")]) == "ENOSPC"


# ----------------------------------------------------------------------------------------------- network --


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("net", ["none", "private"])
def test_the_host_s_loopback_is_out_of_reach(bench, listener, net):
    assert bench.inside("connect", "127.0.0.1", listener, words=[("net", "host")]) == "ok"
    assert is_refused(bench.inside("connect", "127.0.0.1", listener, words=[("net", net)]))


@pytest.mark.parametrize("net", ["none", "private"])
def test_no_route_leads_out(bench, net):
    out = "192.0.2.77"
    if bench.outside("route", out) != "ok":
        out = "127.0.0.1"  # a machine without a network: its own loopback is the twin
    assert bench.inside("route", out, words=[("net", "host")]) == "ok"
    if out != "127.0.0.1":
        assert is_refused(bench.inside("route", out, words=[("net", net)]))


def test_a_private_network_has_a_loopback_of_its_own_and_none_has_none(bench):
    assert bench.inside("own-loopback", words=[("net", "private")]) == "ok"
    assert is_refused(bench.inside("own-loopback", words=[("net", "none")]))


def test_abstract_sockets_of_the_host_are_out_of_reach(bench):
    with socket.socket(socket.AF_UNIX) as server:
        name = f"lauter-test-{os.getpid()}"
        server.bind(f"\0{name}")
        server.listen()
        assert bench.outside("unix", f"@{name}") == "ok"
        for net in ("none", "private"):
            assert is_refused(bench.inside("unix", f"@{name}", words=[("net", net)])), net
        with ffi.Host() as host:
            worker = host.spawn(bench.policy(("net", "host")), bench.probe("unix", f"@{name}"))
            missing = worker.exited().report.missing.split()
            said = worker.output(ffi.C.STREAM_STDOUT).decode().strip()
        if support.landlock_abi() >= 6:
            assert is_refused(said) and "abstract-sockets" not in missing
        else:  # nothing keeps them apart, and the report says so
            assert said == "ok" and "abstract-sockets" in missing


def test_sockets_with_a_path_outside_the_policy_are_out_of_reach(bench, folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        (folder / "socket").chmod(0o777)
        server.listen()
        assert bench.outside("unix", folder / "socket") == "ok"
        assert is_refused(bench.inside("unix", folder / "socket"))


# --------------------------------------------------------------------------------------------- processes --


def test_processes_outside_cannot_be_signalled(bench, neighbour):
    assert bench.outside("kill", neighbour.pid, 0) == "ok"
    assert bench.inside("kill-own-child") == "ok"
    assert is_refused(bench.inside("kill", neighbour.pid, 0))
    assert is_refused(bench.inside("kill", os.getpid(), 0))
    bench.inside("kill", -1, 15)  # all that it can see; the fixture checks the neighbour


def test_proc_shows_the_worker_s_own_processes_alone(bench):
    outside = [p for p in bench.outside("list", "/proc").split() if p.isdigit()]
    assert str(os.getpid()) in outside
    inside = sorted(int(p) for p in bench.inside("list", "/proc").split() if p.isdigit())
    assert inside == [1, 2]


@pytest.mark.root
@as_root
def test_no_setuid_program_gives_power(bench, folder):
    program = folder / "setuid"
    program.write_bytes(open(bench.path("probe"), "rb").read())
    program.chmod(0o4755)
    outside = subprocess.run([program, "ids"], stdout=subprocess.PIPE, user=65534, group=65534, extra_groups=[])
    assert b"uid 65534 euid 0" in outside.stdout, "the folder's mount may be nosuid"
    said = bench.inside("exec", program, "ids", words=[("read", folder)])
    uid, euid = re.match(r"uid (\d+) euid (\d+)", said).groups()
    assert uid == euid != "0"


# -------------------------------------------------------------------------------------------- privileges --


def test_a_worker_has_no_user_s_or_group_s_power(bench):
    said = bench.inside("ids")
    uid, euid, gid = re.match(r"uid (\d+) euid (\d+) gid (\d+)", said).groups()
    assert uid == euid != "0" and gid != "0"
    assert " pid 2 ppid 1" in said
    if os.geteuid() == 0:
        assert re.search(r"groups pid", said), said


def test_a_worker_has_no_capability_and_no_way_to_one(bench):
    names = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"]
    status = dict(line.split(":") for line in bench.inside("status", *names).splitlines())
    status = {name: value.strip() for name, value in status.items()}
    assert status == {n: "0" * 16 for n in names[:5]} | {"NoNewPrivs": "1", "Seccomp": "2"}
    outside = bench.outside("status", *names)
    assert "NoNewPrivs:\t0" in outside and "Seccomp:\t0" in outside


def test_setuid_to_another_user_is_refused(bench):
    own = int(re.match(r"uid (\d+)", bench.inside("ids")).group(1))
    assert bench.inside("setuid", own) == "ok"
    assert is_refused(bench.inside("setuid", 0)) or bench.inside("setuid", 0) == "EINVAL"


# ---------------------------------------------------------------------------------- what a worker is born with --


def test_the_environment_is_clean_but_for_what_was_given(bench, monkeypatch):
    monkeypatch.setenv("LAUTER_TEST_SECRET", "hidden")
    monkeypatch.setenv("LAUTER_TEST_SHARED", "shared")
    assert "LAUTER_TEST_SECRET=hidden" in bench.outside("environment")
    said = bench.inside("environment", words=[("env", "GIVEN=with = and spaces"), ("env", "LAUTER_TEST_SHARED")])
    lines = said.splitlines()
    assert "GIVEN=with = and spaces" in lines and "LAUTER_TEST_SHARED=shared" in lines
    assert "SECRET" not in said
    names = {line.split("=")[0] for line in lines} - {"GIVEN", "LAUTER_TEST_SHARED"}
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "USER", "LOGNAME", "SHELL", "PWD", "TERM"}


def test_a_program_is_born_with_its_standard_streams_alone(bench):
    numbers = [entry.split(":")[0] for entry in bench.inside("descriptors").split()]
    assert numbers == ["0", "1", "2"]


def test_a_worker_is_born_with_session_page_and_arena_beside_them(host, bench):
    worker = host.spawn(bench.policy(), ffi.Launch("worker", bench.path("probe"), "descriptors", ready_timeout="5s"))
    worker.exited()
    numbers = [entry.split(":")[0] for entry in worker.output().decode().split()]
    assert numbers == ["0", "1", "2", "3", "4", "5"]


def test_memory_is_limited(bench):
    assert bench.inside("memory", 64, words=[("limit", "memory=256M")]) == "ok"
    assert bench.inside("memory", 512) == "ok"
    assert bench.inside("memory", 512, words=[("limit", "memory=256M")]) == "ENOMEM"


def test_processes_are_limited(bench):
    assert bench.inside("forks", 50) == "ok 50"
    said = bench.inside("forks", 50, words=[("limit", "processes=20")])
    assert said.startswith("EAGAIN ") and 10 <= int(said.split()[1]) < 20


def test_strict_lets_no_further_program_run(bench):
    strict = Policy("strict", ("read", bench.folder))
    assert bench.inside("ids", policy=strict).startswith("uid")
    assert bench.inside("exec", bench.path("probe"), "ids").startswith("uid")
    assert is_refused(bench.inside("exec", bench.path("probe"), "ids", policy=strict))
    # There are no memfds where init adds up what the worker has of memory.
    words = [("limit", "memory=none")]
    assert bench.inside("exec-anonymous", bench.path("probe"), "ids", words=words).startswith("uid")
    strict = Policy("strict", ("read", bench.folder), *words)
    assert is_refused(bench.inside("exec-anonymous", bench.path("probe"), "ids", policy=strict))


def test_strict_has_no_network_and_writes_nowhere_but_in_its_tmp(bench):
    strict = Policy("strict", ("read", bench.folder))
    assert is_refused(bench.inside("own-loopback", policy=strict))
    assert bench.inside("write", "/tmp/x", policy=strict) == "ok"
    assert is_refused(bench.inside("write", str(bench.folder / "x"), policy=strict))


def test_unconfined_confines_nothing_but_ends_the_whole_tree(host, bench, folder):
    unconfined = Policy("unconfined")
    assert bench.inside("read", folder / "secret", policy=unconfined) == "ok a secret"
    assert bench.inside("write", folder / "new", policy=unconfined) == "ok"
    worker = host.spawn(unconfined, bench.probe("family", 6))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    support.eventually(lambda: len(support.processes_with(bench.path("probe"))) >= 7, within=2)
    worker.kill()
    worker.exited()
    support.eventually(lambda: not support.processes_with(bench.path("probe")), within=0.5)


def test_two_workers_do_not_see_each_other(host, bench):
    first = host.spawn(bench.policy(), bench.probe("stay"))
    host.until(lambda e: e.kind == C.EVENT_STREAM)
    pid = support.processes_with(bench.path("probe"))[0]
    assert bench.outside("kill", pid, 0) == "ok"
    assert bench.inside("list", "/proc").split().count("3") == 0
    if os.geteuid() == 0:
        uids = {open(f"/proc/{pid}/status").read().split("Uid:")[1].split()[0]}
        second = host.spawn(bench.policy(), bench.probe("stay"))
        host.until(lambda e: e.kind == C.EVENT_STREAM and e.worker == second.id)
        for other in support.processes_with(bench.path("probe")):
            uids.add(open(f"/proc/{other}/status").read().split("Uid:")[1].split()[0])
        assert len(uids) == 2, f"two workers of root share a user: {uids}"
    assert first.id
