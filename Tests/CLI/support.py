# SPDX-License-Identifier: Apache-2.0
"""What the tests of the built command share: where it is, how it is run, and what must not be skipped."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LAUTER_BUILD", ROOT / "build")).resolve()
LAUTER = BUILD / "bin" / "lauter"
MUST_RUN = os.environ.get("LAUTER_MUST_RUN") == "1"

# No test here needs longer; one that hangs must not hang the run.
PATIENCE = 120


def skip(test, reason):
    """Skip a test, or fail it where everything must run."""
    if MUST_RUN:
        test.fail(reason + " (LAUTER_MUST_RUN is set)")
    test.skipTest(reason)


class CommandTest(unittest.TestCase):
    """A test with a folder of its own, in which the command runs."""

    def setUp(self):
        if not LAUTER.exists():
            skip(self, f"{LAUTER} is not built")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lauter-cli-")).resolve()
        self.addCleanup(shutil.rmtree, self.folder)

    def lauter(self, *arguments, status=0, **options):
        """Run `lauter` and check its exit status; None takes any."""
        result = subprocess.run(
            [str(LAUTER), *map(str, arguments)],
            cwd=options.pop("cwd", self.folder),
            stdin=options.pop("stdin", None if "input" in options else subprocess.DEVNULL),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **options,
        )
        if status is not None:
            self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


def cell(source, *tags):
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": [],
        "source": source,
    }


def notebook(*cells, minor=5, **fields):
    """A notebook's text. Strings become code cells."""
    made = []
    for number, each in enumerate(cells):
        each = cell(each) if isinstance(each, str) else dict(each)
        if minor >= 5:
            each.setdefault("id", f"cell{number}")
        made.append(each)
    whole = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": minor, **fields}
    return json.dumps(whole)
