# SPDX-License-Identifier: Apache-2.0
"""Builds the measuring programs, takes turns between what is compared, and keeps what came out."""

import os
import random
import re
import shutil
import statistics
import subprocess
import time
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
        link = ["-I", str(ROOT / "include"), "-L", str(self.library.parent), "-llauter",
                f"-Wl,-rpath,{self.library.parent}"]
        self.first_byte = self._compile("musl-gcc", "first_byte", ["-static"], "first_byte.c")
        self.echo = self._compile("cc", "echo", ["-static"], "echo.c")
        self.sided = self._compile("cc", "sided", link + ["-pthread"], "sided.c")
        self.costs = self._compile("musl-gcc", "costs", ["-static"], "costs.c")
        self.load = self._compile("cc", "load", ["-ldl"], "load.c")
        self.host = self._compile("cc", "host", link, "host.c", "launch.c", "filter.c", "calls.c", "python.c", "crowd.c")

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

    def text(self, *words) -> list:
        """An answer in lines, up to an empty one."""
        self._process.stdin.write(" ".join(words) + "\n")
        lines = []
        while (line := self._process.stdout.readline().rstrip("\n")):
            lines.append(line)
        return lines

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


def in_turns(runs: int, things: dict, pause: float = 0.01) -> dict:
    """Do each of `things` once a round, in an order that changes; a first round warms up and does not count."""
    order = random.Random(1)
    results = {name: [] for name in things}
    names = list(things)
    for run in range(runs + 1):
        order.shuffle(names)
        for name in names:
            # The kernel takes namespaces down behind the back of whoever ended: not in the next one's time.
            time.sleep(pause)
            value = things[name]()
            if run > 0:
                results[name].append(value)
    return results


def available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo does not tell how much memory there is")


NAMESPACES = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv",
              "--hostname", "lauter", "--uid", "1000", "--gid", "1000"]


def lean_bubblewrap(program: str) -> list:
    """bubblewrap with the same namespaces, and of the file system what people show by habit: /usr, no /etc."""
    return [shutil.which("bwrap"), *NAMESPACES, "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
            "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--dev", "/dev", "--proc", "/proc",
            "--tmpfs", "/tmp", "--ro-bind", program, program, program]


def same_bubblewrap(plan: list, program: str) -> list:
    """bubblewrap with the same namespaces and the same file system as `plan` has it: each tree, file, link and tmpfs, and
    some of what is covered of /proc. `lauter-init` covers some more there, and `strict` shows nothing but processes:
    neither is made up for here, so the comparison leans to bubblewrap's side, as it does for limits, Landlock and filter,
    which it has not."""
    view = []
    for line in plan:
        step = line.split(None, 1)[1]
        if found := re.match(r"attach (\S+) read-only", step):
            view += ["--ro-bind", found[1], found[1]]
        elif (found := re.match(r"link (\S+) to (\S+)", step)) and not found[1].startswith("/dev/"):
            view += ["--symlink", found[2], found[1]]
        elif found := re.match(r"tmpfs (\S+) ", step):
            view += ["--tmpfs", found[1]]
        elif found := re.match(r"file (\S+), ", step):
            view += ["--ro-bind", program, found[1]]
        elif found := re.match(r"folder (\S+) ", step):
            view += ["--dir", found[1]]
    if view.count("--ro-bind") < 5:
        raise SystemExit("the plan cannot be read as bubblewrap's arguments any more")
    for name in ("interrupts", "keys", "sysrq-trigger", "timer_list"):
        if Path("/proc", name).exists():
            view += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in ("bus", "fs", "irq", "sys"):
        if Path("/proc", name).exists():
            view += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    return [shutil.which("bwrap"), *NAMESPACES, "--dev", "/dev", "--proc", "/proc", *view, "--remount-ro", "/",
            program]


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
