# SPDX-License-Identifier: Apache-2.0
"""Attempts that need more than a program inside: a host that launches meanwhile, a quota looked at from outside.

Each is a function of the stage and the preset that returns (verdict, note, shown): `shown` is whether its own twin, which
it tries as well, could see what it looks for."""

import ctypes
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass

import ffi
import stage as staging
import support
from ffi import C


@dataclass(frozen=True)
class Scenario:
    name: str
    area: str
    lost: str
    twin: str
    run: object
    granted: tuple = ()
    #: It is about what is mounted: a worker without namespaces looks through the machine's own tree, where the host's links
    #: lead elsewhere at any time, and what they lead to when the policy is looked up is what it names.
    needs_mounts: bool = False


def one(stage, what) -> str:
    """The verdict about one attempt outside."""
    return staging.try_all(staging.outside(stage), [(0, stage.fill(what))], stage)[0][0]


def end_all(path) -> list:
    """Kill every process that runs this list, until none is left; those that there were at first."""
    first = support.processes_with(str(path))

    def gone():
        for pid in (left := support.processes_with(str(path))):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not left

    support.eventually(gone, within=5)
    return first


# -------------------------------------------------------------------------------------------- processes --


def kill_everybody(stage, preset):
    """kill(-1): the worker's own processes go, the twin; nobody else does."""
    with ffi.Host() as host:
        path = stage.write_list([(0, "kill-everybody")])
        report = host.spawn(stage.policy(preset), staging.program(stage, path)).exited().report
    alive = support.state_of(stage.neighbour.pid) not in ("", "Z")
    return "contained" if alive else "open", report.why, report.signal == signal.SIGKILL


def outlive(stage, preset):
    """Orphans in sessions of their own, deaf to signals. Outside they stay."""
    path = stage.write_list([(0, "survive")])
    subprocess.run([stage.program, path], stdout=subprocess.DEVNULL, check=True)
    left = end_all(path)
    path = stage.write_list([(0, "survive")])
    with ffi.Host() as host:
        host.spawn(stage.policy(preset), staging.program(stage, path)).exited()
        try:
            support.eventually(lambda: not support.processes_with(str(path)), within=1)
            verdict = "contained"
        except AssertionError:
            verdict = "open"
    return verdict, f"{len(left)} outside", len(left) >= 4


# --------------------------------------------------------------------------------------- the user's quotas --


def quota(name):
    """A worker takes all of a quota that it can; then a program of the host's user wants a little of it."""

    def take(stage, preset):
        path = stage.write_list([(0, f"quota-{name} take")])
        could = one(stage, f"quota-{name} one") == "open"
        # The twin: the same, by a process of the host's own.
        shown = False
        with subprocess.Popen([stage.program, path], stdout=subprocess.PIPE) as taker:
            for line in taker.stdout:
                if line.startswith(b"taken"):
                    shown = one(stage, f"quota-{name} one") != "open"
                    break
            end_all(path)
        # What the kernel gives back late is not the worker's doing.
        support.eventually(lambda: one(stage, f"quota-{name} one") == "open", within=5, every=0.02)
        with ffi.Host() as host:
            worker = host.spawn(stage.policy(preset), staging.program(stage, path))
            event = host.until(
                lambda e: e.worker == worker.id
                and (e.kind == C.EVENT_EXITED or (e.kind == C.EVENT_STREAM and b"taken" in worker.output()))
            )
            left = one(stage, f"quota-{name} one")
            said = worker.output().decode().split("\n")[1:2]
            worker.kill()
            if event.kind != C.EVENT_EXITED:
                worker.exited()
        support.eventually(lambda: one(stage, f"quota-{name} one") == "open", within=5, every=0.02)
        return "contained" if left == "open" else "open", f"{said}, then outside {left}", could and shown

    return take


# ------------------------------------------------------------------------------------------------- races --


class Swapper:
    """A thread that exchanges a folder for a symbolic link to another, and back, as fast as it can.

    By exchange: there is always one of the two. It stands for a program of the host's user that the worker's author has
    got to run, or a second worker with a writable folder."""

    def __init__(self, place, target):
        self.place, self.link, self.going, self.count = place, place.with_name(place.name + "-link"), True, 0
        os.symlink(target, self.link)
        self.thread = threading.Thread(target=self.swap)

    def swap(self):
        libc = ctypes.CDLL(None, use_errno=True)
        while self.going:
            if libc.renameat2(-100, bytes(self.place), -100, bytes(self.link), 2) != 0:
                raise OSError("renameat2 does not exchange")
            self.count += 1
            time.sleep(0.00005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        self.thread.join()


def race(word, attempt, above=False):
    """Launches while the folder that the policy names, or the one above it, is swapped for a link to where a secret lies.

    The path is the policy's, so a link that is there when it is looked up is the host's own choice, and the worker then
    sees a link. What may not be is that it finds a *folder* at that place and in it what lies behind the link: then
    another was bound than the plan says."""

    def launch(stage, preset):
        name = f"race-{word}-{'above-' if above else ''}{preset}"
        place = stage.folder / name / "above" / "swapped"
        hidden = stage.folder / "private" / name / "swapped"
        for folder, text in ((place, "allowed"), (hidden, "secret")):
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            (folder / "file").write_text(text)
        seen, planned, refused, wrong = set(), 0, 0, 0
        pair = (place.parent, hidden.parent) if above else (place, hidden)
        with ffi.Host() as host, Swapper(*pair) as swapper:
            for number in range(60):
                seen.add((place / "file").read_text())
                path = stage.write_list([(0, f"{attempt} {place} made-{number}")])
                try:
                    worker = host.spawn(stage.policy(preset, (word, place)), staging.program(stage, path))
                    worker.exited()
                except ffi.LauterError:
                    refused += 1
                    continue
                said = worker.output(C.STREAM_STDOUT).decode()
                saw_folder = "\topen\tfolder" in said
                if saw_folder and ("secret" in said or (hidden / f"made-{number}").exists()):
                    wrong += 1
                elif "end" in said:
                    planned += 1
                else:
                    refused += 1
        shown = seen == {"allowed", "secret"} and swapper.count > 50 and planned > 0
        return "open" if wrong else "contained", f"{planned} as planned, {refused} refused, {wrong} not", shown

    return launch


def rename_over(stage, preset):
    """The host's user puts a file in place of the denied one, as editors save: is the new one denied?"""
    folder = stage.folder / f"over-{preset}"
    folder.mkdir()
    folder.chmod(0o755)
    words = [("read", folder), ("deny", folder / "denied")]

    def attempt(*words):
        (folder / "denied").write_text("")
        path = stage.write_list([(0, f"read-later {folder}/denied")])
        with ffi.Host() as host:
            worker = host.spawn(stage.policy(preset, *words), staging.program(stage, path))
            host.until(lambda e: e.worker == worker.id and b"begin" in worker.output())
            (folder / "new").write_text("a secret")
            os.rename(folder / "new", folder / "denied")
            worker.exited()
            return "\topen\t" in worker.output(C.STREAM_STDOUT).decode()

    shown = attempt(words[0])
    return "open" if attempt(*words) else "contained", "", shown


PROCESSES, QUOTAS, RACES = "processes", "the user's quotas", "races with the host"
SCENARIOS = [
    Scenario("kill all that can be seen", PROCESSES, "every process of the user", "the worker's own", kill_everybody),
    Scenario("outlive the worker as an orphan, deaf to signals", PROCESSES, "the machine, afterwards", "outside", outlive),
    Scenario("inotify instances", QUOTAS, "file watching of the user's programs", "outside", quota("inotify")),
    Scenario("pages in pipes", QUOTAS, "the speed of the user's pipes", "outside", quota("pipes")),
    Scenario("queued signals and timers", QUOTAS, "timers of the user's programs", "outside", quota("signals")),
    Scenario("bytes in POSIX queues", QUOTAS, "queues of the user's programs", "outside", quota("queues")),
    Scenario("descriptors in flight", QUOTAS, "the host's own launches", "outside", quota("flight")),
    Scenario("swap a readable folder for a link while launching", RACES, "every file of the user", "both are seen outside", race("read", "look"), needs_mounts=True),
    Scenario("swap a writable folder for a link while launching", RACES, "every file of the user", "both are seen outside", race("write", "look-write"), needs_mounts=True),
    Scenario("swap the folder above a readable one for a link while launching", RACES, "every file of the user", "both are seen outside", race("read", "look", above=True), needs_mounts=True),
    Scenario("swap the folder above a writable one for a link while launching", RACES, "every file of the user", "both are seen outside", race("write", "look-write", above=True), needs_mounts=True),
    Scenario("a file put in place of a denied one", RACES, "what `deny` names", "the same without `deny`", rename_over),
]
