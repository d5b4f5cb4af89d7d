# SPDX-License-Identifier: Apache-2.0
"""Builds the measuring programs, takes turns between what is compared, and keeps what came out."""

import os
import random
import shutil
import statistics
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Programs:
    """What is measured with: C, built beside the library that is measured."""

    def __init__(self, build: Path):
        self.library = build / "lib" / "liblauter.so"
        self.folder = build / "benchmarks"
        self.folder.mkdir(parents=True, exist_ok=True)
        # Everybody may go there: a worker of root's has another user id.
        self.first_byte = self._compile("musl-gcc", "first_byte", ["-static"], "first_byte.c")
        self.echo = self._compile("musl-gcc", "echo", ["-static"], "echo.c")
        self.load = self._compile("cc", "load", ["-ldl"], "load.c")
        link = ["-I", str(ROOT / "include"), "-L", str(self.library.parent), "-llauter",
                f"-Wl,-rpath,{self.library.parent}"]
        self.host = self._compile("cc", "host", link, "host.c", "launch.c", "calls.c", "python.c")

    def _compile(self, compiler: str, name: str, options: list, *sources: str) -> str:
        out = self.folder / name
        paths = [str(HERE / source) for source in sources]
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra"]
        subprocess.run([compiler, *flags, *paths, *options, "-o", str(out)], check=True)
        return str(out)


class Host:
    """A measuring C host that does one thing at a command."""

    def __init__(self, program: str):
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words, lines: int = 1):
        self._process.stdin.write(" ".join(str(word) for word in words) + "\n")
        answers = [self._process.stdout.readline() for _ in range(lines)]
        if not answers[-1].endswith("\n"):
            raise SystemExit(f"the measuring host ended at '{words[0]}', see above")
        numbers = [[float(number) for number in answer.split()] for answer in answers]
        return numbers[0] if lines == 1 else numbers

    def close(self):
        self._process.stdin.close()
        if self._process.wait() != 0:
            raise SystemExit("the measuring host ended badly")


def percentile(values, share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def summary(values) -> dict:
    """Of what was measured: its middle and its spread."""
    return {
        "runs": len(values),
        "median": round(statistics.median(values), 2),
        "p10": round(percentile(values, 0.1), 2),
        "p90": round(percentile(values, 0.9), 2),
    }


def in_turns(runs: int, things: dict) -> dict:
    """Do each of `things` once a round, in an order that changes; a first round warms up and does not count."""
    order = random.Random(1)
    results = {name: [] for name in things}
    names = list(things)
    for run in range(runs + 1):
        order.shuffle(names)
        for name in names:
            value = things[name]()
            if run > 0:
                results[name].append(value)
    return results


def available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo does not tell how much memory there is")


def bubblewrap(program: str) -> list:
    """bubblewrap with the same namespaces. It shows /usr, a /dev, a /proc and a /tmp as the worker has them, and less of
    /etc; it loads no filter and sets no Landlock rules."""
    command = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv",
        "--hostname", "lauter", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
        "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--dev", "/dev", "--proc", "/proc",
        "--tmpfs", "/tmp", "--tmpfs", "/home", "--ro-bind", program, program]
    return [shutil.which("bwrap"), *command[1:], program]


def machine() -> dict:
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
        "processor": model,
        "processors": os.cpu_count(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "load": [round(load, 2) for load in os.getloadavg()],
    }
