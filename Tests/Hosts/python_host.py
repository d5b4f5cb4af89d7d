# SPDX-License-Identifier: Apache-2.0
"""A host in Python that does at once what Python programs do one at a time: threads, subprocesses, pools of processes by
fork and by spawn, and sandboxed workers from several threads.

    python3 python_host.py

Prints what it saw as JSON.
"""

import concurrent.futures
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Integration"))

PYTHON = os.environ.get("LAUTER_PYTHON", "/usr/bin/python3")


def square(number):
    """In a pool's process. By fork it has copies of the host's descriptors, by spawn it must have none."""
    inherited = [name for name in os.listdir("/proc/self/fd") if "[eventpoll]" in link(name)]
    return number * number, len(inherited)


def use_inherited(host):
    """In a forked process: the host is its parent's. A new one is its own."""
    from ffi import Host, LauterError

    try:
        host.next()
        refused = "worked"
    except LauterError as error:
        refused = error.name
    with Host() as own:
        return refused, cells(own, 1)


def link(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def patiently(wait):
    """The end of one of our own children interrupts whichever thread sleeps: its handler has run by then."""
    from ffi import C, LauterError

    while True:
        try:
            return wait()
        except LauterError as error:
            if error.code != C.ERROR_INTERRUPTED:
                raise


def cells(host, count):
    """A Python worker's life; how many of its cells came out right."""
    from ffi import Launch, Policy

    worker = host.spawn(Policy("notebook"), Launch("python", interpreter=PYTHON))
    patiently(worker.wait_ready)
    right = 0
    for i in range(count):
        call = worker.execute(f"import subprocess; int(subprocess.check_output(['echo', '{i}'])) * 2")
        right += patiently(call.wait).text == str(2 * i)
    worker.stop()
    patiently(worker.wait_exit)
    return right


def child_of_a_fork(host, connection):
    connection.send(use_inherited(host))
    connection.close()


def has_children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def repeat(stop, work):
    """Until `stop`, at least three times; how often it came out right, and how often at all."""
    right = count = 0
    while not stop.is_set() or count < 3:
        right += bool(work())
        count += 1
    return right, count


def run_a_child():
    return subprocess.run(["sh", "-c", "exit 7"]).returncode == 7


def run_a_pool(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(square, range(10))
    wanted = method == "fork"
    return all(value == i * i and (inherited > 0) == wanted for i, (value, inherited) in enumerate(found))


def run_an_executor():
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        return [value for value, _ in pool.map(square, range(10))] == [i * i for i in range(10)]


def fork_with(host):
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=child_of_a_fork, args=(host, there))
    child.start()
    there.close()
    answer = here.recv() if here.poll(60) else None
    child.join(60)
    return answer == ("FORKED", 1) and child.exitcode == 0


def main():
    import ffi

    told = []
    signal.signal(signal.SIGCHLD, lambda *_: told.append(1))
    with ffi.Host() as host:
        quiet = cells(host, 3)
        signals = len(told)
        strangers = has_children()  # later there is one of multiprocessing's own, which stays
        run_a_child()
        seen = len(told)
        stop = threading.Event()
        work = {
            "children": run_a_child,
            "pools by fork": lambda: run_a_pool("fork"),
            "pools by spawn": lambda: run_a_pool("spawn"),
            "executors": run_an_executor,
            "hosts in forks": lambda: fork_with(host),
        }
        # Not an executor's threads: a process that is forked in one of those fails as it ends, with or without us.
        found, lives = {}, []
        beside = [
            threading.Thread(target=lambda name=name, body=body: found.update({name: repeat(stop, body)}))
            for name, body in work.items()
        ]
        hosts = [threading.Thread(target=lambda: lives.append(cells(host, 10))) for _ in range(3)]
        for thread in beside + hosts:
            thread.start()
        for thread in hosts:
            thread.join()
        stop.set()
        for thread in beside:
            thread.join()
        right = sum(lives)
    print(
        json.dumps(
            {
                "quiet": {"cells": quiet, "sigchld": signals, "sigchld_seen": seen, "strangers": strangers},
                "cells": right,
                "beside": found,
            }
        )
    )


if __name__ == "__main__":
    main()
