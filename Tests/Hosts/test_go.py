# SPDX-License-Identifier: Apache-2.0
"""A Go program, by cgo: goroutines in Go's own netpoller, os/exec, signal.Notify, preemption by SIGURG, the collector."""

import pytest

import guests


@pytest.fixture(scope="module")
def guest():
    folder = guests.folder_for("go")
    guests.build(
        "go", "build", "-o", folder / "guest", ".",
        folder=guests.HERE / "go",
        environment={
            "CGO_CFLAGS": f"-I{guests.INCLUDE} -O2 -Wall -Werror",
            "CGO_LDFLAGS": f"-L{guests.LIBRARY} -llauter",
            "GOCACHE": str(folder / "cache"),
            "GOPROXY": "off",
            "GOFLAGS": "-buildvcs=false",
        },
    )  # fmt: skip
    return folder / "guest"


def test_a_go_program_and_its_workers_do_not_disturb_each_other(guest):
    found = guests.Guest(guest).outcome()
    guests.undisturbed(found, calls=600, children=60, signals=100)
    guests.told(found, "test_go.py")
    blocking = found["beside"]["blocking"]
    assert blocking["text"] == "'slept'"
    assert blocking["interrupted"] > 0, "no signal cut a blocking wait short: nothing was shown"


def test_a_killed_go_program_takes_its_workers_along(guest):
    guests.killed(guest)
