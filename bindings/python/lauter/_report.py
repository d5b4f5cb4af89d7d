# SPDX-License-Identifier: Apache-2.0
"""How a worker ended, and what it used."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any, Dict, Tuple


from ._native import RawReport, byref, lib, text_of

REASONS = (
    "running", "exited", "signaled", "stopped", "killed", "launch", "protocol", "wall", "deadline", "lost", "cpu", "output",
    "blocked", "memory",
)  # fmt: skip
RUNGS = ("none", "asked", "term", "kill")


@dataclass(frozen=True)
class Report:
    """How a worker ended, and what it used."""

    reason: str
    """"exited", "signaled", "stopped", "killed", "launch", "protocol", "wall", "deadline", "lost", "cpu", "output", "blocked" or
    "memory"."""
    why: str
    """One sentence: "the wall-clock limit of 10 s was reached"."""
    exit_code: int
    """0 to 255 if it exited by itself, else -1."""
    signal: int
    """The signal that ended it, else 0."""
    rung: str
    """What a stop took: "none", "asked", "term" or "kill"."""
    core_dumped: bool
    wall: float
    """Seconds from start to end."""
    cpu_user: float
    """Seconds of CPU of the worker and of all its children that ended."""
    cpu_system: float
    """The same, in the kernel."""
    peak: int
    """Peak resident memory of the largest of its processes, bytes."""
    tree_peak: int
    """The most memory that all its processes had together, bytes; 0 if nobody counted."""
    memory_by: str
    """What held the memory limit: "cgroup v1", "cgroup v2", "sum", "process", or nothing."""
    name: str
    """The worker's name."""
    stderr_tail: str
    """The last of its captured standard error, at most 4 KiB. The worker's text: not to be believed."""
    missing: Tuple[str, ...]
    """What was not enforced: words that `allow_missing` let pass, and others (docs/hosting.md)."""
    denied: Tuple[Dict[str, Any], ...]
    """System calls that were not the worker's to make: `sentence`, `name`, `number`, `count` and others of each."""
    json: str
    """All of it as one JSON object."""

    def __str__(self) -> str:
        return self.why

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        rows = [("ended", self.why), ("wall", "%.3g s" % self.wall)]
        rows.append(("CPU", "%.3g s and %.3g s in the kernel" % (self.cpu_user, self.cpu_system)))
        rows.append(("peak memory", "%.1f MiB" % (max(self.peak, self.tree_peak) / 2**20)))
        if self.missing:
            rows.append(("not enforced", ", ".join(self.missing)))
        rows += [("blocked", "%s (%s times)" % (call.get("sentence"), call.get("count"))) for call in self.denied]
        if self.stderr_tail:
            rows.append(("standard error", self.stderr_tail))
        plain = "\n".join("%s: %s" % row for row in rows)
        cells = "".join(
            "<tr><th>%s</th><td><pre>%s</pre></td></tr>" % (html.escape(a), html.escape(b)) for a, b in rows
        )
        return {"text/plain": plain, "text/html": "<table>%s</table>" % cells, "application/json": json.loads(self.json)}


def report_at(address: int) -> Report:
    """A copy of the library's report."""
    raw = RawReport.from_address(address)

    def text(data: bytes) -> str:
        return data.decode("utf-8", "replace")

    return Report(
        reason=REASONS[raw.reason] if raw.reason < len(REASONS) else str(raw.reason),
        why=text(raw.why),
        exit_code=raw.exit_code,
        signal=raw.signal,
        rung=RUNGS[raw.rung] if raw.rung < len(RUNGS) else str(raw.rung),
        core_dumped=bool(raw.core_dumped),
        wall=raw.wall_us / 1e6,
        cpu_user=raw.cpu_user_us / 1e6,
        cpu_system=raw.cpu_system_us / 1e6,
        peak=raw.peak_bytes,
        tree_peak=raw.tree_peak_bytes,
        memory_by=text(raw.memory_by),
        name=text(raw.label),
        stderr_tail=text(raw.stderr_tail),
        missing=tuple(text(raw.missing).split()),
        denied=tuple(json.loads(text(raw.denied) or "[]")),
        json=text_of(lib.lauter_report_json, byref(raw)),
    )


