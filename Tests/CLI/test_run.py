# SPDX-License-Identifier: Apache-2.0
"""`lauter run`: exit statuses, standard streams, signals, the report, the current directory."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
from support import LAUTER, PATIENCE, CommandTest


class Statuses(CommandTest):
    def test_the_program_s_status_is_kept(self):
        for status in (0, 1, 42, 125, 255):
            result = self.lauter("run", "--", "sh", "-c", f"exit {status}", status=status)
            self.assertEqual((result.stdout, result.stderr), ("", ""))

    def test_death_by_signal_is_128_and_the_signal(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
            self.lauter("run", "--", "sh", "-c", f"kill -{int(number)} $$", status=128 + number)

    def test_a_missing_program_is_127(self):
        for program in ("no-such-program", "/no/such/program"):
            result = self.lauter("run", "--", program, status=127)
            self.assertTrue(result.stderr.startswith("lauter: "), result.stderr)
            self.assertIn("no-such-program" if "/" not in program else program, result.stderr)

    def test_what_cannot_be_executed_is_126(self):
        path = self.write("script", "#!/bin/sh\necho ran\n")
        result = self.lauter("run", "--read", ".", "--", path, status=126)
        self.assertIn("script", result.stderr)
        path.chmod(0o755)
        self.assertEqual(self.lauter("run", "--read", ".", "--", path).stdout, "ran\n")

    def test_our_own_failures_are_125(self):
        for arguments in (
            [],
            ["--"],
            ["--no-such-flag", "--", "true"],
            ["--preset", "lax", "--", "true"],
            ["--limit", "memory=lots", "--", "true"],
            ["--read", "no-such-file", "--", "true"],
            ["--policy", "no-such-file", "--", "true"],
            ["--report", "no/such/folder/report", "--", "true"],
        ):
            with self.subTest(arguments):
                result = self.lauter("run", *arguments, status=125)
                self.assertTrue(result.stderr.startswith("lauter: "), result.stderr)
                self.assertEqual(result.stdout, "")
        self.assertEqual(self.names(), [])


class Streams(CommandTest):
    def test_standard_streams_are_passed_through(self):
        result = self.lauter("run", "--", "sh", "-c", "cat; echo error >&2; exit 3", input="in\n", status=3)
        self.assertEqual((result.stdout, result.stderr), ("in\n", "error\n"))

    def test_ten_megabytes_pass_whole(self):
        data = "0123456789abcdef" * 640 * 1024
        self.assertEqual(self.lauter("run", "--", "cat", input=data).stdout, data)

    def test_descriptors_of_the_caller_stay_outside(self):
        with open(self.write("secret", "secret")) as secret:
            command = ["bash", "-c", f"cat <&{secret.fileno()}"]  # dash knows one digit alone
            subprocess.run(command, pass_fds=[secret.fileno()], check=True, capture_output=True)
            secret.seek(0)
            result = self.lauter("run", "--", *command, status=None, pass_fds=[secret.fileno()])
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")


class Policies(CommandTest):
    def test_what_is_not_named_is_not_there(self):
        self.write("data", "data")
        command = ["cat", self.folder / "data"]
        self.assertEqual(subprocess.check_output(command, text=True), "data")
        self.assertNotEqual(self.lauter("run", "--", *command, status=None).returncode, 0)
        self.assertEqual(self.lauter("run", "--read", "data", "--", *command).stdout, "data")

    def test_read_does_not_write_and_write_does(self):
        (self.folder / "out").mkdir()
        command = ["sh", "-c", f"echo x > {self.folder}/out/x"]
        self.assertNotEqual(self.lauter("run", "--read", "out", "--", *command, status=None).returncode, 0)
        self.assertEqual(list((self.folder / "out").iterdir()), [])
        self.lauter("run", "--write", "out", "--", *command)
        self.assertEqual((self.folder / "out" / "x").read_text(), "x\n")

    def test_deny_wins_where_it_is_more_specific(self):
        self.write("open", "open")
        self.write("closed", "closed")
        read = ["run", "--read", ".", "--deny", "closed", "--allow-missing", "deny", "--", "cat"]
        self.assertEqual(self.lauter(*read, self.folder / "open").stdout, "open")
        result = self.lauter(*read, self.folder / "closed", status=None)
        self.assertEqual((result.returncode != 0, result.stdout), (True, ""))

    def test_a_policy_file_has_paths_relative_to_itself_and_flags_come_after(self):
        (self.folder / "sub").mkdir()
        self.write("sub/data", "data")
        self.write("sub/policy", "# preset strict\nread data\nenv COLOR=red\n")
        run = ["run", "--policy", "sub/policy"]
        self.assertEqual(self.lauter(*run, "--", "cat", self.folder / "sub/data").stdout, "data")
        command = ["/usr/bin/env"]
        self.assertIn("COLOR=red\n", self.lauter(*run, "--", *command).stdout)
        self.assertIn("COLOR=blue\n", self.lauter(*run, "--env", "COLOR=blue", "--", *command).stdout)

    def test_a_wrong_line_of_a_policy_file_is_named(self):
        self.write("policy", "net none\nreed /usr\n")
        result = self.lauter("run", "--policy", "policy", "--", "true", status=125)
        self.assertIn("policy: line 2", result.stderr)
        self.assertIn("reed", result.stderr)

    def test_the_environment_is_clean_but_for_what_is_passed(self):
        env = {**os.environ, "SECRET": "s", "SHOWN": "shown"}
        out = self.lauter("run", "--env", "SHOWN", "--", "env", env=env).stdout
        self.assertNotIn("SECRET", out)
        self.assertIn("SHOWN=shown\n", out)

    def test_tilde_is_the_caller_s_home(self):
        self.write("data", "data")
        env = {**os.environ, "HOME": str(self.folder)}
        self.assertEqual(
            self.lauter("run", "--read", "~/data", "--", "cat", self.folder / "data", cwd="/", env=env).stdout, "data"
        )

    def test_explain_prints_a_policy_that_policy_reads(self):
        explained = self.lauter("explain", "--preset", "strict", "--read", "/etc/hostname", "--", "/bin/true").stdout
        self.assertTrue(explained.startswith("# preset strict\n"))
        self.assertIn("read /etc/hostname\n", explained)
        policy, steps = explained.split("\n\n", 1)
        self.assertIn("1", steps)
        self.write("policy", policy + "\n")
        again = self.lauter("explain", "--policy", "policy", "--", "/bin/true").stdout
        self.assertEqual(again.split("\n\n")[0], policy)


class Limits(CommandTest):
    def test_the_cpu_limit_is_told_and_the_status_is_that_of_a_kill(self):
        spin = ["sh", "-c", "while :; do :; done"]
        result = self.lauter("run", "--limit", "cpu=200ms", "--report", "report", "--", *spin, status=128 + 9)
        self.assertEqual(result.stderr, "lauter: the CPU limit of 200 ms was reached\n")
        self.assertEqual(json.loads((self.folder / "report").read_text())["reason"], "cpu")
        self.lauter("run", "--limit", "cpu=10s", "--", "true")

    def test_output_is_passed_on_up_to_its_limit(self):
        run = ["run", "--limit", "output=100K", "--"]
        result = self.lauter(*run, "sh", "-c", "yes", status=128 + 9)
        self.assertEqual(len(result.stdout), 100 << 10)
        self.assertEqual(result.stderr, "lauter: the output limit of 100 KiB was passed\n")
        # Though the program may have ended by then.
        command = ["sh", "-c", f"head -c {(100 << 10) + 1} /dev/zero"]
        self.assertEqual(len(self.lauter(*run, *command, status=128 + 9).stdout), 100 << 10)
        result = self.lauter(*run, "sh", "-c", "cat; echo error >&2; exit 3", input="x" * 1000, status=3)
        self.assertEqual((result.stdout, result.stderr), ("x" * 1000, "error\n"))

    def test_ten_megabytes_pass_whole_below_a_limit(self):
        data = "0123456789abcdef" * 640 * 1024
        self.assertEqual(self.lauter("run", "--limit", "output=10M", "--", "cat", input=data).stdout, data)

    def test_a_file_too_large_is_told_with_its_limit(self):
        write = ["sh", "-c", "exec head -c 8193 /dev/zero > /tmp/x"]
        result = self.lauter("run", "--limit", "file-size=8K", "--", *write, status=128 + signal.SIGXFSZ)
        self.assertIn("the file size limit of 8 KiB was reached", result.stderr)
        self.lauter("run", "--limit", "file-size=9K", "--", *write)

    def test_open_files_are_limited(self):
        show = ["sh", "-c", "ulimit -n"]
        self.assertEqual(self.lauter("run", "--limit", "open-files=99", "--", *show).stdout, "99\n")
        self.assertNotEqual(self.lauter("run", "--", *show).stdout, "99\n")

    def test_explain_knows_every_limit(self):
        limits = ["cpu=1500ms", "open-files=99", "file-size=1M", "output=5K", "wall=1m"]
        flags = [part for limit in limits for part in ("--limit", limit)]
        policy, steps = self.lauter("explain", *flags, "--", "true").stdout.split("\n\n", 1)
        for limit in limits:
            self.assertIn(f"limit {limit}\n", policy + "\n")
        for step in ("CPU seconds of each process to 3, at most 4", "file size to 1048576", "open files to 99"):
            self.assertIn(f"limit {step}\n", steps)


class Directories(CommandTest):
    def test_the_current_directory_is_kept_if_it_can_be_seen(self):
        self.assertEqual(self.lauter("run", "--read", ".", "--", "pwd").stdout, f"{self.folder}\n")
        home = self.lauter("run", "--", "sh", "-c", 'echo "$HOME"; pwd').stdout.split()
        self.assertEqual(home[0], home[1])

    def test_directory_sets_it(self):
        (self.folder / "sub").mkdir()
        out = self.lauter("run", "--read", "sub", "--directory", "sub", "--", "pwd").stdout
        self.assertEqual(out, f"{self.folder}/sub\n")


class Endings(CommandTest):
    def test_the_report_is_json_and_says_how_it_ended(self):
        self.lauter("run", "--report", "report", "--label", "me", "--", "sh", "-c", "exit 7", status=7)
        report = json.loads((self.folder / "report").read_text())
        self.assertEqual(report["exit_code"], 7)
        self.assertEqual(report["label"], "me")
        self.assertTrue(report["why"])

    def test_a_limit_that_ends_it_is_said(self):
        result = self.lauter("run", "--limit", "wall=300ms", "--", "sleep", "60", status=137)
        self.assertRegex(result.stderr, r"^lauter: .*wall-clock limit of 300 ms")

    def test_signals_are_passed_on(self):
        # The trap waits for a builtin: a shell runs it when its child has ended.
        for number, name in ((signal.SIGINT, "INT"), (signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP")):
            script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
            process = subprocess.Popen(
                [LAUTER, "run", "--", "sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            )
            self.assertEqual(process.stdout.readline(), "ready\n")
            process.send_signal(number)
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual((out, process.returncode), (f"got {name}\n", 9))

    def test_a_program_that_does_not_handle_a_signal_dies_of_it(self):
        process = subprocess.Popen(
            [LAUTER, "run", "--", "sh", "-c", "echo ready; exec sleep 60"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 130)

    def test_killing_lauter_kills_everything_below(self):
        process = subprocess.Popen(
            [LAUTER, "run", "--", "sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.kill()
        # Both sleeps hold the pipe's other end: it ends when they have.
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(out, "")


class Help(CommandTest):
    def test_each_command_explains_itself_with_an_example(self):
        for command in ([], ["run"], ["notebook"], ["explain"], ["doctor"]):
            out = self.lauter(*command, "--help").stdout
            self.assertIn("Example", out)
            self.assertIn("lauter ", out)

    def test_the_version_is_the_library_s(self):
        version = (pathlib.Path(__file__).resolve().parents[2] / "VERSION").read_text()
        self.assertEqual(self.lauter("--version").stdout.strip(), version.strip())


if __name__ == "__main__":
    unittest.main()
