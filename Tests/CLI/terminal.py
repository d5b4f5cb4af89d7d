# SPDX-License-Identifier: Apache-2.0
"""A terminal as a test sees it: what is typed, what is shown, its size and modes. And a shell with jobs on it."""

import fcntl
import os
import select
import signal
import struct
import termios
import time

# Each expectation waits this long at most: on a loaded machine a launch may take a second.
PATIENCE = 30


class Terminal:
    """A program as the leader of a session on a terminal of its own. `with` ends it."""

    def __init__(self, *command, rows=24, columns=80, **environment):
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.shown = b""
        self.read = 0
        self.status = None
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
                for fd in (0, 1, 2):
                    os.dup2(self.slave, fd)
                os.closerange(3, 256)
                for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP):
                    signal.signal(number, signal.SIG_DFL)
                os.execvpe(str(command[0]), [str(word) for word in command], env)
            finally:
                os._exit(127)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.hang_up()

    def hang_up(self):
        for name in ("master", "slave"):
            fd, value = getattr(self, name), -1
            if fd >= 0:
                os.close(fd)
            setattr(self, name, value)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self):
        return termios.tcgetattr(self.slave)

    @property
    def is_raw(self):
        return not self.modes[3] & (termios.ICANON | termios.ISIG | termios.ECHO)

    def type(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def pump(self, seconds):
        """Take what is shown within that time, or return as soon as there was something."""
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.master, 65536)
            except OSError:  # nobody has the other end any more
                return False
        return True

    def expect(self, text, seconds=PATIENCE):
        """Wait until `text` is shown, behind what was expected before. Returns what stands before it."""
        text = text.encode() if isinstance(text, str) else text
        deadline = time.monotonic() + seconds
        while (at := self.shown.find(text, self.read)) < 0:
            if time.monotonic() > deadline or not self.pump(0.1) and self.shown.find(text, self.read) < 0:
                raise AssertionError(f"{text!r} was not shown; {self.shown[self.read :][-2000:]!r} was")
        before = self.shown[self.read : at]
        self.read = at + len(text)
        return before

    def until(self, condition, what, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not {what}; {self.shown[-2000:]!r} was shown")
            self.pump(0.01)

    def ended(self, seconds=PATIENCE):
        """Wait for the end. Returns the status as a shell has it."""

        def reaped():
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            return pid

        self.until(reaped, "ended", seconds)
        while select.select([self.master], [], [], 0)[0] and self.pump(0):
            pass
        return self.status if self.status >= 0 else 128 - self.status


class Shell(Terminal):
    """bash with job control, at its prompt."""

    PROMPT = "ready> "

    def __init__(self, **options):
        super().__init__("bash", "--norc", "--noprofile", "--noediting", "-i", PS1=self.PROMPT, **options)
        self.prompt()

    def prompt(self):
        return self.expect(self.PROMPT).decode(errors="replace")

    def run(self, line):
        """A line, and all that it shows until the next prompt."""
        self.type(line + "\n")
        self.expect("\n")
        return self.prompt()
