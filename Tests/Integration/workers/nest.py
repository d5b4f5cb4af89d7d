# SPDX-License-Identifier: Apache-2.0
"""A worker that is a host: starts the next one, to a depth, and says as JSON what it and that one can do.

Arguments: where the tests are, the depth of this one and of the last, a folder that each may see one folder less of, and what
the one before the last does with the last."""

import json
import os
import sys
import time
from pathlib import Path

tests, depth, last, folder, act = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
sys.path.insert(0, tests)

import ffi  # noqa: E402
import support  # noqa: E402
from ffi import C  # noqa: E402

said = {"pid": os.getpid(), "sees": [], "signals": []}
for level in range(1, last + 1):
    try:
        said["sees"].append(level if (folder / str(level) / "file").read_text() else 0)
    except OSError:
        pass
for pid in map(int, os.environ.get("ABOVE", "").split()):
    try:
        os.kill(pid, 0)
        said["signals"].append(pid)
    except PermissionError:
        pass
(Path(os.environ.get("TMPDIR", "/tmp")) / "own").write_text("x")

if depth < last:
    above = f"{os.environ.get('ABOVE', '')} {os.getpid()}".strip()
    # Each sees its own folder and those of the deeper ones.
    seen = [("read", folder / str(level)) for level in range(depth + 1, last + 1)]
    reads = json.loads(os.environ["READS"])
    words = [("read", path) for path in reads] + seen
    words += [("allow-missing", "namespaces"), ("env", f"ABOVE={above}"), ("env", f"READS={json.dumps(reads)}")]
    launch = ffi.Launch("program", "/usr/bin/python3", __file__, tests, str(depth + 1), str(last), str(folder), act)
    with ffi.Host() as host:
        if act == "end" and depth == last - 1:
            # The one above kills this one once this is out.
            launch = ffi.Launch("program", "sleep", "1000")
            inner = host.spawn(ffi.Policy("notebook", *words), launch)
            host.until(lambda e: e.kind == C.EVENT_STARTED)
            print(json.dumps({"init": inner.pid}), flush=True)
            time.sleep(1000)
        inner = host.spawn(ffi.Policy("notebook", *words), launch)
        if act == "end" and depth == last - 2:
            host.until(lambda e: e.kind == C.EVENT_STREAM and b"init" in inner.output())
            init = json.loads(inner.output(C.STREAM_STDOUT))["init"]

            def sleeps():
                # (No /proc of others is shown to some: signals of one's own tell as much.)
                try:
                    os.kill(init, 0)
                except ProcessLookupError:
                    return False
                return True

            said["was there"] = sleeps()
            inner.kill()
            inner.exited()
            support.eventually(lambda: not sleeps(), within=2)
            said["is there"] = sleeps()
        else:
            report = inner.exited().report
            text = inner.output(C.STREAM_STDOUT).decode()
            said["inner"] = json.loads(text) if text else report.why + report.stderr_tail
            said["missing"] = report.missing.split()
            said["told"] = [e.text for e in host.seen if e.kind == C.EVENT_DENIED]
print(json.dumps(said))
