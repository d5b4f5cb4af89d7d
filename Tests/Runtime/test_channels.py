# SPDX-License-Identifier: Apache-2.0
"""Channels and calls to the host, from code in a worker: the module `lauter_worker`."""

import struct
import time
import unittest

from fake_host import CANCEL, CREDIT, DATA, END, FAILURE, NEED, OPEN, Host, encode
from support import RuntimeTest

MIB = 1 << 20
WINDOW = MIB


def message(*parts):
    return encode("", list(parts))


def text(words):
    return message(("text/plain", words.encode()))


def cost(payload):
    return len(payload) + 64


class Channels(RuntimeTest):
    def start(self, source):
        return self.host.execute_start("from lauter_worker import *\n" + source)

    def opened(self, id=1):
        return self.host.until(lambda: self.host.on(id, OPEN))[0]

    def data(self, id, count=1):
        return self.host.until(lambda: len(self.host.on(id, DATA)) >= count and self.host.on(id, DATA))

    def texts(self, id):
        return [each.parts[0][1].decode() for each in self.host.on(id, DATA)]

    def finish(self, outcome):
        self.host.wait(outcome)
        self.assertTrue(outcome.ok, outcome.trace)
        return outcome.text

    def test_a_worker_opens_a_channel_and_both_speak(self):
        outcome = self.start("c = open_channel('talk', 'about', b'this')\nc.send('hello')\nc.recv(), c.recv(), c.recv()")
        opened = self.opened()
        self.assertEqual((opened.id, opened.name), (1, "talk"))
        self.assertEqual(opened.parts, [("text/plain", b"about"), ("application/octet-stream", b"this")])
        self.assertEqual(self.host.until(lambda: self.host.on(1, CREDIT)), [WINDOW])
        # It has been granted nothing and so has sent nothing, but said what it needs.
        needed = cost(text("hello"))
        self.assertEqual(self.host.until(lambda: self.host.on(1, NEED)), [needed])
        self.assertEqual(self.host.on(1, DATA), [])
        self.host.credit(1, needed)
        self.data(1)
        self.assertEqual(self.texts(1), ["hello"])
        self.host.send(DATA, 1, text("one"))
        self.host.send(DATA, 1, message(("application/octet-stream", b"\0two")))
        self.host.send(DATA, 1, message(("image/png", b"three")))
        self.assertEqual(self.finish(outcome), "('one', b'\\x00two', b'three')")

    def test_a_host_opens_a_channel_and_is_granted_credit_when_it_is_accepted(self):
        self.host.channels[2] = []
        self.host.channels[4] = []
        self.host.send(OPEN, 2, encode("other", []))
        self.host.send(OPEN, 4, encode("mine", [("text/plain", b"hi")]))
        outcome = self.start("c = accept_channel('mine')\nc.name, c.id, c.parts, c.recv()")
        self.assertEqual(self.host.until(lambda: self.host.on(4, CREDIT)), [WINDOW])
        self.assertEqual(self.host.on(2, CREDIT), [])
        self.host.send(DATA, 4, text("go"))
        self.assertEqual(self.finish(outcome), "('mine', 4, [('text/plain', b'hi')], 'go')")
        outcome = self.start("d = accept_channel()\nd.name")
        self.assertEqual(self.finish(outcome), "'other'")
        self.assertEqual(self.host.until(lambda: self.host.on(2, CREDIT)), [WINDOW])

    def test_nobody_opens_a_channel_in_time(self):
        self.fails("from lauter_worker import *\naccept_channel('x', timeout=0.05)", "TimeoutError")

    def test_each_message_is_sent_as_soon_as_there_is_credit_and_in_order(self):
        outcome = self.start("c = open_channel('n')\nfor n in range(100): c.send('%03d' % n)")
        self.opened()
        one = cost(text("000"))
        self.host.credit(1, one * 3 + one // 2)
        self.data(1, 3)
        self.host.until(lambda: self.host.on(1, NEED))
        self.assertEqual(len(self.host.on(1, DATA)), 3)
        self.host.credit(1, one * 97)
        self.finish(outcome)
        self.assertEqual(self.texts(1), ["%03d" % n for n in range(100)])

    def test_what_was_taken_is_granted_again_and_no_more(self):
        outcome = self.start("c = open_channel('n')\ninput()\nfor n in range(8): c.recv()\ninput()")
        self.opened()
        self.host.until(lambda: self.host.on(1, CREDIT))
        payload = message(("a/b", bytes(WINDOW // 8 - 200)))
        for _ in range(8):
            self.host.send(DATA, 1, payload)
        self.host.until(lambda: len(self.host.asked) == 1)
        self.assertEqual(self.host.on(1, CREDIT), [WINDOW])
        self.host.reply(self.host.asked[0], [])
        self.host.until(lambda: len(self.host.asked) == 2)
        granted = self.host.on(1, CREDIT)
        self.assertGreater(len(granted), 1)
        sent = 8 * cost(payload)
        self.assertTrue(WINDOW // 2 <= sum(granted) - sent <= WINDOW, granted)
        self.host.reply(self.host.asked[1], [])
        self.finish(outcome)

    def test_a_message_larger_than_the_window_is_granted_when_all_was_taken(self):
        outcome = self.start("c = open_channel('n')\ninput()\na = c.recv()\nb = c.recv()\nlen(a), len(b)")
        self.opened()
        self.host.until(lambda: self.host.on(1, CREDIT))
        self.host.send(DATA, 1, message(("a/b", bytes(1000))))
        large = message(("a/b", bytes(5 * MIB)))
        self.host.send(NEED, 1, struct.pack("<Q", cost(large)))
        self.host.until(lambda: self.host.asked)
        self.assertEqual(self.host.on(1, CREDIT), [WINDOW])
        self.host.reply(self.host.asked[0], [])
        self.host.until(lambda: len(self.host.on(1, CREDIT)) > 1)
        spent = cost(message(("a/b", bytes(1000))))
        self.assertEqual(sum(self.host.on(1, CREDIT)) - spent, cost(large))
        self.host.send(DATA, 1, large)
        self.assertEqual(self.finish(outcome), "(1000, %d)" % (5 * MIB))

    def test_more_than_there_was_credit_for_is_a_breach(self):
        self.start("c = open_channel('n')\ninput()")
        self.opened()
        payload = message(("a/b", bytes(WINDOW - 64)))
        self.host.send(DATA, 1, payload)
        self.assertEqual(self.host.process.wait(20), 1)
        self.assertIn("more on channel 1 than it had credit for", self.host.wait_stderr("\n"))

    def test_an_end_closes_one_direction(self):
        outcome = self.start("c = open_channel('n')\nc.send('last')\nc.close()\nlist(c)")
        self.opened()
        self.host.credit(1, 1000)
        self.host.until(lambda: self.host.on(1, END))
        self.assertEqual(self.texts(1), ["last"])
        for words in ("a", "b", "c"):
            self.host.send(DATA, 1, text(words))
        self.host.send(END, 1, b"")
        self.assertEqual(self.finish(outcome), "['a', 'b', 'c']")
        # It is over: what comes is ignored.
        self.host.send(DATA, 1, text("late"))
        self.fails("c.send('more')", "ValueError")
        self.fails("c.recv()", "EOFError")
        self.assertEqual(self.value("1+1"), "2")

    def test_the_host_may_end_first_and_be_told_more(self):
        outcome = self.start("c = open_channel('n')\nx = list(c)\nc.send('after')\nc.close()\nx")
        self.opened()
        self.host.credit(1, 1000)
        self.host.send(END, 1, b"")
        self.assertEqual(self.finish(outcome), "[]")
        self.assertEqual(self.texts(1), ["after"])
        self.assertEqual(len(self.host.on(1, END)), 1)

    def test_a_channel_that_is_refused_says_why(self):
        outcome = self.start("c = open_channel('n')\nc.send('x')")
        self.opened()
        self.host.send(CANCEL, 1, encode("Refused", [("text/plain", b"not today")]))
        self.host.wait(outcome)
        self.assertEqual((outcome.name, outcome.text), ("ChannelCancelled", "Refused: not today"))
        self.fails("c.recv()", "ChannelCancelled")
        self.assertEqual(self.value("c.close(); c.cancel()\n1+1"), "2")

    def test_a_worker_cancels_and_the_host_is_told_why(self):
        outcome = self.start("with open_channel('n') as c: raise KeyError('what')")
        self.host.wait(outcome)
        cancelled = self.host.on(1, CANCEL)[0]
        self.assertEqual((cancelled.name, cancelled.parts), ("KeyError", [("text/plain", b"'what'")]))
        self.host.send(DATA, 1, text("under way"))
        self.assertEqual(self.value("1+1"), "2")

    def test_a_cancel_wakes_who_waits_in_another_thread(self):
        outcome = self.start(
            "import threading, time\nc = open_channel('n')\nsaid = []\n"
            "def wait():\n    try: c.recv()\n    except ChannelCancelled as error: said.append(str(error))\n"
            "t = threading.Thread(target=wait); t.start()\n"
            "while not c._state.waiters: time.sleep(0.001)\n"
            "c.cancel('enough')\nt.join(10)\nsaid"
        )
        self.assertEqual(self.finish(outcome), "['Cancelled: enough']")

    def test_an_interrupt_ends_a_wait_for_a_message_and_for_credit(self):
        for doing in ("c.recv()", "c.send('x')"):
            outcome = self.start("c = open_channel('n')\nprint('now')\n" + doing)
            self.host.wait_stdout("now")
            self.host.until(lambda: self.host.channels)
            self.host.interrupt(outcome)
            self.host.wait(outcome)
            self.assertEqual(outcome.name, "KeyboardInterrupt")
            self.assertEqual(self.value("1+1"), "2")

    def test_a_time_that_is_up_is_told_and_nothing_was_sent(self):
        outcome = self.start(
            "c = open_channel('n')\n"
            "for doing in (lambda: c.recv(timeout=0.05), lambda: c.send('x', timeout=0.05)):\n"
            "    try: doing()\n    except TimeoutError: print('up')\n"
            "c.send('y')"
        )
        self.host.wait_stdout("up\nup\n")
        self.host.until(lambda: self.host.on(1, NEED))
        self.host.credit(1, 1000)
        self.finish(outcome)
        self.assertEqual(self.texts(1), ["y"])

    def test_several_parts_cross_both_ways(self):
        outcome = self.start("c = open_channel('n')\nc.send(('a/b', b'1'), 'zwei')\ntry: c.recv()\nexcept ValueError as e: print(e)\nc.recv_parts()")
        self.opened()
        self.host.credit(1, 1000)
        self.assertEqual(self.data(1)[0].parts, [("a/b", b"1"), ("text/plain", b"zwei")])
        self.host.send(DATA, 1, message(("x/y", b"a"), ("x/z", b"")))
        self.assertEqual(self.finish(outcome), "[('x/y', b'a'), ('x/z', b'')]")
        self.assertIn("2 parts", self.host.wait_stdout("parts"))

    def test_large_messages_go_through_the_arena_both_ways(self):
        with Host(arena=4) as host:
            outcome = host.execute_start("from lauter_worker import *\nc = open_channel('n')\nx = c.recv()\nc.send(x[::-1])")
            host.until(lambda: host.on(1, CREDIT))
            body = bytes(range(256)) * (900_000 // 256)
            head = message(("a/b", body))[: -len(body)]
            host.send_placed(DATA, 1, head, body, piece=1 << 18)
            host.credit(1, 10 << 20)
            self.assertEqual(host.until(lambda: host.on(1, DATA))[0].parts[0][1], body[::-1])
            self.assertEqual(sum(host.placed), len(body))
            self.assertTrue(host.wait(outcome).ok, outcome.trace)

    def test_hundreds_of_channels_with_a_thread_each(self):
        outcome = self.start(
            "import threading\n"
            "def serve(c):\n    with c:\n        for m in c: c.send(m * 2)\n"
            "ts = [threading.Thread(target=serve, args=(open_channel('n%d' % n),)) for n in range(200)]\n"
            "[t.start() for t in ts]\n[t.join() for t in ts]\nlen(ts)"
        )
        self.host.until(lambda: len(self.host.channels) == 200)
        ids = list(self.host.channels)
        for turn in range(3):
            for id in ids:
                self.host.credit(id, 1000)
                self.host.send(DATA, id, text("%d" % id))
        for id in ids:
            self.host.send(END, id, b"")
        self.assertEqual(self.finish(outcome), "200")
        for id in ids:
            self.assertEqual(self.texts(id), ["%d%d" % (id, id)] * 3)

    def test_the_1025th_channel_is_an_error_until_one_is_over(self):
        outcome = self.fails("from lauter_worker import *\ncs = []\nwhile True: cs.append(open_channel('n'))", "OSError")
        self.assertIn("1024 channels", outcome.text)
        self.assertEqual(self.value("cs.pop().cancel(); cs.append(open_channel('n')); len(cs)"), "1024")

    def test_frames_for_channels_that_never_were_are_a_breach(self):
        for kind, id, payload in (
            (DATA, 1, text("x")), (DATA, 2, text("x")), (CREDIT, 7, bytes(8)), (END, 2, b""), (NEED, 0, bytes(8)),
            (CANCEL, 3, message()), (OPEN, 3, encode("odd", [])), (OPEN, 0, encode("zero", [])),
        ):  # fmt: skip
            with Host() as host:
                host.send(kind, id, payload)
                self.assertEqual(host.process.wait(20), 1, (kind, id))
                self.assertIn("channel %d" % id, host.wait_stderr("\n"))

    def test_a_forked_child_cannot_use_them(self):
        outcome = self.start(
            "import os\nc = open_channel('n')\npid = os.fork()\n"
            "if not pid:\n    try: c.send('x')\n    except OSError as e: os._exit(7)\n    os._exit(0)\n"
            "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
        )
        self.assertEqual(self.finish(outcome), "7")


class Calls(RuntimeTest):
    def test_code_calls_the_host_s_program(self):
        def add(call):
            total = sum(int(data) for _, data in call.parts)
            self.host.reply(call, [("text/plain", b"%d" % total), ("a/b", b"\0")])

        self.host.answers["add"] = add
        self.assertEqual(
            self.value("from lauter_worker import call\ncall('add', '1', b'2', ('x/y', '3'))"),
            "[('text/plain', b'6'), ('a/b', b'\\x00')]",
        )
        self.assertEqual(self.host.asked[0].parts[2][0], "x/y")
        self.assertEqual(self.host.cancelled, [])

    def test_a_failure_of_the_host_s_is_raised(self):
        self.host.answers["no"] = lambda call: self.host.fail(call, "NotToday", "come again")
        outcome = self.fails("from lauter_worker import call\ncall('no')", "HostFailure")
        self.assertIn("NotToday: come again", outcome.text)

    def test_a_call_that_nobody_waits_for_is_cancelled_and_its_late_answer_ignored(self):
        self.fails("from lauter_worker import call\ncall('slow', timeout=0.05)", "TimeoutError")
        self.host.until(lambda: self.host.cancelled)
        self.assertEqual(self.host.cancelled, [self.host.asked[-1].id])
        self.host.send(FAILURE, self.host.asked[-1].id, encode("Late", []))
        self.assertEqual(self.value("1+1"), "2")

    def test_an_input_that_is_interrupted_is_cancelled(self):
        outcome = self.host.execute_start("input('name? ')")
        self.host.until(lambda: self.host.asked)
        self.host.interrupt(outcome)
        self.host.wait(outcome)
        self.assertEqual(outcome.name, "KeyboardInterrupt")
        self.assertEqual(self.host.cancelled, [self.host.asked[0].id])

    def test_a_large_call_may_be_overtaken_but_ids_arrive_as_they_grow(self):
        self.host.answers["size"] = lambda call: self.host.reply(
            call, [("text/plain", b"%d" % sum(len(data) for _, data in call.parts))]
        )
        code = """
            import threading
            from lauter_worker import call
            sizes = []
            def ask(n):
                sizes.append(int(call('size', bytes(n))[0][1]))
            ts = [threading.Thread(target=ask, args=(n,)) for n in (5 << 20, 10, 3 << 20, 20, 1 << 20)]
            [t.start() for t in ts]; [t.join() for t in ts]
            sorted(sizes) == [10, 20, 1 << 20, 3 << 20, 5 << 20]
        """
        self.assertEqual(self.value(code), "True")


if __name__ == "__main__":
    unittest.main()
