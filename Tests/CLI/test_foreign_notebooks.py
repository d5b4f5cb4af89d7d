# SPDX-License-Identifier: Apache-2.0
"""`lauter notebook` on notebooks that other tools wrote, or nobody should have: `notebooks/` is run, `refused/` is not.

The files are kept byte for byte, since how they are written is what they are for.
"""

import json
import os
import pathlib
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import CommandTest

FOLDER = pathlib.Path(__file__).parent / "notebooks"
RUN = sorted(path.stem for path in FOLDER.glob("*.ipynb"))

# The exit status where it is not 0, and what is said besides the cells.
FAILING = {"async", "errors", "magics", "syntax-errors"}
WARNED = {
    "ids-missing-and-twice": ["2 cells had the id of an earlier cell and got a new one"],
    "nbformat-4.9": ["it is of nbformat 4.9: what is newer in it than 4.5 stays as it is"],
    "python2": ["it was written for Python 2 and runs in Python 3"],
    "strings": ["cell 2 holds half a surrogate pair, which is run as U+FFFD"],
    "unknown-cell-type": [
        "cell 2 is of the unknown type heading and stays as it is",
        "cell 3 is of the unknown type sql and stays as it is",
    ],
}

# Invalid as they came: nbformat has nothing to say on them afterwards either.
INVALID = {
    "attachments",
    "names-twice",
    "nulls",
    "outputs-of-every-form",
    "strings",
    "unknown-cell-type",
    "without-fields",
}

REFUSED = {
    "array": "no notebook",
    "bash-by-language-info": "it is written in bash",
    "binary": "not JSON: line 1, column 1",
    "cell-no-object": "cell 1 has no cell_type",
    "cells-no-list": "no list of cells",
    "code-without-source": "cell 1 has no source",
    "comments": "not JSON: line 2, column 2",
    "control-character": "a control character stands in a string",
    "empty": "it is empty",
    "git-lfs": "git lfs pull",
    "julia": "it is written in julia (kernel julia-1.9)",
    "latin-1": "not UTF-8",
    "merge-conflict": "line 23, column 1: a member's name should be here: a merge left its conflicts in it",
    "nbformat-2": "jupyter nbconvert --to notebook --nbformat 4",
    "nbformat-3": "jupyter nbconvert --to notebook --nbformat 4",
    "nbformat-5": "newer than the 4 that lauter reads",
    "nbformat-as-text": "does not say its nbformat",
    "no-cells": "no list of cells",
    "no-nbformat": "does not say its nbformat",
    "python-repr": "not JSON: line 1, column 2",
    "r": "it is written in R (kernel ir)",
    "source-of-numbers": "cell 1 has no source",
    "spaces": "it is empty",
    "text": "no notebook",
    "too-deep": "more than 500 levels deep",
    "trailing": "something follows the end of the value",
    "truncated": "not JSON",
    "utf-16": "it is UTF-16",
    "web-page": "it looks like a web page",
}


class Spelt(str):
    """A number as the file spells it."""


def read(data):
    """A notebook as Python reads it, with numbers as they are spelt."""
    return json.loads(data.decode("utf-8-sig"), parse_float=Spelt, parse_int=Spelt, parse_constant=Spelt)


def joined(text):
    """Multi-line text, however it is cut into lines."""
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "".join(text)
    return text


def untouched(notebook, executed):
    """A notebook without what running it may change; `executed` is the one that says which cells ran."""
    cells = []
    for cell, after in zip(notebook["cells"], executed["cells"]):
        cell = {**cell}
        if "source" in cell:
            cell["source"] = joined(cell["source"])
        cell.setdefault("metadata", {})
        if cell["cell_type"] == "code":
            cell.setdefault("outputs", [])
            cell.setdefault("execution_count", None)
            tags = (cell["metadata"] or {}).get("tags") or []
            if joined(cell["source"]).strip() and "skip-execution" not in tags:
                del cell["outputs"], cell["execution_count"]
        if after.get("id", "").startswith("cell-"):
            cell.pop("id", None)  # given to a cell that had none of its own
        cells.append(cell)
    return {**notebook, "cells": cells}


class Foreign(CommandTest):
    def execute(self, name, *arguments, **options):
        executed = self.folder / "executed.ipynb"
        result = self.lauter("notebook", FOLDER / f"{name}.ipynb", "--output", executed, *arguments, **options)
        return executed.read_bytes(), result

    def test_running_changes_outputs_and_counts_and_nothing_else(self):
        for name in RUN:
            with self.subTest(name):
                before = (FOLDER / f"{name}.ipynb").read_bytes()
                after, result = self.execute(name, status=int(name in FAILING))
                self.assertEqual((FOLDER / f"{name}.ipynb").read_bytes(), before)
                old, new = read(before), read(after)
                self.assertEqual(len(new["cells"]), len(old["cells"]))
                self.assertEqual(untouched(old, new), untouched(new, new))
                said = [line for line in result.stderr.splitlines() if line.startswith("lauter: ")]
                self.assertEqual(
                    said, [f"lauter: {FOLDER}/{name}.ipynb: {each}" for each in WARNED.get(name, [])]
                )
                self.check_form(after, valid=name not in INVALID)

    def check_form(self, data, valid):
        """One space a level, sorted, as json and nbformat write a notebook."""
        import nbformat

        # Python would turn 1E+400 into Infinity and cannot write half a pair: their spelling is compared above.
        text = data.decode()
        if "E+400" not in text and "\\ud83d" not in text:
            again = json.dumps(json.loads(text), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
            self.assertEqual(text, again)
        if valid:
            nbformat.validate(nbformat.from_dict(json.loads(text)), relax_add_props=True)

    def test_the_comparison_would_see_a_change(self):
        book = read((FOLDER / "numbers.ipynb").read_bytes())
        other = json.loads(json.dumps(book))
        other["metadata"]["numbers"][0] = Spelt("1")
        self.assertNotEqual(untouched(book, book), untouched(other, other))
        other = json.loads(json.dumps(book))
        other["cells"][0]["metadata"]["x"] = None
        self.assertNotEqual(untouched(book, book), untouched(other, other))

    def test_outputs_that_were_there_are_kept_or_replaced_by_cell(self):
        after, _ = self.execute("outputs-of-every-form")
        old = read((FOLDER / "outputs-of-every-form.ipynb").read_bytes())["cells"]
        kept, run = read(after)["cells"]
        self.assertEqual((kept["outputs"], kept["execution_count"]), (old[0]["outputs"], "4"))
        self.assertEqual([each["output_type"] for each in run["outputs"]], ["execute_result"])
        self.assertEqual(run["execution_count"], "1")

    def test_new_ids_are_new_and_valid(self):
        after, _ = self.execute("ids-missing-and-twice")
        ids = [cell["id"] for cell in read(after)["cells"]]
        self.assertEqual((ids[0], ids[3]), ("same", "cell-2"))
        self.assertEqual(len(set(ids)), 5)

    def test_what_is_refused_is_named_and_leaves_nothing(self):
        self.assertEqual(sorted(REFUSED), sorted(path.stem for path in (FOLDER / "refused").glob("*.ipynb")))
        for name, words in REFUSED.items():
            with self.subTest(name):
                path = FOLDER / "refused" / f"{name}.ipynb"
                result = self.lauter("notebook", path, "--output", self.folder / "out.ipynb", status=125)
                self.assertTrue(result.stderr.startswith(f"lauter: {path}: "), result.stderr)
                self.assertIn(words, result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1)
                self.assertEqual(self.names(), [])

    def test_another_language_can_be_forced(self):
        for name in ("r", "julia", "bash-by-language-info"):
            after, _ = self.execute(f"refused/{name}", "--force", status=None)
            self.assertEqual(read(after)["cells"][0]["execution_count"], "1")
        self.assertEqual(read(self.execute("refused/julia", "--force")[0])["cells"][0]["outputs"][0]["data"], {"text/plain": ["0"]})

    def test_damaged_files_are_read_as_python_reads_them_or_refused(self):
        """Where Python reads JSON so do we, to the same value; where it does not, neither do we. Nothing runs."""
        choose = random.Random(4)
        for name in ("numbers", "strings", "written-by-colab", "outputs-of-every-form"):
            whole = bytearray((FOLDER / f"{name}.ipynb").read_bytes().replace(b'"code"', b'"raw"'))
            for number in range(40):
                data = bytearray(whole)
                for _ in range(choose.choice((1, 1, 2))):
                    at = choose.randrange(len(data))
                    if choose.random() < 0.3:
                        del data[at : at + choose.choice((1, 2, 40))]
                    else:
                        data[at : at + 1] = choose.choice((b'"', b"\\", b"{", b"]", b",", b":", b"-", b"e", b"\xff", b"\\u", b"9", b"\n"))
                with self.subTest(name, number=number):
                    self.compare_with_python(bytes(data))

    def compare_with_python(self, data):
        path, executed = self.folder / "damaged.ipynb", self.folder / "executed.ipynb"
        path.write_bytes(data)
        executed.unlink(missing_ok=True)
        result = self.lauter("notebook", path, "--output", executed, "--force", status=None)
        self.assertIn(result.returncode, (0, 125), result.stderr)
        try:
            old = read(data)
        except (ValueError, RecursionError):
            self.assertEqual(result.returncode, 125)
            self.assertIn("it is ", result.stderr)
            return
        if result.returncode == 0:
            new = read(executed.read_bytes())
            self.assertEqual(untouched(old, new), untouched(new, new))
        else:
            # JSON, but a notebook no longer; or with a name that no UTF-8 can hold.
            self.assertRegex(result.stderr, "no notebook|nbformat|cell|half a surrogate pair")


if __name__ == "__main__":
    unittest.main()
