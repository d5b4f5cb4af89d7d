# SPDX-License-Identifier: Apache-2.0
"""The reference: complete, and refused where it is not."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def doxygen(include: Path, to: Path) -> subprocess.CompletedProcess:
    """Make the reference of the headers in a folder."""
    settings = (ROOT / "docs" / "Doxyfile").read_text()
    settings += f"\nINPUT = {include}/lauter.h {include}/lauter_worker.h {include}/lauter.hpp docs/reference.md\nSTRIP_FROM_PATH = {include}\n"
    to.mkdir()
    return subprocess.run(
        ["doxygen", "-"], input=settings, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "LAUTER_DOCS": str(to), "LAUTER_VERSION": "0"}, timeout=120,
    )  # fmt: skip


def test_every_function_and_class_is_in_the_reference(tmp_path):
    done = doxygen(ROOT / "include", tmp_path / "made")
    assert done.returncode == 0, done.stdout
    for header, page, least in (("lauter.h", "lauter_8h.html", 40), ("lauter_worker.h", "lauter__worker_8h.html", 20)):
        page = (tmp_path / "made" / page).read_text()
        declared = r"^LAUTER_(?:API|CHECKED) [^;(]*?\b(lauter_[a-z_]+)\("
        functions = set(re.findall(declared, (ROOT / "include" / header).read_text(), re.M))
        assert len(functions) > least
        for name in functions:
            assert re.search(rf">{name}</a>\s*\(", page), f"{name} is not on the page"
    for name in ("host", "policy", "launch", "event", "worker", "call", "error"):
        assert (tmp_path / "made" / f"classlauter_1_1{name}.html").exists()
    assert "hello from C++" in (tmp_path / "made" / "index.html").read_text()


@pytest.mark.parametrize(
    "header, documentation, named",
    [
        ("lauter.h", "/** Free a policy. NULL does nothing. **Since** 0.1 */", "lauter_policy_free"),
        ("lauter.h", "/**< LAUTER_RUNG_*. */", "rung"),
        ("lauter.h", "/** What is started in the sandbox. A value: spawning copies it. */", "lauter_launch"),
        ("lauter_worker.h", "/** A worker's session with its host. */", "lauter_session"),
        ("lauter.hpp", "/** Ask it to stop: lauter_call_interrupt(). */", "interrupt"),
        ("lauter.hpp", "/** A borrowed array: a pointer and a length, as C++20's std::span<const T>. */", "view"),
    ],
)
def test_what_has_no_documentation_is_an_error(header, documentation, named, tmp_path):
    shutil.copytree(ROOT / "include", tmp_path / "include")
    changed = tmp_path / "include" / header
    assert changed.read_text().count(documentation) == 1
    changed.write_text(changed.read_text().replace(documentation, ""))
    done = doxygen(tmp_path / "include", tmp_path / "made")
    assert done.returncode != 0
    assert re.search(rf"{named}.* is not documented", done.stdout), done.stdout


def undocumented_enumerators(text: str, least=40) -> list:
    """Doxygen does not mind those of an enumeration without a name."""
    found, missing = 0, []
    for body in re.findall(r"\benum \{(.*?)\n\};", text, re.S):
        for match in re.finditer(r"\b(LAUTER_\w+) = -?\d+,?", body):
            found += 1
            before = re.search(r"/\*\*(?!<)(?:(?!\*/).)*\*/\s*$", body[: match.start()], re.S)
            if not before and not body[match.end() :].lstrip().startswith("/**<"):
                missing.append(match[1])
    assert found > least
    return missing


def test_every_constant_is_documented():
    text = (ROOT / "include" / "lauter.h").read_text()
    assert undocumented_enumerators(text.replace("/**< The wall-clock limit. */", "")) == ["LAUTER_REASON_WALL"]
    assert undocumented_enumerators(text) == []
    assert undocumented_enumerators((ROOT / "include" / "lauter_worker.h").read_text(), 15) == []
    assert not re.search(r"\benum \{[^\n]*\};", text), "an enumeration on one line has no room for documentation"
