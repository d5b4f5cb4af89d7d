# SPDX-License-Identifier: Apache-2.0
"""Results as values, and the verb `call`."""

import sys
import unittest

import fake_host
from support import RuntimeTest

sys.path.insert(0, fake_host.RUNTIME)
from lauter_runtime import values  # noqa: E402
from lauter_runtime.values import encode  # noqa: E402
from lauter_runtime.values_in import decode  # noqa: E402


class Calls(RuntimeTest):
    def call(self, function, *arguments, media="text/plain", **named):
        parts = [(media, function.encode())]
        if arguments or named:
            parts += encode((list(arguments), named))
        outcome = self.host.start("call", parts)
        self.host.wait(outcome)
        return outcome

    def returns(self, *arguments, **named):
        outcome = self.call(*arguments, **named)
        self.assertTrue(outcome.ok, outcome.answer)
        parts = outcome.answer.parts
        self.assertEqual(parts[0][0], values.MEDIA)
        return decode([data for _, data in parts])

    def refuses(self, outcome, name, words):
        self.assertFalse(outcome.ok, outcome.answer)
        self.assertEqual(outcome.name, name, outcome.trace)
        self.assertRegex(outcome.trace, words)
        self.assertNotIn("lauter_runtime", outcome.trace)

    def test_a_cells_value_is_had_as_a_value(self):
        outcome = self.run_cell("{'b': [1, 2.5, None], 'a': (1,)}", value=True)
        parts = [data for _, data in outcome.answer.parts]
        found = decode(parts)
        self.assertEqual((found, list(found)), ({"b": [1, 2.5, None], "a": (1,)}, ["b", "a"]))
        outcome = self.run_cell("y = 1", value=True)
        self.assertEqual([data for _, data in outcome.answer.parts], [b"\xc0"])

    def test_a_value_without_form_fails_its_call_alone_and_says_where(self):
        outcome = self.fails("z = 5\n{'a': [1, 2, 3, lambda: 0]}", "NoValueForm", value=True)
        self.assertIn("result['a'][3]: a function has no value form", outcome.trace)
        self.assertEqual(self.value("z"), "5")

    def test_functions_by_name_and_by_source(self):
        self.run_cell("def add(a, b=10): return a + b\nclass K:\n  @staticmethod\n  def f(x): return [x]")
        self.assertEqual(self.returns("add", 1, 2), 3)
        self.assertEqual(self.returns("add", 1), 11)
        self.assertEqual(self.returns("add", b=1, a=1), 2)
        self.assertEqual(self.returns("K.f", {"q": 1}), [{"q": 1}])
        self.assertEqual(self.returns("math.sqrt", 4), 2.0)
        self.assertEqual(self.returns("os.path.basename", "/a/b"), "b")
        self.assertEqual(self.returns("xml.dom.minidom.parseString.__name__.upper"), "PARSESTRING")
        self.assertEqual(self.returns("sorted", [3, 1]), [1, 3])
        self.assertEqual(self.returns("dict"), {})
        self.assertEqual(self.returns("lambda x: x * 2", "ab", media="text/x-python"), "abab")
        self.assertEqual(self.returns("import math\ndef area(r):\n    return r * 2", 2, media="text/x-python"), 4)
        self.assertEqual(self.returns("area", 3), 6)

    def test_a_coroutine_function_is_awaited(self):
        source = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.01)\n    return x + 1"
        self.assertEqual(self.returns(source, 1, media="text/x-python"), 2)

    def test_failures_name_what_is_wrong(self):
        self.run_cell("n = 4\ndef bad(): return {'f': bad}")
        self.refuses(self.call("bad"), "NoValueForm", r"result\['f'\]: a function has no value form")
        self.refuses(self.call("missing"), "NameError", "name 'missing' is not defined")
        self.refuses(self.call("n"), "TypeError", "n is no function")
        self.refuses(self.call("math.sqrt", "x"), "TypeError", "must be real number")
        self.refuses(self.call("no_such_module.f"), "ModuleNotFoundError", "no_such_module")
        self.refuses(self.call("x = 1", media="text/x-python"), "TypeError", "ends with no function")
        self.refuses(self.call("1 /", media="text/x-python"), "SyntaxError", "<call>")
        self.refuses(self.call("x", media="image/png"), "ValueError", "not image/png")
        outcome = self.host.start("call", [("text/plain", b"dict"), (values.MEDIA, b"\xc1")])
        self.host.wait(outcome)
        self.refuses(outcome, "Broken", "byte 0: no item begins with this byte")
        outcome = self.host.start("call", [("text/plain", b"dict"), (values.MEDIA, b"\x01")])
        self.host.wait(outcome)
        self.refuses(outcome, "ValueError", "a list, a map from names, or a tuple of both")
        self.assertEqual(self.returns("len", "abc"), 3)

    def test_a_call_is_interrupted(self):
        outcome = self.host.start("call", [("text/x-python", b"def f():\n    print('on', flush=True)\n    while True: pass")])
        self.host.wait_stdout("on")
        self.host.interrupt(outcome)
        self.host.wait(outcome)
        self.assertEqual(outcome.name, "KeyboardInterrupt")

    def test_nothing_of_it_is_loaded_before_it_is_needed(self):
        names = "[name for name in ('lauter_runtime.values', 'lauter_runtime.values_in') if name in __import__('sys').modules]"
        self.assertEqual(self.value(names), "[]")
        self.run_cell("1", value=True)
        self.assertEqual(self.value(names), "['lauter_runtime.values']")


if __name__ == "__main__":
    unittest.main()
