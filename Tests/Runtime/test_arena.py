# SPDX-License-Identifier: Apache-2.0
"""Large parts through shared memory, of a worker in Python."""

import os
import struct
import time
import unittest

from fake_host import CALL, HEADER, MORE, PLACED, RELEASE, Host, encode
from support import RuntimeTest

MIB = 1 << 20
SHOW = "import os\nblob = os.urandom(64) * (%d // 64)\ndisplay({'a/b': blob}, raw=True)\nimport zlib; zlib.crc32(blob)"


def crc(data):
    import zlib

    return str(zlib.crc32(data))


class Arena(RuntimeTest):
    arena = 4
    in_place = False

    def setUp(self):
        self.host = Host(arena=self.arena, in_place=self.in_place)
        self.addCleanup(self.host.close)

    def show(self, size):
        outcome = self.run_cell(SHOW % size)
        data = outcome.displays()[-1]["a/b"]
        self.assertEqual((len(data), crc(data)), (size, outcome.text))

    def test_the_worker_says_that_it_reads_the_arena(self):
        self.assertEqual(self.host.greeting[2], 1 | 8)

    def test_what_is_large_is_placed_and_what_is_small_is_not(self):
        self.show(60_032)
        self.assertEqual(self.host.placed, [])
        for size in (65_536, 1 << 18, (1 << 18) + 64, 3 * MIB, 20 * MIB):
            del self.host.placed[:]
            self.show(size)
            self.assertEqual(sum(self.host.placed), size)
            self.assertLessEqual(max(self.host.placed), 1 << 18)

    def test_what_was_released_is_used_again_the_lowest_first(self):
        self.show(50 * MIB)
        self.assertLessEqual(len(os.listdir("/proc/self/fd")), 1000)
        # 8 places in flight at most, whatever the size: the rest of the half was never touched.
        self.assertLessEqual(os.fstat(self.host.arena_fd).st_blocks * 512, 2 * MIB + (64 << 10))

    def test_without_room_it_goes_in_line(self):
        self.host.holds = True
        for _ in range(20):
            self.show(1 << 18)  # a part in one place: it is not waited for
        self.assertEqual(sum(self.host.placed), 4 * MIB)

    def test_a_part_in_pieces_waits_for_their_release(self):
        self.host.holds = True
        outcome = self.host.execute_start(SHOW % (10 * MIB))
        self.host.until(lambda: len(self.host.held) == 8)
        with self.assertRaises(TimeoutError):
            self.host.pump(0.3)
        while outcome.answer is None:
            self.host.release(1)
            self.host.pump()
        self.assertEqual(crc(outcome.displays()[0]["a/b"]), outcome.text)

    def test_an_interrupt_does_not_cut_a_message_in_two(self):
        self.host.holds = True
        outcome = self.host.execute_start(SHOW % (10 * MIB))
        self.host.until(lambda: len(self.host.held) == 8)
        self.host.interrupt(outcome)
        time.sleep(0.1)  # nothing to wait for: it is to show that nothing comes of it
        self.host.holds = False
        self.host.release()
        self.host.wait(outcome)
        self.assertEqual(outcome.name, "KeyboardInterrupt")
        self.assertEqual(len(outcome.displays()[0]["a/b"]), 10 * MIB)
        self.show(MIB)

    def test_others_speak_in_between(self):
        """While a thread writes what is large, a call of the main thread's is answered."""
        self.host.holds = True
        code = """
            import threading
            from lauter_worker import call
            threading.Thread(target=display, args=({'a/b': bytes(10 << 20)},), kwargs={'raw': True}).start()
            call('begun')
            call('between')[0][1].decode()
        """
        outcome = self.host.execute_start(code)
        self.host.answers["begun"] = lambda call: (
            self.host.until(lambda: len(self.host.held) == 8),
            self.host.reply(call, []),
        )
        self.host.answers["between"] = lambda call: self.host.reply(call, [("text/plain", b"heard")])
        self.host.until(lambda: len(self.host.asked) > 1 and self.host.asked[-1].name == "between")
        self.assertEqual(len(self.host.held), 8)
        self.host.holds = False
        self.host.release()
        self.assertEqual(self.host.wait(outcome).text, "'heard'", outcome.trace)
        self.assertEqual(len(outcome.displays()[0]["a/b"]), 10 * MIB)

    def test_a_call_s_source_may_be_placed(self):
        for size in (100, 70_000, 3 * MIB, 9 * MIB):
            source = b"'%s'[-3:]" % (b"x" * size + b"end")
            outcome = self.host.wait(self.host.start_placed("execute", [("text/x-python", source)], 1 << 19))
            self.assertEqual(outcome.text, "'end'", outcome.trace)
            self.assertEqual(self.host._out, {})
            self.assertGreaterEqual(self.host.released, size)

    def test_parts_in_line_and_places_may_follow_each_other(self):
        outcome, slot = self.host._new_call()
        source = b"len('" + b"y" * 300_000 + b"')"
        head = encode("execute", [("text/x-python", source)])[: -len(source)]
        raw = self.host.socket.sendall
        raw(HEADER.pack(len(head) + 5, CALL, MORE, slot, outcome.id) + head + source[:5])
        self.host.arena[64:100_064] = source[5:100_005]
        self.host.arena[200_000:300_000] = source[100_005:200_005]
        self.host._out = {64: 100_000, 200_000: 100_000}
        places = struct.pack("<QQQQ", 64, 100_000, 200_000, 100_000)
        raw(HEADER.pack(len(places), CALL, MORE | PLACED, slot, outcome.id) + places)
        for at in range(200_005, len(source), 60_000):
            rest = source[at : at + 60_000]
            more = MORE if at + 60_000 < len(source) else 0
            raw(HEADER.pack(len(rest), CALL, more, slot, outcome.id) + rest)
        self.assertEqual(self.host.wait(outcome).text, "300000", outcome.trace)

    def breaks(self, places, words, size=1 << 20):
        head = encode("execute", [("text/x-python", b"")])[:-8] + struct.pack("<Q", size)
        head = encode("execute", [("text/x-python", b"x" * size)])[:-size]
        with Host(arena=4) as host:
            host.socket.sendall(HEADER.pack(len(head), CALL, MORE, 1, 1) + head)
            host.socket.sendall(HEADER.pack(len(places), CALL, PLACED, 1, 1) + places)
            self.assertEqual(host.process.wait(20), 1)
            self.assertIn(words, host.wait_stderr("\n"))

    def test_places_that_are_none_are_a_breach(self):
        for place in ((4 * MIB - 8, 9), (1 << 63, 8), (0, 0), (0, MIB + 1), (8 * MIB, 8)):
            self.breaks(struct.pack("<QQ", *place), "a place of %d bytes" % place[1])
        self.breaks(b"", "0 bytes are no places")
        self.breaks(bytes(15), "15 bytes are no places")
        self.breaks(struct.pack("<QQ", 0, 8), "do not add up")
        self.breaks(struct.pack("<QQ", 0, 80), "do not add up", size=79)

    def test_a_release_of_what_was_never_placed_is_a_breach(self):
        self.show(MIB)
        self.host.send(RELEASE, 0, struct.pack("<QQ", 4 * MIB, 1 << 18))
        self.assertEqual(self.host.process.wait(20), 1)
        self.assertIn("were not placed", self.host.wait_stderr("\n"))

    def test_memory_goes_back_when_nothing_happens(self):
        self.show(3 * MIB)
        self.assertGreater(os.fstat(self.host.arena_fd).st_blocks, 0)
        end = time.monotonic() + 20
        while os.fstat(self.host.arena_fd).st_blocks and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(os.fstat(self.host.arena_fd).st_blocks, 0)
        self.show(3 * MIB)

    def test_without_address_space_it_goes_another_way(self):
        """Its user may have limited it: then what comes is read from the file, and what goes, goes in line."""
        self.run_cell(
            "import resource\nused = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 20), resource.RLIM_INFINITY))"
        )
        source = b"len('%s')" % (b"x" * 200_000)
        outcome = self.host.wait(self.host.start_placed("execute", [("text/x-python", source)]))
        self.assertEqual(outcome.text, "200000", outcome.trace)
        outcome = self.run_cell("display({'a/b': bytes(100000)}, raw=True)")
        self.assertEqual(outcome.displays()[0]["a/b"], bytes(100_000))
        self.assertEqual(self.host.placed, [])

    def test_what_does_not_fit_into_memory_fails_its_call_alone(self):
        self.run_cell(
            "import resource\nused = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
            "resource.setrlimit(resource.RLIMIT_AS, (used + (30 << 20), resource.RLIM_INFINITY))"
        )
        source = b"len('%s')" % (b"x" * (40 << 20))
        outcome = self.host.wait(self.host.start_placed("execute", [("text/x-python", source)]))
        self.assertEqual(outcome.name, "MemoryError")
        self.assertEqual(self.value("6*7"), "42")

    def test_a_forked_child_has_nothing_of_it(self):
        self.show(MIB)
        code = """
            import os
            def maps():
                return open('/proc/self/maps').read().count('memfd:arena')
            r, w = os.pipe()
            pid = os.fork()
            if not pid:
                os.write(w, b'%d' % maps()); os._exit(0)
            os.waitpid(pid, 0)
            maps(), int(os.read(r, 9))
        """
        self.assertEqual(self.value(code), "(1, 0)")
        self.show(MIB)

    def test_children_do_not_inherit_it(self):
        look = "import subprocess; subprocess.run(['ls', '-l', '/proc/self/fd'], close_fds=False, capture_output=True).stdout.decode().count('memfd')"
        self.assertIn("memfd", self.value("import os; os.readlink('/proc/self/fd/5')"))
        self.assertEqual(self.value(look), "0")


class InPlace(Arena):
    """The same, of a host that reads whole parts where they lie."""

    in_place = True

    def test_a_part_goes_whole(self):
        self.show(3 * MIB)
        self.assertEqual(self.host.placed, [3 * MIB])

    def test_a_part_that_the_host_keeps_does_not_stop_the_next(self):
        self.host.holds = "whole"
        self.show(3 * MIB)
        self.show(3 * MIB)
        self.assertEqual(max(self.host.placed[1:]), 1 << 18)

    test_what_is_large_is_placed_and_what_is_small_is_not = None
    test_what_was_released_is_used_again_the_lowest_first = None


class Without(unittest.TestCase):
    def test_where_there_is_none_descriptor_5_is_closed(self):
        with Host() as host:
            self.assertEqual(host.greeting[2], 1)
            outcome = host.execute("import os; os.path.exists('/proc/self/fd/3'), 'null' in str([os.readlink('/proc/self/fd/' + f) for f in os.listdir('/proc/self/fd') if f == '5' and os.path.lexists('/proc/self/fd/5')])")
            self.assertEqual(outcome.text, "(True, False)", outcome.trace)
            self.assertEqual(len(host.execute("display({'a/b': bytes(1 << 20)}, raw=True)").displays()[0]["a/b"]), MIB)


if __name__ == "__main__":
    unittest.main()
