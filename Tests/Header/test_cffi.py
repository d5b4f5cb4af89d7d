# SPDX-License-Identifier: Apache-2.0
"""lauter.h and lauter_worker.h as a binding generator reads them: by cffi, whose parser (pycparser) knows plain C99 and nothing else."""

import os
import re
import subprocess
from pathlib import Path

import cffi
import pytest

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "include" / "lauter.h"
WORKER = ROOT / "include" / "lauter_worker.h"
LIBRARY = Path(os.environ.get("LAUTER_BUILD", ROOT / "build")) / "lib" / "liblauter.so.0"


@pytest.fixture(scope="module")
def preprocessed() -> str:
    """Both headers without their includes, for a compiler that has no attributes."""
    text = re.sub(r"^#include .*$", "", HEADER.read_text() + WORKER.read_text(), flags=re.M)
    return subprocess.run(
        ["gcc", "-E", "-P", "-std=c99", "-U__GNUC__", "-"],
        input=text, stdout=subprocess.PIPE, check=True, text=True,
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
def ffi(preprocessed):
    made = cffi.FFI()
    made.cdef(preprocessed)
    return made


@pytest.fixture(scope="module")
def lib(ffi):
    return ffi.dlopen(str(LIBRARY))


def test_every_function_and_constant_is_read(preprocessed, ffi, lib):
    names = re.findall(r"\b(lauter_[a-z_]+)\(", preprocessed)
    assert len(names) > 60 and len(set(names)) == len(names)
    for name in names:
        assert ffi.typeof(getattr(lib, name)).kind == "function"
    assert (lib.LAUTER_ERROR_STALE, lib.LAUTER_EVENT_EXITED) == (-7, 8)


def test_structures_have_the_layout_that_the_compiler_gives_them(ffi, tmp_path):
    lines = ["#include <stddef.h>", "#include <stdio.h>", f'#include "{WORKER}"', "int main(void) {"]
    read = {}
    for name in ("lauter_event", "lauter_report", "lauter_part", "lauter_request"):
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        read[name] = ffi.sizeof(name)
        for field, described in ffi.typeof(name).fields:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
            read[f"{name}.{field}"] = described.offset
    (tmp_path / "layout.c").write_text("\n".join([*lines, "return 0; }"]))
    subprocess.run(["gcc", tmp_path / "layout.c", "-o", tmp_path / "layout"], check=True)
    said = subprocess.run([tmp_path / "layout"], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert len(read) > 30
    assert read == {name: int(value) for name, value in map(str.split, said.splitlines())}


def test_a_call_runs_through_it(ffi, lib):
    error = ffi.new("lauter_error **")

    def must(code: int) -> int:
        if code < 0:
            sentence = ffi.string(lib.lauter_error_message(error[0])).decode()
            lib.lauter_error_free(error[0])
            raise RuntimeError(sentence)
        return code

    host, policy, launch = ffi.new("lauter_host **"), ffi.new("lauter_policy **"), ffi.new("lauter_launch **")
    with pytest.raises(RuntimeError, match="no such preset"):
        must(lib.lauter_policy_new(b"no such preset", policy, error))
    must(lib.lauter_host_new(host, error))
    must(lib.lauter_policy_new(b"notebook", policy, error))
    must(lib.lauter_launch_new(b"python", launch, error))
    worker, call = ffi.new("lauter_worker *"), ffi.new("lauter_call *")
    must(lib.lauter_spawn(host[0], policy[0], launch[0], 11, worker, error))
    source = ffi.new("char[]", b"6 * 7")
    kind = ffi.new("char[]", b"text/x-python")
    part = ffi.new("lauter_part *", {"type": kind, "data": source, "size": 5})
    must(lib.lauter_call_start(host[0], worker[0], 0, b"execute", part, 1, -1, 12, call, error))
    event = ffi.new("lauter_event *")
    event.size = ffi.sizeof("lauter_event")
    must(lib.lauter_call_wait(host[0], call[0], 30_000, event, error))
    assert (event.kind, event.status) == (lib.LAUTER_EVENT_DONE, lib.LAUTER_OK)
    assert (event.worker_cookie, event.call_cookie) == (11, 12)
    parts = {
        ffi.string(event.parts[i].type): bytes(ffi.buffer(event.parts[i].data, event.parts[i].size))
        for i in range(event.part_count)
    }
    assert parts[b"text/plain"] == b"42"
    lib.lauter_event_clear(event)
    lib.lauter_launch_free(launch[0])
    lib.lauter_policy_free(policy[0])
    lib.lauter_host_free(host[0])
