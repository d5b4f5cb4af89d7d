# SPDX-License-Identifier: Apache-2.0
"""`lauter notebook`: what the executed notebook holds, what is said, and how the run ends."""

import json
import os
import pathlib
import pty
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import LAUTER, MUST_RUN, PATIENCE, ROOT, CommandTest, cell, notebook, skip


class NotebookTest(CommandTest):
    def execute(self, text, *arguments, status=0, **options):
        """Run a notebook; gives the executed one as JSON, and the finished process."""
        path = self.write("book.ipynb", text)
        result = self.lauter("notebook", path, *arguments, status=status, **options)
        self.assertEqual(result.stdout, "")
        self.assertEqual(path.read_text(), text, "the notebook itself has changed")
        executed = self.folder / "book.executed.ipynb"
        self.validate(executed)
        return json.loads(executed.read_text()), result

    def outputs(self, *cells, arguments=(), status=0, **options):
        """The outputs of each cell, text joined."""
        executed, result = self.execute(notebook(*cells), *arguments, status=status, **options)
        self.said = result.stderr
        return [
            [joined(output) for output in each["outputs"]]
            for each in executed["cells"]
            if each["cell_type"] == "code"
        ]

    def validate(self, path):
        try:
            import nbformat
        except ImportError:
            if MUST_RUN:
                self.fail("nbformat is not installed: pip install nbformat (LAUTER_MUST_RUN is set)")
            return
        read = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        nbformat.validate(read)
        # And it is written as nbformat itself writes it.
        again = nbformat.writes(read, version=nbformat.NO_CONVERT)
        self.assertEqual(again.rstrip("\n") + "\n", path.read_text())


def joined(output):
    """An output with its lists of lines joined, and nothing but what the tests look at."""
    join = lambda value: "".join(value) if isinstance(value, list) and value and isinstance(value[0], str) else value
    if output["output_type"] == "stream":
        return (output["name"], join(output["text"]))
    if output["output_type"] == "error":
        return ("error", output["ename"], output["evalue"], "\n".join(output["traceback"]))
    return (output["output_type"], {name: join(value) for name, value in output["data"].items()})


class Outputs(NotebookTest):
    def test_state_streams_results_and_counts(self):
        executed, result = self.execute(
            notebook(
                "x = 40\nprint('out')\nprint('out too')",
                {"cell_type": "markdown", "metadata": {}, "source": ["# A\n", "text"]},
                "   \n",
                "import sys\nprint('err', file=sys.stderr)\nx + 2",
            )
        )
        first, text, blank, last = executed["cells"]
        self.assertEqual([joined(output) for output in first["outputs"]], [("stdout", "out\nout too\n")])
        self.assertEqual(text["source"], ["# A\n", "text"])
        self.assertEqual((blank["execution_count"], blank["outputs"]), (None, []))
        self.assertEqual(
            [joined(output) for output in last["outputs"]],
            [("stderr", "err\n"), ("execute_result", {"text/plain": "42"})],
        )
        self.assertEqual((first["execution_count"], last["execution_count"]), (1, 2))
        self.assertEqual(last["outputs"][1]["execution_count"], 2)
        self.assertRegex(result.stderr, r"(?m)^\[1/2\] ✓ +\d+\.\d\d s  x = 40$")
        self.assertNotIn("\x1b", result.stderr)

    def test_errors_have_name_value_and_traceback(self):
        [[error], after] = self.outputs("def f():\n    1 / 0\nf()", "print('on')", status=1)
        self.assertEqual(error[:3], ("error", "ZeroDivisionError", "division by zero"))
        self.assertIn("<cell 1>", error[3])
        self.assertIn("in f", error[3])
        self.assertEqual(after, [("stdout", "on\n")])
        self.assertIn("ZeroDivisionError: division by zero", self.said)

    def test_an_expected_failure_is_none(self):
        self.outputs(cell("1 / 0", "raises-exception"), "1")
        self.assertIn("as the notebook expects", self.said)

    def test_stop_on_error_leaves_the_rest_without_outputs(self):
        stale = {**cell("2"), "execution_count": 5, "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
        executed, result = self.execute(notebook("1 / 0", stale), "--stop-on-error", status=1)
        self.assertEqual((executed["cells"][1]["outputs"], executed["cells"][1]["execution_count"]), ([], None))
        self.assertIn("1 not run", result.stderr)

    def test_allowed_errors_are_told_and_do_not_count(self):
        outputs = self.outputs("1 / 0", "print('on')", arguments=["--allow-errors"])
        self.assertEqual((outputs[0][0][1], outputs[1]), ("ZeroDivisionError", [("stdout", "on\n")]))
        self.assertIn("✗", self.said)
        self.assertIn("1 ok, 1 failed as allowed", self.said)
        # A death is no error of the cell's.
        self.outputs("import os; os._exit(3)", arguments=["--allow-errors"], status=1)
        self.outputs("while True: pass", arguments=["--allow-errors", "--cell-timeout", "300ms"], status=1)

    def test_in_place_the_notebook_itself_is_executed(self):
        path = self.write("book.ipynb", notebook("6 * 7"))
        result = self.lauter("notebook", path, "--inplace")
        self.assertIn(f"wrote {path}\n", result.stderr)
        self.assertEqual(joined(json.loads(path.read_text())["cells"][0]["outputs"][0]), ("execute_result", {"text/plain": "42"}))
        self.assertEqual(self.names(), ["book.ipynb"])
        # What could not be run is left as it was.
        path.write_text(broken := notebook("1", metadata={"kernelspec": {"name": "ir"}}))
        self.lauter("notebook", path, "--inplace", status=125)
        self.assertEqual(path.read_text(), broken)

    def test_a_notebook_without_code_is_executed_at_once(self):
        _, result = self.execute(notebook({"cell_type": "markdown", "metadata": {}, "source": "text"}))
        self.assertIn("there was nothing to run\n", result.stderr)

    def test_displays_are_bundles_and_updates_reach_earlier_cells(self):
        outputs = self.outputs(
            "class A:\n    def _repr_png_(self): return b'\\x89PNG'\n"
            "    def _repr_html_(self): return '<b>\\n</b>'\n    def __repr__(self): return 'A'\ndisplay(A())",
            "handle = display(1, display_id=True)",
            "handle.update(2)",
            "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('kept')",
        )
        self.assertEqual(
            outputs,
            [
                [("display_data", {"text/plain": "A", "text/html": "<b>\n</b>", "image/png": "iVBORw=="})],
                [("display_data", {"text/plain": "2"})],
                [],
                [("stdout", "kept\n")],
            ],
        )

    def test_unknown_fields_and_number_spellings_are_kept(self):
        text = notebook(
            {**cell("1"), "metadata": {"my": {"x": 1.0, "big": 12345678901234567890}}},
            minor=4,
            metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}, "zz": [{}]},
        )
        executed, _ = self.execute(text)
        self.assertEqual(executed["cells"][0]["metadata"], {"my": {"x": 1.0, "big": 12345678901234567890}})
        self.assertEqual(executed["metadata"]["zz"], [{}])
        self.assertNotIn("id", executed["cells"][0])
        raw = (self.folder / "book.executed.ipynb").read_text()
        self.assertIn('"x": 1.0', raw)

    def test_output_is_bounded_with_a_sentence(self):
        [flood] = self.outputs("print('x' * 3_000_000)", arguments=["--max-output", "10K"])
        [(name, text)] = flood
        self.assertEqual(name, "stdout")
        self.assertLess(len(text), 11_000)
        self.assertRegex(text, r"\n\[lauter: 3\.0 MB more were not kept; --max-output\]\n$")
        self.assertIn("3.0 MB of output were not kept", self.said)

    def test_displays_are_bounded_with_a_sentence(self):
        [shown] = self.outputs("display('x' * 30_000)\ndisplay('small')", arguments=["--max-display", "10K"])
        self.assertEqual(shown[0], ("display_data", {"text/plain": "'small'"}))
        self.assertIn("1 display not kept", shown[1][1])

    def test_lines_of_foreign_text_do_not_reach_the_terminal_raw(self):
        self.outputs("# \x1b]0;title\x07\nraise ValueError('\\x1b[2J')", status=1)
        self.assertNotIn("\x1b", self.said)


    def test_prints_and_displays_keep_their_order(self):
        [outputs] = self.outputs("for i in range(50):\n    print(i)\n    display(i)\nprint('end')")
        expected = []
        for i in range(50):
            expected += [("stdout", f"{i}\n"), ("display_data", {"text/plain": str(i)})]
        self.assertEqual(outputs, expected + [("stdout", "end\n")])


class Inputs(NotebookTest):
    def test_answers_come_in_order_and_run_out(self):
        self.write("more", "third\n")
        outputs = self.outputs(
            "a = input('first? ')\nb = input('second? ')",
            "import getpass\nc = getpass.getpass('word: ')\nprint(a, b, c)",
            "input('once more? ')",
            arguments=["--input", "-1", "--input", "two words", "--inputs-from", "more"],
            status=1,
        )
        self.assertEqual(outputs[0], [("stdout", "first? -1\nsecond? two words\n")])
        self.assertEqual(outputs[1], [("stdout", "word: ········\n-1 two words third\n")])
        self.assertEqual(outputs[2][-1][1], "EOFError")
        self.assertIn("--input", outputs[2][-1][2])


class Contained(NotebookTest):
    def test_a_refusal_names_the_flag_that_would_allow(self):
        # Not below /tmp, of which the worker has its own.
        elsewhere = pathlib.Path(tempfile.mkdtemp(prefix="lauter-cli-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, elsewhere)
        target = elsewhere / "secret"
        target.write_text("secret")
        [[error], _] = self.outputs(f"open({str(target)!r})", f"import os; os.getcwd()", status=1)
        self.assertIn(error[1], ("FileNotFoundError", "PermissionError"))
        sentence = f"allow it with --read {target}"
        self.assertIn(sentence, error[3])
        self.assertIn(sentence, self.said)
        allowed = self.outputs(f"open({str(target)!r}).read()", arguments=["--read", target])
        self.assertEqual(allowed, [[("execute_result", {"text/plain": "'secret'"})]])

    def test_the_notebook_s_folder_can_be_read_and_not_written(self):
        self.write("data.txt", "data")
        outputs = self.outputs("open('data.txt').read()", "open('new.txt', 'w')", status=1)
        self.assertEqual(outputs[0], [("execute_result", {"text/plain": "'data'"})])
        self.assertEqual(outputs[1][0][0], "error")
        self.assertNotIn("new.txt", self.names())
        self.outputs("open('new.txt', 'w').write('x')", arguments=["--write", "."])
        self.assertEqual((self.folder / "new.txt").read_text(), "x")

    def test_a_cell_over_its_time_is_interrupted_and_the_state_stays(self):
        [_, [error], after] = self.outputs(
            "x = 1", "while True: pass", "x", arguments=["--cell-timeout", "500ms"], status=1
        )
        self.assertEqual(error[1], "KeyboardInterrupt")
        self.assertEqual(after, [("execute_result", {"text/plain": "1"})])
        self.assertRegex(self.said, r"\(timed out\)")
        self.assertIn("500 ms", self.said)
        self.assertIn("state is kept", self.said)

    def test_a_death_is_told_and_a_fresh_worker_goes_on(self):
        crash = "import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 11)"
        outputs = self.outputs("x = 1", crash, "'x' in globals()", status=1)
        self.assertIn(("stdout", "last words\n"), outputs[1])
        self.assertEqual(outputs[1][-1][:2], ("error", "WorkerDied"))
        self.assertIn("SIGSEGV", outputs[1][-1][2])
        self.assertEqual(outputs[2], [("execute_result", {"text/plain": "False"})])
        self.assertIn("(the worker died)", self.said)

    def test_on_death_stop_ends_the_run(self):
        outputs = self.outputs("import os; os._exit(3)", "1", arguments=["--on-death", "stop"], status=1)
        self.assertEqual(outputs[0][0][1], "WorkerDied")
        self.assertEqual(outputs[1], [])

    def test_a_death_between_cells_is_noticed(self):
        outputs = self.outputs(
            "import os, threading\nthreading.Timer(0.3, os._exit, [5]).start()", "import time\ntime.sleep(30)", "1",
            status=1,
        )
        self.assertEqual(outputs[1][0][1], "WorkerDied")
        self.assertEqual(outputs[2], [("execute_result", {"text/plain": "1"})])

    def test_the_report_has_cells_and_workers(self):
        self.outputs("1", "import os; os._exit(3)", "2", arguments=["--report", "report.json"], status=1)
        report = json.loads((self.folder / "report.json").read_text())
        self.assertEqual([each["status"] for each in report["cells"]], ["ok", "died", "ok"])
        self.assertEqual([each["exit_code"] for each in report["workers"]], [3, 0])
        self.assertEqual(report["output"], str(self.folder / "book.executed.ipynb"))

    def test_nothing_is_left_behind(self):
        self.outputs("1")
        self.assertEqual(self.names(), ["book.executed.ipynb", "book.ipynb"])

    def test_the_home_folder_is_not_shown_by_the_way(self):
        path = self.write("book.ipynb", notebook("1"))
        env = {**os.environ, "HOME": str(self.folder)}
        result = self.lauter("notebook", path, env=env, status=125)
        self.assertIn("--read", result.stderr)
        self.assertEqual(self.names(), ["book.ipynb"])
        self.lauter("notebook", path, "--read", "~", env=env)


class Signals(NotebookTest):
    def start(self, *cells):
        """Begin to run cells, and return when the first is done. The second opens a pipe once it runs."""
        path = self.write("book.ipynb", notebook(*cells))
        process = subprocess.Popen(
            [LAUTER, "notebook", path, "--write", "."], cwd=self.folder,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.assertRegex(process.stderr.readline(), r"^\[1/")
        return process

    def test_ctrl_c_interrupts_the_cell_and_keeps_what_there_is(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        process = self.start("1", "open('fifo', 'w').close()\nwhile True: pass", "3")
        open(fifo).close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130, said)
        self.assertIn("(interrupted)", said)
        self.validate(self.folder / "book.executed.ipynb")
        cells = json.loads((self.folder / "book.executed.ipynb").read_text())["cells"]
        self.assertEqual(joined(cells[1]["outputs"][-1])[1], "KeyboardInterrupt")
        self.assertEqual(cells[2]["outputs"], [])

    def test_ctrl_c_at_a_terminal(self):
        os.mkfifo(self.folder / "fifo")
        path = self.write("book.ipynb", notebook("1", "open('fifo', 'w').close()\nwhile True: pass", "3"))
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.environ.update(TERM="xterm", NO_COLOR="1")
            os.execv(LAUTER, ["lauter", "notebook", str(path), "--write", "."])
        self.addCleanup(os.close, terminal)
        open(self.folder / "fifo").close()
        os.write(terminal, b"\x03")
        shown = b""
        while select.select([terminal], [], [], PATIENCE)[0]:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # the terminal's last user has ended
                break
            if not piece:
                break
            shown += piece
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 130)
        # What a terminal shows in the end: of each line, what follows the last "erase and begin anew".
        lines = [line.rpartition("\r\x1b[K")[2] for line in shown.decode().split("\r\n")]
        self.assertIn("░", shown.decode())
        self.assertNotIn("░", "".join(lines))
        self.assertRegex(lines[0], r"^\[1/3\] ✓ +\d")
        self.assertRegex(lines[1], r"^\[2/3\] ✗ .*\(interrupted\)$")
        self.assertEqual(lines[2].strip(), "KeyboardInterrupt")
        self.assertIn("1 ok, 1 not ok, 1 not run", lines[3])

    def test_a_second_ctrl_c_ends_a_cell_that_heeds_none(self):
        for name in ("fifo", "again"):
            os.mkfifo(self.folder / name)
        stubborn = (
            "try:\n    open('fifo', 'w').close()\n    while True: pass\nexcept KeyboardInterrupt: pass\n"
            "open('again', 'w').close()\nwhile True: pass"
        )
        process = self.start("1", stubborn, "3")
        open(self.folder / "fifo").close()
        process.send_signal(signal.SIGINT)
        # It has swallowed the first one when it opens this: two at once would be one.
        open(self.folder / "again").close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130, said)
        cells = json.loads((self.folder / "book.executed.ipynb").read_text())["cells"]
        self.assertEqual(joined(cells[1]["outputs"][-1])[1], "WorkerDied")

    def test_termination_kills_the_worker_and_keeps_what_there_is(self):
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        process = self.start("1", "open('fifo', 'w').close()\nwhile True: pass", "3")
        open(fifo).close()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 143, said)
        cells = json.loads((self.folder / "book.executed.ipynb").read_text())["cells"]
        self.assertEqual(joined(cells[0]["outputs"][0]), ("execute_result", {"text/plain": "1"}))


class BadInput(NotebookTest):
    def refused(self, *arguments, **options):
        result = self.lauter("notebook", *arguments, status=125, **options)
        self.assertTrue(result.stderr.startswith("lauter: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr

    def test_what_is_no_python_notebook_is_named(self):
        for text, words in (
            ("print(1)", "not JSON: line 1, column 1"),
            ("[]", "no notebook"),
            ('{"nbformat": 3, "worksheets": []}', "nbconvert"),
            ('{"nbformat": 5, "cells": []}', "newer"),
            (notebook(metadata={"kernelspec": {"language": "julia"}}), "julia"),
            ('{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "cell 1 has no source"),
        ):
            with self.subTest(words):
                path = self.write("book.ipynb", text)
                said = self.refused(path)
                self.assertIn(words, said)
                self.assertIn("book.ipynb", said)
                self.assertEqual(self.names(), ["book.ipynb"])

    def test_missing_files_and_folders_are_named(self):
        self.assertIn("gone.ipynb", self.refused("gone.ipynb"))
        self.write("book.ipynb", notebook("1"))
        self.assertIn("no/such", self.refused("book.ipynb", "--output", "no/such/out.ipynb"))
        self.assertIn("folder", self.refused("book.ipynb", "--output", "."))
        self.assertIn("no-such-python", self.refused("book.ipynb", "--python", "no-such-python"))
        self.assertIn("/no/such/python", self.refused("book.ipynb", "--python", "/no/such/python"))
        self.refused("book.ipynb", "--cell-timeout", "5")
        self.refused("book.ipynb", "--on-death", "panic")
        self.assertIn("two places", self.refused("book.ipynb", "--inplace", "--output", "other.ipynb"))
        self.assertIn("contradict", self.refused("book.ipynb", "--stop-on-error", "--allow-errors"))
        self.assertEqual(self.names(), ["book.ipynb"])

    def test_an_unwritable_output_is_known_before_anything_runs(self):
        self.write("book.ipynb", notebook("open('ran', 'w').close()"))
        for output in ("/proc/out.ipynb", "/dev/null"):
            self.assertIn(output, self.refused("book.ipynb", "--write", ".", "--output", output))
            self.assertEqual(self.names(), ["book.ipynb"])
        self.lauter("notebook", "book.ipynb", "--write", ".")
        self.assertIn("ran", self.names())

    def test_an_output_in_place_keeps_the_mode(self):
        path = self.write("book.ipynb", notebook("1"))
        path.chmod(0o640)
        self.lauter("notebook", path, "--output", path)
        self.validate(path)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o640)
        self.assertEqual(json.loads(path.read_text())["cells"][0]["execution_count"], 1)


class Tour(NotebookTest):
    def test_the_tour_goes_as_it_says(self):
        python = "/usr/bin/python3"
        if subprocess.run([python, "-c", "import numpy, matplotlib"], capture_output=True).returncode:
            skip(self, f"{python} has no numpy or no matplotlib")
        output = self.folder / "tour.executed.ipynb"
        result = self.lauter(
            "notebook", ROOT / "docs/tour/tour.ipynb", "--output", output, "--report", "report",
            "--python", python, "--input", "Ada", "--cell-timeout", "10s",
        )
        self.validate(output)
        cells = {each["id"]: each for each in json.loads(output.read_text())["cells"]}
        report = json.loads((self.folder / "report").read_text())
        said = {name: [joined(each) for each in one.get("outputs", [])] for name, one in cells.items()}
        for name, words in (
            ("key", "--read /root/.ssh/id"),
            ("shadow", "--read /etc/shadow"),
            ("tamper", "--write"),
            ("connect", "--net"),
            ("hoard", "memory"),
            ("bomb", "processes"),
            ("crash", "SIGSEGV"),
            ("loop", "KeyboardInterrupt"),
            ("flood", "more were not kept"),
            ("after-loop", "interrupted"),
            ("after-bomb", "programs run again"),
            ("fresh", "here again"),
            ("input", "Good day, Ada."),
            ("display", "3 of 3"),
            ("figure", "image/png"),
        ):
            with self.subTest(name):
                self.assertIn(words, str(said[name]))
        self.assertGreaterEqual(len(report["cells"]), 14)
        self.assertEqual(len(report["workers"]), 2)
        self.assertLess(sum(each["seconds"] for each in report["cells"]), 60)
        self.assertIn("[ 1/", result.stderr)


if __name__ == "__main__":
    unittest.main()
