# SPDX-License-Identifier: Apache-2.0
"""What notebooks have beyond Python: figures that show themselves, `!commands` and `%magics`."""

import struct
import unittest

from fake_host import Host
from support import RuntimeTest, needs

PNG = b"\x89PNG\r\n\x1a\n"


@needs("numpy", "matplotlib")
class Figures(RuntimeTest):
    def setUp(self):
        super().setUp()
        self.assertTrue(self.host.execute("import matplotlib.pyplot as plt", timeout=120).ok)

    def images(self, outcome):
        return [d["image/png"] for d in outcome.displays() if d["image/png"].startswith(PNG)]

    def test_an_open_figure_is_shown_when_its_cell_ends(self):
        outcome = self.run_cell("plt.plot([1, 2]); None")
        self.assertEqual(len(self.images(outcome)), 1)
        self.assertIn(b"Figure size", outcome.displays()[0]["text/plain"])
        self.assertEqual(self.value("plt.get_fignums()"), "[]")

    def test_figures_come_in_the_order_of_their_making(self):
        outcome = self.run_cell("for size in (2, 4, 6): plt.figure(figsize=(size, 1)); plt.plot([1, 2])")
        widths = [struct.unpack(">I", image[16:20])[0] for image in self.images(outcome)]
        self.assertEqual(len(widths), 3)
        self.assertEqual(widths, sorted(widths))

    def test_show_shows_at_once(self):
        outcome = self.run_cell("plt.plot([1]); plt.show(); display('after'); plt.plot([2]); None")
        self.assertEqual(["image/png" in d for d in outcome.displays()], [True, False, True])

    def test_a_figure_as_value_is_shown_once(self):
        outcome = self.run_cell("fig, ax = plt.subplots(); ax.plot([1, 2]); fig")
        self.assertTrue(outcome.bundle["image/png"].startswith(PNG))
        self.assertEqual(outcome.displays(), [])

    def test_a_closed_figure_can_be_shown_again(self):
        self.run_cell("fig, ax = plt.subplots(); ax.plot([1, 2]); None")
        self.assertTrue(self.run_cell("fig").bundle["image/png"].startswith(PNG))

    def test_an_empty_figure_is_not_shown(self):
        self.assertEqual(self.run_cell("f = plt.figure(); None").displays(), [])

    def test_a_figure_of_a_cell_that_fails_is_shown(self):
        outcome = self.fails("plt.plot([1]); 1/0", "ZeroDivisionError")
        self.assertEqual(len(self.images(outcome)), 1)

    def test_a_figure_of_a_captured_cell_is_kept_with_the_rest(self):
        self.assertEqual(self.run_cell("%%capture kept\nplt.plot([1, 2])").displays(), [])
        self.assertEqual(self.value("['image/png' in data for data, _ in kept.outputs]"), "[True]")
        self.assertEqual(len(self.images(self.run_cell("kept.show()"))), 1)

    def test_a_figure_that_cannot_be_drawn_does_not_fail_the_cell(self):
        outcome = self.run_cell("plt.title(r'$\\frac{$'); 'fine'")
        self.assertEqual(outcome.text, "'fine'")
        self.host.wait_stderr("Error")
        self.assertEqual(len(self.images(self.run_cell("plt.plot([1]); None"))), 1)

    def test_a_backend_of_the_users_choice_is_left_alone(self):
        self.run_cell("import matplotlib; matplotlib.use('agg')")
        self.assertEqual(self.run_cell("plt.plot([1]); None").displays(), [])
        self.run_cell("%matplotlib inline\nplt.close('all')")
        self.assertEqual(len(self.images(self.run_cell("plt.plot([1]); None"))), 1)

    def test_children_do_not_inherit_our_backend(self):
        source = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import matplotlib.pyplot as p; p.plot([1]); p.savefig(\"/dev/null\", format=\"png\")']).returncode"
        self.assertEqual(self.value(source), "0")

    def test_no_warning_about_a_home_that_cannot_be_written(self):
        self.assertNotIn("MPLCONFIGDIR", self.host.stderr())

    def test_matplotlib_is_not_loaded_unasked(self):
        with Host() as host:
            self.assertEqual(host.execute("import sys; [m for m in sys.modules if m.startswith(('matplotlib', 'numpy'))]").text, "[]")


class Syntax(RuntimeTest):
    def test_shell_commands(self):
        self.run_cell("!echo a shell")
        self.host.wait_stdout("a shell\n")
        self.assertEqual(self.value("lines = !printf 'x\\ny'\nlines"), "['x', 'y']")
        self.assertEqual(self.value("!exit 3\n_exit_code"), "3")

    def test_python_values_in_shell_commands(self):
        self.assertEqual(self.value("n = 5\nx = !echo $n {n + 1} $HOME ${HOME} {nope}\nx"), "['5 6 /nonexistent /nonexistent {nope}']")

    def test_shell_commands_within_blocks(self):
        self.assertEqual(self.value("got = []\nfor n in range(2):\n    y = !echo $n\n    got += y\ngot"), "['0', '1']")
        self.assertEqual(self.value("def f(k):\n    z = !echo {k}\n    return z\nf('local')"), "['local']")

    def test_quotes_and_continuation_lines(self):
        self.assertEqual(self.value("w = !echo \"it's\" 'fine' && \\\n  echo two\nw"), "[\"it's fine\", 'two']")

    def test_line_numbers_stay(self):
        self.assertIn("line 3, in <module>", self.fails("!true\n!true\n1/0", "ZeroDivisionError").trace)

    def test_percent_in_python_is_python(self):
        self.assertEqual(self.value("x = 17\nx\\\n%5"), "2")
        self.assertEqual(self.value("'''\n%matplotlib inline\n!ls\n'''"), repr("\n%matplotlib inline\n!ls\n"))
        self.assertEqual(self.value("%config InlineBackend.figure_format = 'retina'\n'''\n!ls\n%who'''"), repr("\n!ls\n%who"))

    def test_matplotlib_inline_is_no_trouble(self):
        self.assertEqual(self.value("%matplotlib inline\n1 + 1"), "2")

    def test_time(self):
        self.assertEqual(self.value("%time 6 * 7"), "42")
        self.assertEqual(self.value("%time v = 6 * 8\nv"), "48")
        self.assertEqual(self.value("%%time\nw = 3\nw + 1"), "4")
        self.run_cell("print('all timed')")
        self.assertEqual(self.host.wait_stdout("all timed").count("wall time"), 3)
        self.assertIn("line 4", self.fails("\n\n%%time\n1/0", "ZeroDivisionError").trace)

    def test_cell_magics(self):
        self.run_cell("%%bash\nfor i in 1 2; do echo n$i; done")
        self.host.wait_stdout("n1\nn2\n")
        self.assertEqual(self.run_cell("%%html\n<b>x</b>").displays()[0]["text/html"], b"<b>x</b>\n")
        self.run_cell("import os, tempfile; os.chdir(tempfile.mkdtemp())")
        self.run_cell("%%writefile f.txt\nline\n")
        self.assertEqual(self.value("open('f.txt').read()"), repr("line\n"))
        self.fails("%%bash\nexit 4", "CalledProcessError")

    def test_a_script_gets_its_arguments_and_the_cell_as_its_input(self):
        self.run_cell("%%bash -s one two\necho $2 $#")
        self.host.wait_stdout("two 2\n")
        self.run_cell("program = 'cat'\n%%script {program}\nas it is" if False else "program = 'cat'")
        self.run_cell("%%script $program\nas it is")
        self.host.wait_stdout("as it is\n")
        failed = self.fails("%%bash\nexit 4", "CalledProcessError")
        self.assertIn("exit 4", failed.text)
        self.assertIn("--bg", self.fails("%%bash --bg\ntrue", "ValueError").text)

    def test_capture_keeps_prints_displays_values_and_programs(self):
        outcome = self.run_cell(
            "%%capture kept\nimport sys\nprint('out')\n!echo shell\nprint('err', file=sys.stderr)\ndisplay('shown')\n'value'"
        )
        self.assertEqual((outcome.displays(), outcome.text), ([], ""))
        self.assertEqual(self.value("kept.stdout, kept.stderr, len(kept.outputs)"), "('out\\nshell\\n', 'err\\n', 1)")
        # And it is over: what comes next is seen, also after a cell that failed.
        self.assertEqual(self.run_cell("display(1)").displays(), [{"text/plain": b"1"}])
        self.assertIn("line 3", self.fails("%%capture\nprint('lost')\n1/0", "ZeroDivisionError").trace)
        self.assertEqual(len(self.run_cell("kept.show()").displays()), 1)
        self.host.wait_stdout("out\nshell\n")
        self.assertNotIn("lost", self.host.stdout())
        self.fails("%%capture --what\n1", "ValueError")

    def test_cell_magics_before_others(self):
        self.run_cell("%%capture inner\n%%bash\necho from bash")
        self.assertEqual(self.value("inner.stdout"), repr("from bash\n"))
        self.run_cell("%%time\n!echo timed")
        self.assertIn("wall time", self.host.wait_stdout("wall time"))

    def test_run_takes_over_the_names_of_a_script(self):
        self.run_cell("import os, tempfile; os.chdir(tempfile.mkdtemp())")
        self.run_cell("%%writefile s.py\nimport sys\ngiven = sys.argv\ndef double(): return given * 2\nsys.exit(0) if len(given) > 2 else None")
        self.assertEqual(self.value("%run s.py a\ngiven, len(double()), __name__"), "(['s.py', 'a'], 4, '__main__')")
        self.run_cell("%run s a b")
        self.fails("%run -i s.py", "ValueError")

    def test_environment_and_names_in_magics(self):
        self.assertEqual(self.value("n = 5\n%env SAMPLE=x{n}\n%env SAMPLE"), "'x5'")
        self.assertEqual(self.value("%set_env SAMPLE 6\nimport os; os.environ['SAMPLE']"), "'6'")

    def test_timeit_takes_its_options(self):
        self.run_cell("ran = []")
        self.assertEqual(self.value("%timeit -n 3 -r 2 ran.append(1)\nlen(ran)"), "6")
        self.run_cell("%%timeit -n1 -r1 start = 7\nran.append(start)")
        self.assertEqual(self.value("ran[-1]"), "7")
        self.fails("%timeit -o 1", "ValueError")

    def test_what_is_for_a_frontend_is_passed_over_and_what_matters_is_not(self):
        self.run_cell("%load_ext autoreload\n%autoreload 2\n%autosave 60\n%config Completer.use_jedi = False")
        self.assertIn("IPython", self.fails("%load_ext sql", "ValueError").text)
        self.fails("%config ZMQInteractiveShell.ast_node_interactivity = 'all'", "ValueError")

    def test_help_shows_nothing_but_what_is_not_there(self):
        outcome = self.run_cell("len?\n?len\nlen??\n%time?\nstr.join?")
        self.assertEqual(outcome.text, "")
        self.run_cell("no_such_thing?\n?str.nothing")
        missing = "Object `no_such_thing` not found.\nObject `str.nothing` not found.\n"
        self.assertEqual(self.host.wait_stdout(missing) or self.host.stdout(), missing)

    def test_an_indented_cell_is_taken_as_if_it_were_not(self):
        self.assertEqual(self.value("  x = 1\n  if x:\n      x += 1\n  x"), "2")
        self.assertEqual(self.value("\n    %config InlineBackend.x = 1\n    'on'"), "'on'")
        self.fails("x = 1\n  y = 2", "IndentationError")

    def test_unknown_magics_are_refused_with_what_there_is(self):
        for source in ("%frobnicate 3", "%%frobnicate\nx"):
            outcome = self.fails(source, "SyntaxError")
            self.assertIn("unknown magic", outcome.text)
            self.assertIn("%time", outcome.text)
            self.assertNotIn("During handling", outcome.trace)

    def test_a_syntax_error_beside_magics_is_itself(self):
        outcome = self.fails("%matplotlib inline\nx = = 1", "SyntaxError")
        self.assertIn("line 2", outcome.trace)
        self.assertNotIn("lauter_runtime", outcome.trace)


if __name__ == "__main__":
    unittest.main()
