# SPDX-License-Identifier: Apache-2.0
"""The Python runtime keeps docs/profile.md, and the suite that says so can tell."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE / "languages"))
import python  # noqa: E402
import suite  # noqa: E402
from fake_host import INTERPRETER, RUNTIME  # noqa: E402

OPTIONAL = {"3.1", "3.2", "3.3", "3.4"}
#: Cases that a runtime fails which answers every call with nothing.
TELLING = {"1.1", "1.2", "1.4", "1.5", "1.7", "1.8", "1.12", "1.13", "4.1", "4.2", "4.3", "4.4", "5.1", "5.2"}


def outcomes(*command, only=None):
    told = []
    found = suite.run(suite.Subject(list(command), python), told.append, only)
    return found, "\n".join(told)


def test_each_case_asks_for_a_sentence_that_is_there():
    docs = HERE.parents[1] / "docs"
    text = " ".join((docs / "profile.md").read_text().split() + (docs / "protocol.md").read_text().split())
    assert [sentence for _, sentence, _, _ in suite.CASES if " ".join(sentence.split()) not in text] == []
    numbers = [number for number, _, _, _ in suite.CASES]
    assert len(numbers) == len(set(numbers)) and numbers == sorted(numbers, key=lambda n: [int(x) for x in n.split(".")])


def test_the_python_runtime_keeps_the_profile():
    found, told = outcomes(INTERPRETER, "-u", os.path.join(RUNTIME, "__main__.py"))
    assert "FAILED" not in found.values(), told
    # What it does not offer is what docs/profile.md says.
    assert {number for number, outcome in found.items() if outcome == "not offered"} == OPTIONAL


@pytest.mark.parametrize("wrong", [[], ["wrong"]])
def test_what_the_python_runtime_does_not_offer_can_be_asked_for(wrong):
    found, told = outcomes(sys.executable, str(HERE / "three.py"), *wrong, only=OPTIONAL)
    assert {found[number] for number in OPTIONAL} == {"FAILED" if wrong else "passed"}, told


def test_a_runtime_that_answers_with_nothing_fails():
    found, told = outcomes(sys.executable, str(HERE / "three.py"), only=TELLING)
    assert len(found) == len(TELLING) and set(found.values()) == {"FAILED"}, told


def test_a_program_that_is_no_worker_passes_nothing():
    found, told = outcomes("/bin/true")
    assert set(found.values()) == {"FAILED"}, told
