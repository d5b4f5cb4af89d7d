# SPDX-License-Identifier: Apache-2.0
"""What a run says: docs/escapes.md, and whether it is as it should be."""

import os
import re
import sys
from pathlib import Path

from scenarios import SCENARIOS
from table import TABLE

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "escapes.md"
#: How many a preset should leave open at most.
BOUND = {"notebook": 8, "strict": 3}
ENTRIES = [*TABLE, *SCENARIOS]
AREAS = list(dict.fromkeys(entry.area for entry in ENTRIES))
INTRODUCTION = """# Attempts to escape

Made by `Tests/Escape/run --accept` from a run of the escape suite, and compared with each later run: {count} attempts, each
made by a program inside a worker, as root's and as an ordinary user's host starts it. The policy is the preset and what an
ordinary use names: folders to read, two paths in them denied, under `notebook` a folder to write, smaller limits of memory
and `/tmp`.

*Contained*: the attempt failed. **open**: it succeeded, or a part of the kernel answered that should not have been reached;
[threat-model.md](threat-model.md) says why. *granted*: the preset allows it. *Twin* is where the same probe succeeds, so that
its failure inside says something: *outside* the sandbox, *alone* outside with all power over namespaces of its own, or inside
on something of the worker's *own*.

| | notebook | strict |
|---|---|---|
| open, for root's workers | {root} |
| open, for an ordinary user's | {user} |
"""


def verdict(entry, run, preset):
    found = run.get(entry.area, {}).get(entry.name)
    if found is None:
        return None
    if preset in entry.granted and found[preset][0] == "open":
        return "granted"
    return found[preset][0]


def shown(entry, runs):
    return any(run.get(entry.area, {}).get(entry.name, {}).get("shown") for run in runs.values())


def cell(entry, runs, preset):
    verdicts = {who: verdict(entry, run, preset) for who, run in runs.items()}
    said = {who: "**open**" if v == "open" else v for who, v in verdicts.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{'root' if who == 'root' else 'user'} {text}" for who, text in said.items())


def open_ones(runs, preset, who):
    return [entry for entry in ENTRIES if verdict(entry, runs[who], preset) == "open"]


def page(runs, presets) -> str:
    counts = {who: " | ".join(str(len(open_ones(runs, p, who))) for p in presets) for who in runs}
    text = [INTRODUCTION.format(count=len(ENTRIES), root=counts.get("root", "?"), user=counts.get("user", "?"))]
    for area in AREAS:
        text.append(f"\n## {area[0].upper()}{area[1:]}\n\n| attempt | what would be lost | notebook | strict | twin |\n|---|---|---|---|---|\n")
        for entry in (e for e in ENTRIES if e.area == area):
            twins = getattr(entry, "twins", None)
            twin = " or ".join(dict.fromkeys(t.split(":")[0] for t in twins)) if twins else entry.twin
            if not shown(entry, runs):
                twin = "none here: this machine does not have it"
            cells = [entry.name, entry.lost, *(cell(entry, runs, p) for p in presets), twin]
            text.append("| " + " | ".join(cells) + " |\n")
    return "".join(text)


def tell(runs):
    for who, run in runs.items():
        for area, entries in run.items():
            for name, found in entries.items():
                said = "; ".join(f"{k} {v[0]} ({v[1]})" for k, v in found.items() if isinstance(v, list) and k != "by")
                print(f"{who}: {area}: {name}: {said}; shown by {found['by'] or found['shown']}")


def rows(text) -> set:
    """What is compared: all columns but the twins."""
    return {" |".join(line.split(" |")[:4]) for line in text.splitlines() if line.startswith("| ")}


def judge(runs, presets, accept, partial, seconds, elsewhere=False) -> int:
    problems = []
    notes = [] if elsewhere else problems
    must = os.environ.get("LAUTER_MUST_RUN") == "1"
    for entry in ENTRIES:
        found = {who: run.get(entry.area, {}).get(entry.name) for who, run in runs.items()}
        if not any(found.values()):
            continue
        for who, one in found.items():
            for preset in presets:
                if one[preset][0] == "broken":
                    notes.append(f"{entry.area}: {entry.name}: {who}, {preset}: could not be tried: {one[preset][1]}")
        if not shown(entry, runs) and not getattr(entry, "optional", False):
            said = f"{entry.area}: {entry.name}: no twin succeeds, so it shows nothing"
            if must or "root" in runs:
                notes.append(said)
            else:
                print(f"escape: as this user, {said}", file=sys.stderr)
    for who in runs:
        for preset in presets:
            left = open_ones(runs, preset, who)
            print(f"escape: {preset}, {who}: {len(left)} open ({BOUND[preset]} are the aim)" + "".join(f"\n    {e.area}: {e.name}" for e in left))
            if elsewhere and len(left) > BOUND[preset]:
                problems.append(f"{preset}, {who}: more is open than {BOUND[preset]}")
    if elsewhere:
        named = quoted("What the escape suite leaves open")
        left = {entry.name for preset in presets for who in runs for entry in open_ones(runs, preset, who)}
        problems += [f"docs/threat-model.md does not name what is open: “{name}”" for name in sorted(left - named)]
        for note in notes:
            print(f"escape: note: {note}", file=sys.stderr)
    elif not partial and len(runs) == 2:
        problems += against_documents(runs, presets, accept)
    for problem in problems:
        print(f"escape: {problem}", file=sys.stderr)
    tried = sum(len(entries) for entries in next(iter(runs.values())).values())
    print(f"escape: {tried} attempts, {len(presets)} presets, {' and '.join(runs)}: {len(problems)} problems in {seconds:.0f} s")
    return 1 if problems else 0


def judge_bare(runs, presets, partial, seconds) -> int:
    """Without namespaces: what is open, against the list of the threat model."""
    problems, left = [], set()
    for who in runs:
        for preset in presets:
            these = open_ones(runs, preset, who)
            left |= {entry.name for entry in these if shown(entry, runs)}
            print(f"escape: {preset} without namespaces, {who}: {len(these)} open" + "".join(f"\n    {e.area}: {e.name}" for e in these))
    named = quoted("Without namespaces") | quoted("What the escape suite leaves open")
    problems += [f"docs/threat-model.md does not name what is open without namespaces: “{name}”" for name in sorted(left - named)]
    if not partial:
        more = quoted("Without namespaces") & {entry.name for entry in ENTRIES if shown(entry, runs)}
        problems += [f"docs/threat-model.md names what is not open without namespaces: “{name}”" for name in sorted(more - left)]
    for problem in problems:
        print(f"escape: {problem}", file=sys.stderr)
    print(f"escape: without namespaces: {len(problems)} problems in {seconds:.0f} s")
    return 1 if problems else 0


def against_documents(runs, presets, accept):
    problems = []
    text = page(runs, presets)
    if accept:
        PAGE.write_text(text)
    committed = PAGE.read_text() if PAGE.exists() else ""
    # What this machine cannot show is not compared.
    unknown = {f"| {e.name} |" for e in ENTRIES if not shown(e, runs)}
    for line in sorted(rows(text) ^ rows(committed)):
        if not any(line.startswith(name) for name in unknown):
            problems.append(f"docs/escapes.md {'lacks' if line in rows(text) else 'has'}: {line}")
    named = quoted("What the escape suite leaves open")
    left = {entry.name for preset in presets for who in runs for entry in open_ones(runs, preset, who)}
    problems += [f"docs/threat-model.md does not name what is open: “{name}”" for name in sorted(left - named)]
    known = {entry.name for entry in ENTRIES if shown(entry, runs)}
    problems += [f"docs/threat-model.md names what is not open: “{name}”" for name in sorted(named - left)
                 if name in known or name not in {e.name for e in ENTRIES}]  # fmt: skip
    return problems


def quoted(title) -> set:
    """The attempts that a section of the threat model names."""
    text = (DOCS / "threat-model.md").read_text()
    found = re.search(rf"^### {title}$(.*?)(?=^##|\Z)", text, re.M | re.S)
    return {" ".join(name.split()) for name in re.findall("“(.*?)”", found[1] if found else "", re.S)}
