# SPDX-License-Identifier: Apache-2.0
"""Where a failure's cause may be the sandbox: ask the policy, and say what would allow it."""

import errno
import os
import re
import resource

from . import FOLDER, ask, cells

_TIMEOUT = 2.0
_NO_ACCESS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS)
_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.ETIMEDOUT)
_SOMEWHERE = "192.0.2.1"  # RFC 5737: stands for "any host out there" where we do not know which
_WRITERS = ("mkdir", "makedirs", "rmdir", "remove", "unlink", "rename", "replace", "symlink", "link", "touch")
_WRITERS += ("write_text", "write_bytes", "copyfile", "truncate", "chmod", "chown", "utime")
_WRITE_CALL = re.compile(r"""["'][rbtU]*[wax+][rbtU+]*["']|\b(?:%s|to_csv|savefig|save)\(""" % "|".join(_WRITERS))


def note_on(errors):
    """One sentence for the first of these exceptions that the policy explains, or ""."""
    for error in errors:
        note = _of(error)
        if note:
            return note
    return ""


def _of(error):
    if isinstance(error, MemoryError):
        return _of_memory()
    if isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN and error.filename is None:
        return _of_processes()
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return _of_processes()
    if not isinstance(error, OSError):
        return ""
    if error.errno == errno.EFBIG:
        return _of_file_size()
    if error.errno == errno.EMFILE:
        return _of_open_files()
    if type(error).__name__ == "gaierror":
        return _of_network(error)
    if error.errno in _NO_ACCESS and error.filename is not None:
        return _of_file(error)
    if error.errno == errno.ECONNREFUSED:
        target = _target(error)
        return _of_network(error) if target and not _is_loopback(target) else ""
    if error.errno in _NO_NETWORK:
        return _of_network(error)
    if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT) and _is_of_socket(error):
        return _of_network(error)
    return ""


def _sentence(subject, answer):
    return ("%s is %s" if answer.startswith(("outside ", "read-only ")) else "%s: %s") % (subject, answer)


def _check(word, value, subject):
    answer = ask.check(word, value, _TIMEOUT).strip()
    return _sentence(subject, answer) if answer else ""


# ---------------------------------------------------------------------------------------------------- files --


def _of_file(error):
    if "_execute_child" in _functions(error):
        program = os.fsdecode(error.filename)
        return _check("run", program, program) if error.errno != errno.ENOENT or "/" in program else ""
    for name in (error.filename, error.filename2):
        if not isinstance(name, (str, bytes)) or not name:
            continue
        path = os.path.abspath(os.fsdecode(name))
        writes = error.errno == errno.EROFS or _was_for_writing(error)
        words = ("write",) if writes else ("read",)
        if error.errno != errno.ENOENT and not writes:
            # It is there and may be read as far as the policy goes: then it was to be changed.
            words = ("read", "write") if error.errno == errno.EACCES and _is_readable(path) else ("read",)
        for word in words:
            note = _check(word, path, path)
            if note:
                return note
    return ""


def _is_readable(path):
    return os.access(path, os.R_OK)


def _was_for_writing(error):
    """Whether the failed operation wanted to write. The exception does not say; frames and source lines mostly do."""
    for frame, line in reversed(_frames(error)):
        if frame.f_code.co_name in _WRITERS:
            return True
        mode = frame.f_locals.get("mode")
        if isinstance(mode, str) and len(mode) <= 4 and re.search("[wax+]", mode):
            return True
        source = cells.sources.get(frame.f_code.co_filename)
        if source is not None:
            lines = source.splitlines()
            return line <= len(lines) and _WRITE_CALL.search(lines[line - 1]) is not None
    return False


def _frames(error):
    """The frames of a traceback and their lines, without ours, outermost first."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(FOLDER):
            frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return frames[-20:]


def _functions(error):
    return [frame.f_code.co_name for frame, _ in _frames(error)]


# -------------------------------------------------------------------------------------------------- network --


def _of_network(error):
    target = _target(error)
    subject = target or "the network"
    return _check("net", target or _SOMEWHERE, subject)


def _target(error):
    """The "host:port" that was to be reached, as far as the frames tell it."""
    for frame, line in reversed(_frames(error)):
        names = frame.f_locals
        for name in ("address", "addr", "host_port", "sa"):
            pair = names.get(name)
            if isinstance(pair, tuple) and len(pair) >= 2 and isinstance(pair[0], str):
                return "%s:%s" % pair[:2]
        host, port = names.get("host"), names.get("port")
        if isinstance(host, str) and host:
            return "%s:%s" % (host, port) if port else host
        found = _literal_target(frame, line)
        if found:
            return found
    return ""


def _literal_target(frame, line):
    source = cells.sources.get(frame.f_code.co_filename)
    lines = source.splitlines() if source else ()
    if not 0 < line <= len(lines):
        return ""
    found = re.search(r"""\(\s*\(?\s*["']([\w.:-]+)["']\s*,\s*(\d+)""", lines[line - 1])
    return "%s:%s" % found.groups() if found else ""


def _is_loopback(target):
    host = target.rsplit(":", 1)[0]
    return host.startswith("127.") or host in ("localhost", "::1", "[::1]", "")


def _is_of_socket(error):
    if "socket" in _functions(error):
        return True
    for frame, line in _frames(error)[-1:]:
        source = cells.sources.get(frame.f_code.co_filename)
        lines = source.splitlines() if source else ()
        if 0 < line <= len(lines) and re.search(r"socket|connect|bind|listen", lines[line - 1]):
            return True
        return frame.f_code.co_filename.endswith(("/socket.py", "/asyncio/base_events.py"))
    return False


# --------------------------------------------------------------------------------------------------- limits --


def _of_memory():
    sizes = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    sizes = [size for size in sizes if size != resource.RLIM_INFINITY]
    if not sizes:
        return ""
    return "the policy limits memory to %s; allow more with --limit memory=SIZE" % _size(min(sizes))


def _of_processes():
    if resource.getrlimit(resource.RLIMIT_NPROC)[0] == resource.RLIM_INFINITY:
        return ""
    # Not the number: the kernel's limit counts the sandbox's own processes as well.
    return "the policy limits processes and threads; allow more with --limit processes=N"


def _of_file_size():
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if size == resource.RLIM_INFINITY:
        return ""
    return "the policy limits a file to %s; allow more with --limit file-size=SIZE" % _size(size)


def _of_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        return ""  # what the code may raise itself
    return "the policy limits open files to %d; allow more with --limit open-files=N" % hard


def _size(size):
    for unit, name in ((1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size >= unit:
            return ("%d%s" if size % unit == 0 else "%.1f%s") % (size / unit, name)
    return "%d bytes" % size
