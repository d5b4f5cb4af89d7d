# SPDX-License-Identifier: Apache-2.0
"""`lauter notebook` and `jupyter nbconvert --execute` agree on what cells come to.

Compared are, for each code cell: the execution count; results and displays with their media types, data and metadata;
what was printed, by stream and by its place among the displays; the name and message of errors. Not compared:
tracebacks, which each writes in its own way. Every other difference is a rule below, listed in docs/profile.md with its
reason, and a rule that was not needed fails the run.

nbconvert runs without a sandbox: nothing but the files of `notebooks/` and the tour's honest cells may be given to it.
"""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import PATIENCE, ROOT, CommandTest, skip

FOLDER = pathlib.Path(__file__).parent / "notebooks"

# What nbconvert does not take, and what it says.
NOT_TAKEN = {
    "nulls": "TypeError",
    "outputs-of-every-form": "Additional properties are not allowed",
    "strings": "surrogates not allowed",
    "unknown-cell-type": "is not valid under any of the given schemas",
    "without-fields": "missing an expected key: metadata",
    "written-with-bom": "does not appear to be JSON",
}

# How a notebook is written is not what this compares: one cell of print() would be run again and again.
FORM_ALONE = {"deep", "names-twice", "numbers", "signed", "tools", "widgets", "written-on-one-line", "written-with-tabs"}

TAKEN = sorted({path.stem for path in FOLDER.glob("*.ipynb")} - set(NOT_TAKEN) - FORM_ALONE)

# The tour's cells that attack nobody, ask nothing and come to the same each time.
HONEST = ("state", "numpy", "figure", "text", "subprocess", "multiprocessing", "threads", "loopback", "display", "await")


def joined(value):
    return "".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


def form(cell):
    """What is compared of a code cell: a list of outputs, prints between two others as one."""
    result = []
    for output in cell["outputs"]:
        kind = output["output_type"]
        if kind == "stream":
            if not result or result[-1][0] != "printed":
                result.append(("printed", {"stdout": "", "stderr": ""}))
            result[-1][1][output["name"]] += joined(output["text"])
        elif kind == "error":
            result.append(("error", output["ename"], output["evalue"]))
        else:
            data = {media: joined(value) for media, value in output["data"].items()}
            result.append((kind, output.get("execution_count"), data, output["metadata"]))
    return result


def change_printed(outputs, change):
    for output in outputs:
        if output[0] == "printed":
            for name, text in output[1].items():
                output[1][name] = change(text)
    return [output for output in outputs if output[0] != "printed" or any(output[1].values())]


def file_of_a_syntax_error(source, outputs):
    """Messages of SyntaxErrors name a file like `123.py`, or `<cell N>`."""
    name = lambda text: re.sub(r"\((\d+\.py|<cell \d+>), line", "(a cell, line", text)
    return [(*each[:2], name(each[2])) if each[0] == "error" else each for each in outputs]


def terminal_of_a_command(source, outputs):
    """nbconvert's `!command` has a terminal, whose lines end in CR LF."""
    if not re.search(r"(?m)^\s*!", source):
        return outputs
    return change_printed(outputs, lambda text: text.replace("\r\n", "\n"))


def warning_at_exit(source, outputs):
    """IPython warns that sys.exit() is not how to leave."""
    if "sys.exit" not in source:
        return outputs
    return change_printed(outputs, lambda text: re.sub(r".*UserWarning: To exit.*\n.*\n", "", text))


def task_without_a_loop(source, outputs):
    """A task cannot be made in a cell that awaits nothing: the loop runs only while a cell awaits."""
    if "create_task" in source and "await" not in source:
        return []
    return [] if source == "await task" else outputs


RULES = [file_of_a_syntax_error, terminal_of_a_command, warning_at_exit, task_without_a_loop]


def convert(folder, names, destination, environment):
    """Begin `jupyter nbconvert --execute` on notebooks."""
    return subprocess.Popen(
        [
            sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--allow-errors",
            "--ExecutePreprocessor.kernel_name=python3", "--output-dir", destination, *names,
        ],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


class Agreement(CommandTest):
    def setUp(self):
        super().setUp()
        if subprocess.run([sys.executable, "-c", "import nbconvert, ipykernel"], stderr=subprocess.DEVNULL).returncode:
            skip(self, "nbconvert or ipykernel is not installed: pip install nbconvert ipykernel")
        self.theirs = self.folder / "theirs"
        home = self.folder / "home"
        for each in (self.theirs, home):
            each.mkdir()
        # Below pytest ipykernel leaves alone what other programs print.
        foreign = ("JUPYTER", "IPYTHON", "MPL", "PYTEST")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment.update(HOME=str(home), JUPYTER_PLATFORM_DIRS="1", PYTHONWARNINGS="ignore::DeprecationWarning")

    def converted(self, folder, names):
        """Have nbconvert run notebooks, two at a time."""
        halves = [half for half in (names[::2], names[1::2]) if half]
        running = [convert(folder, [f"{name}.ipynb" for name in half], self.theirs, self.environment) for half in halves]
        for process in running:
            said, _ = process.communicate(timeout=3 * PATIENCE)
            self.assertEqual(process.returncode, 0, said[-3000:])
        return {name: json.loads((self.theirs / f"{name}.ipynb").read_text()) for name in names}

    def executed(self, path, *arguments):
        executed = self.folder / "ours.ipynb"
        # The same Python as nbconvert's, without what is in its environment: IPython among others.
        python = arguments or ("--python", os.path.realpath(sys.executable))
        self.lauter("notebook", path, "--output", executed, "--allow-errors", *python)
        return json.loads(executed.read_text())

    def compare(self, name, theirs, ours, rules, used):
        self.assertEqual(len(theirs["cells"]), len(ours["cells"]))
        for number, (their, our) in enumerate(zip(theirs["cells"], ours["cells"]), 1):
            self.assertEqual(their["cell_type"], our["cell_type"])
            if their["cell_type"] != "code":
                continue
            source = joined(our["source"])
            with self.subTest(name, cell=number, source=source):
                self.assertEqual(our["execution_count"], their["execution_count"])
                one, other = form(their), form(our)
                for rule in rules:
                    if one != other:
                        before = copy.deepcopy((one, other))
                        one, other = rule(source, one), rule(source, other)
                        if (one, other) != before:
                            used.add(rule)
                self.assertEqual(other, one)

    def test_on_notebooks_of_all_kinds(self):
        converted = self.converted(FOLDER, TAKEN)
        used = set()
        for name in TAKEN:
            self.compare(name, converted[name], self.executed(FOLDER / f"{name}.ipynb"), RULES, used)
        # Where IPython is installed its own display functions serve.
        for name in ("displays", "magics"):
            ours = self.executed(FOLDER / f"{name}.ipynb", "--python", sys.executable)
            self.compare(name, converted[name], ours, RULES, used)
        self.assertEqual([rule.__doc__ for rule in RULES if rule not in used], [])

    def test_on_the_tour_s_honest_cells(self):
        tour = json.loads((ROOT / "docs/tour/tour.ipynb").read_text())
        cells = {cell["id"]: cell for cell in tour["cells"]}
        for name in HONEST:
            self.assertNotIn("Mischief", joined(cells[name]["source"]))
        (self.folder / "tour.ipynb").write_text(json.dumps(tour))  # which one of the cells reads
        honest = {**tour, "cells": [cells[name] for name in HONEST]}
        path = self.write("honest.ipynb", json.dumps(honest))
        theirs = self.converted(self.folder, ["honest"])["honest"]
        ours = self.executed(path)
        self.compare("tour", theirs, ours, [], set())
        for cell in ours["cells"]:
            self.assertNotIn("error", [output["output_type"] for output in cell["outputs"]])
        self.assertIn("image/png", str(ours["cells"][HONEST.index("figure")]["outputs"]))

    def test_what_nbconvert_does_not_take_is_still_so(self):
        """If it takes one of these one day, it belongs to those that are compared."""
        script = (
            "import sys, nbformat\nfrom nbformat.validator import validate\n"
            "for path in sys.argv[1:]:\n"
            "    try:\n"
            "        book = nbformat.read(path, as_version=4)\n"
            "        validate(book)\n"
            "        nbformat.writes(book).encode()\n"
            "    except Exception as error: print(path, type(error).__name__, str(error).replace('\\n', ' '))\n"
        )
        names = [str(FOLDER / f"{name}.ipynb") for name in (*NOT_TAKEN, "values")]
        result = subprocess.run(
            [sys.executable, "-c", script, *names], capture_output=True, text=True, env=self.environment, timeout=PATIENCE
        )
        lines = result.stdout.splitlines()
        self.assertEqual(len(lines), len(NOT_TAKEN), result.stdout + result.stderr)
        for line, (name, words) in zip(lines, NOT_TAKEN.items()):
            self.assertIn(f"/{name}.ipynb", line)
            self.assertIn(words, line)


if __name__ == "__main__":
    unittest.main()
