# SPDX-License-Identifier: Apache-2.0
"""`jit none`: whatever the worker computes or writes, no processor executes it. Each way is shown to work under `jit any`."""

import json

import pytest
from ffi import Launch, Policy

#: Each way runs `lea eax, [42]; ret` (on aarch64 `mov w0, 42; ret`) or a program of its own; what it returns is printed.
PROGRAM = r"""
import ctypes, errno, json, mmap, os, platform, shutil, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
CODE = bytes.fromhex({"x86_64": "b82a000000c3", "aarch64": "40058052c0035fd6"}[platform.machine()])
READ, WRITE, EXECUTE, SHARED, PRIVATE, ANONYMOUS = 1, 2, 4, 1, 2, 0x20
FAILED = ctypes.c_void_p(-1).value
writable = sys.argv[1:]

def checked(value):
    if value in (-1, FAILED):
        raise OSError(ctypes.get_errno(), "")
    return value

def call(address):
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()

def both_at_once():
    at = checked(libc.mmap(None, 4096, READ | WRITE | EXECUTE, PRIVATE | ANONYMOUS, -1, 0))
    ctypes.memmove(at, CODE, len(CODE))
    return call(at)

def one_after_the_other():
    at = checked(libc.mmap(None, 4096, READ | WRITE, PRIVATE | ANONYMOUS, -1, 0))
    ctypes.memmove(at, CODE, len(CODE))
    checked(libc.mprotect(at, 4096, READ | EXECUTE))
    return call(at)

def with_a_key():
    at = checked(libc.mmap(None, 4096, READ | WRITE, PRIVATE | ANONYMOUS, -1, 0))
    ctypes.memmove(at, CODE, len(CODE))
    number = {"x86_64": 329, "aarch64": 288}[platform.machine()]
    checked(libc.syscall(number, ctypes.c_void_p(at), ctypes.c_size_t(4096), READ | EXECUTE, -1))
    return call(at)

def from_file(fd):
    os.pwrite(fd, CODE.ljust(4096, b"\0"), 0)
    return call(checked(libc.mmap(None, 4096, READ | EXECUTE, PRIVATE, fd, 0)))

def in_folder(folder):
    fd = os.open(f"{folder}/code", os.O_CREAT | os.O_RDWR, 0o755)
    try:
        return from_file(fd)
    finally:
        os.close(fd)
        os.unlink(f"{folder}/code")

def in_memory_file():
    return from_file(os.memfd_create("code"))

def by_system_v():
    ident = checked(libc.shmget(0, 4096, 0o1700))
    at = checked(libc.shmat(ident, None, 0))
    ctypes.memmove(at, CODE, len(CODE))
    return call(checked(libc.shmat(ident, None, 0o100000)))

def through_proc():
    at = checked(libc.mmap(None, 4096, READ | EXECUTE, PRIVATE | ANONYMOUS, -1, 0))
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(at)
        memory.write(CODE)
    return call(at)

def a_program_in(folder):
    shutil.copy("/bin/sh", f"{folder}/copy")
    try:
        return subprocess.run([f"{folder}/copy", "-c", "exit 42"]).returncode
    finally:
        os.unlink(f"{folder}/copy")

ways = {f.__name__: f for f in (both_at_once, one_after_the_other, with_a_key, in_memory_file, by_system_v, through_proc)}
for folder in writable:
    ways[f"code in {folder}"] = lambda folder=folder: in_folder(folder)
    ways[f"program in {folder}"] = lambda folder=folder: a_program_in(folder)
found = {}
for name, way in ways.items():
    try:
        found[name] = way()
    except OSError as error:
        found[name] = errno.errorcode.get(error.errno, error.errno)
print(json.dumps(found))
"""


@pytest.fixture
def run(host, outside_tmp):
    def run(value):
        policy = Policy("notebook", ("write", outside_tmp), ("jit", value))
        folders = ["/tmp", "/home/worker", outside_tmp]
        launch = Launch("program", "/usr/bin/python3", "-c", PROGRAM, *folders)
        worker = host.spawn(policy, launch)
        report = worker.exited().report
        assert report.exit_code == 0, worker.output(2)
        return json.loads(worker.output(1)), report

    return run


def test_any_is_what_jits_need(run):
    found, report = run("any")
    if report.memory_by == "sum":  # which does not see files in memory
        assert found.pop("in_memory_file") == "ENOSYS"
    # Shared memory is a mount without execution whatever the word; keys for memory are not on every processor.
    found.pop("with_a_key")
    assert set(found.values()) == {42}, found


def test_none_leaves_no_way(run):
    found, report = run("none")
    assert len(found) == 12 and set(found.values()) <= {"EPERM", "EACCES", "ENOSYS", "EROFS"}, found
    assert (found["in_memory_file"], found["through_proc"]) == ("ENOSYS", "EROFS")
    assert report.denied == "[]", "JITs try it in all innocence"


def test_honest_work_goes_on(host):
    work = """
import ctypes, json, multiprocessing, sqlite3, ssl, subprocess, threading
import numpy
assert (numpy.ones((64, 64)) @ numpy.ones((64, 64))).sum() == 64 ** 3
assert ctypes.CDLL(None).abs(-3) == 3
assert subprocess.run(["/bin/sh", "-c", "exit 3"]).returncode == 3
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
"""
    worker = host.spawn(Policy("notebook", ("jit", "none")), Launch("program", "/usr/bin/python3", "-c", work))
    report = worker.exited().report
    assert report.exit_code == 0, worker.output(2)
