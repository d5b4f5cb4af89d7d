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
        self.assertEqual(self.run_cell("%%html\n<b>x</b>").displays()[0]["text/html"], b"<b>x</b>")
        self.run_cell("import os, tempfile; os.chdir(tempfile.mkdtemp())")
        self.run_cell("%%writefile f.txt\nline\n")
        self.assertEqual(self.value("open('f.txt').read()"), repr("line\n"))
        self.fails("%%bash\nexit 4", "CalledProcessError")

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
