# SPDX-License-Identifier: Apache-2.0
"""The JVM, by JNI: several threads at one host, ProcessBuilder, signal handlers, the collector, faults that HotSpot lives on."""

import re
import subprocess
from pathlib import Path

import pytest

import guests

HERE = guests.HERE / "jvm"


@pytest.fixture(scope="module")
def guest():
    javac = Path(subprocess.run(["which", "javac"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip())
    headers = javac.resolve().parents[1] / "include"
    folder = guests.folder_for("jvm")
    guests.build(
        "gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
        f"-I{headers}", f"-I{headers / 'linux'}", f"-I{guests.INCLUDE}", "lauter_jni.c", f"-L{guests.LIBRARY}",
        "-llauter", "-o", folder / "liblauter_jni.so",
        folder=HERE,
    )  # fmt: skip
    guests.build(
        "javac", "-Xlint:all", "-Werror", "-XDignore.symbol.file", "-d", folder, *sorted(HERE.glob("*.java")),
        folder=HERE,
    )  # fmt: skip
    return [
        "java", "-Xcheck:jni", "-Xmx8g", f"-Djava.library.path={folder}", "-cp", folder, "-Duser.language=en", "Guest",
    ]  # fmt: skip


def test_a_jvm_and_its_workers_do_not_disturb_each_other(guest):
    run = guests.Guest(*guest)
    found = run.outcome()
    guests.undisturbed(found, calls=600, children=60, signals=100)
    guests.told(found, "test_jvm.py")
    beside = found["beside"]
    assert beside["collections"] > 0
    assert beside["faults"] == 1001, "null pointers, and the end of a stack, are exceptions as ever"
    assert beside["virtual_mb"] > 8000
    assert b"Full thread dump" in run.stdout and b'"lauter" ' in run.stdout
    # -Xcheck:jni complains on standard output, about references, exceptions and signal handlers that were replaced.
    assert b"WARNING" not in run.stdout and b"FATAL" not in run.stdout and run.stderr == b""


def test_a_killed_jvm_takes_its_workers_along(guest):
    guests.killed(*guest)


def test_its_constants_are_those_of_the_header():
    source = (HERE / "Lauter.java").read_text()
    found = re.findall(r"\b(EVENT_[A-Z]+) = (\d+)", source)
    assert len(found) == 5
    assert {name: int(value) for name, value in found} == {name: guests.C[f"LAUTER_{name}"] for name, _ in found}
