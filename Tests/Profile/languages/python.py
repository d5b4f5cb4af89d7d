# SPDX-License-Identifier: Apache-2.0
"""What the cases of the profile are in Python. A language of one's own: this file with other sources, named by its file."""

MEDIA = "text/x-python"
SOURCES = {
    "set x to 20": "x = 20",
    "x plus 22": "x + 22",  # shown as 42
    "nothing": "None",
    "1 as a statement": "y = 1",
    "unshown": "1;",
    "divide by zero": "def f():\n    return 1 / 0\nf()",
    "fail with words": "raise ValueError('no such colour: \\u00e4')",
    "open /data/x": "open('/data/x')",
    "exit": "raise SystemExit(3)",
    "run until interrupted": "print('running', flush=True)\nwhile True: pass",
    "print out and err": "import sys; print('to out'); print('to err', file=sys.stderr); 5",
    "display <b>hi</b> as html and hi as text": "display({'text/html': '<b>hi</b>', 'text/plain': 'hi'}, raw=True)",
    "display bytes 0 to 255 as png": "display({'image/png': bytes(range(256))}, raw=True)",
    "display {'a': 1} as json": "display({'application/json': {'a': 1}}, raw=True)",
    "display under an id, then update it": "h = display({'text/plain': 'one'}, raw=True, display_id='here'); h.update({'text/plain': 'two'}, raw=True)",
    "display with metadata": "display({'text/plain': 'x'}, raw=True, metadata={'text/plain': {'k': 1}})",
    "clear, waiting": "from IPython.display import clear_output; clear_output(wait=True)",
    "display from a thread": "import threading; t = threading.Thread(target=display, args=({'text/plain': 'from a thread'},), kwargs={'raw': True}); t.start(); t.join()",
    "display after the call, from a thread": "import threading, time\ndef late():\n    input_gate.wait(10)\n    time.sleep(0.05)\n    display({'text/plain': 'nobody runs'}, raw=True)\ninput_gate = threading.Event(); threading.Thread(target=late).start(); input_gate.set()",
    "show 1 and have the value 2": "display({'text/plain': '1'}, raw=True)\n2",
    "ask 'name? '": "input('name? ')",
    "ask for a password": "import getpass; getpass.getpass('secret? ')",
    "a value of html and text": "class H:\n    def _repr_html_(self): return '<i>v</i>'\n    def __repr__(self): return 'v'\nH()",
    "the list [1, 'a', null]": "[1, 'a', None]",
    "a function": "len",
    "define area of two numbers": "def area(a, b): return a * b",
}
ZERO_DIVISION = "ZeroDivisionError"
RUNTIME_FRAMES = "lauter_runtime"
#: Of `complete`: a source, the cursor, a match, and the source with it.
COMPLETE = ("long_name = 1\nlong_na", 21, "long_name", "long_name = 1\nlong_name")
COMPLETE_SOURCES = {"complete": "x = 1", "incomplete": "def f():", "invalid": "1 +* 2"}
