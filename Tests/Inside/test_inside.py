# SPDX-License-Identifier: Apache-2.0
"""What works inside `notebook`: runtimes and tools as people use them, each really used, by `lauter run` and a few words.

Each script checks its own results and prints DONE at its end. It is run for root's host and for an ordinary user's, and no
system call of an honest program may be told as a violation.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
BUILD = Path(os.environ.get("LAUTER_BUILD", REPOSITORY / "build")).resolve()
#: An id that no user of the machine should have.
UID = 48_615
USERS = {"root": 0, "ordinary": UID} if os.geteuid() == 0 else {"ordinary": os.geteuid()}


def open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


@pytest.fixture(scope="session")
def stage():
    """The command, its library and the scripts where every user can read them; not below /tmp, which workers have of their own."""
    outside = "/srv" if os.geteuid() == 0 and os.path.isdir("/srv") else os.path.expanduser("~")
    with tempfile.TemporaryDirectory(prefix="lauter-inside-", dir=outside) as name:
        stage = Path(name)
        for part in ("bin", "lib"):
            shutil.copytree(BUILD / part, stage / part, symlinks=True)
        shutil.copytree(HERE, stage / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        open_to_all(stage)
        yield stage


class Run:
    def __init__(self, stage: Path, user: str):
        self.stage, self.uid = stage, USERS[user]
        self.folder = stage / f"work-{user}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        os.chown(self.folder, self.uid, self.uid)

    def __call__(self, *command, words=(), preset="notebook") -> str:
        """The standard output of `command`, which ended well and made no call that is told."""
        report = self.folder / "report.json"
        scripts = self.stage / "scripts"
        flags = ["--preset", preset, "--read", scripts, "--write", self.folder, "--report", report, *words]
        done = subprocess.run(
            [str(part) for part in [self.stage / "bin" / "lauter", "run", *flags, "--", *command]],
            cwd=self.folder,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=120,
            **({"user": self.uid, "group": self.uid, "extra_groups": []} if os.geteuid() == 0 and self.uid else {}),
        )
        said = f"{done.stdout.decode(errors='replace')}\n{done.stderr.decode(errors='replace')}"
        assert done.returncode == 0, said
        assert json.loads(report.read_text())["denied"] == [], said
        return done.stdout.decode()


@pytest.fixture(params=USERS)
def run(stage, request):
    return Run(stage, request.param)


def needs(*programs):
    absent = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {' '.join(absent)}")


def done(text: str) -> bool:
    return text.splitlines()[-1:] == ["DONE"]


def test_python(run):
    assert done(run("/usr/bin/python3", run.stage / "scripts" / "standard.py"))


def test_python_starts_processes_in_every_way(run):
    assert done(run("/usr/bin/python3", run.stage / "scripts" / "processes.py"))


@pytest.mark.skipif(not os.path.exists("/usr/lib/python3/dist-packages/matplotlib"), reason="not installed: python3-matplotlib")
def test_numpy_and_matplotlib(run):
    assert done(run("/usr/bin/python3", run.stage / "scripts" / "arrays.py"))


def test_pip_installs_from_a_folder_and_from_an_index_on_its_loopback(run):
    assert done(run("/bin/bash", run.stage / "scripts" / "pip.sh"))


def test_shell_and_tools(run):
    assert done(run("/bin/bash", run.stage / "scripts" / "shell.sh"))


@needs("git")
def test_git(run):
    assert done(run("/bin/bash", run.stage / "scripts" / "git.sh"))


@needs("gcc", "g++", "make")
def test_compilers(run):
    assert done(run("/bin/bash", run.stage / "scripts" / "compilers.sh"))


@needs("Rscript")
def test_r(run):
    assert done(run("Rscript", run.stage / "scripts" / "analysis.R"))


@needs("node")
def test_node(run):
    # Node may be in a folder of its own, outside /usr.
    folder = Path(os.path.realpath(shutil.which("node"))).parent.parent
    words = () if folder.is_relative_to("/usr") else ("--read", folder)
    assert done(run(shutil.which("node"), run.stage / "scripts" / "server.js", words=words))


@needs("java", "javac")
def test_java(run):
    assert done(run("/bin/bash", "-c", f"javac -d . {run.stage}/scripts/Inside.java && java -cp . Inside"))


@needs("go")
def test_go(run):
    script = f"cp {run.stage}/scripts/inside.go . && GO111MODULE=off go build -o inside inside.go && ./inside"
    assert done(run("/bin/bash", "-c", script))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its package is for x86_64")
def test_julia(run):
    """Julia 1.5.3 as Tests/Hosts installs it into the build."""
    made = BUILD / "hosts" / "julia"
    subprocess.run([REPOSITORY / "Tests" / "Hosts" / "julia" / "install", made], check=True, timeout=300)
    julia = run.stage / "julia"
    if not julia.exists():
        shutil.copytree(made, julia, symlinks=True)
        wrapper = julia / "julia"
        wrapper.write_text(wrapper.read_text().replace(str(made), str(julia)))
        open_to_all(julia)
    assert done(run(julia / "julia", "--threads", "2", run.stage / "scripts" / "compute.jl", words=("--read", julia)))


def test_what_is_told_would_be_seen(run):
    """The twin of every `denied == []`: a call of the attack surface is in the report."""
    program = "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)"
    with pytest.raises(AssertionError):
        run("/usr/bin/python3", "-c", program)
    assert "ptrace" in (run.folder / "report.json").read_text()




@pytest.mark.skipif(not os.path.exists("/usr/lib/python3/dist-packages/matplotlib"), reason="not installed: python3-matplotlib")
def test_numpy_and_matplotlib_in_strict(run):
    """Pure computation, with results: `strict` kills at the first violation, and starts no program."""
    assert done(run("/usr/bin/python3", run.stage / "scripts" / "arrays.py", preset="strict"))


@needs("git")
def test_git_in_strict_with_programs(run):
    script = """set -e; git init -q here; cd here; echo a >a; git add a
    git -c user.name=A -c user.email=a commit -qm a; git log -1 --format=%s"""
    assert run("/bin/bash", "-c", script, words=("--run", "any"), preset="strict") == "a\n"
