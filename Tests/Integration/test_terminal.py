# SPDX-License-Identifier: Apache-2.0
"""Workers with a terminal: what programs find, job control, and what a worker can do to its init by it."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import support
from ffi import C, Launch, LauterError, Policy


def program(*argv, terminal="24x80", **properties) -> Launch:
    return Launch("program", *argv, terminal=terminal, **properties)


def script(text, **properties) -> Launch:
    return program("python3", "-u", "-c", text, **properties)


def shown(host, worker, expected: bytes, timeout=20.0):
    """Take events until the worker's terminal has shown `expected`."""
    if expected not in worker.output():
        host.until(lambda e: expected in worker.output(), timeout)


def resize(worker, rows, columns):
    worker._do("lauter_worker_resize", rows, columns)


def foreground(worker, wanted):
    worker._do("lauter_worker_foreground", wanted)


def suspended(host, worker):
    return host.until(lambda e: e.kind == C.EVENT_SUSPENDED and e.worker == worker.id)


PRESETS = ["notebook", "strict", "unconfined"]


@pytest.mark.parametrize("preset", PRESETS)
def test_all_three_streams_are_one_controlling_terminal(host, preset):
    worker = host.spawn(Policy(preset), script("""
import os, sys
names = {os.ttyname(fd) for fd in (0, 1, 2)}
print("names", len(names), names.pop().startswith("/dev/pts/"))
print("size", *os.get_terminal_size(0))
print("foreground", os.tcgetpgrp(0) == os.getpgrp() == os.getpid())
with open("/dev/tty", "r+b", buffering=0) as tty:
    tty.write(b"through /dev/tty\\n")
    print("same group", os.tcgetpgrp(tty.fileno()) == os.getpgrp())
    print("size", *os.get_terminal_size(tty.fileno()))
print("to stderr", file=sys.stderr)
"""))
    event = worker.exited()
    assert event.report.reason == C.REASON_EXITED and event.report.exit_code == 0, worker.output()
    assert worker.output() == (
        b"names 1 True\r\nsize 80 24\r\nforeground True\r\nthrough /dev/tty\r\nsame group True\r\nsize 80 24\r\n"
        b"to stderr\r\n"
    )
    assert worker.output(C.STREAM_STDERR) == b""


def test_without_one_there_is_none(host):
    text = "import os\nprint(os.isatty(0), os.isatty(1), os.isatty(2), os.getsid(0) == os.getpid())"
    worker = host.spawn(Policy(), Launch("program", "python3", "-c", text))
    worker.exited()
    assert worker.output() == b"False False False True\n"


def test_what_is_typed_before_the_program_runs_is_not_lost(host):
    worker = host.spawn(Policy(), program("cat"))
    worker.stdin(b"first\n")
    worker.stdin(b"second\n")
    worker.stdin(b"")
    report = worker.exited().report
    assert (report.reason, report.exit_code) == (C.REASON_EXITED, 0)
    output = worker.output()
    assert output.count(b"first\r\n") == 2 and output.count(b"second\r\n") == 2  # the echo, and cat


def test_the_end_of_input_is_the_character_that_is_set(host):
    worker = host.spawn(Policy(), program("sh", "-c", "stty eof ^G; echo set; cat; echo over; cat; echo done"))
    shown(host, worker, b"set\r\n")
    worker.stdin(b"")
    shown(host, worker, b"over\r\n")
    worker.stdin(b"\x04")  # no end any more: a character like others
    worker.stdin(b"x\n\x07")
    assert worker.exited().report.exit_code == 0
    assert worker.output().endswith(b"\x04x\r\ndone\r\n")


def test_without_an_end_character_there_is_no_end_of_input(host):
    worker = host.spawn(Policy(), program("sh", "-c", "stty eof undef; echo set; read x"))
    shown(host, worker, b"set\r\n")
    with pytest.raises(LauterError) as caught:
        worker.stdin(b"")
    assert caught.value.code == C.ERROR_STATE and "end-of-file" in caught.value.message
    worker.stdin(b"\n")
    assert worker.exited().report.exit_code == 0


def test_letters_of_utf8_are_erased_whole(host):
    worker = host.spawn(Policy(), program("sh", "-c", "read -r x; printf '<%s>' \"$x\""))
    worker.stdin("aé\x7fb\n".encode())
    worker.exited()
    assert b"<ab>" in worker.output()


def test_a_new_size_is_told(host):
    worker = host.spawn(Policy(), script("""
import os, signal, sys
def changed(*_):
    print("now", *os.get_terminal_size(0))
    if os.get_terminal_size(0).lines == 50: sys.exit()
signal.signal(signal.SIGWINCH, changed)
print("ready")
while True: signal.pause()
"""))
    resize(worker, 30, 90)  # whether the terminal is there already or not
    shown(host, worker, b"ready\r\n")
    resize(worker, 50, 120)
    assert worker.exited().report.exit_code == 0
    assert worker.output().endswith(b"now 120 50\r\n")


def test_a_size_set_at_once_is_the_first_that_the_program_sees_or_is_told(host):
    for _ in range(10):
        worker = host.spawn(Policy(), program("sh", "-c", "trap '' WINCH; read x; stty size"))
        resize(worker, 7, 9)
        worker.stdin(b"\n")
        worker.exited()
        assert worker.output().endswith(b"7 9\r\n")


def test_the_last_words_arrive_before_the_end(host):
    for _ in range(20):
        worker = host.spawn(Policy(), program("sh", "-c", "printf %03000d 1; printf %03000d 2 >&2; kill -9 $$"))
        report = worker.exited().report
        assert report.signal == signal.SIGKILL
        assert worker.output() == b"0" * 2999 + b"1" + b"0" * 2999 + b"2"


def test_output_arrives_whole_and_in_order(host):
    worker = host.spawn(Policy(), program("sh", "-c", "stty -opost; seq 300000"))
    worker.exited(60)
    assert worker.output() == b"".join(b"%d\n" % n for n in range(1, 300001))


def test_output_that_nobody_takes_costs_no_memory(host):
    worker = host.spawn(Policy(), program("sh", "-c", "yes 0123456789 | head -c 100000000"))
    worker.wait_ready()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker.wait_exit(100000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10  # KiB


def test_a_program_that_closes_its_terminal_lives_on_and_can_come_back(host):
    worker = host.spawn(Policy(), script("""
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("closing")
for fd in (0, 1, 2): os.close(fd)
signal.sigwait({signal.SIGUSR1})
fd = os.open("/dev/tty", os.O_RDWR)
os.write(fd, b"back\\n" + os.read(fd, 10))
"""))
    shown(host, worker, b"closing\r\n")
    began = time.process_time()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:  # a hangup that is told without end would keep us busy
        host.drain()
        host.wait(50)
    assert time.process_time() - began < 0.15
    worker.signal(signal.SIGUSR1)
    worker.stdin(b"hi\n")
    worker.exited()
    assert b"back\r\nhi\r\n" in worker.output(), worker.output()


def test_calls_and_a_terminal_go_together(host, bench):
    worker = host.spawn(bench.policy(), bench.worker(terminal="24x80"))
    for i in range(100):
        worker.ask("print", "1", f"line {i}\n")
        assert worker.output().endswith(b"line %d\r\n" % i), "an answer came before what was written before it"


def test_python_has_a_terminal_too(host, bench):
    worker = host.spawn(bench.policy(), bench.python(terminal="40x100"))
    done = worker.run("import os; print(os.isatty(0), os.get_terminal_size(0)); os.system('tty; stty size')")
    assert done.status == 0
    assert b"/dev/pts/0\r\n40 100\r\n" in worker.output()


# ------------------------------------------------------------------------------------------------ job control --


@pytest.mark.parametrize("preset", ["notebook", "unconfined"])
def test_ctrl_z_suspends_and_sigcont_continues(host, preset):
    worker = host.spawn(Policy(preset), program("cat"))
    worker.stdin(b"one\n")
    shown(host, worker, b"one\r\none\r\n")
    for _ in range(3):
        worker.stdin(b"\x1a")
        assert suspended(host, worker).status == signal.SIGTSTP
        worker.signal(signal.SIGCONT)
        worker.stdin(b"again\n")
        shown(host, worker, b"again\r\nagain\r\n")
        host.seen.clear()
    worker.stdin(b"\x03")
    report = worker.exited().report
    assert (report.reason, report.signal) == (C.REASON_SIGNALED, signal.SIGINT)


def test_ctrl_c_and_ctrl_backslash_are_the_terminal_s(host):
    for character, number in ((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)):
        worker = host.spawn(Policy(), program("sh", "-c", "echo ready; exec sleep 60"))
        shown(host, worker, b"ready\r\n")
        worker.stdin(character)
        assert worker.exited().report.signal == number
        host.seen.clear()


def test_stopping_itself_is_told_without_a_terminal_as_well(host):
    worker = host.spawn(Policy(), Launch("program", "sh", "-c", "kill -STOP $$; exit 3"))
    assert suspended(host, worker).status == signal.SIGSTOP
    worker.signal(signal.SIGCONT)
    assert worker.exited().report.exit_code == 3


def test_stop_ends_a_suspended_worker_by_its_first_rung(host):
    worker = host.spawn(Policy(), program("cat"))
    worker.wait_ready()
    worker.stdin(b"\x1a")
    suspended(host, worker)
    worker.stop(60_000, 60_000)
    report = worker.exited().report
    assert (report.rung, report.signal) == (C.RUNG_TERM, signal.SIGTERM)


def test_in_the_background_reading_suspends_and_writing_does_not(host):
    worker = host.spawn(Policy(), program("sh", "-c", "echo wrote; head -n1; echo over", terminal="24x80 background"))
    shown(host, worker, b"wrote\r\n")
    assert suspended(host, worker).status == signal.SIGTTIN
    worker.signal(signal.SIGCONT)  # still in the background: stops again
    assert suspended(host, worker).status == signal.SIGTTIN
    foreground(worker, 1)
    worker.signal(signal.SIGCONT)
    worker.stdin(b"typed\n")
    assert worker.exited().report.exit_code == 0
    assert worker.output().endswith(b"typed\r\ntyped\r\nover\r\n")


def test_the_background_and_back_while_it_runs(host):
    worker = host.spawn(Policy(), script("""
import os, signal, sys
signal.signal(signal.SIGTTIN, lambda *_: sys.exit("refused"))
print("ready")
for line in sys.stdin: print("line", line.strip())
"""))
    shown(host, worker, b"ready\r\n")
    foreground(worker, 0)
    foreground(worker, 0)
    foreground(worker, 1)
    worker.stdin(b"a\n")
    shown(host, worker, b"line a\r\n")
    worker.kill()
    worker.exited()


def test_a_shell_has_jobs_of_its_own(host):
    policy = Policy("notebook", ("env", "TERM=dumb"), ("env", "PS1=$ "))
    worker = host.spawn(policy, program("bash", "--norc", "--noediting", "-i"))
    shown(host, worker, b"$ ")
    assert b"no job control" not in worker.output()
    worker.stdin(b"sleep 1000\n")
    support.eventually(lambda: foreground_of(worker.pid) == "sleep", within=10)
    worker.stdin(b"\x1a")
    shown(host, worker, b"Stopped")
    worker.stdin(b"bg\n")
    shown(host, worker, b"sleep 1000 &")
    worker.stdin(b"fg\n")
    support.eventually(lambda: foreground_of(worker.pid) == "sleep", within=10)
    worker.stdin(b"\x03")
    worker.stdin(b"echo $?\n")
    shown(host, worker, b"130\r\n")
    assert not [e for e in host.seen if e.kind == C.EVENT_SUSPENDED]  # the shell was never stopped
    worker.stdin(b"exit 5\n")
    assert worker.exited().report.exit_code == 5


def foreground_of(init: int) -> str:
    """The program in the foreground of a worker's terminal, as the machine's /proc has it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
            name, rest = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2 :].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest[3]) == init and rest[2] == rest[5]:  # session, group, the terminal's foreground group
            return name
    return ""


# ------------------------------------------------------------------------------------------- what it cannot do --

ATTACKS = """
import ctypes, fcntl, os, signal, struct, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
def attempt(name, act):
    try: print(name, "->", act())
    except OSError as error: print(name, "->", error.strerror)
# Init's group in the foreground: what is typed as Ctrl-C, Ctrl-Z, Ctrl-\\ is for init now.
os.tcsetpgrp(0, os.getppid())
print("foreground is init's:", os.tcgetpgrp(0) == os.getppid() == 1)
print("type")
"""


@pytest.mark.parametrize("preset", ["notebook", "unconfined"])
def test_a_worker_cannot_stop_or_end_its_init_by_the_terminal(host, preset):
    worker = host.spawn(Policy(preset), script(ATTACKS + """
import time
signal.sigwait({signal.SIGUSR1})
attempt("give up", lambda: fcntl.ioctl(0, termios.TIOCNOTTY))
child = os.fork()
if child == 0:
    os.setsid()
    attempt("steal", lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 1))
    os._exit(0)
os.waitpid(child, 0)
for number in (1, 2, 3, 15, 20, 21, 22): attempt(f"kill {number}", lambda: os.kill(1, number))
attempt("flush", lambda: termios.tcflush(0, termios.TCIFLUSH))
print("over")
time.sleep(1000)
"""))  # fmt: skip
    shown(host, worker, b"type\r\n")
    assert b"foreground is init's: True" in worker.output()
    worker.stdin(b"\x03\x1a\x1c")
    resize(worker, 3, 4)
    worker.signal(signal.SIGUSR1)
    shown(host, worker, b"over\r\n")
    # Behind what the terminal echoed of the keys, perhaps.
    stolen = [line[line.index(b"steal") :] for line in worker.output().splitlines() if b"steal" in line]
    # As the machine's root in its own user namespace a thief may do what it wants, which unconfined says.
    if preset == "notebook" or os.getuid() != 0:
        assert stolen == [b"steal -> Operation not permitted"]
    state = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    assert state in "SRD", f"init is in state {state}"
    # It still obeys and still reports.
    worker.signal(signal.SIGKILL)
    assert worker.exited().report.signal == signal.SIGKILL


def test_a_worker_that_stops_without_end_blocks_nobody(host):
    text = """
import os, signal
parent = os.getpid()
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    while True: os.kill(parent, signal.SIGCONT)
while True: os.kill(parent, signal.SIGSTOP)
"""
    policy = Policy("notebook", ("limit", "wall=1500ms"))
    worker = host.spawn(policy, script(text))
    worker.wait_ready()
    time.sleep(0.5)  # unread meanwhile: the socket fills, and init must not wait for us
    before = len([e for e in host.seen if e.kind == C.EVENT_SUSPENDED])
    taken = host.drain()
    assert len([e for e in taken if e.kind == C.EVENT_SUSPENDED]) >= 1 > before
    # Unread until the limit: init keeps the time all the same.
    time.sleep(1.2)
    report = worker.exited(5).report
    assert report.reason == C.REASON_WALL
    assert report.wall_us < 2_500_000


def test_the_caller_s_terminal_cannot_be_named_inside(host, bench):
    master, slave = os.openpty()
    try:
        path = os.ttyname(slave)
        text = f"import os, sys\nprint(sorted(os.listdir('/dev/pts')))\nprint(os.stat('/dev/pts/0').st_dev == {os.stat(path).st_dev})"
        worker = host.spawn(Policy(), script(text))
        worker.exited()
        assert worker.output() == b"['0', 'ptmx']\r\nFalse\r\n"
    finally:
        os.close(master)
        os.close(slave)


def test_nothing_is_left_of_a_hundred_terminals(host):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    host.spawn(Policy(), program("true")).wait_exit()
    before = descriptors()
    held = host.spawn(Policy(), program("cat"))
    held.wait_ready()
    assert descriptors() > before + 3  # the probe sees a live one
    held.kill()
    held.wait_exit()
    for _ in range(100):
        host.spawn(Policy(), program("true")).wait_exit()
    assert descriptors() == before


# ---------------------------------------------------------------------------------------------------- refusals --


@pytest.mark.parametrize("value", ["", "24", "24x", "x80", "24x80x2", "0x80", "24x65536", "-1x80", "24X80", "24x80 front"])
def test_a_terminal_of_no_size_is_refused(value):
    with pytest.raises(LauterError) as caught:
        Launch("program", "true").set("terminal", value)
    assert caught.value.code == C.ERROR_INVALID and caught.value.subject == "terminal"


@pytest.mark.parametrize("stream", ["stdin=pipe", "stdin=inherit", "stdout=inherit", "stderr=null"])
def test_a_terminal_and_other_streams_contradict_each_other(host, stream):
    name, value = stream.split("=")
    launch = program("tty")
    with pytest.raises(LauterError) as caught:
        launch.set(name, value)
    assert caught.value.code == C.ERROR_INVALID and "terminal" in caught.value.message
    worker = host.spawn(Policy(), launch)  # it is as it was
    worker.exited()
    assert worker.output() == b"/dev/pts/0\r\n"
    other = Launch("program", "true").set(name, value)
    with pytest.raises(LauterError) as caught:
        other.set("terminal", "24x80")
    assert caught.value.code == C.ERROR_INVALID
    other.set("terminal", "none")


def test_a_worker_without_a_terminal_has_no_size_and_no_background(host, worker):
    for attempt in (lambda: resize(worker, 24, 80), lambda: foreground(worker, 1)):
        with pytest.raises(LauterError) as caught:
            attempt()
        assert caught.value.code == C.ERROR_STATE and "no terminal" in caught.value.message


def test_sizes_have_bounds(host):
    worker = host.spawn(Policy(), program("cat"))
    for size in ((0, 80), (24, 0), (65536, 1), (1, 65536)):
        with pytest.raises(LauterError) as caught:
            resize(worker, *size)
        assert caught.value.code == C.ERROR_INVALID
    resize(worker, 65535, 65535)
    worker.kill()
    worker.exited()


def test_a_host_without_a_free_descriptor_fails_the_launch_with_its_step(bench):
    """In a process of its own, whose limit is lowered right after the spawn."""
    text = f"""
import os, resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from ffi import C, Host, Launch, Policy
with Host() as host:
    launch = Launch("program", "cat", terminal="24x80")
    steps = dict(line.split(None, 1) for line in Policy().explain(launch).splitlines())
    worker = host.spawn(Policy(), launch)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))
    event = worker.exited()
    error = event.error
    print(event.report.reason == C.REASON_LAUNCH, error.name, error.errno, "as the worker's terminal" in steps[str(error.step)])
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
"""
    done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.stdout == "True LAUNCH 24 True\n"
