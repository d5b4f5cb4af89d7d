# SPDX-License-Identifier: Apache-2.0
"""What several tests need: programs in C, processes as /proc shows them, and what may not be left behind."""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ffi
from ffi import start_time  # noqa: F401 - for the tests

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
C_FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2"]


def scratch(prefix="lauter-test-", parent=None) -> Path:
    """A folder that a worker's own user may look into (pytest's are private to theirs)."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    folder.chmod(0o755)
    return folder


def compile_workers(folder: Path) -> None:
    """Static, so that a sandbox needs nothing but the program. LAUTER_TEST_WORKERS: a folder of those that are made already, for
    machines where compiling takes long."""
    ready = os.environ.get("LAUTER_TEST_WORKERS")
    if ready:
        shutil.copytree(ready, folder, dirs_exist_ok=True)
        return
    for source in sorted((HERE / "workers").glob("*.c")):
        subprocess.run(
            ["gcc", *C_FLAGS, "-static", str(source), "-o", str(folder / source.stem)], check=True
        )


def readable_copy(*folders) -> Path:
    """The library, the header and these tests where a worker can be shown them, with `folders` beside them."""
    from header import header_path

    stage = scratch()
    library = ffi.library_path().resolve()
    shutil.copytree(library.parent, stage / "build" / "lib", symlinks=True)
    shutil.copytree(HERE, stage / "Tests" / "Integration", ignore=shutil.ignore_patterns("__pycache__"))
    (stage / "include").mkdir()
    for header in ("lauter.h", "lauter_worker.h"):
        shutil.copy(header_path().with_name(header), stage / "include" / header)
    for folder in folders:
        (stage / folder).mkdir(parents=True)
        (stage / folder / "file").write_text("x")
    for folder, _, files in os.walk(stage):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o755 if name == "lauter-init" else 0o644)
    return stage


def python_interpreter() -> str:
    """A Python that every user may run: the system's, else ours."""
    system = "/usr/bin/python3"
    return system if os.access(system, os.X_OK) else os.path.realpath(sys.executable)


def processes_with(token: str) -> list:
    """Processes whose command line holds `token` (a zombie has none), without this one."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            command = Path(f"/proc/{entry}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if token.encode() in command:
            found.append(int(entry))
    return found


def eventually(check, within: float, every=0.002):
    """Wait until `check` holds; the time that it took, or a failure with its last value."""
    begun = time.monotonic()
    while True:
        value = check()
        if value:
            return time.monotonic() - begun
        if time.monotonic() - begun > within:
            raise AssertionError(f"not within {within} s (last: {value!r})")
        time.sleep(every)


def run_python(program: str) -> str:
    """What a Python program of its own process printed; a failure if it did not end well."""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, f"it ended with {done.returncode}"
    return done.stdout.decode()


def cpu_of(pids) -> float:
    """Seconds of CPU time that processes have used, exactly; those that are gone count nothing."""
    used = 0.0
    for pid in pids:
        try:
            used += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            pass
    return used


def state_of(pid: int) -> str:
    """A process's state, as one letter of /proc/PID/stat; empty if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat[stat.rindex(")") + 2]


def landlock_abi() -> int:
    """What this kernel's Landlock knows: 2 renames between folders, 3 truncation, 6 scopes; 0 without any."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    # landlock_create_ruleset, LANDLOCK_CREATE_RULESET_VERSION
    return max(0, libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1)))


class Traces:
    """What a host leaves in its own process and machine: taken before and after, to be compared."""

    def __init__(self):
        self.descriptors = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                self.descriptors[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:
                pass  # the one that listed the folder
        self.threads = set(os.listdir("/proc/self/task"))

    def leaks_since(self, before: "Traces") -> dict:
        new = {fd: what for fd, what in self.descriptors.items() if before.descriptors.get(fd) != what}
        return {
            name: value
            for name, value in {
                "descriptors": new,
                "threads": sorted(self.threads - before.threads),
            }.items()
            if value
        }


class Workbench:
    """Programs and policies for the tests of one session."""

    def __init__(self):
        self.folder = scratch()
        compile_workers(self.folder)

    def close(self):
        shutil.rmtree(self.folder)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def policy(self, *words, preset="notebook") -> ffi.Policy:
        """A preset that can also see the programs."""
        return ffi.Policy(preset, ("read", self.folder), *words)

    def worker(self, *arguments, **properties) -> ffi.Launch:
        return ffi.Launch("worker", self.path("worker"), *arguments, **properties)

    def liar(self, rule, **properties) -> ffi.Launch:
        return ffi.Launch("worker", self.path("liar"), rule, **properties)

    def probe(self, *arguments, **properties) -> ffi.Launch:
        return ffi.Launch("program", self.path("probe"), *arguments, **properties)

    def burner(self, *arguments, **properties) -> ffi.Launch:
        return ffi.Launch("program", self.path("burner"), *arguments, **properties)

    def python(self, **properties) -> ffi.Launch:
        properties.setdefault("interpreter", python_interpreter())
        return ffi.Launch("python", **properties)

    def inside(self, *attempt, policy=None, words=()) -> str:
        """What the probe says about an attempt in a sandbox."""
        with ffi.Host() as host:
            worker = host.spawn(policy or self.policy(*words), self.probe(*attempt))
            report = worker.exited().report
            said = worker.output(ffi.C.STREAM_STDOUT).decode()
            assert said, f"the probe said nothing: {report.why} {report.stderr_tail}"
            return said.strip()

    def outside(self, *attempt, **options) -> str:
        """What the probe says without a sandbox."""
        command = [self.path("probe"), *map(str, attempt)]
        said = subprocess.run(command, stdout=subprocess.PIPE, timeout=20, **options).stdout.decode()
        assert said, "the probe said nothing"
        return said.strip()
