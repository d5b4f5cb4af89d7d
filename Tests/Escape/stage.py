# SPDX-License-Identifier: Apache-2.0
"""What the attempts are made against: files of the host's, a neighbour, sockets; and who runs lists of attempts."""

import ctypes
import itertools
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Integration"))

import ffi  # noqa: E402
import support  # noqa: E402
from ffi import C  # noqa: E402

#: What an attempt may do outside, with all power over namespaces of its own. A tmpfs with a folder `home` is on /mnt.
ALONE = ["unshare", "--user", "--map-root-user", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--mount-proc",
         "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /mnt && exec "$@"', "sh"]  # fmt: skip
NUMBERS = itertools.count(1)


def compile_attempts(program: Path) -> None:
    """Static, so that a sandbox needs nothing but the program."""
    sources = sorted(map(str, (HERE / "attempts").glob("*.c")))
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-pthread"]
    subprocess.run(["gcc", *flags, *sources, "-o", str(program), "-lrt"], check=True)


def outside_tmp() -> str:
    """A folder for the stage: below /tmp, which is memory of the worker's own, nothing can be denied for good."""
    for parent in (os.environ.get("LAUTER_TEST_OUTSIDE_TMP"), "/srv", "/opt", str(Path.home())):
        if parent and os.access(parent, os.W_OK) and not os.path.realpath(parent).startswith(("/tmp", "/var/tmp")):
            return parent
    raise SystemExit("escape: name a folder outside of /tmp that may be written: LAUTER_TEST_OUTSIDE_TMP")


class Stage:
    """The host's side, in a folder that is removed at the end."""

    #: Else they are refused to the host, and its policies go on without.
    has_namespaces = True

    def __init__(self, program: Path):
        self.run = f"{os.getpid():x}"
        self.folder = Path(tempfile.mkdtemp(prefix="lauter-escape-", dir=outside_tmp()))
        self.folder.chmod(0o755)
        self.tag = f"host-{self.run}"
        for name in ("bin", "lists", "readable/denied-folder", "writable", "private/home"):
            (self.folder / name).mkdir(parents=True)
        for name in ("readable", "writable", "private"):
            (self.folder / name).chmod(0o777)
        self.program = self.folder / "bin" / "escape"
        shutil.copy(program, self.program)
        self.program.chmod(0o755)
        secrets = ["private/secret", "private/home/key", "readable/denied-file", "readable/denied-folder/secret"]
        for name in secrets + [f"readable/file-{i}" for i in range(1, 10)]:
            (self.folder / name).write_text("a secret of the host's\n")
            (self.folder / name).chmod(0o644)
        set_id = self.folder / "bin" / "set-id"
        shutil.copy(program, set_id)
        set_id.chmod(0o4755)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.folder / "readable" / "socket"))
        (self.folder / "readable" / "socket").chmod(0o777)
        self.listening.listen(100)
        self.kept = os.open(self.folder / "private", os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(self.kept, True)
        keep_a_key()
        os.environ["LAUTER_ESCAPE_TOKEN"] = "a-token-of-the-host's"
        os.chdir(self.folder / "private")
        self.neighbour = subprocess.Popen(
            [self.program, "serve", self.tag, self.folder / "private"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        tcp, udp = re.match(rb"serving (\d+) (\d+)", self.neighbour.stdout.readline()).groups()
        self.places = {
            **{name: str(self.folder / name) for name in ("readable", "writable", "private")},
            "run": self.run,
            "secret": str(self.folder / "private" / "secret"),
            "denied_file": str(self.folder / "readable" / "denied-file"),
            "denied_folder": str(self.folder / "readable" / "denied-folder"),
            "escape": str(self.program),
            "set_id": str(set_id),
            "host": self.tag,
            "host_tmp": f"/tmp/lauter-{self.tag}",
            "host_shm": f"/dev/shm/lauter-{self.tag}",
            "worker_file": f"/tmp/lauter-worker-{self.run}",
            "worker_home": "/home/worker",
            "somewhere": str(self.folder / "writable"),
            "neighbour": str(self.neighbour.pid),
            "tcp": tcp.decode(),
            "udp": udp.decode(),
            "hostname": platform.node(),
            "machine_id": first_line("/etc/machine-id"),
            "boot_id": first_line("/proc/sys/kernel/random/boot_id"),
            "passwd": first_line("/etc/passwd"),
            "loader": str(next(Path("/lib64").glob("ld-linux*"), "/lib/ld-linux-aarch64.so.1")),
            "victim": "none",
            "victim_pid": "0",
        }

    def close(self):
        os.chdir("/")
        os.close(self.kept)
        self.listening.close()
        assert self.neighbour.poll() is None, "the neighbour was harmed"
        self.neighbour.stdin.close()
        self.neighbour.stdout.close()
        self.neighbour.wait()
        for left in Path("/tmp").glob(f"lauter-*-{self.run}*"):
            left.unlink()
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def words(self, preset):
        """The policy under which everything is tried: the preset, and what an ordinary use of it names."""
        at = self.folder
        words = [("read", at / "bin"), ("read", at / "lists"), ("read", at / "readable"), ("deny", at / "readable/denied-file"),
                 ("deny", at / "readable/denied-folder"), ("limit", "memory=192M"), ("tmp", "32M")]  # fmt: skip
        if not self.has_namespaces:
            words += [("allow-missing", "namespaces"), ("allow-missing", "limit")]
        return words + ([("write", at / "writable")] if preset == "notebook" else [])

    def policy(self, preset, *more):
        return ffi.Policy(preset, *self.words(preset), *more)

    def write_list(self, lines) -> Path:
        path = self.folder / "lists" / f"list-{next(NUMBERS)}."
        path.write_text("".join("\t".join([str(number), *what.split()]) + "\n" for number, what in lines))
        path.chmod(0o644)
        return path

    def fill(self, what, **more) -> str:
        return what.format(**{**self.places, **more})


def keep_a_key():
    """In the keyring of the host's user, so that there is one to be seen."""
    number = {"x86_64": 248, "aarch64": 217}.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, b"user", b"lauter:escape", b"x", ctypes.c_size_t(1), -4)


def first_line(path) -> str:
    try:
        return Path(path).read_text().split("\n")[0].strip() or "none"
    except OSError:
        return "none"


class Outcomes(dict):
    """What the program said, by number: (verdict, note)."""

    def take(self, said: str):
        """Returns the number of the attempt that was begun and has no outcome, and whether the list ended."""
        begun = None
        for line in said.splitlines():
            fields = line.split("\t")
            if fields[0] == "begin":
                begun = int(fields[1])
            elif len(fields) == 3:
                self[int(fields[0])] = (fields[1], fields[2])
                begun = None
        return begun, said.rstrip().endswith("end")


def try_all(start, lines, stage) -> Outcomes:
    """Runs a list, and what is left of it again whenever an attempt has ended its worker."""
    outcomes, left = Outcomes(), list(lines)
    while left:
        said, why = start(stage.write_list(left))
        begun, ended = outcomes.take(said)
        if ended:
            break
        if begun is None and not any(number in outcomes for number, _ in left):
            raise RuntimeError(f"no attempt was begun: {why}: {said[-500:]}")
        if begun is not None:
            outcomes[begun] = ("contained", f"its worker was ended: {why}")
        left = [(number, what) for number, what in left if number not in outcomes]
    return outcomes


def outside(stage, prefix=(), **options):
    """Who runs lists without a sandbox."""

    def start(path):
        command = [*prefix, str(stage.program), str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False, **options)
        return done.stdout.decode(errors="replace"), f"exit {done.returncode}"

    return start


def program(stage, path) -> ffi.Launch:
    return ffi.Launch("program", str(stage.program), str(path))


def inside(stage, host, preset):
    """Who runs lists in workers."""

    def start(path):
        worker = host.spawn(stage.policy(preset), program(stage, path))
        report = worker.exited(timeout=120).report
        return worker.output(C.STREAM_STDOUT).decode(errors="replace"), f"{report.why} {report.stderr_tail}".strip()

    return start


def inside_apart(stage, host, preset, attempts) -> Outcomes:
    """Each in a worker of its own, all at the same time."""
    outcomes, workers = Outcomes(), {}
    for number, what, words in attempts:
        path = stage.write_list([(number, what)])
        workers[number] = host.spawn(stage.policy(preset, *words), program(stage, path))
    for number, worker in workers.items():
        ended = [e for e in host.seen if e.kind == C.EVENT_EXITED and e.worker == worker.id]
        report = (ended[0] if ended else worker.exited(timeout=60)).report
        begun, _ = outcomes.take(worker.output(C.STREAM_STDOUT).decode(errors="replace"))
        if number not in outcomes:
            outcomes[number] = ("contained" if begun == number else "broken", f"its worker was ended: {report.why}")
    return outcomes
