# SPDX-License-Identifier: Apache-2.0
import os
import time
import unittest

from support import RuntimeTest


class Forks(RuntimeTest):
    def test_a_forked_child_never_answers(self):
        outcome = self.run_cell(
            "import os\npid = os.fork()\nif pid == 0: display('child'); print('child prints')\nelse: os.waitpid(pid, 0)\n'parent' if pid else 'child'"
        )
        self.assertEqual(outcome.text, "'parent'")
        self.assertEqual(outcome.displays(), [])
        self.assertIn("child prints", self.host.wait_stdout("child prints"))
        self.assertIn("'child'", self.host.stdout())
        self.assertEqual(self.value("1 + 1"), "2")

    def test_a_forked_child_that_returns_ends_as_a_script_would(self):
        for source, status in (("pass", 0), ("raise SystemExit(7)", 7), ("1/0", 1), ("exit('why')", 1), ("raise KeyboardInterrupt", 1)):
            text = self.value("import os\ns = 0\npid = os.fork()\nif pid == 0:\n  %s\nelse: s = os.waitpid(pid, 0)[1]\nos.WEXITSTATUS(s)" % source)
            self.assertEqual(text, str(status), source)
        self.assertIn("ZeroDivisionError", self.host.wait_stderr("ZeroDivisionError"))
        self.host.wait_stderr("why")

    def test_a_forked_child_cannot_ask(self):
        self.host.answers["input"] = lambda call: self.host.reply(call, [("text/plain", b"yes")])
        source = "import os\nr, w = os.pipe()\npid = os.fork()\nif pid == 0:\n  try: input()\n  except EOFError as e: os.write(w, str(e).encode())\n  os._exit(0)\nos.waitpid(pid, 0); os.read(r, 100)"
        self.assertIn("forked process cannot ask", self.value(source))
        self.assertEqual(self.host.asked, [])
        # Its parent can.
        self.assertEqual(self.value("input()"), "'yes'")

    def test_buffered_text_is_written_once(self):
        self.run_cell("import os\nprint('once', end='')\nif os.fork() == 0: os._exit(0) if not print('', end='') else 0\nos.wait(); None")
        self.run_cell("print()")
        self.assertEqual(self.host.wait_stdout("\n"), "once\n")

    def test_a_fork_from_a_thread(self):
        self.run_cell("import os, threading\ndef f():\n  if os.fork() == 0: os._exit(0)\n  os.wait()\nt = threading.Thread(target=f); t.start(); t.join()")
        self.assertEqual(self.value("1 + 1"), "2")

    def test_a_child_in_the_group_dies_of_an_interrupt_and_the_worker_does_not(self):
        self.run_cell("import os, time, signal")
        outcome = self.host.execute_start(
            "pid = os.fork()\nif pid == 0:\n  print('asleep', flush=True); time.sleep(1000)\n  os._exit(0)\ntry: time.sleep(1000)\nfinally: status = os.waitpid(pid, 0)[1]"
        )
        self.host.wait_stdout("asleep")
        self.host.interrupt(outcome, group=True)
        self.assertEqual(self.host.wait(outcome).name, "KeyboardInterrupt")
        self.assertEqual(self.value("os.WEXITSTATUS(status)"), "1")


class Multiprocessing(RuntimeTest):
    def test_a_pool_of_forks_runs_functions_of_cells(self):
        self.run_cell("import multiprocessing as mp\ndef square(n): return n * n")
        self.assertEqual(self.value("with mp.get_context('fork').Pool(2) as p: r = p.map(square, range(5))\nr"), "[0, 1, 4, 9, 16]")
        self.assertEqual(self.value("1 + 1"), "2")

    def test_processes_print_and_are_joined(self):
        self.run_cell("import multiprocessing as mp\np = mp.get_context('fork').Process(target=print, args=('from below',)); p.start(); p.join()")
        self.host.wait_stdout("from below\n")
        self.assertEqual(self.value("p.exitcode"), "0")

    def test_spawn_and_forkserver_run_functions_of_modules_and_not_the_runtime_again(self):
        for method in ("spawn", "forkserver"):
            self.assertEqual(self.value("import math, multiprocessing as mp\nwith mp.get_context(%r).Pool(1) as p: r = p.map(math.sqrt, [4, 9])\nr" % method), "[2.0, 3.0]")
        self.assertEqual(self.value("1 + 1"), "2")
        self.assertNotIn("lauter", self.host.stderr())

    def test_a_function_of_a_cell_cannot_be_spawned_and_that_is_told(self):
        self.run_cell("import multiprocessing as mp\ndef f(): pass")
        self.run_cell("p = mp.get_context('spawn').Process(target=f); p.start(); p.join()")
        self.assertEqual(self.value("p.exitcode"), "1")
        self.host.wait_stderr("AttributeError")

    def test_concurrent_futures(self):
        source = "import concurrent.futures as cf, multiprocessing as mp\ndef g(n): return n + 1\nwith cf.ProcessPoolExecutor(2, mp_context=mp.get_context('fork')) as e: r = list(e.map(g, range(3)))\nr"
        self.assertEqual(self.value(source), "[1, 2, 3]")
        self.assertEqual(self.value("with cf.ThreadPoolExecutor(3) as e: r = list(e.map(g, range(3)))\nr"), "[1, 2, 3]")

    def test_stop_ends_a_worker_with_children(self):
        self.run_cell("import multiprocessing as mp, time\np = mp.get_context('fork').Process(target=time.sleep, args=(1000,), daemon=True); p.start()")
        self.assertEqual(self.host.stop(), 0)

    def test_subprocesses(self):
        self.assertEqual(self.value("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(5)'], stdout=subprocess.PIPE).stdout"), r"b'5\n'")
        self.run_cell("subprocess.run([sys.executable, '-c', 'import signal; print(signal.getsignal(2))'])")
        # A child takes Ctrl-C as any program does.
        self.host.wait_stdout("default_int_handler")


if __name__ == "__main__":
    unittest.main()
