# SPDX-License-Identifier: Apache-2.0
"""`lauter run` at a terminal: modes, size, keys, jobs of a shell, and the ways out."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import termios
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import LAUTER, PATIENCE, CommandTest
from terminal import Shell, Terminal


def lauter(*arguments):
    return [LAUTER, "run", *arguments]


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class TerminalTest(CommandTest):
    def terminal(self, *command, **options):
        terminal = Terminal(*command, **options)
        self.addCleanup(terminal.__exit__)
        return terminal

    def shell(self, **options):
        shell = Shell(**options)
        self.addCleanup(shell.__exit__)
        shell.run(f"cd {shlex.quote(str(self.folder))}; PATH={shlex.quote(str(LAUTER.parent))}:$PATH")
        return shell


class Modes(TerminalTest):
    def ends(self, script, end, status, *options):
        """The terminal is raw while it runs, and as it was when it has ended."""
        terminal = self.terminal(*lauter(*options, "--", "sh", "-c", script))
        before = terminal.modes
        self.assertFalse(terminal.is_raw)
        terminal.expect("started\r\n")
        self.assertTrue(terminal.is_raw)
        end(terminal)
        self.assertEqual(terminal.ended(), status, terminal.shown)
        self.assertEqual(terminal.modes, before)
        return terminal

    def test_after_an_ordinary_end(self):
        self.ends("echo started; read x; exit 5", lambda t: t.type("\n"), 5)

    def test_after_ctrl_c_and_ctrl_backslash(self):
        self.ends("echo started; exec sleep 1000", lambda t: t.type("\x03"), 130)
        self.ends("echo started; exec sleep 1000", lambda t: t.type("\x1c"), 131)

    def test_after_the_program_is_killed(self):
        self.ends("echo started; read x; kill -9 $$", lambda t: t.type("\n"), 137)

    def test_after_the_end_of_input(self):
        self.ends("echo started; cat; exit 4", lambda t: t.type("\x04"), 4)

    def test_after_signals_to_lauter(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
            self.ends("echo started; exec sleep 1000", lambda t: os.kill(t.pid, number), 128 + number)

    def test_after_signals_that_end_lauter_itself(self):
        for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGALRM, signal.SIGXCPU):
            self.ends("echo started; exec sleep 1000", lambda t: os.kill(t.pid, number), 128 + number)

    def test_after_a_limit_whose_message_comes_behind_the_restored_modes(self):
        terminal = self.ends("echo started; exec sleep 1000", lambda t: None, 137, "--limit", "wall=500ms")
        self.assertIn(b"wall-clock limit of 500 ms", terminal.shown)
        self.assertTrue(terminal.shown.endswith(b"\r\n"), terminal.shown)

    def test_modes_of_the_program_s_own_are_its_own(self):
        self.ends("stty raw -echo; echo; printf 'started\\r\\n'; dd bs=1 count=1 2>/dev/null", lambda t: t.type("x"), 0)

    def test_a_program_that_is_not_there_leaves_the_terminal_alone(self):
        terminal = self.terminal(*lauter("--", "no-such-program"))
        before = terminal.modes
        self.assertEqual(terminal.ended(), 127)
        self.assertEqual(terminal.modes, before)
        self.assertIn(b"no-such-program", terminal.shown)


class Programs(TerminalTest):
    def test_it_has_a_terminal_of_its_own(self):
        script = "tty; stty size; ls /dev/pts; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all; echo to the terminal >/dev/tty"
        terminal = self.terminal(*lauter("--", "sh", "-c", script), rows=33, columns=77)
        self.assertEqual(terminal.ended(), 0)
        self.assertEqual(terminal.shown, b"/dev/pts/0\r\n33 77\r\n0  ptmx\r\nall\r\nto the terminal\r\n")

    def test_it_is_told_a_new_size(self):
        script = "trap 'stty size; exit' WINCH; echo started; while :; do sleep 0.05; done"
        terminal = self.terminal(*lauter("--", "sh", "-c", script))
        terminal.expect("started\r\n")
        terminal.resize(50, 132)
        terminal.expect("50 132\r\n")
        self.assertEqual(terminal.ended(), 0)

    def test_term_is_passed_unless_the_policy_says_otherwise(self):
        show = ["--", "sh", "-c", "echo $TERM/$COLORTERM/$SECRET."]
        options = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "SECRET": "s"}
        for flags, shown in ([], "xterm-256color/truecolor/."), (["--env", "TERM=dumb"], "dumb/truecolor/."):
            terminal = self.terminal(*lauter(*flags, *show), **options)
            terminal.expect(shown)
            self.assertEqual(terminal.ended(), 0)

    def test_python_s_prompt_edits_lines(self):
        terminal = self.terminal(*lauter("--", "python3", "-q"))
        terminal.expect(">>> ")
        terminal.type("40+3\x7f2\n")
        terminal.expect("42\r\n")
        terminal.expect(">>> ")
        terminal.type("\x1b[A\n")  # the line before
        terminal.expect("42\r\n")
        terminal.expect(">>> ")
        terminal.type("while True: print('sp' + 'in')\n\n")
        terminal.expect("spin\r\n")
        terminal.type("\x03")
        terminal.expect("KeyboardInterrupt")
        terminal.expect(">>> ")
        terminal.type("exit(7)\n")
        self.assertEqual(terminal.ended(), 7)

    def test_keys_that_our_terminal_would_have_kept_arrive(self):
        text = "import os, tty; tty.setraw(0); print('started', end='', flush=True); print([os.read(0, 1)[0] for _ in range(7)], end='')"
        terminal = self.terminal(*lauter("--", "python3", "-c", text))
        terminal.expect("started")
        terminal.type(b"\x03\x1a\x1c\x11\x13\x04\x16")  # Ctrl-C, Z, \, Q, S, D, V
        terminal.expect("[3, 26, 28, 17, 19, 4, 22]")
        self.assertEqual(terminal.ended(), 0)

    def test_everything_written_is_shown_to_a_slow_reader_too(self):
        terminal = self.terminal(*lauter("--", "sh", "-c", "stty -opost; seq 60000; echo over"))
        expected = b"".join(b"%d\n" % n for n in range(1, 60001)) + b"over\n"
        terminal.expect("1\n")
        for _ in range(1000):  # in small bites first
            terminal.shown += os.read(terminal.master, 100)
        terminal.expect("over\n")
        self.assertEqual(terminal.ended(), 0)
        self.assertEqual(terminal.shown, expected)

    def test_a_flood_costs_no_memory_and_keys_go_on(self):
        terminal = self.terminal(*lauter("--", "sh", "-c", "yes 0123456789"))
        terminal.expect("0123456789")
        total = 0
        while total < 30_000_000:
            terminal.pump(1)
            total += len(terminal.shown)
            terminal.shown, terminal.read = b"", 0
        peak = int(pathlib.Path(f"/proc/{terminal.pid}/status").read_text().split("VmHWM:")[1].split()[0])
        self.assertLess(peak, 64 << 10)
        terminal.type("\x03")
        self.assertEqual(terminal.ended(), 130)

    def test_a_terminal_that_stands_still_does_not_keep_signals_away(self):
        terminal = self.terminal(*lauter("--", "sh", "-c", "echo started; exec yes"))
        terminal.expect("started\r\n")
        terminal.until(lambda: state(children_of_init(terminal.pid)) == "S", "blocked on its output")
        os.kill(terminal.pid, signal.SIGTERM)
        self.assertEqual(terminal.ended(), 143)

    def test_when_the_terminal_goes_everything_goes(self):
        with Terminal(*lauter("--", "sh", "-c", "echo started; exec sleep 1000")) as terminal:
            terminal.expect("started\r\n")
            worker = children_of_init(terminal.pid)
            name = pathlib.Path(f"/proc/{worker}/comm")
            terminal.until(lambda: name.read_text() == "sleep\n", "asleep")
            os.close(terminal.slave)
            os.close(terminal.master)
            terminal.master = terminal.slave = -1
            pid, status = os.waitpid(terminal.pid, 0)
            terminal.status = status
            self.assertEqual(os.waitstatus_to_exitcode(status), 129)
            self.assertFalse(pathlib.Path(f"/proc/{worker}").exists())

    def test_the_report_is_as_ever(self):
        terminal = self.terminal(*lauter("--report", self.folder / "report", "--", "sh", "-c", "exit 7"))
        self.assertEqual(terminal.ended(), 7)
        self.assertIn('"exit_code":7', (self.folder / "report").read_text())


def children_of_init(lauter_pid):
    """The program: the only child of an init whose host is `lauter_pid`. Inits are nobody's children, so by session."""
    wanted = f"Pid:\t{lauter_pid}\n"
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == "lauter-init\n":
                if wanted in (entry / "fdinfo/4").read_text():  # its host's pidfd
                    return children(int(entry.name))[0]
        except (FileNotFoundError, ProcessLookupError, PermissionError, IndexError):
            continue
    raise AssertionError(f"no program of {lauter_pid}")


def state(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class Jobs(TerminalTest):
    # What is stopped here by Ctrl-Z starts no programs meanwhile: a shell that is stopped between its child's vfork(2) and
    # exec waits for that child without being stopped itself, sandbox or not.

    def test_ctrl_z_fg_and_the_end(self):
        shell = self.shell()
        before = shell.modes
        shell.type("lauter run -- cat\n")
        shell.until(lambda: shell.is_raw, "raw")
        shell.type("one\n")
        shell.expect("one\r\none\r\n")
        for word in ("two", "three"):
            shell.type("\x1a")
            self.assertIn("Stopped", shell.prompt())
            self.assertEqual(shell.modes, before)
            shell.resize(30, 100)
            shell.type("fg\n")
            shell.until(lambda: shell.is_raw, "raw again")
            shell.type(word + "\n")
            shell.expect(f"{word}\r\n{word}\r\n")
        shell.type("\x04")
        shell.prompt()
        self.assertIn("0", shell.run("echo $?"))
        self.assertEqual(shell.modes, before)

    def test_a_job_that_was_stopped_sees_the_new_size_and_draws_itself_anew(self):
        shell = self.shell()
        shell.type("lauter run -- sh -c 'trap \"stty size\" WINCH; echo started; while :; do read x; done'\n")
        shell.expect("started\r\n")
        shell.type("\x1a")
        shell.prompt()
        shell.resize(31, 91)
        shell.type("fg\n")
        shell.expect("31 91\r\n")
        shell.type("\x1a")
        shell.prompt()
        shell.type("fg\n")
        shell.expect("31 91\r\n")  # though it is the same
        shell.type("\x03")
        shell.prompt()

    def test_bg_writes_on_and_stops_when_it_reads(self):
        shell = self.shell()
        shell.type("lauter run -- sh -c 'echo started; read x; echo wrote; read y; echo got $y'\n")
        shell.expect("started\r\n")
        shell.type("\x1a")
        shell.prompt()
        self.assertIn("Stopped", shell.run("jobs"))
        shell.type("bg\n")
        shell.prompt()
        shell.type("wait\n")  # bash's wait ends when the job stops
        self.assertIn("Stopped", shell.prompt())
        shell.type("fg\n")
        shell.until(lambda: shell.is_raw, "raw")
        shell.type("x\n")
        shell.expect("wrote\r\n")
        shell.type("hello\n")
        shell.expect("got hello\r\n")
        shell.prompt()

    def test_a_job_in_the_background_writes_and_leaves_the_input_to_the_shell(self):
        shell = self.shell()
        script = 'echo "st"arted; while ! [ -e go ]; do sleep 0.05; done; echo "fin"ished'
        shell.type(f"lauter run --write . -- sh -c '{script}' &\n")
        shell.expect("started\r")
        self.assertFalse(shell.is_raw)
        shell.run("")
        self.assertIn("mine", shell.run("echo mine"))
        self.assertIn("Running", shell.run("jobs"))
        shell.type("touch go\n")
        shell.expect("finished")
        self.assertIn("status 0", shell.run("wait %1; echo status $?"))

    def test_a_job_of_the_background_that_reads_is_stopped_at_its_first_read(self):
        shell = self.shell()
        shell.type("lauter run -- sh -c 'read x; echo got $x' &\n")
        shell.until(lambda: "Stopped" in shell.run("jobs"), "stopped")
        shell.type("fg\n")
        shell.until(lambda: shell.is_raw, "raw")
        shell.type("now\n")
        shell.expect("got now\r\n")
        shell.prompt()

    def test_a_running_job_that_comes_to_the_front_is_typed_to(self):
        shell = self.shell()
        script = 'echo "st"arted; while ! [ -e go ]; do sleep 0.05; done; read x; echo got $x'
        shell.type(f"lauter run --write . -- sh -c '{script}' &\n")
        shell.expect("started")
        shell.type("fg\n")  # which sends no signal to a job that runs
        shell.until(lambda: shell.is_raw, "raw")
        (self.folder / "go").touch()
        shell.type("this\n")
        shell.expect("got this\r\n")
        shell.prompt()

    def test_with_tostop_a_job_in_the_background_stops_when_it_writes(self):
        shell = self.shell()
        shell.run("stty tostop")
        shell.type("lauter run -- sh -c 'echo wrote; exit 3' &\n")
        shell.until(lambda: "Stopped" in shell.run("jobs"), "stopped")
        shell.type("fg\n")
        shell.expect("wrote\r")
        shell.prompt()
        self.assertIn("status 3", shell.run("echo status $?"))

    def test_a_shell_inside_has_jobs_of_its_own(self):
        shell = self.shell()
        shell.type("lauter run --env 'PS1=$(echo in)side> ' -- bash --norc --noediting\n")
        self.assertNotIn(b"no job control", shell.expect("inside> "))
        shell.type("""sh -c 'trap "echo again" CONT; echo "ru"nning; while :; do read x; done'\n""")
        shell.expect("running\r\n")
        shell.type("\x1a")
        self.assertIn(b"Stopped", shell.expect("inside> "))
        shell.type("fg\n")
        shell.expect("again\r\n")
        shell.type("\x03")
        shell.expect("inside> ")
        shell.type("exit 6\n")
        shell.prompt()
        self.assertIn("status 6", shell.run("echo status $?"))

    def test_sigtstp_from_outside_stops_everything_until_sigcont(self):
        shell = self.shell()
        # A shell inside, which ignores SIGTSTP itself.
        shell.type("lauter run --env 'PS1=$(echo in)side> ' -- bash --norc --noediting\n")
        shell.expect("inside> ")
        [pid] = children(shell.pid)
        worker = children_of_init(pid)
        os.kill(pid, signal.SIGTSTP)
        self.assertIn("Stopped", shell.prompt())
        shell.until(lambda: state(worker) == "T", "stopped inside")
        shell.type("fg\n")
        shell.until(lambda: shell.is_raw, "raw")
        shell.type("echo $((6 * 7))\n")
        shell.expect("42\r\n")
        shell.type("exit\n")
        shell.prompt()

    def test_a_stopped_job_can_be_ended_by_the_shell(self):
        shell = self.shell()
        shell.type("lauter run -- sh -c 'echo started; exec sleep 1000'\n")
        shell.expect("started\r\n")
        shell.type("\x1a")
        shell.prompt()
        shell.run("kill %1")
        # The shell says so itself before a prompt, unless it is asked first.
        shell.until(lambda: "143" in shell.run("wait %1; echo status $?"), "ended by SIGTERM")

    def test_where_nobody_watches_over_jobs_ctrl_z_stops_nothing(self):
        """The leader of a session without a shell: the kernel stops no orphaned group."""
        terminal = self.terminal(*lauter("--", "cat"))
        terminal.until(lambda: terminal.is_raw, "raw")
        terminal.type("a\n")
        terminal.expect("a\r\na\r\n")
        terminal.type("\x1a")
        terminal.type("b\n")
        terminal.expect("b\r\nb\r\n")
        self.assertTrue(terminal.is_raw)
        terminal.type("\x04")
        self.assertEqual(terminal.ended(), 0)


class WithoutATerminal(TerminalTest):
    def test_one_stream_that_is_none_is_enough(self):
        show = "lauter run -- sh -c 'for n in 0 1 2; do [ -t $n ] && echo $n is >>out; done; true' "
        for redirection in ("</dev/null", ">/dev/null", "2>/dev/null"):
            shell = self.shell()
            shell.run("touch out")
            self.assertFalse(shell.is_raw)
            before = shell.modes
            shell.run(show.replace("run", "run --write .") + redirection)
            self.assertEqual(shell.modes, before)
            self.assertEqual((self.folder / "out").read_text().count("is"), 2)
            (self.folder / "out").unlink()

    def test_ctrl_z_stops_the_tree_and_fg_lets_it_go_on(self):
        shell = self.shell()
        script = "sh -c \"while :; do echo x >>ticks; sleep 0.02; done\" & while :; do sleep 1; done"
        shell.type(f"lauter run --write . -- sh -c '{script}' >out\n")
        ticks = self.folder / "ticks"

        def size():
            return ticks.stat().st_size if ticks.exists() else 0

        shell.until(lambda: size() > 6, "ticking")
        [pid] = children(shell.pid)
        worker = children_of_init(pid)
        shell.type("\x1a")
        self.assertIn("Stopped", shell.prompt())
        # D: who waits in vfork(2) for a child that was stopped before its exec goes nowhere either.
        shell.until(lambda: state(worker) in "TD", "stopped inside")
        shell.until(lambda: all(state(child) in "TDZ" for child in children(worker)), "stopped below")
        still = size()
        shell.pump(0.3)
        self.assertEqual(size(), still)
        shell.type("bg\n")
        shell.prompt()
        shell.until(lambda: size() > still, "ticking again")
        shell.type("fg\n")
        # The shell says so before it hands the terminal over.
        shell.until(lambda: os.tcgetpgrp(shell.master) == pid, "in front")
        shell.type("\x03")
        shell.prompt()
        self.assertIn("status 130", shell.run("echo status $?"))

    def test_interactive_gives_one_in_any_case(self):
        script = "tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && cat; exit 3"
        for text, shown in (
            ("one\ntwo\n", "one\ntwo\n"),
            ("half a line", "half a line"),
            ("", ""),
        ):
            result = self.lauter("run", "-i", "--", "sh", "-c", script, input=text, status=3)
            out = result.stdout.replace("\r", "").replace("^D\b\b", "")
            self.assertTrue(out.startswith("/dev/pts/0\n") or shown in out, out)
            self.assertEqual(out.count(shown) if shown else 2, 2, out)  # the echo, and cat
            self.assertEqual(result.stderr, "")

    def test_interactive_takes_a_megabyte_from_a_pipe(self):
        text = "".join(f"{n:06d}\n" for n in range(300_000))
        script = "stty -echo -opost; echo started; exec cat"
        out = self.lauter("run", "--interactive", "--", "sh", "-c", script, input=text).stdout
        self.assertEqual(out[out.index("started") :].partition("\n")[2][-1000:], text[-1000:])
        self.assertGreaterEqual(len(out), len(text))

    def test_a_reader_that_goes_hangs_up(self):
        result = subprocess.run(
            f"{shlex.quote(str(LAUTER))} run -i -- sh -c 'yes' </dev/null | head -n1; echo ${{PIPESTATUS[0]}}",
            shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        self.assertEqual(result.stdout.replace("\r", "").split(), ["y", "129"])

    def test_explain_shows_the_step(self):
        self.assertIn("as the worker's terminal, 24 by 80", self.lauter("explain", "-i", "--", "true").stdout)
        self.assertNotIn("terminal", self.lauter("explain", "--", "true").stdout)


if __name__ == "__main__":
    unittest.main()
