# SPDX-License-Identifier: Apache-2.0
"""Drives `programs/faults.c`: which system calls a launch makes, and what comes of it when one of them fails."""

import errno
import json
import os
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
UNISTD = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
NUMBERS = {m[1]: int(m[2]) for m in re.finditer(r"#define __NR_(\w+) (\d+)", Path(UNISTD).read_text())}
NAMES = {number: name for name, number in NUMBERS.items()}
REASON_EXITED, REASON_LAUNCH = 1, 5

#: Calls that do not come back, and those that the kernel has no way to refuse as they are made here.
CANNOT_FAIL = {
    "exit": "does not come back",
    "exit_group": "does not come back",
    "getpid": "takes nothing that could be wrong",
    "getppid": "takes nothing that could be wrong",
    "gettid": "takes nothing that could be wrong",
    "geteuid": "takes nothing that could be wrong",
    "getegid": "takes nothing that could be wrong",
    "umask": "every mask is one",
    "rt_sigaction": "fails for a bad address or signal number alone",
    "timerfd_settime": "fails for a bad address, descriptor or time alone",
    "arch_prctl": "the C library's first act: the address of its thread's memory",
    "set_tid_address": "always succeeds",
}
#: To fail, these are made first: what a failed close has closed stays closed, a child that was waited for is gone, and a
#: sleeper that was woken is awake.
FAIL_AFTERWARDS = {"close", "munmap", "waitid", "wait4", "futex"}
#: What each plausibly fails with; two where the answer may differ. EMFILE and ENOMEM are what a host meets in life.
PLAUSIBLE = {
    "close": [errno.EIO],
    "open": [errno.EMFILE],
    "openat": [errno.EMFILE],
    "openat2": [errno.EMFILE],
    "open_tree": [errno.EMFILE],
    "read": [errno.EIO],
    "write": [errno.ENOSPC],
    "pread64": [errno.EIO],
    "readlink": [errno.ENOMEM],
    "newfstatat": [errno.ENOMEM],
    "execveat": [errno.EACCES, errno.ENOMEM],
    "execve": [errno.ENOMEM],
    "clone": [errno.EAGAIN, errno.ENOSPC],
    "memfd_create": [errno.EMFILE, errno.ENOSYS],
    "waitid": [errno.ECHILD, errno.EINTR],
    "wait4": [errno.ECHILD],
    "futex": [errno.EINTR],
    "mount": [errno.EPERM],
    # Not EPERM, which is the kernel's word for a /proc that would show more than the machine's own: quotas are then set
    # there.
    "fsopen": [errno.EMFILE],
    "fsconfig": [errno.ENOMEM],
    "fsmount": [errno.EMFILE],
    "move_mount": [errno.EPERM],
    "mount_setattr": [errno.EPERM],
    "pivot_root": [errno.EINVAL],
    "seccomp": [errno.EINVAL],
    "landlock_restrict_self": [errno.EPERM],
    "setresuid": [errno.EAGAIN],
}


@dataclass(frozen=True)
class Call:
    """One system call of a launch: the `nth` with this name that `role` makes."""

    role: str
    name: str
    nth: int
    arguments: tuple
    text: str
    result: int
    #: The path that the call's descriptor was opened with, where that is known; of a blocking of signals, the kind of
    #: process that it is for: the flags of the clone that follows.
    about: str = ""
    #: Init's calls once its worker has become the program.
    is_afterwards: bool = False
    #: Init's calls while it is still a part of the host's memory.
    is_before_exec: bool = False

    def __str__(self):
        shown = self.text or ",".join(str(a) for a in self.arguments)
        return f"{self.role} {self.name}#{self.nth}({shown})"


@dataclass
class Answer:
    """What the host was told of a launch in which `call` failed with `errno`."""

    call: Call
    errno: int
    said: dict

    def __getattr__(self, name):
        return self.said[name]

    def __str__(self):
        shown = {k: v for k, v in self.said.items() if v not in ("", 0) and k not in ("agrees", "next", "same", "hit")}
        return f"{self.call} {errno.errorcode[self.errno]} -> {shown}"


def compile_programs(folder: Path, build: Path) -> None:
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"]
    programs, include = HERE / "programs", HERE.parents[1] / "include"
    library = ["-L", build / "lib", "-llauter", f"-Wl,-rpath,{build / 'lib'}"]
    sources = [programs / "faults.c", programs / "subject.c"]
    subprocess.run(["gcc", *flags, "-I", include, *sources, "-o", folder / "faults", *library], check=True)
    workers = HERE.parent / "Integration" / "workers"
    for source in (programs / "witness.c", workers / "worker.c"):
        subprocess.run(["gcc", *flags, "-static", source, "-o", folder / source.stem], check=True)


class Scenario:
    """A kind of launch, by a kind of host."""

    def __init__(self, folder: Path, user: str, preset: str, kind: str, program, *words):
        self.command = self.launch(user, folder / "faults", preset, kind, program, *words)
        self.explain = self.launch(user, folder / "faults", "plan", preset, kind, program, *words)
        # Freed memory is counted as free at once.
        self.environment = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0", LC_ALL="C")

    @staticmethod
    def launch(user: str, *command) -> list:
        if user != "root":
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        if os.geteuid() == 0:
            # The machine's mounts come and go; the host's own namespace shows what a launch adds.
            command = ["unshare", "--mount", "--propagation", "private", *command]
        return [*command]

    def plan(self) -> list:
        """The steps as `lauter_policy_explain` prints them, the first at 1."""
        text = subprocess.run(self.explain, stdout=subprocess.PIPE, text=True, check=True, env=self.environment).stdout
        # Before and behind them: the namespaces, and what is missing.
        numbered = re.findall(r"^ *(\d+)  (.*)$", text, re.M)
        assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1)), text
        return [""] + [step for _, step in numbered]

    def ask(self, requests: list) -> list:
        text = "".join(request + "\n" for request in requests)
        done = subprocess.run(
            self.command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900,
            env=self.environment,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode == 0 and len(answers) == len(requests), (done.returncode, len(answers), done.stderr)
        return answers

    def calls(self) -> list:
        """The system calls of an undisturbed launch, in their order."""
        seen = Counter()
        calls = []
        opened = {}
        cloned = set()
        executed = set()
        for raw in self.ask(["record", "record"])[1]:
            name = NAMES[raw["number"]]
            seen[raw["role"], name] += 1
            nth = seen[raw["role"], name]
            about = opened.get((raw["role"], raw["arguments"][0]), "") if not raw["text"] else raw["text"]
            if name in ("open", "openat"):
                opened[raw["role"], raw["result"]] = raw["text"]
            elif name == "close":
                opened.pop((raw["role"], raw["arguments"][0]), None)
            is_before_exec = raw["role"] == "init" and "init" not in executed
            if name == "execveat":
                executed.add(raw["role"])
            afterwards = raw["role"] == "init" and "init" in cloned
            if name == "clone":
                cloned.add(raw["role"])
            calls.append(
                Call(
                    raw["role"], name, nth, tuple(raw["arguments"]), raw["text"], raw["result"], about, afterwards,
                    is_before_exec,
                )
            )
        for i, (call, after) in enumerate(zip(calls, calls[1:])):
            if (call.role, call.name, after.name) == ("host", "rt_sigprocmask", "clone"):
                calls[i] = replace(call, about=f"clone {after.arguments[0]}")
        return calls

    def inject(self, faults: list) -> list:
        """`faults`: pairs of a call and an errno."""
        requests = [
            f"{call.role} {NUMBERS[call.name]} {call.nth} {error} {int(call.name in FAIL_AFTERWARDS)}"
            for call, error in faults
        ]
        # A host and its tracer take turns: as many pairs as there are processors.
        pairs = os.cpu_count() or 1
        answers = [None] * len(requests)
        with ThreadPoolExecutor(pairs) as pool:
            for first, said in enumerate(pool.map(self.ask, [requests[i::pairs] for i in range(pairs)])):
                answers[first::pairs] = said
        return [Answer(call, error, said) for (call, error), said in zip(faults, answers)]


def can_fail(call: Call) -> bool:
    if call.name in CANNOT_FAIL:
        return False
    if call.role == "host" and call.name == "brk":  # the C library maps instead; whether it asks at all is up to chance
        return False
    # Signals are given back, to whoever had them: there is no other way, and the kernel has none to refuse it.
    return call.name != "rt_sigprocmask" or call.role == "init" or call.arguments[2] != 0


def faults_of(calls: list) -> list:
    """Each call with each errno that it plausibly fails with."""
    return [
        (call, error)
        for call in calls
        if can_fail(call)
        for error in PLAUSIBLE.get(call.name, [errno.ENOMEM if call.role == "host" else errno.EPERM])
        if call.result != -error
    ]


def thinned(faults: list, most: int) -> list:
    """At most so many of a kind, the first and the last among them: for launches that differ little from one that was
    gone through whole."""
    kinds = {}
    for call, error in faults:
        kinds.setdefault((call.role, call.name, error, call.is_afterwards), []).append((call, error))
    chosen = []
    for same in kinds.values():
        places = {round(i * (len(same) - 1) / max(1, most - 1)) for i in range(most)}
        chosen += [same[place] for place in sorted(places)]
    return chosen
