# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import unittest

import fake_host
from fake_host import CALL, HEADER, HELLO, INTERRUPT, METADATA, STOP, Host, Outcome, encode, greeting
from support import RuntimeTest


class Greeting(unittest.TestCase):
    def test_the_worker_greets_names_itself_and_takes_interrupts_by_signal(self):
        with Host() as host:
            low, high, interrupts, largest = host.greeting
            self.assertEqual((low, high, interrupts), (1, 1, 1))
            self.assertGreaterEqual(largest, 1 << 20)
            self.assertRegex(host.name, r"^python 3\.\d+\.\d+$")

    def refused(self, hello, words):
        with Host(hello=hello, wait=False) as host:
            self.assertEqual(host.process.wait(20), 1)
            self.assertIn(words, host.wait_stderr("\n"))

    def test_another_version_is_refused_by_name(self):
        self.refused(greeting(2, 3), "the host speaks 2 to 3, this runtime 1")

    def test_another_magic_is_refused(self):
        self.refused(greeting(magic=7), "not a greeting")

    def test_a_first_frame_of_another_kind_is_refused(self):
        self.refused(HEADER.pack(0, STOP, 0, 0, 0), "not a greeting")

    def test_a_greeting_cut_short_is_refused(self):
        self.refused(HEADER.pack(4, HELLO, 0, 0, 0) + b"RTUL", "not a greeting")

    def test_a_host_of_several_versions_is_served(self):
        with Host(hello=greeting(1, 9)) as host:
            self.assertEqual(host.execute("1+1").text, "2")

    def test_a_page_that_is_none_is_refused(self):
        with Host(page=False, wait=False) as host:
            self.assertNotEqual(host.process.wait(20), 0)
            self.assertIn("control page", host.wait_stderr("control page"))

    def test_started_by_hand_it_says_what_is_missing(self):
        done = subprocess.run([fake_host.INTERPRETER, fake_host.RUNTIME], stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"^lauter: descriptors 3 and 4 are not what a host hands over: .+\n$")

    def test_it_runs_as_a_folder_and_without_u_as_well(self):
        for command in ([fake_host.RUNTIME], ["-u", fake_host.RUNTIME], [fake_host.RUNTIME + "/__main__.py"]):
            with Host(command=[fake_host.INTERPRETER] + command) as host:
                outcome = host.execute("import sys; print(sys.path[0] == '', 'runtime' in str(sys.path))\n__name__")
                self.assertEqual(outcome.text, "'__main__'")
                self.assertEqual(host.wait_stdout("\n"), "True False\n")

    def test_a_relative_path_and_isolated_mode_work(self):
        path = os.path.relpath(fake_host.RUNTIME)
        for options, first in ((["-I"], False), ([], True)):
            with Host(command=[fake_host.INTERPRETER, *options, path + "/__main__.py"]) as host:
                outcome = host.execute("import os, sys; os.chdir('/'); '' in sys.path[:1]")
                self.assertEqual(outcome.text, str(first))
                self.assertEqual(host.execute("1/0").name, "ZeroDivisionError")


class Session(RuntimeTest):
    def test_an_unknown_verb_fails_and_the_next_call_works(self):
        outcome = self.host.wait(self.host.start("levitate", []))
        self.assertEqual(outcome.name, "UnknownVerb")
        self.assertIn("levitate", outcome.text)
        self.assertEqual(self.value("1+1"), "2")

    def test_execute_without_source_fails_that_call(self):
        outcome = self.host.wait(self.host.start("execute", []))
        self.assertEqual(outcome.name, "ValueError")
        self.assertEqual(self.value("1+1"), "2")

    def test_source_that_is_not_utf8_fails_that_call(self):
        outcome = self.host.wait(self.host.start("execute", [("text/x-python", b"\xff")]))
        self.assertEqual(outcome.name, "UnicodeDecodeError")
        self.assertEqual(self.value("1+1"), "2")

    def test_metadata_that_is_no_object_fails_that_call(self):
        for bad in (b"[1]", b"{", b"\xff"):
            outcome = self.host.wait(self.host.start("execute", [("text/x-python", b"1"), (METADATA, bad)]))
            self.assertFalse(outcome.ok)
        self.assertEqual(self.value("1+1"), "2")

    def test_calls_run_in_the_order_of_their_arrival(self):
        started = [self.host.execute_start("order = globals().get('order', []) + [%d]; order" % n) for n in range(20)]
        for outcome in started:
            self.host.wait(outcome)
        self.assertEqual(eval(started[-1].text), list(range(20)))

    def test_stop_ends_with_status_0_and_runs_atexit_handlers(self):
        self.run_cell("import atexit; atexit.register(print, 'bye')")
        self.assertEqual(self.host.stop(), 0)
        self.assertEqual(self.host.wait_stdout("bye\n"), "bye\n")

    def test_stop_waits_behind_the_calls_before_it(self):
        outcome = self.host.execute_start("import time; time.sleep(0.2); 'done'")
        self.host.send(STOP, 0, b"")
        self.assertEqual(self.host.wait(outcome).text, "'done'")
        self.assertEqual(self.host.process.wait(20), 0)

    def test_the_end_of_the_session_ends_the_worker(self):
        self.host.socket.close()
        self.host.process.wait(20)

    def test_the_end_of_the_session_ends_a_worker_that_writes(self):
        self.host.execute_start("while True: display('x' * 100000)")
        self.host.pump()
        self.host.socket.close()
        self.host.process.wait(20)

    def test_an_interrupt_frame_is_ignored(self):
        self.host.send(INTERRUPT, 1, b"")
        self.assertEqual(self.value("1+1"), "2")

    def test_unknown_kinds_above_31_are_ignored(self):
        self.host.send(77, 0, b"later")
        self.assertEqual(self.value("1+1"), "2")

    def test_reserved_kinds_are_a_breach(self):
        self.host.send(22, 0, b"")
        self.assertEqual(self.host.process.wait(20), 1)
        self.assertIn("kind 22", self.host.wait_stderr("\n"))

    def test_a_frame_that_is_too_large_is_a_breach(self):
        self.host.socket.sendall(HEADER.pack(1 << 20, CALL, 0, 0, 1))
        self.assertEqual(self.host.process.wait(20), 1)
        self.assertIn("1048576", self.host.wait_stderr("\n"))

    def test_sizes_that_do_not_add_up_are_a_breach(self):
        payload = encode("execute", [("text/x-python", b"1+1")])
        self.host.send(CALL, 1, payload + b"x")
        self.assertEqual(self.host.process.wait(20), 1)
        self.assertIn("add up", self.host.wait_stderr("\n"))

    def test_every_truncation_of_a_message_is_a_breach(self):
        payload = encode("execute", [("text/x-python", b"1+1")])
        for size in range(0, len(payload), 5):
            with Host() as host:
                host.send(CALL, 1, payload[:size])
                self.assertEqual(host.process.wait(20), 1, size)

    def test_big_sources_and_values_cross_in_chunks(self):
        before = self.host.frames
        outcome = self.run_cell("x = %r\nlen(x)" % ("ä" * 300000))
        self.assertEqual(outcome.text, "300000")
        outcome = self.run_cell("import os\nblob = bytes(range(256)) * 20000\ndisplay({'image/png': blob}, raw=True)")
        self.assertEqual(outcome.displays()[0]["image/png"], bytes(range(256)) * 20000)
        self.assertGreater(self.host.frames - before, 78)

    def test_a_part_of_each_size_around_a_frame_arrives_whole(self):
        for size in list(range(65470, 65545)) + [0, 1, 131072, 131073]:
            outcome = self.run_cell("display({'a/b': b'z' * %d}, raw=True)" % size)
            self.assertEqual(outcome.displays()[0]["a/b"], b"z" * size)

    def test_too_many_parts_fail_that_call_alone(self):
        outcome = self.fails("display({'a/b%d' % n: b'' for n in range(300)}, raw=True)", "ValueError")
        self.assertIn("256", outcome.text)
        self.assertEqual(self.value("1+1"), "2")

    def test_messages_may_be_interleaved(self):
        first = encode("execute", [("text/x-python", b"'first'")])
        second = encode("execute", [("text/x-python", b"'second'")])
        outcomes = []
        for id in (901, 902):
            self.host._slot_of[id] = id - 700
            self.host._outcomes[id] = Outcome(id)
            outcomes.append(self.host._outcomes[id])
        raw = self.host.socket.sendall
        cut = 50
        raw(HEADER.pack(cut, CALL, 1, 0, 901) + first[:cut])
        raw(HEADER.pack(cut, CALL, 1, 0, 902) + second[:cut])
        raw(HEADER.pack(len(second) - cut, CALL, 0, 0, 902) + second[cut:])
        raw(HEADER.pack(len(first) - cut, CALL, 0, 0, 901) + first[cut:])
        self.host.wait(outcomes[0])
        self.host.wait(outcomes[1])
        self.assertEqual([each.text for each in outcomes], ["'first'", "'second'"])

    def test_a_message_in_single_bytes_is_read(self):
        self.host._slot_of[901] = 200
        self.host._outcomes[901] = outcome = Outcome(901)
        payload = encode("execute", [("text/x-python", b"6*7")])
        for byte in HEADER.pack(len(payload), CALL, 0, 0, 901) + payload:
            self.host.socket.sendall(bytes([byte]))
        self.assertEqual(self.host.wait(outcome).text, "42")

    def test_the_descriptors_are_not_inherited_by_children(self):
        code = "import os; print(sorted(os.readlink('/proc/self/fd/%s' % f) for f in os.listdir('/proc/self/fd') if os.path.lexists('/proc/self/fd/' + f)))"
        # The probe can see a socket: the worker has one.
        self.assertIn("socket:", self.value("import os; os.readlink('/proc/self/fd/3')"))
        text = self.value("import subprocess, sys; subprocess.run([sys.executable, '-c', %r], close_fds=False, capture_output=True, text=True).stdout" % code)
        self.assertIn("pipe:", text)
        self.assertNotIn("socket:", text)
        self.assertNotIn("memfd", text)


if __name__ == "__main__":
    unittest.main()
