# SPDX-License-Identifier: Apache-2.0
import time
import unittest

from fake_host import Host
from support import RuntimeTest


class Streams(RuntimeTest):
    def test_what_is_printed_arrives(self):
        self.run_cell("import sys; print('out'); print('err', file=sys.stderr)")
        self.assertEqual(self.host.wait_stdout("out\n"), "out\n")
        self.assertEqual(self.host.wait_stderr("err\n"), "err\n")

    def test_a_line_arrives_while_its_cell_runs(self):
        self.host.execute_start("print('now')\nimport time; time.sleep(1000)")
        self.host.wait_stdout("now\n")

    def test_an_unfinished_line_arrives_before_the_answer(self):
        self.run_cell("print('no newline', end='')")
        self.host.wait_stdout("no newline")
        self.run_cell("import sys; sys.stderr.write('half')")
        self.host.wait_stderr("half")

    def test_text_written_before_a_display_is_flushed_before_it(self):
        self.host.execute_start("print('first', end=''); display(1); import time; time.sleep(1000)")
        self.host.pump()
        self.host.wait_stdout("first")

    def test_children_and_os_write_go_the_same_way(self):
        self.run_cell("import os\nprint('a', end='')\nos.system('echo b')\nos.write(1, b'c\\n')")
        self.host.wait_stdout("c\n")
        self.assertEqual(sorted(self.host.stdout().replace("\n", "")), ["a", "b", "c"])

    def test_c_stdio_is_not_held_back(self):
        for options in (("-u",), ()):
            with Host(options=options) as host:
                outcome = host.execute("import ctypes; libc = ctypes.CDLL(None)\nlibc.printf(b'from C'); None")
                self.assertTrue(outcome.ok, outcome.trace)
                host.wait_stdout("from C")

    def test_text_is_utf8_whatever_the_locale(self):
        for env in ({"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
            for options in (("-u",), ()):
                with Host(env=env, options=options) as host:
                    outcome = host.execute("print('ä€\\U0001f37a', '\\udc80'); import sys; sys.stdout.encoding")
                    self.assertEqual(outcome.text, "'utf-8'")
                    self.assertEqual(host.wait_stdout("\n"), "ä€\U0001f37a \\udc80\n")

    def test_a_line_is_one_write(self):
        # Pieces of it would be events of their own, and mix with those of other processes.
        self.run_cell("import os; r, w = os.pipe(); keep = os.dup(1); os.dup2(w, 1); print('a', 'b', 'c'); os.dup2(keep, 1)")
        self.assertEqual(self.value("os.set_blocking(r, False); os.read(r, 100)"), "b'a b c\\n'")

    def test_stdout_that_was_closed_is_there_again(self):
        for how in ("sys.stdout.close()", "sys.stdout = None", "os.close(1)", "del sys.stdout", "sys.stdout.detach()"):
            with self.subTest(how), Host() as host:
                host.execute("import os, sys\n" + how)
                self.assertTrue(host.execute("print('again')").ok)
                self.assertEqual(host.wait_stdout("again\n"), "again\n")

    def test_a_file_does_not_become_stdout(self):
        self.run_cell("import os; os.close(1); os.close(2)")
        self.assertEqual(self.value("f = open('/dev/null'); f.fileno() > 2"), "True")

    def test_a_stream_of_the_users_is_left_in_place(self):
        self.run_cell("import io, sys; sys.stdout = mine = io.StringIO()")
        self.run_cell("print('kept')")
        self.assertEqual(self.value("mine.getvalue()"), repr("kept\n"))
        self.run_cell("sys.stdout = sys.__stdout__; print('back')")
        self.assertEqual(self.host.wait_stdout("back\n"), "back\n")

    def test_a_stream_of_the_users_that_is_broken_harms_nobody(self):
        self.run_cell("import sys\nclass S:\n  def write(self, s): 1/0\n  def flush(self): 1/0\nsys.stdout = S()")
        self.assertEqual(self.value("1 + 1"), "2")

    def test_redirect_stdout_works(self):
        self.run_cell("import contextlib, io\nb = io.StringIO()\nwith contextlib.redirect_stdout(b): print('in')")
        self.assertEqual(self.value("b.getvalue()"), repr("in\n"))

    def test_stdin_is_at_its_end(self):
        self.assertEqual(self.value("import sys; sys.stdin.read()"), "''")

    def test_printing_much_is_not_slow(self):
        started = time.monotonic()
        self.run_cell("for _ in range(200): print('x' * 100000)")
        self.assertLess(time.monotonic() - started, 20)


class Input(RuntimeTest):
    def setUp(self):
        super().setUp()
        self.said = b"blue"
        self.host.answers["input"] = lambda call: self.host.reply(call, [("text/plain", self.said)])

    def test_input_asks_the_host_with_its_prompt(self):
        outcome = self.run_cell("input('colour? ')")
        self.assertEqual(outcome.text, "'blue'")
        asked = self.host.asked[0]
        self.assertEqual((asked.name, asked.parts, asked.parent), ("input", [("text/plain", b"colour? ")], outcome.id))
        self.assertEqual(self.host.stdout(), "")

    def test_getpass_asks_for_a_secret(self):
        self.assertEqual(self.value("import getpass; getpass.getpass()"), "'blue'")
        self.assertEqual(self.host.asked[0].parts[1], ("application/vnd.lauter.metadata+json", b'{"secret":true}'))

    def test_getpass_imported_by_name_asks_as_well(self):
        self.assertEqual(self.value("from getpass import getpass as ask; ask('pw')"), "'blue'")

    def test_nobody_to_ask_is_an_eof_error(self):
        self.host.answers["input"] = lambda call: self.host.fail(call, "EOFError", "no terminal here")
        self.assertEqual(self.fails("input()", "EOFError").text, "no terminal here")

    def test_text_before_the_prompt_is_flushed(self):
        self.run_cell("print('say', end=''); input()")
        self.host.wait_stdout("say")

    def test_many_threads_ask_at_once(self):
        self.host.answers["input"] = lambda call: self.host.reply(call, [("text/plain", call.parts[0][1] * 2)])
        source = (
            "import threading\nsaid = {}\n"
            "def ask(n): said[n] = [input('%d.%d ' % (n, k)) for k in range(50)]\n"
            "threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]\n"
            "[t.start() for t in threads]; ask(6); [t.join() for t in threads]\n"
            "all(said[n] == ['%d.%d ' % (n, k) * 2 for k in range(50)] for n in range(7))"
        )
        self.assertEqual(self.value(source), "True")

    def test_a_thread_asks_while_the_worker_is_idle_and_calls_still_run(self):
        source = "import threading, time\nsaid = []\n" + (
            "def later():\n  go.wait()\n  for n in range(200): said.append(input(str(n)))\n"
            "go = threading.Event(); t = threading.Thread(target=later); t.start()"
        )
        self.run_cell(source)
        self.host.execute("go.set()")
        for n in range(50):
            self.assertEqual(self.value(str(n)), str(n))
        while len(self.host.asked) < 200:
            self.host.pump()
        self.assertEqual(self.value("t.join(); len(said)"), "200")

    def test_a_stdin_of_the_users_is_read(self):
        self.assertEqual(self.value("import io, sys; sys.stdin = io.StringIO('mine\\n'); input()"), "'mine'")


if __name__ == "__main__":
    unittest.main()
