# SPDX-License-Identifier: Apache-2.0
"""`lauter explain`: the policy and the plan, and how they differ from another's."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import CommandTest


class Differences(CommandTest):
    def explain(self, *arguments, status=0):
        return self.lauter("explain", *arguments, "--", "/bin/true", status=status).stdout

    def test_the_namespaces_are_told_before_the_steps(self):
        for net, own in (("none", True), ("private", True), ("host", False)):
            plan = self.explain("--net", net).split("\n\n")[1].splitlines()
            self.assertTrue(plan[0].startswith("in namespaces of its own: user, process, mount"), plan[0])
            # Root's workers without a network share an empty one.
            shared = net == "none" and os.geteuid() == 0
            self.assertEqual("network" in plan[0], own and not shared, plan[0])
            self.assertEqual(plan[1].startswith("in an empty network"), shared, plan[1])
            self.assertTrue(plan[1 + shared].startswith("1  "), plan[1 + shared])

    def test_the_same_policy_differs_in_nothing(self):
        for preset in ("notebook", "strict", "unconfined"):
            self.assertEqual(self.explain("--preset", preset, "--diff", preset), "")
        # A word that says what holds anyway.
        self.assertEqual(self.explain("--net", "private", "--diff", "notebook"), "")

    def test_a_word_and_its_steps_are_told_with_their_numbers(self):
        self.write("data", "data")
        told = self.explain("--read", "data", "--diff", "notebook", status=1).splitlines()
        path = self.folder / "data"
        self.assertEqual(told[:2], ["--- notebook", "+++ this policy"])
        self.assertIn(f"+read {path}", told)
        steps = {
            text: int(number)
            for number, text in (
                line.split("  ", 1) for line in self.explain("--read", "data").splitlines() if line[:1].isdigit()
            )
        }
        for what in (f"open {path}", f"attach {path} read-only"):
            found = [line for line in told if line.endswith("  " + what)]
            self.assertEqual([line[0] for line in found], ["+"], told)
            self.assertEqual(int(found[0][1:].split()[0]), steps[what])
        self.assertFalse([line for line in told if line.startswith("-") and line != told[0] and "landlock" not in line], told)

    def test_seen_from_the_other_side_additions_are_removals(self):
        def changes(text):
            return sorted(line[0] + line[7:] for line in text.splitlines()[2:] if line[:1] in "+-" and line[1:2] == " ")

        there = changes(self.explain("--preset", "strict", "--diff", "notebook", status=1))
        back = changes(self.explain("--preset", "notebook", "--diff", "strict", status=1))
        turned = sorted({"+": "-", "-": "+"}[line[0]] + line[1:] for line in back)
        self.assertEqual(there, turned)
        self.assertIn("-bring up the loopback", there)

    def test_the_other_policy_may_be_a_file(self):
        self.write("strict", "# preset notebook\nnet none\n")
        told = self.explain("--diff", "./strict", status=1)
        self.assertIn("-net none\n", told)
        self.assertIn("+net private\n", told)
        self.assertEqual(self.explain("--net", "none", "--diff", "./strict"), "")
        self.assertNotEqual(self.explain("--net", "none", "--diff", "strict", status=1), "")

    def test_what_cannot_be_compared_is_an_error(self):
        for other in ("no-such-file", "lax"):
            result = self.lauter("explain", "--diff", other, "--", "/bin/true", status=125)
            self.assertTrue(result.stderr.startswith("lauter: "), result.stderr)
            self.assertEqual(result.stdout, "")


if __name__ == "__main__":
    unittest.main()
