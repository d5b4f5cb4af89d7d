# SPDX-License-Identifier: Apache-2.0
"""The part of IPython's syntax that notebooks use most: `!command`, `%magic`, `%%magic`, `name?`, an indented cell.

Only a cell that is no Python comes here, and of it only the lines that look like this syntax are replaced, one for
one, so that line numbers stay. The rest is refused with a SyntaxError that names what there is.
"""

import os
import re
import sys
import time

from . import cells, display
from .interrupt import load
from .shell import captured, expanded, run, script, shell, shell_of

_HERE = '__import__("sys").modules[%r]' % __name__
_LINE = re.compile(r"^(\s*)(?:([\w.,\s\[\]'\"]*?)\s*(?<![=!<>])=\s*)?([%!])(?![%=])(.*)$", re.S)
_HELP = re.compile(r"^(\s*)(?:\?\??\s*([\w.*%]+)|([\w.*%]+)\s*\?\??)\s*;?\s*$")
_timer = None


def lines(source, filename, error, parse):
    """Source and syntax tree with this syntax replaced; raises the SyntaxError if it was not about that."""
    rows = _dedented(source.split("\n"))
    if rows is not None:
        try:
            return "\n".join(rows), parse("\n".join(rows), filename)
        except SyntaxError as next_error:
            error = next_error
    else:
        rows = source.split("\n")
    while True:
        at = _find(rows, error.lineno)
        if at is None:
            raise error
        count = _replace(rows, at, filename)
        rows[at + 1 : at + count] = [""] * (count - 1)
        source = "\n".join(rows)
        try:
            return source, parse(source, filename)
        except SyntaxError as next_error:
            error = next_error


def _dedented(rows):
    """A cell whose first line is indented, with so much taken from each line; None for any other."""
    first = next((row for row in rows if row.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent:
        return None
    return [row[len(indent) :] if row.startswith(indent) else row for row in rows]


def _find(rows, lineno):
    at = (lineno or 0) - 1
    if 0 <= at < len(rows) and (_LINE.match(rows[at]) or _HELP.match(rows[at])):
        return at
    # Since 3.10 the tokenizer may complain about a later line first: an apostrophe in a shell command, say.
    return next((at for at, row in enumerate(rows) if _LINE.match(row)), None)


def _replace(rows, at, filename):
    count = 1
    row = rows[at]
    asked = _HELP.match(row)
    if asked:
        rows[at] = "%s%s.find(%r)" % (asked.group(1), _HERE, asked.group(2) or asked.group(3))
        return count
    while row.endswith("\\") and at + count < len(rows):
        row = row[:-1] + rows[at + count]
        count += 1
    indent, target, sign, rest = _LINE.match(row).groups()
    rest = rest.strip()
    if sign == "!":
        call = "%s.%s(%r)" % (_HERE, "captured" if target else "shell", rest.lstrip("!"))
    else:
        name, _, argument = rest.partition(" ")
        if name not in _LINE_MAGICS:
            raise _unknown("%" + name, _LINE_MAGICS, "%", filename, at + 1, rows[at]) from None
        call = "%s.line(%r, %r)" % (_HERE, name, argument.strip())
    rows[at] = "%s%s%s" % (indent, target + " = " if target else "", call)
    return count


def cell(source, filename):
    """The source that stands for a cell that begins with `%%name`."""
    start = len(source) - len(source.lstrip("\n"))
    head, _, body = source[start:].partition("\n")
    name, _, argument = head[2:].strip().partition(" ")
    if name not in _CELL_MAGICS:
        raise _unknown("%%" + name, _CELL_MAGICS, "%%", filename, start + 1, head)
    action = _CELL_MAGICS[name]
    if action is None:
        # Before the cell's own lines, which may begin with another one. What began ends by finish().
        if body.lstrip("\n").startswith("%%"):
            body = cell(body, filename)
        end = "\nNone" if name == "capture" else ""
        return "%s%s.begin(%r, %r)\n%s%s" % ("\n" * start, _HERE, name, argument.strip(), body, end)
    return "%s%s.body(%r, %r, %r);" % ("\n" * start, _HERE, name, argument.strip(), body)


def _unknown(what, known, sign, filename, lineno, text):
    names = ", ".join(sorted(sign + name for name in known))
    return SyntaxError("unknown magic %s; there are %s and !command" % (what, names), (filename, lineno, 1, text))


# --------------------------------------------------------------------------------------------- what they do --


def line(name, argument):
    """`%name argument`."""
    frame = sys._getframe(1)
    if name not in ("time", "timeit"):
        argument = expanded(argument, frame)
    return _LINE_MAGICS[name](argument, frame)


def body(name, argument, text):
    """`%%name argument`, with the cell's other lines."""
    frame = sys._getframe(1)
    if not text.endswith("\n"):
        text += "\n"
    _CELL_MAGICS[name](expanded(argument, frame), text, frame)


def begin(name, argument):
    """`%%name argument` of those that hold while the cell's own lines run."""
    if name == "capture":
        load(".capture").start(argument, sys._getframe(1))
    else:
        start_timer()


def find(name):
    """`name?`: help is not shown in an executed notebook, but that there is nothing of this name."""
    if name.startswith("%") or "*" in name:
        return
    frame = sys._getframe(1)
    first, *rest = name.split(".")
    try:
        value = eval(first, frame.f_globals, frame.f_locals)
        for each in rest:
            value = getattr(value, each)
    except Exception:
        print("Object `%s` not found." % name)


def _matplotlib(argument, frame):
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].switch_backend("module://" + __package__ + ".figures")
    elif "matplotlib" in sys.modules:
        sys.modules["matplotlib"].rcParams["backend"] = "module://" + __package__ + ".figures"


def _config(argument, frame):
    # Of a frontend, or how finely figures are drawn. Others change what cells mean.
    if not argument.startswith(("InlineBackend.", "IPCompleter.", "Completer.")):
        raise ValueError("%%config knows InlineBackend and Completer, not %s" % argument)


def _nothing(argument, frame):
    """What means something to a person at a frontend alone."""


def _load_ext(argument, frame):
    if argument != "autoreload":
        raise ValueError("%s is an extension of IPython's, which does not run here" % argument)


def _time(argument, frame):
    global _timer
    names = frame.f_globals
    outer, _timer = _timer, None
    start_timer()
    value = None
    try:
        for code in cells.compile_cell(argument, "<timed>"):
            value = eval(code, names, frame.f_locals)
        return value
    finally:
        _report_time()
        _timer = outer


def _timeit(argument, frame):
    _measure(*_timeit_options(argument), "pass", frame)


def _timeit_cell(argument, text, frame):
    numbers, setup = _timeit_options(argument)
    _measure(numbers, text, setup or "pass", frame)


def _timeit_options(argument):
    numbers = {"n": 0, "r": 7, "p": 3}
    while argument.startswith("-"):
        found = re.match(r"-([nrp])\s*(\d+)(?:\s+|$)", argument)
        if not found:
            raise ValueError("%%timeit knows -n LOOPS and -r RUNS, not %s" % argument.split()[0])
        numbers[found.group(1)] = int(found.group(2))
        argument = argument[found.end() :]
    return numbers, argument


def _measure(numbers, statement, setup, frame):
    timer = load("timeit").Timer(statement, setup, globals=frame.f_globals)
    loops = numbers["n"] or timer.autorange()[0]
    runs = [each / loops for each in timer.repeat(max(1, numbers["r"]), loops)]
    print("%s per loop (best of %d runs, %d loops each)" % (_duration(min(runs)), len(runs), loops))


def _pip(argument, frame):
    run(shell_of("%s -m pip %s" % (load("shlex").quote(sys.executable), argument)))


def _cd(argument, frame):
    os.chdir(os.path.expanduser(argument or "~"))
    print(os.getcwd())


def _pwd(argument, frame):
    return os.getcwd()


def _env(argument, frame):
    if "=" in argument or " " in argument:
        return _set_env(argument, frame)
    return os.environ[argument] if argument else dict(os.environ)


def _set_env(argument, frame):
    name, _, value = argument.partition("=" if "=" in argument else " ")
    os.environ[name.strip()] = value.strip()
    print("env: %s=%s" % (name.strip(), value.strip()))


def _run_file(argument, frame):
    words = load("shlex").split(argument)
    if not words or words[0].startswith("-") or words[0].endswith(".ipynb"):
        raise ValueError("%run takes a Python file and its arguments")
    path = words[0] if os.path.exists(words[0]) else words[0] + ".py"
    before, sys.argv = sys.argv, words
    try:
        names = load("runpy").run_path(path, run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
        return
    finally:
        sys.argv = before
    frame.f_globals.update((name, value) for name, value in names.items() if not name.startswith("__"))


def _program(words):
    return lambda argument, frame: run(shell_of("%s %s" % (words, argument))) and None


def _write_file(argument, text, frame):
    mode = "w"
    if argument.startswith("-a "):
        mode, argument = "a", argument[3:].strip()
    argument = os.path.expanduser(argument)
    said = "Appending to" if mode == "a" else "Overwriting" if os.path.exists(argument) else "Writing"
    with open(argument, mode, encoding="utf-8") as file:
        file.write(text)
    print(said, argument)


def _shown_as(media, kind):
    def show(argument, text, frame):
        display.publish_display_data({media: text, "text/plain": "<IPython.core.display.%s object>" % kind})

    return show


def start_timer():
    """Begin what finish() reports, or `%time` itself."""
    global _timer
    _timer = (time.perf_counter(), time.process_time())


def finish():
    """End what began with the cell: report the time of `%%time`, hand over what `%%capture` kept."""
    capture = sys.modules.get(__package__ + ".capture")
    if capture is not None:
        capture.finish()
    _report_time()


def _report_time():
    global _timer
    if _timer is None:
        return
    (wall, cpu), _timer = _timer, None
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print("CPU time: %s, wall time: %s" % (_duration(cpu), _duration(wall)))


def _duration(seconds):
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return "%.3g %s" % (seconds / scale, unit)
    return "%.3g ns" % (seconds * 1e9)


_LINE_MAGICS = {
    "autoreload": _nothing,
    "autosave": _nothing,
    "cat": _program("cat"),
    "cd": _cd,
    "colors": _nothing,
    "config": _config,
    "cp": _program("cp"),
    "env": _env,
    "load_ext": _load_ext,
    "ls": _program("ls"),
    "matplotlib": _matplotlib,
    "mkdir": _program("mkdir"),
    "mv": _program("mv"),
    "pip": _pip,
    "pwd": _pwd,
    "reload_ext": _load_ext,
    "rm": _program("rm"),
    "run": _run_file,
    "set_env": _set_env,
    "time": _time,
    "timeit": _timeit,
    "xmode": _nothing,
}
_CELL_MAGICS = {
    "HTML": _shown_as("text/html", "HTML"),
    "SVG": _shown_as("image/svg+xml", "SVG"),
    "bash": script(["bash"]),
    "capture": None,  # not a call: cell() puts it before the cell's own lines
    "file": _write_file,
    "html": _shown_as("text/html", "HTML"),
    "javascript": _shown_as("application/javascript", "Javascript"),
    "js": _shown_as("application/javascript", "Javascript"),
    "latex": _shown_as("text/latex", "Latex"),
    "markdown": _shown_as("text/markdown", "Markdown"),
    "python": script([sys.executable]),
    "python3": script([sys.executable]),
    "script": script([]),
    "sh": script(["sh"]),
    "svg": _shown_as("image/svg+xml", "SVG"),
    "time": None,
    "timeit": _timeit_cell,
    "writefile": _write_file,
}
