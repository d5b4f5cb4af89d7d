# SPDX-License-Identifier: Apache-2.0
"""The part of IPython's syntax that notebooks use most: `!command`, `x = !command`, and a few `%magics`.

Only a cell that is no Python comes here, and of it only the lines that look like this syntax are replaced, one for
one, so that line numbers stay. The rest is refused with a SyntaxError that names what there is.
"""

import os
import re
import subprocess
import sys
import time

from . import cells, display, streams
from .interrupt import load

_HERE = '__import__("sys").modules[%r]' % __name__
_LINE = re.compile(r"^(\s*)(?:([\w.,\s\[\]'\"]*?)\s*(?<![=!<>])=\s*)?([%!])(?![%=])(.*)$", re.S)
_timer = None


def lines(source, filename, error, parse):
    """Source and syntax tree with this syntax replaced; raises the SyntaxError if it was not about that."""
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


def _find(rows, lineno):
    at = (lineno or 0) - 1
    if 0 <= at < len(rows) and _LINE.match(rows[at]):
        return at
    # Since 3.10 the tokenizer may complain about a later line first: an apostrophe in a shell command, say.
    return next((at for at, row in enumerate(rows) if _LINE.match(row)), None)


def _replace(rows, at, filename):
    count = 1
    row = rows[at]
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
    if name == "time":
        return "%s%s.start_timer()\n%s" % ("\n" * start, _HERE, body)
    return "%s.body(%r, %r, %r);" % (_HERE, name, argument.strip(), body)


def _unknown(what, known, sign, filename, lineno, text):
    names = ", ".join(sorted(sign + name for name in known))
    return SyntaxError("unknown magic %s; there are %s and !command" % (what, names), (filename, lineno, 1, text))


# --------------------------------------------------------------------------------------------- what they do --


def shell(command):
    """`!command`: output goes where the cell's does."""
    frame = sys._getframe(1)
    frame.f_globals["_exit_code"] = _run(_expanded(command, frame))


def captured(command):
    """`x = !command`: its output as a list of lines."""
    frame = sys._getframe(1)
    done = subprocess.run(_shell_of(_expanded(command, frame)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    frame.f_globals["_exit_code"] = done.returncode
    return done.stdout.decode("utf-8", "replace").splitlines()


def _shell_of(command):
    return ["/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh", "-c", command]


def _run(command):
    streams.flush()
    return subprocess.call(_shell_of(command), stdin=subprocess.DEVNULL)


def _expanded(command, frame):
    """`{expression}` and `$name` filled in, where they mean something in Python; the shell gets the rest."""
    names = dict(frame.f_globals)
    names.update(frame.f_locals)

    def braces(found):
        try:
            return str(eval(found.group(1), names))
        except Exception:
            return found.group(0)

    def dollar(found):
        name = found.group(1)
        return str(names[name]) if name in names else found.group(0)

    command = re.sub(r"(?<!\$)\{([^{}]+)\}", braces, command)
    return re.sub(r"(?<![\\$])\$([A-Za-z_]\w*)", dollar, command)


def line(name, argument):
    """`%name argument`."""
    return _LINE_MAGICS[name](argument, sys._getframe(1))


def body(name, argument, text):
    """`%%name argument`, with the cell's other lines."""
    _CELL_MAGICS[name](argument, text, sys._getframe(1))


def _matplotlib(argument, frame):
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].switch_backend("module://" + __package__ + ".figures")
    elif "matplotlib" in sys.modules:
        sys.modules["matplotlib"].rcParams["backend"] = "module://" + __package__ + ".figures"


def _config(argument, frame):
    if not argument.startswith("InlineBackend."):
        raise ValueError("%%config knows InlineBackend alone, not %s" % argument)


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
        finish()
        _timer = outer


def _timeit(argument, frame):
    timer = load("timeit").Timer(argument, globals=frame.f_globals)
    loops, _ = timer.autorange()
    runs = [each / loops for each in timer.repeat(7, loops)]
    print("%s per loop (best of 7 runs, %d loops each)" % (_duration(min(runs)), loops))


def _pip(argument, frame):
    _run("%s -m pip %s" % (load("shlex").quote(sys.executable), argument))


def _cd(argument, frame):
    os.chdir(os.path.expanduser(argument or "~"))
    print(os.getcwd())


def _pwd(argument, frame):
    return os.getcwd()


def _env(argument, frame):
    name, equals, value = argument.partition("=")
    if equals:
        os.environ[name.strip()] = value.strip()
        return None
    return os.environ[name] if name else dict(os.environ)


def _script(argument, text, frame):
    status = _run(text)
    frame.f_globals["_exit_code"] = status
    if status:
            raise subprocess.CalledProcessError(status, "the cell's script")


def _write_file(argument, text, frame):
    mode = "w"
    if argument.startswith("-a "):
        mode, argument = "a", argument[3:].strip()
    with open(argument, mode, encoding="utf-8") as file:
        file.write(text)
    print("wrote %s" % argument)


def _shown_as(media):
    def show(argument, text, frame):
        display.publish_display_data({media: text, "text/plain": text})

    return show


def start_timer():
    """Begin what finish() reports."""
    global _timer
    _timer = (time.perf_counter(), time.process_time())


def finish():
    """Report the time that `%time` or `%%time` took, if one began."""
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
    "cd": _cd,
    "config": _config,
    "env": _env,
    "matplotlib": _matplotlib,
    "pip": _pip,
    "pwd": _pwd,
    "time": _time,
    "timeit": _timeit,
}
_CELL_MAGICS = {
    "bash": _script,
    "html": _shown_as("text/html"),
    "latex": _shown_as("text/latex"),
    "markdown": _shown_as("text/markdown"),
    "sh": _script,
    "svg": _shown_as("image/svg+xml"),
    "time": None,  # not a call: cell() puts the timer before the cell's own lines
    "writefile": _write_file,
}
