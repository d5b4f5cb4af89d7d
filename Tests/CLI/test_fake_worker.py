# SPDX-License-Identifier: Apache-2.0
"""`lauter fake-worker`: what a script may say, and what is wrong with one. What it does is shown by Tests/Hostile."""

import os
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, os.path.dirname(__file__))
from support import CommandTest

WRONG = {
    'anwser "x"': "there is no 'anwser' here; did you mean 'answer'?",
    "levitate": "there is no 'levitate' here",
    "repeat 3": "the block that begins here has no 'done'",
    "done": "'done' ends no block",
    "raw hex 0g": "'0g' are no two hexadecimal digits",
    "raw hex 012": "'2' are no two hexadecimal digits",
    "raw zeros": "how many is missing",
    "raw nothing": "'nothing' are no bytes",
    "frame foo": "no kind of frame is called 'foo'",
    "frame 256": "no kind of frame is called '256'",
    "frame result size": "a number after 'size' is missing",
    'answer "x': "a text has no end",
    'answer a/b': "the part's bytes are missing",
    'answer head 1 ""': "'head' and 'part' belong to 'frame' and 'raw'",
    'raw "\\q"': "no escape is '\\q'",
    "raw u8 $nope": "there is no '$nope': $call, $slot, $id, $channel, $half, $n",
    "raw u64 20000000000G": "is no number",
    "raw u8 1++2": "'1++2' is no number",
    "exit 1 2": "'2' is one too many for 'exit'",
    "await": "a kind of frame, or 'eof' is missing",
    "sleep 5": "'5' is no time: 500ms, 5s, 10m",
    "die HARD": "no signal is called 'HARD'",
    "shut up": "'shut' is followed by reading, writing or both",
    "close all": "a descriptor is a number",
}


class Scripts(CommandTest):
    def test_what_is_wrong_is_told_with_its_line(self):
        for line, words in WRONG.items():
            said = self.lauter("fake-worker", "--check", "-e", "hello\n\n  # a comment\n" + line, status=125).stderr
            self.assertTrue(said.startswith("lauter: -e:4: "), said)
            self.assertIn(words, said)

    def test_a_block_that_does_not_end_is_told_where_it_begins(self):
        said = self.lauter("fake-worker", "--check", "-e", "hello\nforever\nready\nrepeat 2\ndone", status=125).stderr
        self.assertIn("-e:2: the block that begins here has no 'done'", said)

    def test_every_line_of_the_guide_can_be_read(self):
        guide = (Path(__file__).parents[2] / "docs" / "hosting.md").read_text()
        section = guide.split("## Testing your host")[1].split("\n## ")[0]
        scripts = [re.findall(r"`([^`]+)`", row.split("|")[2]) for row in section.splitlines() if row.startswith("| ")]
        scripts = [lines for lines in scripts if lines]
        self.assertGreater(len(scripts), 10)
        whole = re.search(r"(?:^    .*\n)+", section.split("at `stop`")[1], re.M)[0]
        for script in ["\n".join(lines) for lines in scripts] + [whole]:
            self.lauter("fake-worker", "--check", "-e", script)

    def test_a_script_is_a_file_or_a_text(self):
        path = os.path.join(self.folder, "script.fake")
        with open(path, "w") as file:
            file.write("hello\r\nready\r\nfrobnicate\r\n")
        self.assertIn("script.fake:3: there is no 'frobnicate'", self.lauter("fake-worker", "--check", path, status=125).stderr)
        self.lauter("fake-worker", "--check", status=125)
        self.lauter("fake-worker", "--check", "-e", "hello", path, status=125)

    def test_by_hand_it_says_who_starts_it(self):
        said = self.lauter("fake-worker", "-e", "hello", status=125).stderr
        self.assertIn("descriptor 3 is no session", said)
        self.assertIn('a launch of kind "worker"', said)


if __name__ == "__main__":
    unittest.main()
