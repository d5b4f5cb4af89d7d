# SPDX-License-Identifier: Apache-2.0
"""The header, as a C compiler sees it, and the library that claims to be it."""

import ctypes
import subprocess
import sys

import ffi
import pytest
from ffi import C
from header import HEADER, header_path

pytestmark = pytest.mark.once


def layout_program() -> str:
    lines = ["#include <lauter_worker.h>", "#include <stdio.h>", "int main(void) {"]
    for name in HEADER.constants:
        lines.append(f'printf("{name} %lld\\n", (long long) {name});')
    for name, structure in HEADER.structures.items():
        lines.append(f'printf("{name} %zu\\n", sizeof ({name}));')
        for field, _ in structure._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof({name}, {field}));')
            lines.append(f'printf("{name}.{field}.size %zu\\n", sizeof ((({name} *) 0)->{field}));')
    return "\n".join([*lines, "return 0; }"])


def test_constants_and_structures_are_what_a_compiler_makes_of_the_header(tmp_path):
    source, program = tmp_path / "layout.c", tmp_path / "layout"
    source.write_text(layout_program())
    include = f"-I{header_path().parent}"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", include, source, "-o", program], check=True)
    said = subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout.decode()
    compiled = {name: int(value) for name, value in map(str.split, said.splitlines())}
    read = dict(HEADER.constants)
    for name, structure in HEADER.structures.items():
        read[name] = ctypes.sizeof(structure)
        for field, _ in structure._fields_:
            read[f"{name}.{field}"] = getattr(structure, field).offset
            read[f"{name}.{field}.size"] = getattr(structure, field).size
    assert len(read) > 100
    assert read == compiled


@pytest.mark.parametrize("compiler", [["gcc", "-std=c99"], ["gcc", "-std=c17"], ["g++", "-std=c++17"]], ids=" ".join)
@pytest.mark.parametrize("header", ["lauter.h", "lauter_worker.h"])
def test_a_header_stands_alone_without_a_warning(header, compiler, tmp_path):
    source = tmp_path / ("alone.cpp" if compiler[0] == "g++" else "alone.c")
    source.write_text(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
    flags = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{header_path().parent}", "-fsyntax-only"]
    subprocess.run([*compiler, *flags, source], check=True)


def test_the_library_exports_the_functions_of_the_header_and_nothing_else():
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", ffi.library_path()], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    symbols = {line.split()[2].split("@")[0] for line in listed.splitlines() if line.split()[1] != "A"}
    assert symbols == set(HEADER.functions)


def test_the_library_has_the_abi_version_of_the_header():
    assert ffi.lib.lauter_abi_version() == C.ABI_VERSION
    assert ffi.lib.lauter_version().decode().count(".") == 2


def test_every_code_has_its_name_and_other_numbers_have_none():
    for name, value in vars(C).items():
        if name.startswith("ERROR_"):
            assert ffi.lib.lauter_code_name(value).decode() == f"LAUTER_{name}"
    assert ffi.lib.lauter_code_name(-9999) == b"unknown"


@pytest.mark.parametrize("name", sorted(HEADER.functions))
def test_no_function_minds_null(name):
    """Run in a process of its own: a crash is that test's failure and no other's."""
    program = f"""
import sys; sys.path.insert(0, {str(ffi.Path(__file__).parent)!r})
import ffi
f = ffi.HEADER.functions[{name!r}]
result = getattr(ffi.lib, f.name)(*[None if "*" in c else 0 for _, c, _ in f.arguments])
print(result)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20
    )
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-500:])
    said = done.stdout.decode().strip()
    if HEADER.functions[name].checked:
        assert int(said) in (C.ERROR_INVALID, C.ERROR_STALE), said
    elif name in ("lauter_host_fd", "lauter_session_fd"):
        assert int(said) == -1
    elif HEADER.functions[name].result is ctypes.c_char_p and name.startswith("lauter_error"):
        assert said == "b''"


def test_an_error_may_be_ignored_by_passing_null():
    handle = ctypes.c_void_p()
    code = ffi.lib.lauter_policy_new(b"no such preset", ctypes.byref(handle), None)
    assert code == C.ERROR_POLICY
    assert handle.value is None


def test_an_event_of_another_size_is_refused(host):
    raw = ffi.RawEvent(size=ctypes.sizeof(ffi.RawEvent) - 8)
    with pytest.raises(ffi.LauterError) as refused:
        ffi.call("lauter_host_next", host.handle, ctypes.byref(raw))
    assert refused.value.code == C.ERROR_INVALID
    raw.size = ctypes.sizeof(ffi.RawEvent)
    assert ffi.call("lauter_host_next", host.handle, ctypes.byref(raw)) == 0
