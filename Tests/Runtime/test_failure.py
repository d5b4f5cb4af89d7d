# SPDX-License-Identifier: Apache-2.0
import re
import unittest

from support import RuntimeTest, version


class Tracebacks(RuntimeTest):
    def test_it_begins_in_the_cell_and_shows_its_lines(self):
        trace = self.fails("def f(n):\n    return 1 / n\n\nf(0)", "ZeroDivisionError").trace
        trace = re.sub(r"\n +[\^~]+\n", "\n", trace)
        trace = re.sub(r"\n +[\^~]+\n", "\n", trace)
        self.assertEqual(
            trace,
            "Traceback (most recent call last):\n"
            '  File "<cell 1>", line 4, in <module>\n    f(0)\n'
            '  File "<cell 1>", line 2, in f\n    return 1 / n\n'
            "ZeroDivisionError: division by zero\n",
        )

    def test_the_message_is_the_first_part(self):
        outcome = self.fails("raise KeyError('k')", "KeyError")
        self.assertEqual(outcome.answer.parts[0], ("text/plain", b"'k'"))
        self.assertEqual(outcome.answer.parts[1][0], "text/x-traceback")
        self.assertEqual(self.fails("raise ValueError", "ValueError").text, "")

    def test_a_syntax_error_points_at_its_place(self):
        outcome = self.fails("x = 1\ny = = 2", "SyntaxError")
        self.assertIn("y = = 2", outcome.trace)
        self.assertIn("^", outcome.trace)
        self.assertTrue(outcome.trace.startswith('  File "<cell 1>", line 2'), outcome.trace)
        outcome = self.fails("if 1:\nx", "IndentationError")
        self.assertNotIn("Traceback", outcome.trace)

    def test_a_syntax_error_at_run_time_has_frames(self):
        self.assertIn("line 1, in <module>", self.fails("eval('1 +')", "SyntaxError").trace)

    def test_a_null_byte_is_told(self):
        self.assertFalse(self.host.execute("x = '\0'").ok)
        self.assertEqual(self.value("1+1"), "2")

    def test_chained_exceptions(self):
        trace = self.fails("try:\n  1/0\nexcept ZeroDivisionError as e:\n  raise KeyError(3) from e", "KeyError").trace
        self.assertIn("ZeroDivisionError: division by zero", trace)
        self.assertIn("direct cause", trace)
        trace = self.fails("try:\n  1/0\nexcept ZeroDivisionError:\n  raise KeyError(3)", "KeyError").trace
        self.assertIn("During handling", trace)
        trace = self.fails("try:\n  1/0\nexcept ZeroDivisionError:\n  raise KeyError(3) from None", "KeyError").trace
        self.assertNotIn("division", trace)

    def test_a_chain_in_a_circle(self):
        self.fails("a, b = ValueError('a'), ValueError('b')\na.__cause__ = b; b.__cause__ = a\nraise a", "ValueError")

    def test_exception_groups(self):
        if version() < (3, 11):
            self.skipTest("exception groups came with Python 3.11")
        trace = self.fails("raise ExceptionGroup('both', [ValueError(1), OSError(2, 'x')])", "ExceptionGroup").trace
        self.assertIn("ValueError: 1", trace)
        self.assertIn("both (2 sub-exceptions)", trace)

    def test_through_library_code(self):
        trace = self.fails("import json\njson.loads('{')", "JSONDecodeError").trace
        self.assertIn("decoder.py", trace)

    def test_through_display_and_input(self):
        self.host.answers["input"] = lambda call: self.host.fail(call, "EOFError", "nobody")
        trace = self.fails("def ask():\n  return input()\nask()", "EOFError").trace
        self.assertIn("in ask", trace)
        self.fails("display(1, raw=True)", "TypeError")

    def test_in_top_level_await(self):
        trace = self.fails("import asyncio\nasync def f():\n  1/0\nawait f()", "ZeroDivisionError").trace
        self.assertNotIn("asyncio", trace)
        self.assertIn("in f", trace)
        self.assertIn('File "<cell 1>", line 4', trace)
        self.fails("await asyncio.wait_for(asyncio.sleep(9), 0.01)", "TimeoutError")
        self.fails("t = asyncio.ensure_future(asyncio.sleep(9)); t.cancel(); await t", "CancelledError")
        self.fails("await asyncio.sleep(0); exit()", "SystemExit")
        self.assertEqual(self.value("await asyncio.sleep(0, 2)"), "2")

    def test_exceptions_that_break_their_own_telling(self):
        self.run_cell("class B(Exception):\n  def __str__(self): 1/0\n  __repr__ = __str__")
        self.assertIn("str() failed", self.fails("raise B", "B").text)
        self.run_cell("class C(Exception):\n  @property\n  def __cause__(self): 1/0\n  __context__ = __cause__")
        self.fails("raise C('c')", "C")
        self.run_cell("class D(Exception):\n  def __str__(self): return 5")
        self.fails("raise D", "D")
        self.run_cell("class E(Exception):\n  def __str__(self): raise SystemExit")
        self.assertFalse(self.host.execute("raise E").ok)
        self.assertEqual(self.value("1+1"), "2")

    def test_messages_beyond_measure_are_shortened(self):
        outcome = self.fails("raise ValueError('x' * 10_000_000 + 'end')", "ValueError")
        self.assertLess(len(outcome.text), 200000)
        self.assertTrue(outcome.text.endswith("end"))

    def test_a_name_beyond_measure_is_shortened(self):
        outcome = self.host.execute("raise type('ä' * 5000, (Exception,), {})")
        self.assertTrue(outcome.name.startswith("ää"))

    def test_surrogates_do_not_break_it(self):
        self.fails("raise ValueError('\\udc80')", "ValueError")

    def test_no_colours(self):
        trace = self.fails("1/0", "ZeroDivisionError").trace
        self.assertNotIn("\x1b", trace)

    def test_a_debugger_finds_the_last_exception(self):
        self.fails("1/0", "ZeroDivisionError")
        self.assertEqual(self.value("import sys; sys.last_type.__name__"), "'ZeroDivisionError'")


class Notes(RuntimeTest):
    def setUp(self):
        super().setUp()
        self.checks = []
        self.denied = {("read", "/root/.ssh/id"), ("net", "192.0.2.7:80"), ("write", "/etc/lauter"), ("run", "frobnicate")}
        self.host.answers["lauter.check"] = self.check

    def check(self, call):
        word, value = (data.decode() for _, data in call.parts)
        self.checks.append((word, value))
        parts = []
        if (word, value) in self.denied or value.startswith("/hidden"):
            parts = [("text/plain", ("outside the policy; allow it with --%s %s" % (word, value)).encode())]
        self.host.reply(call, parts)

    def test_a_file_outside_the_policy(self):
        outcome = self.fails("open('/root/.ssh/id_none')\n".replace("_none", ""), "FileNotFoundError")
        note = "/root/.ssh/id is outside the policy; allow it with --read /root/.ssh/id"
        self.assertEqual(outcome.note, note)
        self.assertTrue(outcome.trace.endswith("\nnote: %s\n" % note), outcome.trace)

    def test_a_file_that_is_just_missing_has_no_note(self):
        outcome = self.fails("open('/missing')", "FileNotFoundError")
        self.assertEqual(self.checks, [("read", "/missing")])
        self.assertEqual(outcome.note, "")
        self.assertNotIn("note:", outcome.trace)

    def test_a_relative_path_is_told_from_the_working_directory(self):
        self.fails("open('data.csv')", "FileNotFoundError")
        self.assertEqual(self.checks[0][1], self.value("import os; os.path.abspath('data.csv')")[1:-1])

    def test_pathlib_and_bytes(self):
        self.assertIn("--read", self.fails("import pathlib; pathlib.Path('/hidden/a').read_text()", "FileNotFoundError").note)
        self.assertIn("--read", self.fails("open(b'/hidden/b')", "FileNotFoundError").note)

    def test_writing_asks_for_write(self):
        for source in (
            "open('/hidden/x', 'w')",
            "import os; os.mkdir('/hidden/d')",
            "import pathlib; pathlib.Path('/hidden/y').write_text('')",
            "def save(path):\n  with open(path, mode='ab') as f: pass\nsave('/hidden/z')",
        ):
            outcome = self.host.execute(source)
            self.assertIn("allow it with --write /hidden/", outcome.note, source)

    def test_a_chained_cause_is_found(self):
        source = "try:\n  open('/hidden/c')\nexcept OSError as e:\n  raise RuntimeError('no config') from e"
        self.assertIn("/hidden/c is outside", self.fails(source, "RuntimeError").note)
        source = "try:\n  open('/hidden/c')\nexcept OSError:\n  raise RuntimeError('no config')"
        self.assertIn("/hidden/c is outside", self.fails(source, "RuntimeError").note)

    def test_the_network(self):
        source = "import socket\ns = socket.socket()\ndef connect(*_): raise OSError(101, 'Network is unreachable')\n"
        self.run_cell(source + "class S(socket.socket):\n  connect = connect\nsocket.socket = S")
        outcome = self.fails("socket.create_connection(('192.0.2.7', 80))", "OSError")
        self.assertEqual(outcome.note, "192.0.2.7:80 is outside the policy; allow it with --net 192.0.2.7:80")
        outcome = self.fails("import urllib.request as u; u.urlopen('http://192.0.2.7')", "URLError")
        self.assertIn("192.0.2.7:80 is outside", outcome.note)

    def test_an_address_in_the_cell_itself(self):
        source = "import socket\nclass S:\n  def connect(self, a): raise OSError(101, 'Network is unreachable')\ns = S()"
        self.run_cell(source)
        self.assertIn("192.0.2.7:80 is", self.fails("s.connect(('192.0.2.7', 80))", "OSError").note)

    def test_names_that_cannot_be_resolved(self):
        self.denied.add(("net", "example.org:80"))
        self.run_cell("import socket\ndef none(*a, **k): raise socket.gaierror(-3, 'Temporary failure')\nsocket.getaddrinfo = none")
        self.assertIn("example.org:80 is outside", self.fails("socket.create_connection(('example.org', 80))", "gaierror").note)

    def test_a_refused_connection_to_the_worker_itself_has_no_note(self):
        self.fails("import socket; socket.create_connection(('127.0.0.1', 1))", "ConnectionRefusedError")
        self.assertEqual(self.checks, [])

    def test_a_program_that_may_not_run(self):
        self.run_cell("import subprocess, os, tempfile\np = os.path.join(tempfile.mkdtemp(), 'x'); open(p, 'w').close()")
        path = self.value("p")[1:-1]
        self.denied.add(("run", path))
        self.assertIn("allow it with --run", self.fails("subprocess.run([p])", "PermissionError").note)

    def test_limits_on_processes_are_told(self):
        self.run_cell("import resource; resource.setrlimit(resource.RLIMIT_NPROC, (50, 50))")
        outcome = self.fails("raise BlockingIOError(11, 'Resource temporarily unavailable')", "BlockingIOError")
        self.assertIn("limits processes and threads; allow more with --limit processes=N", outcome.note)
        self.assertIn("limits processes", self.fails("raise RuntimeError(\"can't start new thread\")", "RuntimeError").note)

    def test_the_limit_on_a_file_s_size_is_told(self):
        self.run_cell("import resource, tempfile; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))")
        outcome = self.fails("with tempfile.TemporaryFile() as file: file.write(bytes(9000)), file.flush()", "OSError")
        self.assertIn("limits a file to 8K; allow more with --limit file-size=SIZE", outcome.note)

    def test_the_limit_on_open_files_is_told_and_can_be_lived_with(self):
        self.run_cell("import resource\ndef limit(soft): resource.setrlimit(resource.RLIMIT_NOFILE, (soft, 60))\nlimit(50)")
        leak = "files = []\nwhile True: files.append(open('/dev/null'))"
        # The first failure of all: nothing that it takes is loaded yet.
        self.assertEqual(self.fails(leak, "OSError").note, "")
        self.run_cell("del files; limit(60)")
        self.assertIn("limits open files to 60; allow more with --limit open-files=N", self.fails(leak, "OSError").note)
        self.assertGreater(int(self.value("len(files)")), 20)

    def test_no_limit_no_note(self):
        self.assertEqual(self.fails("raise MemoryError", "MemoryError").note, "")

    def test_other_errors_ask_nothing(self):
        for source in ("1/0", "raise OSError(5, 'io')", "exit()", "x = ", "open('/dev')"):
            self.host.execute(source)
        self.assertEqual(self.checks, [])

    def test_a_host_that_never_answers_delays_but_does_not_hang(self):
        self.host.answers["lauter.check"] = self.checks.append
        outcome = self.fails("open('/hidden/a')", "FileNotFoundError")
        self.assertEqual(outcome.note, "")
        self.host.reply(self.checks[0], [("text/plain", b"late")])
        self.assertEqual(self.value("1+1"), "2")

    def test_a_host_that_does_not_know_the_verb(self):
        self.host.answers["lauter.check"] = lambda call: self.host.fail(call, "UnknownVerb", "what")
        self.assertEqual(self.fails("open('/hidden/a')", "FileNotFoundError").note, "")


if __name__ == "__main__":
    unittest.main()
