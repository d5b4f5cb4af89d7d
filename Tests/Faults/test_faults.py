# SPDX-License-Identifier: Apache-2.0
"""Every system call of a launch fails once. The host is told which, where and why; nothing is left behind; nothing is
weaker without a word; the next launch works."""

import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import faults
import pytest
from faults import Scenario

sys.path.insert(0, str(Path(__file__).parents[1] / "Integration"))
from ffi import C, build_path  # noqa: E402

F_SETFD, F_DUPFD_CLOEXEC, F_ADD_SEALS = 2, 1030, 1033
#: Of an arena by default: its bytes, the seals that it gets, its descriptor in init.
ARENA, SEALS_OF_SIZE, ARENA_IN_INIT = 256 << 20, 7, 8
#: SECCOMP_GET_NOTIF_SIZES, SECCOMP_FILTER_FLAG_NEW_LISTENER
NOTIF_SIZES, NEW_LISTENER = 3, 8


def is_look(call) -> bool:
    return call.about.startswith(("/proc/self/uid_map", "/proc/self/gid_map", "/proc/sys/"))


def is_look_for_groups(call) -> bool:
    places = "/proc/self/mountinfo", "/proc/self/cgroup", "/proc/self/ns/pid", "/sys/fs/cgroup"
    return call.about.startswith(places) and "/lauter-" not in call.about


def is_for_arena(call) -> bool:
    if call.name == "memfd_create":
        return "lauter-arena" in call.text
    if call.name == "fcntl":
        return call.arguments[1] == F_ADD_SEALS and call.arguments[2] == SEALS_OF_SIZE
    return call.arguments[1] in (ARENA, ARENA // 2)


def is_for(call, kind) -> bool:
    """Whether signals are blocked for the clone of such a process."""
    return call.about.startswith("clone ") and int(call.about[6:]) & kind != 0


CLONE_NEWNET = 0x4000_0000

#: What may fail without the launch's failing: (role, call), a condition on the call, and why no promise is broken.
#: A call of this list that does make the launch fail, and another that does not, fail the test.
TOLERATED = [
    ("*", "close", None, "what was closed is closed, whatever close says"),
    ("*", "futex", None, "the sleeper looks at the word, not at the result"),
    ("host", "munmap", None, "the stacks were given back; the kernel refuses only what was never mapped"),
    ("host", "waitid", None, "asked again after EINTR; ECHILD where the host ignores SIGCHLD, and nobody is left to reap"),
    ("host", "fchown", None, "the pipe stays the host's: the worker writes to it, and only cannot open it again by name"),
    ("host", "fcntl", lambda c: c.arguments[1] == F_DUPFD_CLOEXEC and c.arguments[2] > 3, "a wish for a high number"),
    ("host", "prlimit64", None, "asked again when a worker is started"),
    ("host", "statfs", None, "the report then lists quotas, though /proc/sys could be written"),
    ("host", "mmap", lambda c: c.arguments[1] == 16384, "no shared empty network: the worker has one of its own"),
    ("host", "clone", lambda c: c.arguments[0] & CLONE_NEWNET, "no shared empty network: the worker has one of its own"),
    ("host", "rt_sigprocmask", lambda c: is_for(c, CLONE_NEWNET), "no shared empty network: the worker has one of its own"),
    ("host", "openat", lambda c: "/ns/net" in c.text + c.about, "no shared empty network: the worker has one of its own"),
    ("holder", "prctl", None, "it would end with a host that is killed in this moment: none is"),
    *(("host", name, is_look_for_groups, "memory is summed up then, and the report says so; or a dead host's group stays a while")
      for name in ("openat", "read", "readlink", "getdents64", "access", "write")),
    ("host", "kill", None, "a dead host's group stays until the next host looks"),
    ("host", "getgroups", None, "the report then lists groups, though there may be none"),
    ("host", "setsockopt", None, "kernels before 6.16 refuse it too: the host receives without room for descriptors"),
    ("host", "landlock_create_ruleset", None, "the version is asked for again when a worker is started"),
    ("host", "capget", None, "asked again when a worker is started"),
    ("host", "openat", lambda c: is_look(c), "looked at again when a worker is started, or for words only"),
    ("host", "read", lambda c: is_look(c), "looked at again when a worker is started, or for words only"),
    *(("host", name, is_for_arena, "without an arena all goes in line")
      for name in ("memfd_create", "ftruncate", "fcntl", "mmap", "mprotect", "madvise")),
    ("init", "fstat", lambda c: c.arguments[0] == ARENA_IN_INIT, "the arena is counted as large as it is mapped"),
    ("init", "open", lambda c: "oom_score_adj" in c.about, "a wish: without it the kernel chooses whom to kill"),
    ("init", "write", lambda c: "oom_score_adj" in c.about, "a wish: without it the kernel chooses whom to kill"),
    ("init", "fcntl", lambda c: c.arguments[1] == F_SETFD and not c.is_before_exec, "the C library repeats what the open did"),
    ("worker", "seccomp", lambda c: c.arguments[0] == NOTIF_SIZES, "refused calls are not told, and the report says so"),
    ("worker", "seccomp", lambda c: c.arguments[1] & NEW_LISTENER, "asked again, as of an older kernel"),
    ("worker", "fcntl", lambda c: c.arguments[1] == F_SETFD, "the C library repeats what the open did"),
]
#: What an errno says that is no failure: (role, call, errno), and why no promise is broken.
ANSWERED = {
    ("host", "memfd_create", errno.ENOSYS): "the installed init, or a file without a name in a folder, is as good",
}
#: Tolerated, and the worker can tell.
VISIBLE = {"oom_score_adj"}

#: After the worker's program has begun there is no launch to fail. Init ends, and its worker with it, if it cannot tell
#: its host that the worker runs.
ENDS_THE_WORKER = {"sendto"}

#: Names in messages: init's C library and ours call some by another name.
SPOKEN = {
    "newfstatat": r"stat",
    "pread64": "pread",
    "pwrite64": "pwrite",
    "openat": "open",
    "mkdirat": "mkdir",
    "readlink": "readlink|realpath",
    "rt_sigprocmask": "sigprocmask",
    "signalfd4": "signalfd",
    "prlimit64": "setrlimit",
    "mprotect": "mmap",
    "madvise": "mmap",
    "sendto": "send",
    "dup2": "dup3",
    "execveat": "execute|execveat",
    "execve": "execute",
    "eventfd2": "eventfd",
    "socket": "ioctl",
}
#: What one word in a message stands for, where several calls are one act.
ACTS = {
    "host": {"open lauter-init": {"memfd_create", "mmap", "write", "fcntl", "openat"}},
    "middle": {"in /proc|/proc/PID": {"openat", "write"}},
    "init": {
        "placing init's descriptors": {"fcntl", "dup3", "close_range"},
        "keeping init's capabilities": {"capget", "capset", "prctl"},
    },
}


def tolerance(call):
    for role, name, condition, reason in TOLERATED:
        if role in ("*", call.role) and name == call.name and (condition is None or condition(call)):
            return reason
    return None


def is_named(call, message) -> bool:
    if re.search(SPOKEN.get(call.name, call.name), message):
        return True
    return any(re.search(word, message) for word, names in ACTS.get(call.role, {}).items() if call.name in names)


def complaints(answer, plan) -> list:
    """What is wrong with what the host was told; nothing, mostly."""
    call, bad = answer.call, []

    def expect(condition, what):
        if not condition:
            bad.append(what)

    if answer.end != "whole":
        return [answer.end]
    expect(answer.hit or call.name == "futex", "the call was not made")  # nobody sleeps for what has come already
    expect(not answer.leaks, f"left in the host: {answer.leaks}")
    expect(answer.left == 0, f"{answer.left} processes are left")
    expect(answer.agrees, "wait_ready and the exited event tell different things")
    expect(answer.next, "the next launch fails")
    expect(answer.ms < 6000, f"{answer.ms} ms")
    if call.is_afterwards and call.name in ENDS_THE_WORKER:
        expect(answer.exit_code == -1 and answer.reason in (C.REASON_LOST, C.REASON_STOPPED), "the worker runs on, or its end is not told")
        return bad
    if call.is_afterwards or tolerance(call) or (call.role, call.name, answer.errno) in ANSWERED:
        expect(answer.far == "ran" and answer.exit_code == 0, "listed as tolerated, and the launch fails")
        expect(answer.same or any(word in call.about for word in VISIBLE), f"differs: {answer.difference}")
        return bad
    expect(answer.far != "ran", "it fails, and nobody is told")
    if answer.far == "ran":
        return bad
    message = answer.message
    expect(answer.errno == answer.said["errno"], f"another errno: {answer.said['errno']}")
    expect(errno.errorcode[answer.errno] in message, "the errno is not named")
    expect(answer.subject, "no subject")
    expect(message[:1] == message[:1].lower() and not message.endswith("."), "not in the style of a message")
    expect(is_named(call, message), "the system call is not named")
    if answer.far == "ready":
        expect(answer.reason == C.REASON_LAUNCH, f"the reason {answer.reason}, not LAUNCH")
        before_the_first = answer.subject == "lauter-init"
        expect(answer.step > 0 or before_the_first, "no step")
        expect(not answer.step or is_of_step(call, answer, plan), f"step {answer.step} is {plan[answer.step:][:1]}")
    return bad


#: What the steps that make a call begin with. A step may make many; a call that few kinds make shows its step.
MADE_BY = {
    "mount": ("make mounts private",),
    "open_tree": ("open ", "cover ", "mount /proc"),
    "sethostname": ("set the host name",),
    "socket": ("bring up the loopback",),
    "setgroups": ("become user",),
    "setresgid": ("become user",),
    "setresuid": ("become user",),
    "symlinkat": ("link ",),
    "pivot_root": ("enter the new root",),
    "umount2": ("enter the new root",),
    "fchdir": ("enter the new root",),
    "fsopen": ("new root", "tmpfs ", "mount ", "cover ", "limit max_"),
    "move_mount": ("new root", "tmpfs ", "mount ", "cover ", "attach "),
    "prlimit64": ("limit ", "put off inherited"),
    "landlock_create_ruleset": ("landlock",),
    "landlock_add_rule": ("landlock",),
    "landlock_restrict_self": ("landlock",),
    "seccomp": ("seccomp",),
    "execve": ("execute ",),
}
#: Calls that are given the name of what their step is about, or of a folder on the way there.
NAMED_FOR = {"open_tree", "mkdirat", "mknodat", "openat2"}


def is_of_step(call, answer, plan) -> bool:
    """Whether the step that was told is one that makes this call, and is the one of that number in the plan."""
    if answer.step == len(plan):  # the working directory of the program, which is told apart from it
        return call.name == "chdir" and answer.message.startswith("working directory ")
    if answer.step > len(plan):
        return False
    step = plan[answer.step]
    if step.startswith("execute ") and call.name in ("execve", "execveat"):
        return answer.message.startswith("execute ") and answer.subject in step
    if answer.subject != step or not answer.message.startswith(f"step {answer.step}, {step}: "):
        return False
    if call.name in MADE_BY and not step.startswith(MADE_BY[call.name]):
        return False
    name = call.text.rstrip("/").rpartition("/")[2]
    return call.name not in NAMED_FOR or not name or name in step or name == "." or step.startswith(("mount /proc", "cover"))


def order_of_steps(calls, answers, plan, is_whole) -> list:
    """What is wrong with the numbers as a whole: init's and the worker's calls come in the order of the plan, and each step
    of it has failed."""
    place = {call: i for i, call in enumerate(calls)}
    bad = []
    for role in ("init", "worker"):
        # The worker's birth, which comes first, is told as the step that it is for: the program.
        last = len(plan) - 1 if role == "init" else len(plan) - 2
        told = sorted((place[a.call], a.step) for a in answers if a.call.role == role and 0 < a.said.get("step", 0) <= last)
        bad += [f"{calls[at]} is of step {step}, after one of {before}" for (_, before), (at, step) in zip(told, told[1:]) if step < before]
    missing = set(range(1, len(plan))) - {a.step for a in answers if a.said.get("step")}
    if any(c.name == "seccomp" and c.arguments[1] & NEW_LISTENER for c in calls):
        # A filter that cannot have its listener is loaded in another way: one failure is not enough.
        missing -= {number for number, step in enumerate(plan) if step.startswith("seccomp")}
    # What init is to look at while the worker runs: nothing is called on the way.
    missing -= {number for number, step in enumerate(plan) if step.startswith(("watch the memory", "read the CPU time", "add up"))}
    if is_whole:
        bad += [f"step {number}, {plan[number]}, never failed" for number in sorted(missing)]
    return bad


@pytest.fixture(scope="module")
def programs():
    folder = Path(tempfile.mkdtemp(prefix="lauter-faults-"))
    folder.chmod(0o755)
    faults.compile_programs(folder, build_path())
    yield folder
    shutil.rmtree(folder)


def test_the_probes_see_what_they_look_for(programs):
    environment = dict(os.environ, GLIBC_TUNABLES="glibc.malloc.tcache_count=0")
    said = subprocess.run([programs / "faults", "probes"], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    seen = dict(line.split(" => ") for line in said.stdout.splitlines())
    assert seen.pop("nothing") == ""
    expected = {
        "a descriptor": "descriptor: 3 /dev/null",
        "a mapping": "mapping: ",
        "memory": "memory: ",
        "a child": "child",
        "a zombie": "child",
        "a signal mask": "signal mask",
    }
    if os.geteuid() == 0:
        expected["a mount"] = "mount: "
    assert set(seen) == set(expected)
    for what, word in expected.items():
        assert word in seen[what], (what, seen[what])


#: Of launches that differ little from another, not every call of a kind.
SOME = int(os.environ.get("LAUTER_FAULTS_OF_A_KIND", "3"))
#: And of those that add a step or two to `notebook`.
FEW = (SOME + 2) // 3
LAUNCHES = [
    ("root", "notebook", "program", None),
    ("nobody", "notebook", "program", None),
    ("root", "strict", "program", SOME),
    ("nobody", "strict", "program", SOME),
    ("root", "unconfined", "program", SOME),
    ("nobody", "unconfined", "program", SOME),
    ("root", "notebook", "worker", SOME),
    ("root", "notebook", "python", SOME),
    ("root", "notebook", "terminal", FEW),
    ("nobody", "notebook", "terminal", FEW),
    ("root", "limits", "program", FEW),
    ("nobody", "limits", "program", FEW),
]
#: The preset `notebook` with every limit that has a step or a mechanism of its own.
LIMITS = ["limit cpu=60s", "limit wall=60s", "limit open-files=512", "limit file-size=64M", "limit output=1M", "limit memory=1G"]


@pytest.mark.parametrize("user, preset, kind, most", LAUNCHES, ids=["-".join(case[:3]) for case in LAUNCHES])
def test_each_system_call_that_fails_is_told_or_does_not_matter(programs, user, preset, kind, most):
    if user == "root" and os.geteuid() != 0:
        pytest.skip("needs root")
    program = {"program": programs / "witness", "terminal": programs / "witness", "worker": programs / "worker", "python": "/usr/bin/python3"}[kind]
    words = [f"read {program}"] if preset != "unconfined" and kind != "python" else []
    if preset == "strict":
        words.append("violations tell")  # the witness tries what it may not
    if preset == "limits":
        preset, words = "notebook", words + LIMITS
    if preset == "strict" and user == "root":
        words.append("allow-missing limit")
    scenario = Scenario(programs, user, preset, kind, program, *words)
    calls = scenario.calls()
    # The launch is seen whole: from the host's look at the machine to the exec.
    roles = {call.role for call in calls}
    assert {"host", "middle", "init", "worker"} <= roles, roles
    assert [c.name for c in calls if c.role == "worker"][-1] in ("execve", "execveat")
    chosen = faults.faults_of(calls)
    answers = scenario.inject(chosen if most is None else faults.thinned(chosen, most))
    plan = scenario.plan()
    wrong = [f"{answer}: {'; '.join(bad)}" for answer in answers if (bad := complaints(answer, plan))]
    wrong += order_of_steps(calls, answers, plan, most is None)
    assert not wrong, f"{len(wrong)} of {len(answers)}:\n" + "\n".join(wrong[:40])
