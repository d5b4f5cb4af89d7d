# SPDX-License-Identifier: Apache-2.0
"""Julia 1.5.3 of Debian 11, by ccall: FDWatcher in Julia's event loop, tasks, `run`, signals, Distributed, Ctrl-C."""

import re

import pytest

import guests

HERE = guests.HERE / "julia"


@pytest.fixture(scope="module")
def guest():
    folder = guests.folder_for("julia")
    guests.build(HERE / "install", folder, folder=HERE)
    return [folder / "julia", "--startup-file=no", "--history-file=no", HERE / "guest.jl"]


def test_julia_and_its_workers_do_not_disturb_each_other(guest):
    run = guests.Guest(*guest)
    found = run.outcome()
    # Julia compiles in its one thread what runs there for the first time: seconds, when the machine is busy.
    guests.undisturbed(found, calls=600, children=60, signals=100, stall_ms=15_000)
    guests.told(found, "test_julia.py")
    beside = found["beside"]
    assert beside["distributed"] is True
    assert beside["ctrl_c"] == {"raised": "InterruptException", "call": "KeyboardInterrupt"}
    for name, layout in (("lauter_event", "layout"), ("lauter_report", "report_layout")):
        structure = guests.HEADER.structures[name]
        offsets = [getattr(structure, field).offset for field, _ in structure._fields_]
        assert beside[layout] == offsets[: len(beside[layout])]  # a structure may grow at its end
    assert run.stderr == b""


def test_a_killed_julia_takes_its_workers_along(guest):
    guests.killed(*guest)


def test_its_constants_are_those_of_the_header():
    source = (HERE / "lauter.jl").read_text()
    names, values = re.search(r"const (EVENT_.*) = UInt32\.\(\((.*)\)\)", source).groups()
    found = dict(zip(names.split(", "), map(int, values.split(", "))))
    found["ERROR_INTERRUPTED"] = int(re.search(r"const ERROR_INTERRUPTED = Int32\((-\d+)\)", source)[1])
    assert len(found) == 6
    assert found == {name: guests.C[f"LAUTER_{name}"] for name in found}
