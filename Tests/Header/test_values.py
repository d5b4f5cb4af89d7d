# SPDX-License-Identifier: Apache-2.0
"""What C sees of the value format's validator, on the vectors that the core's own tests read."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "Tests" / "Vectors" / "values.txt"


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60)


def built(program: Path) -> Path:
    library = Path(os.environ.get("LAUTER_BUILD", ROOT / "build")) / "lib"
    done = run(
        "gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined",
        f"-I{ROOT / 'include'}", Path(__file__).with_name("values.c"), f"-L{library}", "-llauter",
        f"-Wl,-rpath,{library}", "-o", program,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return program


def test_each_vector_is_let_through_or_refused_as_it_says(tmp_path):
    lines = [line for line in VECTORS.read_text().splitlines() if not line.startswith("#")]
    whole = sum("\t= " in line for line in lines)
    done = run(built(tmp_path / "values"), VECTORS)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{whole} let through, {len(lines) - whole} refused\n"


def test_a_vector_that_says_something_else_is_noticed(tmp_path):
    program, wrong = built(tmp_path / "values"), tmp_path / "wrong.txt"
    for line in ("nil\tc0\t! 0 cut short", "nothing\t\t= null", "nothing\t\t! 1 cut short"):
        wrong.write_text(line + "\n")
        done = run(program, wrong)
        assert done.returncode == 1 and "wanted" in done.stderr, (line, done)
