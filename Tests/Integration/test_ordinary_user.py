# SPDX-License-Identifier: Apache-2.0
"""Everything once more as an ordinary user, when the tests run as root: other namespaces' rules, other id maps."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import ffi
import pytest
import support
from header import header_path

#: An id that no user of the machine should have.
UID = 48_613
#: What pytest is made of, for an interpreter that has none.
PACKAGES = ["pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "exceptiongroup", "tomli"]


@pytest.fixture
def stage():
    """Copies of the library and the tests where every user can read them, and a pytest for the system's Python."""
    stage = support.scratch("lauter-test-user-")
    library = ffi.library_path().resolve()
    (stage / "build").mkdir()
    shutil.copytree(library.parent, stage / "build" / "lib", symlinks=True)
    shutil.copytree(support.HERE, stage / "Tests" / "Integration", ignore=shutil.ignore_patterns("__pycache__"))
    (stage / "Tests" / "CLI").mkdir()
    shutil.copy(support.HERE.parent / "CLI" / "hindered.py", stage / "Tests" / "CLI")
    (stage / "include").mkdir()
    for header in ("lauter.h", "lauter_worker.h"):
        shutil.copy(header_path().with_name(header), stage / "include" / header)
    (stage / "packages").mkdir()
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin in (None, "built-in"):
            continue
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, stage / "packages" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, stage / "packages")
    for folder, _, files in os.walk(stage):
        os.chmod(folder, 0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    # Where a worker has no memory of its own.
    outside = support.scratch(parent="/srv" if os.path.isdir("/srv") else "/")
    os.chown(outside, UID, UID)
    (stage / "outside").symlink_to(outside)
    yield stage
    shutil.rmtree(outside)
    shutil.rmtree(stage)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests already run as an ordinary user")
def test_an_ordinary_user_gets_the_same(stage):
    signal.alarm(420)  # a whole run of tests, each of which has its own
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(stage),
        "LAUTER_BUILD": str(stage / "build"),
        "PYTHONPATH": str(stage / "packages"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LAUTER_TEST_OUTSIDE_TMP": os.path.realpath(stage / "outside"),
        "LAUTER_MUST_RUN": os.environ.get("LAUTER_MUST_RUN", ""),
    }
    begun = [support.python_interpreter(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    done = subprocess.run(
        [*begun, "-m", "not root and not once", str(stage / "Tests" / "Integration")],
        env=environment,
        cwd=stage,
        user=UID,
        group=UID,
        extra_groups=[],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=400,
    )
    said = done.stdout.decode(errors="replace")
    passed = re.search(r"(\d+) passed", said)
    assert done.returncode == 0 and passed and int(passed[1]) > 150, said[-8000:]
