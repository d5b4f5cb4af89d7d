# SPDX-License-Identifier: Apache-2.0
"""`lauter doctor`: whole machines and hindered ones, as root and as an ordinary user; what it says, a launch says too."""

import ctypes
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import hindered
from support import BUILD, LAUTER, CommandTest, skip

#: An id that no user of the machine should have.
UID = 48_614
IS_ROOT = os.geteuid() == 0
PRESETS = ("notebook", "strict", "unconfined")


def unshare(flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


class DoctorTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        """A copy of what is built where every user may read it."""
        cls.stage = pathlib.Path(tempfile.mkdtemp(prefix="lauter-doctor-"))
        cls.addClassCleanup(shutil.rmtree, cls.stage)
        if not LAUTER.exists():
            return
        (cls.stage / "bin").mkdir()
        shutil.copy(LAUTER, cls.stage / "bin")
        shutil.copytree(BUILD / "lib", cls.stage / "lib", symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", str(cls.stage)], check=True)

    def command(self, *arguments, status=None, **hindrances):
        done = hindered.run([self.stage / "bin" / "lauter", *arguments], cwd="/", **hindrances)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def doctor(self, status, **hindrances):
        """The report, whose status is what the command exits with; launches agree with it."""
        done = self.command("doctor", "--json", **hindrances)
        report = json.loads(done.stdout)
        presets = {preset["preset"]: preset for preset in report["presets"]}
        self.assertEqual(tuple(presets), PRESETS)
        checks = {check["id"]: check for check in report["checks"]}
        # Whoever may make no control group has less than everything, whatever else the machine has.
        if status == 0 and checks["memory-limit"]["status"] == "tolerated":
            status = 1
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertEqual(report["status"], ("full", "partial", "failed")[status])
        self.assertEqual(len(checks), len(report["checks"]))
        for check in report["checks"]:
            self.assertIn(check["status"], ("ok", "tolerated", "missing", "info"))
            self.assertTrue(check["purpose"] and check["detail"], check)
        for name, preset in presets.items():
            ran = self.command("run", "--preset", name, "--", "true", **hindrances)
            if preset["error"] is None:
                self.assertEqual(ran.returncode, 0, ran.stderr)
            else:
                self.assertEqual(preset["status"], "failed")
                self.assertEqual(ran.returncode, 125, ran.stderr)
                self.assertEqual(f"lauter: {preset['error']['message']}\n", ran.stderr)
        return presets, checks

    def users(self):
        """Whom to ask as: who runs the tests, and as root an ordinary user too."""
        return (None, UID) if IS_ROOT else (None,)

    def explained(self, checks, name, cause, remedy, status="missing"):
        """The check has this status, cause and remedy."""
        check = checks[name]
        self.assertEqual(check["status"], status, check)
        self.assertIn(cause, check["cause"] or "", check)
        self.assertIn(remedy, check["remedy"] or "", check)
        return check


class Whole(DoctorTest):
    def test_a_machine_that_lacks_nothing(self):
        for user in self.users():
            with self.subTest(user):
                groups = os.getgroups() if user is None and not IS_ROOT else []
                begun = time.monotonic()
                presets, checks = self.doctor(1 if groups else 0, user=user)
                self.assertLess(time.monotonic() - begun, 20)
                for check in checks.values():
                    if check["id"] not in ("groups", "memory-limit"):
                        self.assertIn(check["status"], ("ok", "info"), check)
                        self.assertTrue(check["status"] == "info" or check["cause"] is None, check)
                for name in ("user-namespace", "new-root", "proc", "landlock", "seccomp", "no-privilege", "cgroups"):
                    self.assertIn(name, checks)
                self.assertIn("memfd", checks["init"]["detail"])

    def test_a_memory_limit_that_init_adds_up_is_missing_in_part(self):
        """What the doctor says holds the limit is what a worker's launch takes."""
        for user in self.users():
            with self.subTest(user):
                _, checks = self.doctor(1 if user is None and not IS_ROOT and os.getgroups() else 0, user=user)
                check = checks["memory-limit"]
                plan = self.command("explain", "--preset", "notebook", "--", "true", user=user, status=0).stdout
                if "control group" in plan:
                    self.assertEqual((check["status"], check["remedy"]), ("ok", None), check)
                    self.assertIn("cgroup v", check["detail"])
                else:
                    self.explained(checks, "memory-limit", "no control group", "Delegate=yes", status="tolerated")
                    self.assertIn("best effort", check["detail"])
                # Nobody has delegated anything to an id that nobody has.
                if user == UID:
                    self.assertEqual(check["status"], "tolerated", check)

    def test_it_is_readable(self):
        shown = self.command("doctor").stdout
        for name in PRESETS:
            self.assertRegex(shown, rf"(?m)^{name} +works")
        self.assertIn("user-namespace", shown)
        self.assertLessEqual(max(map(len, shown.splitlines())), 80)

    @unittest.skipUnless(IS_ROOT, "an ordinary user cannot take groups on")
    def test_groups_that_stay_are_missing_in_part(self):
        presets, checks = self.doctor(1, user=UID, groups=[UID, 20])
        for name in PRESETS:
            self.assertEqual((presets[name]["status"], presets[name]["missing"]), ("partial", ["groups"]))
        self.explained(checks, "groups", "cannot shed", "root", status="tolerated")
        shown = self.command("doctor", user=UID, groups=[UID, 20], status=1).stdout
        self.assertRegex(shown, r"(?m)^notebook +works, but for: groups$")

    def test_nothing_is_left_behind(self):
        """Seen from a host that stays: no descriptor, no child, no process of init's."""
        code = """
import ctypes, os, sys
library = ctypes.CDLL(sys.argv[1])
def inits():
    names = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: names += [pid] if open(f"/proc/{pid}/comm").read() == "lauter-init\\n" else []
        except OSError: pass
    return set(names)
def state(): return sorted((fd, os.readlink(f"/proc/self/fd/{fd}")) for fd in os.listdir("/proc/self/fd") if fd != "9")
os.dup2(os.open("/proc/self/fd", os.O_RDONLY), 9)
keep = os.open("/dev/null", os.O_RDONLY)
before = len(os.listdir(9)), inits()
assert str(keep) in os.listdir("/proc/self/fd")
text = ctypes.c_char_p()
for _ in range(3):
    assert library.lauter_doctor(ctypes.byref(text), None) in (0, 1)
assert len(os.listdir("/proc/self/fd")) == len(os.listdir(9))
after = len(os.listdir(9)), inits()
assert before[0] == after[0], (before, after)
try: os.waitpid(-1, os.WNOHANG)
except ChildProcessError: pass
else: raise SystemExit("a child is left")
print("clean")
"""
        library = self.stage / "lib" / "liblauter.so"
        done = subprocess.run([sys.executable, "-c", code, str(library)], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout, "clean\n", done.stderr)

    def test_no_place_for_the_report_is_an_error(self):
        library = ctypes.CDLL(str(BUILD / "lib" / "liblauter.so"))
        error = ctypes.c_void_p()
        self.assertEqual(library.lauter_doctor(None, ctypes.byref(error)), -1)
        library.lauter_error_free(error)


class Hindered(DoctorTest):
    def test_a_filter_that_refuses_user_namespaces(self):
        filters = [hindered.refusing("clone", errno.EPERM, 0, hindered.NEW_USER)]
        for user in self.users():
            with self.subTest(user):
                presets, checks = self.doctor(2, user=user, filters=filters)
                self.explained(checks, "user-namespace", "seccomp filter", "seccomp=unconfined")
                self.explained(checks, "new-root", "missing (user-namespace)", "see there")
                for name in ("notebook", "strict"):
                    error = presets[name]["error"]
                    self.assertEqual(error["code"], "LAUTER_ERROR_UNSUPPORTED")
                    self.assertIn(checks["user-namespace"]["remedy"], error["message"])
                    self.assertIn("--allow-missing namespaces", error["message"])
                self.assertEqual(checks["without-namespaces"]["status"], "ok")
                # Root makes the namespaces of this preset without one of users.
                self.assertEqual(presets["unconfined"]["status"], "full" if user is None and IS_ROOT else "failed")

    def test_a_filter_that_refuses_one_namespace(self):
        filters = [hindered.refusing("clone", errno.EPERM, 0, hindered.NEW_NETWORK)]
        presets, checks = self.doctor(2, filters=filters)
        self.explained(checks, "network-namespace", "seccomp filter", "seccomp=unconfined")
        self.assertEqual(checks["user-namespace"]["status"], "ok")
        self.assertEqual(checks["new-root"]["status"], "ok")
        self.assertEqual(presets["unconfined"]["error"], None)
        self.assertEqual(self.explained(checks, "loopback", "network-namespace", "")["status"], "missing")

    def test_a_machine_without_landlock(self):
        filters = [hindered.refusing("landlock_create_ruleset", errno.EOPNOTSUPP)]
        for user in self.users():
            with self.subTest(user):
                presets, checks = self.doctor(1, user=user, filters=filters)
                self.explained(checks, "landlock", "security modules", "lsm=", status="tolerated")
                self.assertEqual(presets["notebook"]["missing"], ["landlock"])
                self.assertEqual(checks["without-namespaces"]["status"], "info")
                self.assertEqual(presets["strict"]["missing"], ["landlock"])
                self.assertEqual(presets["unconfined"]["missing"], [])

    def test_mounts_that_are_refused(self):
        for call, kind, check in (("fsopen", errno.EPERM, "new-root"), ("mount_setattr", errno.ENOSYS, "read-only-folders")):
            with self.subTest(call):
                presets, checks = self.doctor(2, filters=[hindered.refusing(call, kind)])
                self.explained(checks, check, "seccomp filter", "seccomp=unconfined")
                error = presets["notebook"]["error"]
                self.assertEqual((error["code"], error["errno"]), ("LAUTER_ERROR_LAUNCH", kind))
                self.assertGreater(error["step"], 0)
                self.assertIn(checks[check]["remedy"], error["message"])

    def test_capabilities_that_cannot_be_given_up(self):
        filters = [hindered.refusing("prctl", errno.EPERM, 0, equal=24)]  # PR_CAPBSET_DROP
        presets, checks = self.doctor(2, filters=filters)
        self.assertEqual(checks["no-privilege"]["status"], "missing", checks["no-privilege"])
        self.assertIn("privilege", presets["notebook"]["error"]["message"])
        self.assertIn(checks["no-privilege"]["remedy"], presets["notebook"]["error"]["message"])

    def test_filters_that_cannot_be_loaded(self):
        filters = [hindered.refusing("seccomp", errno.EINVAL)]
        presets, checks = self.doctor(2, filters=filters)
        self.explained(checks, "seccomp", "without seccomp", "CONFIG_SECCOMP_FILTER")
        self.assertIn("CONFIG_SECCOMP_FILTER", presets["strict"]["error"]["message"])
        self.assertEqual(presets["unconfined"]["error"], None)

    def test_a_hard_limit_below_the_policy_s(self):
        import resource

        def lower():
            resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, 2 << 30))

        user = UID if IS_ROOT else None
        presets, checks = self.doctor(2, user=user, before=lower)
        self.explained(checks, "limits", "may have less", "--limit")
        self.assertEqual(presets["notebook"]["status"], "failed")
        self.assertIsNone(presets["strict"]["error"])


@unittest.skipUnless(IS_ROOT, "takes root to be put up")
class Contained(DoctorTest):
    """In namespaces of the test's own, whose knobs are not the machine's."""

    def inside(self, script, *, user=None):
        """How to come into namespaces of processes and mounts, where `script` has run."""
        self.write("enter", script)

        def enter():
            unshare(0x2000_0000 | 0x2_0000)  # CLONE_NEWPID, CLONE_NEWNS
            pid = os.fork()
            if pid:
                _, status = os.waitpid(pid, 0)
                os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
            mounted = "mount --make-rprivate / && mount -t proc proc /proc"
            subprocess.run(["sh", "-ec", mounted + "\n" + script], check=True)

        return {"before": enter, "user": user}

    def test_memfds_that_may_not_be_executed(self):
        if not os.path.exists("/proc/sys/vm/memfd_noexec"):
            skip(self, "this kernel has no vm.memfd_noexec")
        within = self.inside("echo 2 > /proc/sys/vm/memfd_noexec")
        presets, checks = self.doctor(0, **within)
        self.assertIn("installed copy", checks["init"]["detail"])
        self.assertNotIn("memfd", checks["init"]["detail"])
        copy = self.stage / "lib" / "lauter" / "lauter-init"
        hidden = copy.with_name("gone")
        # Nor in a folder, but in that of the tests.
        barred = self.inside(
            f"echo 2 > /proc/sys/vm/memfd_noexec; mount --bind {self.stage} {self.stage}\n"
            "for folder in ${TMPDIR:-} /tmp /dev/shm; do\n"
            "mount --rbind $folder $folder; mount -o remount,bind,noexec $folder; done"
        )
        copy.rename(hidden)
        try:
            presets, checks = self.doctor(0, **within)
            self.assertIn("copy in a folder", checks["init"]["detail"])
            presets, checks = self.doctor(2, **barred)
        finally:
            hidden.rename(copy)
        self.explained(checks, "init", "vm.memfd_noexec is 2", "lauter/lauter-init")
        for name in PRESETS:
            self.assertIn(checks["init"]["remedy"], presets[name]["error"]["message"])

    def test_a_masked_proc_is_told_as_such(self):
        within = self.inside("mount -t tmpfs none /proc/sys/kernel/random || mount -t tmpfs none /proc/acpi", user=UID)
        presets, checks = self.doctor(2, **within)
        self.explained(checks, "proc", "itself masked", "systempaths=unconfined")
        self.assertIn(checks["proc"]["remedy"], presets["notebook"]["error"]["message"])

    def test_a_chroot_is_told_as_such(self):
        root = self.folder / "root"
        root.mkdir()

        def enter():
            unshare(0x2_0000)
            subprocess.run(
                ["sh", "-ec", f"mount --make-rprivate /; mount --rbind / {root}; mkdir -p {root}{self.folder}/in"], check=True
            )
            # Not a mount's root: a folder below it that shows the same by links.
            inner = root / str(self.folder)[1:] / "in"
            for name in ("usr", "tmp", "proc", "dev"):
                (inner / name).mkdir(exist_ok=True)
                subprocess.run(["mount", "--rbind", f"/{name}", str(inner / name)], check=True)
            for name in ("bin", "lib", "lib64", "sbin"):
                if not (inner / name).is_symlink():
                    (inner / name).symlink_to(f"usr/{name}")
            os.chroot(inner)
            os.chdir("/")

        presets, checks = self.doctor(2, before=enter, user=UID)
        self.explained(checks, "user-namespace", "chroot", "pivot_root")
        self.assertIn("chroot", presets["notebook"]["error"]["message"])

    def limited(self, knob):
        """Have a limit of a user namespace of the test's own set to 0."""

        def enter():
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: its files in /proc are else root's
            unshare(0x1000_0000)
            for name, text in (("setgroups", "deny"), ("uid_map", f"{UID} {UID} 1"), ("gid_map", f"{UID} {UID} 1")):
                pathlib.Path(f"/proc/self/{name}").write_text(text)
            self.assertNotEqual(pathlib.Path(f"/proc/sys/user/{knob}").read_text(), "0\n")
            pathlib.Path(f"/proc/sys/user/{knob}").write_text("0")

        return self.doctor(2, before=enter)

    def test_user_namespaces_that_are_switched_off(self):
        presets, checks = self.limited("max_user_namespaces")
        self.explained(checks, "user-namespace", "user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=")
        for name in PRESETS:
            error = presets[name]["error"]
            self.assertEqual((error["code"], error["subject"]), ("LAUTER_ERROR_UNSUPPORTED", "user namespaces"))
            self.assertIn(checks["user-namespace"]["remedy"], error["message"])

    def test_one_kind_of_namespace_that_is_switched_off(self):
        presets, checks = self.limited("max_net_namespaces")
        self.explained(checks, "network-namespace", "user.max_net_namespaces is 0", "sysctl user.max_net_namespaces=")
        self.assertIn(checks["network-namespace"]["remedy"], presets["notebook"]["error"]["message"])
        self.assertEqual(checks["user-namespace"]["status"], "ok")
        self.assertIsNone(presets["unconfined"]["error"])


if __name__ == "__main__":
    unittest.main()
