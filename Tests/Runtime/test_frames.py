# SPDX-License-Identifier: Apache-2.0
"""Tests/Vectors/frames.txt: read by a strict reader, and by the runtime as its host's words."""

import time
import unittest

import fake_host
import frames


class Vectors(unittest.TestCase):
    def test_a_reader_written_from_the_page_says_what_each_says(self):
        counts = {"=": 0, "!": 0}
        for name, sender, data, outcome in frames.vectors():
            with self.subTest(name, sender=sender):
                self.assertEqual(frames.Reader(sender).read(data), outcome)
                counts[outcome[0]] += 1
        self.assertGreater(counts["="], 50)
        self.assertGreater(counts["!"], 100)

    def test_the_runtime_refuses_what_is_broken_and_says_so(self):
        refused = 0
        for name, sender, data, outcome in frames.vectors():
            if sender == "host" and outcome.startswith("!"):
                with self.subTest(name), fake_host.Host(hello=data, wait=False, arena=1) as host:
                    self.assertEqual(host.process.wait(20), 1)
                    self.assertIn("the host broke the protocol: ", host.wait_stderr("\n"))
                    refused += 1
        self.assertGreater(refused, 50)

    def test_the_runtime_goes_on_after_what_is_whole(self):
        taken = 0
        for name, sender, data, outcome in frames.vectors():
            # Of these one hears nothing, or they break a rule of another kind: a release of what was not placed.
            skipped = any(word in outcome for word in ("stop", "...", "release", "data", "cancel"))
            if sender == "host" and outcome.startswith("=") and not skipped:
                calls = outcome.count("call ")
                with self.subTest(name), fake_host.Host(hello=data, wait=False, arena=1) as host:
                    host.arena[: frames.HALF] = frames.arena(0, 256) * (frames.HALF // 256)
                    host.wait_ready()
                    answers = []
                    deadline = time.monotonic() + 20
                    while len(answers) < calls and time.monotonic() < deadline:
                        kind, _, id, payload = host.read_frame()
                        if kind in (fake_host.RESULT, fake_host.FAILURE):
                            answers.append(id)
                    self.assertEqual(len(answers), calls)
                    host._next_id = 1 << 40
                    self.assertEqual(host.execute("6 * 7").text, "42")
                    taken += 1
        self.assertGreater(taken, 10)


if __name__ == "__main__":
    unittest.main()
