# SPDX-License-Identifier: Apache-2.0
"""A worker that hosts a full one, which does so again: `python3 nest_any.py INTEGRATION DEPTH STAGE WORD=VALUE…`. Prints what
the innermost said, and what the report of each lists as missing, as JSON."""

import json
import sys

sys.path.insert(0, sys.argv[1])
import ffi  # noqa: E402

depth, stage, more = int(sys.argv[2]), sys.argv[3], sys.argv[4:]
words = [word.split(":", 1) for word in more]
words += [("nest", "any"), ("read", stage), ("env", f"LAUTER_BUILD={stage}/build"), ("env", "PYTHONDONTWRITEBYTECODE=1")]
innermost = "id -u; hostname; echo $$; ls -d /proc/[0-9]* | wc -l; unshare -Ur id -u"
launch = ["program", "/usr/bin/python3", sys.argv[0], sys.argv[1], str(depth - 1), stage, *more]
if depth == 1:
    launch = ["program", "/bin/sh", "-c", innermost]
with ffi.Host() as host:
    worker = host.spawn(ffi.Policy("notebook", *words), ffi.Launch(*launch))
    report = worker.exited(timeout=40).report
    said = worker.output().decode()
    if report.reason_name != "REASON_EXITED" or report.exit_code != 0:
        raise SystemExit(f"{depth}: {report.why}: {said}")
    below = json.loads(said) if depth > 1 else {"said": said.split(), "missing": []}
    below["missing"].append(report.missing)
    print(json.dumps(below))
