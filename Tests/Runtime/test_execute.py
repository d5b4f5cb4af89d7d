# SPDX-License-Identifier: Apache-2.0
import unittest

from fake_host import WorkerEnded
from support import RuntimeTest, version


class Execute(RuntimeTest):
    def test_the_last_expression_is_the_value(self):
        self.assertEqual(self.value("x = 20\nx + 1"), "21")
        self.assertEqual(self.run_cell("x = 1").answer.parts, [])
        self.assertEqual(self.run_cell("None").answer.parts, [])
        self.assertEqual(self.run_cell("").answer.parts, [])
        self.assertEqual(self.run_cell("# nothing").answer.parts, [])

    def test_names_persist_between_cells(self):
        self.run_cell("def f(n):\n  return n * 2\nx = 4")
        self.assertEqual(self.value("f(x)"), "8")

    def test_the_namespace_is_main(self):
        self.assertEqual(self.value("__name__"), "'__main__'")
        self.assertEqual(self.value("import __main__; y = 3; __main__.y"), "3")
        self.assertEqual(self.value("[hasattr(__main__, '__file__'), __main__.__spec__]"), "[False, None]")
        self.assertEqual(self.value("__builtins__ is __import__('builtins')"), "True")

    def test_pickle_finds_what_cells_define(self):
        self.run_cell("import pickle\nclass C:\n  n = 5")
        self.assertEqual(self.value("pickle.loads(pickle.dumps(C())).n"), "5")

    def test_underscore_is_the_last_value(self):
        self.run_cell("6 * 7")
        self.assertEqual(self.value("_ + 1"), "43")
        self.run_cell("None")
        self.run_cell("'silent'", silent=True)
        self.assertEqual(self.value("_"), "43")

    def test_a_semicolon_hides_the_value(self):
        for source in ("1 + 1;", "1 + 1 ; # why", "'ä' ;", "(1 +\n 1);"):
            self.assertEqual(self.run_cell(source).answer.parts, [], source)
        self.assertEqual(self.value("1 + 1 # ;"), "2")
        self.assertEqual(self.value("';'"), "';'")

    def test_silent_shows_nothing_but_runs(self):
        outcome = self.run_cell("z = 9\nz", silent=True)
        self.assertEqual((outcome.answer.parts, outcome.outputs), ([], []))
        self.assertEqual(self.value("z"), "9")

    def test_cell_and_count_name_the_file_of_tracebacks(self):
        self.assertIn('File "<abc>", line 1', self.fails("1/0", "ZeroDivisionError", cell="abc").trace)
        self.assertIn('File "<cell 41>"', self.fails("1/0", "ZeroDivisionError", count=41).trace)
        self.assertIn('File "<cell 42>"', self.fails("1/0", "ZeroDivisionError").trace)

    def test_top_level_await(self):
        self.assertEqual(self.value("import asyncio\nawait asyncio.sleep(0.001, 'slept')"), "'slept'")
        self.run_cell("q = asyncio.Queue(); q.put_nowait(3)")
        self.assertEqual(self.value("x = await q.get()\nx"), "3")
        self.run_cell("async def numbers():\n  for n in range(3):\n    yield n")
        self.assertEqual(self.value("[n async for n in numbers()]"), "[0, 1, 2]")
        self.assertEqual(self.value("async with asyncio.Lock() as l:\n  y = 8\ny"), "8")

    def test_one_event_loop_lives_on(self):
        self.run_cell("import asyncio\nloop = asyncio.get_running_loop() if await asyncio.sleep(0) is None else 0")
        self.run_cell("task = asyncio.ensure_future(asyncio.sleep(0.001, 5)) if not await asyncio.sleep(0) else 0")
        self.assertEqual(self.value("await task"), "5")
        self.assertEqual(self.value("await asyncio.sleep(0)\nloop is asyncio.get_running_loop()"), "True")

    def test_asyncio_run_works_in_a_cell(self):
        self.run_cell("import asyncio\nasync def main(): return 4")
        self.assertEqual(self.value("asyncio.run(main())"), "4")
        self.assertEqual(self.value("await main()"), "4")

    def test_a_future_statement_holds_for_later_cells(self):
        self.run_cell("def f(x: undefined_1 = 0): pass\n", count=1) if version() >= (3, 14) else self.fails(
            "def f(x: undefined_1 = 0): pass", "NameError"
        )
        self.run_cell("from __future__ import annotations")
        self.run_cell("def f(x: undefined_1 = 0): pass")
        self.assertEqual(self.value("f.__annotations__"), "{'x': 'undefined_1'}")

    def test_our_own_future_statements_and_names_do_not_leak_in(self):
        self.assertEqual(self.value("sorted(n for n in globals() if not n.startswith('__'))"), "[]")
        self.assertEqual(self.value("import sys; sys.argv"), "['']")

    def test_getsource_and_warnings_know_cells(self):
        self.run_cell("def f():\n  return 'a cell of mine'")
        self.assertIn("a cell of mine", self.value("import inspect; inspect.getsource(f)"))
        self.run_cell("import warnings\nwarnings.warn('careful')")
        self.assertIn("warnings.warn('careful')", self.host.wait_stderr("warn("))

    def test_dataclasses_annotations_and_globals_work(self):
        self.run_cell("from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\n  y: int = 2")
        self.assertEqual(self.value("P(1)"), "P(x=1, y=2)")

    def test_exec_eval_and_imports_of_files_in_the_working_directory(self):
        self.run_cell("import os, tempfile\nd = tempfile.mkdtemp(); os.chdir(d)\nopen('nearby.py', 'w').write('n = 6')")
        self.assertEqual(self.value("import nearby; nearby.n"), "6")
        self.assertEqual(self.value("exec('k = 3'); k"), "3")

    def test_a_module_of_the_users_may_have_any_name(self):
        self.run_cell("import os, tempfile, sys\nd = tempfile.mkdtemp(); os.chdir(d)")
        for name in ("session", "display", "worker", "cells"):
            self.run_cell("open('%s.py', 'w').write('n = 6')" % name)
            self.assertEqual(self.value("import %s; %s.n" % (name, name)), "6")

    def test_deleting_main_from_modules_does_not_end_the_worker(self):
        self.host.execute("import sys; del sys.modules['__main__']")
        self.assertEqual(self.value("1 + 1"), "2")


class Containment(RuntimeTest):
    def test_exit_is_a_failure_and_the_worker_lives(self):
        for source, message in (("exit()", "None"), ("import sys; sys.exit(3)", "3"), ("raise SystemExit('so')", "so")):
            self.assertIn(self.fails(source, "SystemExit").text, (message, ""))
        self.assertEqual(self.value("1+1"), "2")

    def test_sys_exit_in_a_thread_ends_the_thread(self):
        self.run_cell("import threading, sys\nt = threading.Thread(target=sys.exit); t.start(); t.join()")
        self.assertEqual(self.value("1+1"), "2")

    def test_deep_recursion_is_a_failure(self):
        outcome = self.fails("def f(): f()\nf()", "RecursionError")
        self.assertLess(len(outcome.trace), 5000)
        self.assertEqual(self.value("1+1"), "2")

    def test_names_of_builtins_may_be_taken(self):
        self.run_cell("len = print = open = isinstance = str = list = dict = None")
        self.assertEqual(self.value("[1, {2: 3}]"), "[1, {2: 3}]")

    def test_a_cell_that_leaves_a_thread_behind_can_be_stopped(self):
        self.run_cell("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()")
        self.assertEqual(self.host.stop(), 0)

    def test_a_crash_leaves_the_stack_on_stderr(self):
        with self.assertRaises(WorkerEnded):
            self.host.execute("import ctypes\ndef crash(): ctypes.string_at(0)\ncrash()")
        self.assertEqual(self.host.process.wait(20), -11)
        self.assertIn('File "<cell 1>", line 2 in crash', self.host.wait_stderr("in crash"))

    def test_memory_that_ran_out_is_free_again(self):
        self.run_cell("import resource; resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20))")
        outcome = self.fails(
            "def hog():\n  held = []\n  while True:\n    held.append(bytearray(1 << 20))\nhog()", "MemoryError"
        )
        self.assertIn("limits memory to 300M; allow more with --limit memory=SIZE", outcome.note)
        self.assertIn("<cell", outcome.trace)
        self.assertEqual(self.value("len(bytearray(200 << 20))"), str(200 << 20))

    def test_memory_that_ran_out_in_small_pieces_is_told(self):
        self.run_cell("import resource; resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))")
        outcome = self.fails("held = []\nwhile True: held.append([None] * 8)", "MemoryError")
        self.run_cell("del held")
        self.assertEqual(self.value("1+1"), "2")


if __name__ == "__main__":
    unittest.main()
