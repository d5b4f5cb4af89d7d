# SPDX-License-Identifier: Apache-2.0
import base64
import json
import unittest

from fake_host import METADATA
from support import RuntimeTest, needs


class Bundles(RuntimeTest):
    def test_each_method_gives_its_representation(self):
        texts = {
            "html": "text/html",
            "markdown": "text/markdown",
            "latex": "text/latex",
            "svg": "image/svg+xml",
            "javascript": "application/javascript",
        }
        for name, media in texts.items():
            bundle = self.run_cell("class C:\n  def _repr_%s_(self): return 'sö'\nC()" % name).bundle
            self.assertEqual(bundle[media], "sö".encode())
            self.assertIn(b"C object", bundle["text/plain"])
        bundle = self.run_cell("class C:\n  def _repr_json_(self): return {'a': [1, None]}\nC()").bundle
        self.assertEqual(json.loads(bundle["application/json"]), {"a": [1, None]})

    def test_images_are_raw_bytes_from_bytes_and_from_base64(self):
        blob = bytes(range(256))
        for source in (repr(blob), repr(base64.b64encode(blob).decode()), repr((blob, {"width": 3}))):
            for kind in ("png", "jpeg"):
                bundle = self.run_cell("class C:\n  def _repr_%s_(self): return %s\nC()" % (kind, source)).bundle
                self.assertEqual(bundle["image/" + kind], blob)
        self.assertEqual(json.loads(bundle[METADATA]), {"metadata": {"image/jpeg": {"width": 3}}})

    def test_mimebundle(self):
        source = "class C:\n  def _repr_mimebundle_(self, include=None, exclude=None):\n    return %s\n  def _repr_html_(self): return 'h'\nC()"
        data = {"text/plain": "p", "application/vnd.x+json": {"n": 1}, "text/html": "mine"}
        bundle = self.run_cell(source % repr(data)).bundle
        self.assertEqual(bundle["text/plain"], b"p")
        self.assertEqual(bundle["text/html"], b"mine")
        self.assertEqual(json.loads(bundle["application/vnd.x+json"]), {"n": 1})
        bundle = self.run_cell(source % repr((data, {"text/html": {"isolated": True}}))).bundle
        self.assertEqual(json.loads(bundle[METADATA]), {"metadata": {"text/html": {"isolated": True}}})

    def test_plain_text_comes_first(self):
        self.assertEqual(self.run_cell("class C:\n  def _repr_html_(self): return 'h'\nC()").answer.parts[0][0], "text/plain")

    def test_none_means_no_representation(self):
        bundle = self.run_cell("class C:\n  def _repr_html_(self): return None\n  def _repr_png_(self): raise NotImplementedError\nC()").bundle
        self.assertEqual(list(bundle), ["text/plain"])
        self.assertEqual(self.host.stderr(), "")

    def test_a_representation_that_fails_leaves_the_others(self):
        bundle = self.run_cell("class C:\n  def _repr_html_(self): 1/0\n  def _repr_latex_(self): return 'x'\nC()").bundle
        self.assertEqual(sorted(bundle), ["text/latex", "text/plain"])
        self.host.wait_stderr("ZeroDivisionError")
        self.assertNotIn("lauter_runtime", self.host.stderr())

    def test_a_repr_that_fails_does_not_fail_the_call(self):
        text = self.value("class C:\n  def __repr__(self): 1/0\nC()")
        self.assertRegex(text, r"<__main__\.C object at 0x\w+, whose repr failed>")
        self.host.wait_stderr("ZeroDivisionError")
        self.assertIn("repr failed", self.value("class D:\n  def __repr__(self): return 5\n[D()]"))

    def test_values_that_cannot_be_encoded_are_left_out(self):
        bundle = self.run_cell("class C:\n  def _repr_json_(self): return {1, 2}\nC()").bundle
        self.assertEqual(list(bundle), ["text/plain"])
        self.host.wait_stderr("not JSON serializable")

    def test_classes_and_proxies_are_not_asked(self):
        self.assertEqual(list(self.run_cell("class C:\n  def _repr_html_(self): return 'h'\nC").bundle), ["text/plain"])
        self.assertEqual(list(self.run_cell("from unittest.mock import Mock\nMock()").bundle), ["text/plain"])
        self.run_cell("class G:\n  def __getattr__(self, n): raise RuntimeError\nG()")

    def test_containers_are_broken_into_lines(self):
        self.assertEqual(self.value("[1, 'a', (2,), {3}, {}, set(), frozenset([1])]"), "[1, 'a', (2,), {3}, {}, set(), frozenset({1})]")
        self.assertEqual(self.value("{'k' * 30: 'v' * 30, 'l' * 30: [1]}"), "{'%s': '%s',\n '%s': [1]}" % ("k" * 30, "v" * 30, "l" * 30))
        self.assertEqual(self.value("import collections; collections.OrderedDict(a=1)")[:11], "OrderedDict")
        self.assertEqual(self.value("x = [1]; x.append(x); x"), "[1, […]]")
        self.assertEqual(self.value("collections.namedtuple('P', 'x')(3)"), "P(x=3)")

    def test_values_beyond_measure_are_cut(self):
        for source in ("list(range(10**6))", "'x' * 10**8", "b'x' * 10**8", "{n: 'y' * 1000 for n in range(10**4)}", "['z' * 10**7] * 3",
                       "class C:\n  def __repr__(self): return 'w' * 10**7\nC()"):
            text = self.value(source)
            self.assertLess(len(text), 400000, source)
            self.assertIn("..." if "range(10**6)" in source else "…", text, source)
        deep = self.run_cell("x = []\nfor _ in range(100000): x = [x]\nx").text
        self.assertIn("…", deep)

    @needs("numpy")
    def test_numpy(self):
        self.assertEqual(self.value("import numpy as np\nnp.arange(3)"), "array([0, 1, 2])")
        self.assertLess(len(self.value("np.zeros(10**6)")), 100)


class Display(RuntimeTest):
    def test_display_shows_each_value_in_order(self):
        outcome = self.run_cell("display(1, 'a')\ndisplay([2])")
        self.assertEqual([d["text/plain"] for d in outcome.displays()], [b"1", b"'a'", b"[2]"])

    def test_raw_bundles_and_metadata(self):
        outcome = self.run_cell("display({'text/html': '<b>'}, raw=True, metadata={'text/html': {'a': 1}})")
        bundle = outcome.displays()[0]
        self.assertEqual(bundle["text/html"], b"<b>")
        self.assertEqual(json.loads(bundle[METADATA]), {"metadata": {"text/html": {"a": 1}}})

    def test_include_and_exclude(self):
        self.run_cell("class C:\n  def _repr_html_(self): return 'h'\n  def _repr_latex_(self): return 'l'")
        self.assertEqual(list(self.run_cell("display(C(), include=['text/html'])").displays()[0]), ["text/html"])
        self.assertEqual(sorted(self.run_cell("display(C(), exclude=['text/html'])").displays()[0]), ["text/latex", "text/plain"])

    def test_a_handle_updates_its_display(self):
        outcome = self.run_cell("h = display(1, display_id=True)\nh.update(2)\nh.display(3)")
        self.assertEqual([output.name for output in outcome.outputs], ["display", "update", "display"])
        ids = {json.loads(dict(output.parts)[METADATA])["display_id"] for output in outcome.outputs}
        self.assertEqual(ids, {self.value("h.display_id")[1:-1]})

    def test_a_display_id_of_ones_own(self):
        outcome = self.run_cell("display(1, display_id='mine')\n__import__('IPython.display').display.update_display(2, display_id='mine')")
        self.assertEqual([json.loads(d[METADATA])["display_id"] for d in outcome.displays() + outcome.displays("update")], ["mine"] * 2)

    def test_ipython_display_method(self):
        outcome = self.run_cell("class C:\n  def _ipython_display_(self): display('by myself')\ndisplay(C())")
        self.assertEqual([d["text/plain"] for d in outcome.displays()], [b"'by myself'"])

    def test_a_thread_displays_into_the_running_cell(self):
        outcome = self.run_cell("import threading\nt = threading.Thread(target=display, args=(5,)); t.start(); t.join()")
        self.assertEqual(outcome.displays()[0]["text/plain"], b"5")

    def test_many_threads_display_at_once(self):
        source = "import threading\ndef f(n):\n  for _ in range(30): display({'a/b': bytes([n]) * 90000}, raw=True)\n"
        outcome = self.run_cell(source + "ts = [threading.Thread(target=f, args=(n,)) for n in range(5)]\n[t.start() for t in ts]; [t.join() for t in ts]")
        blobs = [d["a/b"] for d in outcome.displays()]
        self.assertEqual(len(blobs), 150)
        self.assertTrue(all(blob == blob[:1] * 90000 for blob in blobs))

    def test_after_its_cell_a_thread_prints_instead(self):
        self.run_cell("import threading\ngo = threading.Event()\ndef f(): go.wait(); done.wait(0.2); display('afterwards')\ndone = threading.Event()\nthreading.Thread(target=f).start()")
        self.run_cell("go.set()")
        self.host.wait_stdout("'afterwards'")

    def test_a_value_that_shows_itself_is_no_result(self):
        outcome = self.run_cell("class C:\n  def _ipython_display_(self): display('by myself')\nC()")
        self.assertEqual([d["text/plain"] for d in outcome.displays()], [b"'by myself'"])
        self.assertEqual(outcome.answer.parts, [])
        for error, said in (("NotImplementedError", ""), ("ValueError('told')", "told")):
            source = "class D:\n  def _ipython_display_(self): raise %s\n  def __repr__(self): return 'D'\nD()" % error
            self.assertEqual(self.value(source), "D")
            self.host.wait_stderr(said)

    def test_an_empty_place_is_filled_later(self):
        outcome = self.run_cell("place = display(display_id='d')\nplace.update(1)")
        [empty], [update] = outcome.displays(), outcome.displays("update")
        self.assertEqual(set(empty), {METADATA})
        self.assertEqual((empty[METADATA], update["text/plain"]), (b'{"display_id": "d"}', b"1"))

    def test_ipython_display_is_there_installed_or_not(self):
        outcome = self.run_cell(
            "from IPython.display import display as show, HTML, Markdown, Image, clear_output, Latex, Math, SVG, JSON\n"
            "import IPython\nshow(HTML('<i>'), Markdown('*m*'), Math('x'), SVG('<svg></svg>'), JSON({'a': 1}), Image(b'\\x89PNG\\r\\n\\x1a\\nxx'))\n"
            "clear_output(wait=True)\nIPython.get_ipython()"
        )
        shown = outcome.displays()
        self.assertEqual(shown[0]["text/html"], b"<i>")
        self.assertEqual(shown[1]["text/markdown"], b"*m*")
        self.assertIn(b"x", shown[2]["text/latex"])
        self.assertIn(b"<svg", shown[3]["image/svg+xml"])
        self.assertEqual(json.loads(shown[4]["application/json"]), {"a": 1})
        self.assertEqual(shown[5]["image/png"], b"\x89PNG\r\n\x1a\nxx")
        self.assertEqual(json.loads(outcome.displays("clear")[0][METADATA]), {"wait": True})
        self.assertEqual(outcome.answer.parts, [])

    @needs("IPython", always=False)
    def test_the_real_ipython_reaches_us(self):
        outcome = self.run_cell("import IPython\nfrom IPython.display import publish_display_data, display\npublish_display_data({'text/plain': 'x'})\nIPython.__version__[:6]")
        self.assertEqual(outcome.displays()[0]["text/plain"], b"x")


if __name__ == "__main__":
    unittest.main()
