# SPDX-License-Identifier: Apache-2.0
"""The same attempts in other people's sandboxes, with equal views: not part of any test, for comparison."""

import subprocess

import stage as staging
from table import TABLE


def bubblewrap(stage) -> list:
    """A command line as a careful user writes it: every namespace, no capability, an empty environment, a session and a
    user of its own, only what the policy names, prlimit's limits. No filter: bubblewrap brings none."""
    at = stage.folder
    command = ["prlimit", f"--data={192 << 20}", "--nproc=256", "--core=1:1", "--nofile=4096", "bwrap", "--uid", "1000", "--gid", "1000",
               "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
               "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--hostname", "sandbox", "--ro-bind", "/usr", "/usr",
               "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
               "--proc", "/proc", "--dev", "/dev", "--size", str(32 << 20), "--tmpfs", "/tmp", "--dir", "/home/worker", "--chdir", "/"]  # fmt: skip
    for name in ("bin", "lists", "readable"):
        command += ["--ro-bind", at / name, at / name]
    command += ["--ro-bind", "/dev/null", at / "readable" / "denied-file", "--tmpfs", at / "readable" / "denied-folder"]
    command += ["--remount-ro", at / "readable" / "denied-folder", "--bind", at / "writable", at / "writable"]
    return [str(part) for part in command]


def compare(stage, peer, only, verbose) -> int:
    prefix = {"bubblewrap": bubblewrap}[peer](stage)
    version = subprocess.run(["bwrap", "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    attempts = [(n, a) for n, a in enumerate(TABLE) if only in a.name and not a.victim and not a.words]
    lines = [(n, stage.fill(a.what)) for n, a in attempts if not a.apart]
    outcomes = staging.try_all(staging.outside(stage, prefix), lines, stage)
    for number, attempt in attempts:
        if attempt.apart:
            outcomes.update(staging.try_all(staging.outside(stage, prefix), [(number, stage.fill(attempt.what))], stage))
    left = [(a, outcomes[n][1]) for n, a in attempts if outcomes[n][0] == "open" and "notebook" not in a.granted]
    for attempt, note in left:
        print(f"    {attempt.area}: {attempt.name}" + (f" ({note})" if verbose else ""))
    print(f"escape: {version}: {len(left)} of {len(attempts)} open")
    return 0
