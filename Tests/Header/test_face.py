# SPDX-License-Identifier: Apache-2.0
"""lauter.hpp: compiled by both compilers, run, run under sanitizers, and complete."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "include"
LIBRARY = Path(os.environ.get("LAUTER_BUILD", ROOT / "build")) / "lib"
FACE = Path(__file__).with_name("face.cpp")
TOUR = ROOT / "docs" / "tour" / "host.cpp"
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wnon-virtual-dtor -Werror".split()


def run(*command, **options):
    return subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, **options
    )


def built(program: Path, compiler: str, *flags, source=FACE) -> Path:
    link = [f"-L{LIBRARY}", "-llauter", f"-Wl,-rpath,{LIBRARY}"]
    done = run(compiler, *flags, *WARNINGS, f"-I{INCLUDE}", source, *link, "-o", program)
    assert done.returncode == 0, done.stdout[-4000:]
    return program


@pytest.mark.parametrize(
    "compiler",
    ["g++ -std=c++17", "clang++ -std=c++20 -O2 -fno-rtti"],
)
def test_the_face_compiles_without_a_warning_and_runs_workers(compiler, tmp_path):
    done = run(built(tmp_path / "face", *compiler.split()))
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.M)
    assert int(passed[1]) == len(re.findall(r'^    \{"', FACE.read_text(), re.M)) > 10


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory):
    return built(
        tmp_path_factory.mktemp("sanitized") / "face", "g++", "-std=c++17", "-g", "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all", "-D_GLIBCXX_ASSERTIONS",
    )  # fmt: skip


def test_nothing_is_freed_twice_used_after_it_was_freed_or_lost(sanitized):
    lost = run(sanitized, "--leak")
    assert lost.returncode != 0 and "LeakSanitizer" in lost.stdout, "the probe does not see a lost policy"
    done = run(sanitized)
    assert done.returncode == 0 and "Sanitizer" not in done.stdout, done.stdout


def test_the_face_starts_no_thread_and_takes_from_the_library_what_the_header_has(tmp_path):
    program = built(tmp_path / "host", "g++", "-std=c++17", "-O2", source=TOUR)
    listed = run("nm", "-u", "-C", program).stdout
    assert "lauter_spawn" in listed  # The list is one of what is needed from elsewhere.
    assert not re.search(r"pthread_create|\bclone|std::thread|sigaction|\bsignal@", listed)


def test_the_face_covers_every_function_of_the_header():
    declared = run("gcc", "-E", "-P", INCLUDE / "lauter.h").stdout
    functions = set(re.findall(r"\b(lauter_[a-z_]+) *\(", declared))
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", (INCLUDE / "lauter.hpp").read_text(), flags=re.S)
    used = set(re.findall(r"\blauter_[a-z_]+\b", code)) & functions
    assert len(functions) > 40
    assert functions - used == set(), "functions that lauter.hpp does not have"


def test_a_library_of_another_abi_is_refused(tmp_path):
    source = tmp_path / "other.cpp"
    source.write_text(
        "#include <lauter.h>\n#undef LAUTER_ABI_VERSION\n#define LAUTER_ABI_VERSION 4711u\n"
        "#include <lauter.hpp>\n#include <cstdio>\n"
        "int main() try { lauter::host host; return 1; } catch (const lauter::error &error) {\n"
        "  std::puts(error.what()); return error.code() == LAUTER_ERROR_INVALID ? 0 : 2; }\n"
    )
    done = run(built(tmp_path / "other", "g++", "-std=c++17", source=source))
    assert done.returncode == 0 and "of another ABI" in done.stdout, done.stdout


@pytest.mark.parametrize("mistake", ["lauter::host copy(host)", "policy = other", "lauter::event second(event)"])
def test_what_owns_cannot_be_copied(mistake, tmp_path):
    def compiled(statement: str):
        source = tmp_path / "copy.cpp"
        source.write_text(
            "#include <lauter.hpp>\nvoid f(lauter::host &host, lauter::policy &policy, lauter::policy &other,\n"
            f"  lauter::event &event);\nvoid f(lauter::host &host, lauter::policy &policy, lauter::policy &other,\n"
            f"  lauter::event &event) {{ (void)host; (void)policy; (void)other; (void)event; {statement}; }}\n"
        )
        return run("g++", "-std=c++17", f"-I{INCLUDE}", "-fsyntax-only", source)

    moved = re.sub(r"\((\w+)\)$|= (\w+)$", lambda m: m[0].replace(m[1] or m[2], f"std::move({m[1] or m[2]})"), mistake)
    assert compiled(moved).returncode == 0, "moving should compile"
    assert "use of deleted function" in compiled(mistake).stdout


def test_the_tours_host_runs(tmp_path):
    done = run(built(tmp_path / "host", "g++", "-std=c++17", source=TOUR))
    assert done.stdout.splitlines() == [
        "hello from C++", "", "KeyboardInterrupt", "42", "worker: stopped: it was asked to exit and did",
    ]  # fmt: skip
    assert len(TOUR.read_text().splitlines()) <= 40
