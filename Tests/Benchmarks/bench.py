# SPDX-License-Identifier: Apache-2.0
"""How fast and how small: measures, compares with the bars, keeps JSON. `scripts/bench` is the way to call it."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Host, Programs, available_memory, in_turns, lean_bubblewrap, machine, same_bubblewrap, summary

BIG = 4 << 30
BULK = 50_000_000
NEEDED = {"libc.so.6", "libm.so.6", "libseccomp.so.2", "libcap.so.2"}
NEWEST_GLIBC = (2, 34)


class Report:
    def __init__(self):
        self.rows = []

    def add(self, what: str, value: float, unit: str, *, bar: float = None, spread: dict = None, note: str = ""):
        """A row of the table. With a `bar`, the value must not be above it."""
        row = {"what": what, "value": round(value, 3), "unit": unit, "note": note}
        if bar is not None:
            row["bar"] = bar
            row["passed"] = value <= bar
        if spread:
            row["spread"] = spread
        self.rows.append(row)

    def times(self, what: str, values: list, note: str = "") -> float:
        spread = summary(values)
        self.add(what, spread["median"], "µs", spread=spread, note=note)
        return spread["median"]

    def missed(self) -> list:
        return [row for row in self.rows if row.get("passed") is False]

    def markdown(self) -> str:
        lines = ["| what | value | p10–p90 | bar | |", "|---|---|---|---|---|"]
        for row in self.rows:
            spread = row.get("spread")
            between = f"{number(spread['p10'])}–{number(spread['p90'])}" if spread else ""
            bar, verdict = "", row["note"]
            if "bar" in row:
                bar = f"≤ {row['bar']:g}"
                verdict = ("met" if row["passed"] else "**missed**") + (f"; {verdict}" if verdict else "")
            value = f"{number(row['value'])} {row['unit']}".strip()
            lines.append(f"| {row['what']} | {value} | {between} | {bar} | {verdict} |")
        return "\n".join(lines)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def launches(report: Report, programs: Programs, runs: int):
    enough = available_memory() > BIG + (2 << 30)
    small = Host(programs.host)
    hosts = [small]
    same = same_bubblewrap(small.text("view", "notebook", "private", programs.first_byte), programs.first_byte)
    bare = same_bubblewrap(small.text("view", "strict", "none", programs.first_byte), programs.first_byte)
    lean = lean_bubblewrap(programs.first_byte)
    things = {
        "same": lambda: small.ask("bwrap", *same),
        "bare": lambda: small.ask("bwrap", *bare),
        "lean": lambda: small.ask("bwrap", *lean),
        "notebook": lambda: small.ask("launch", "notebook", "private", programs.first_byte),
        "no network": lambda: small.ask("launch", "notebook", "none", programs.first_byte),
        "strict": lambda: small.ask("launch", "strict", "none", programs.first_byte),
    }
    if enough:
        big = Host(programs.host)
        hosts.append(big)
        big.ask("resident", BIG)
        things["big"] = lambda: big.ask("launch", "notebook", "private", programs.first_byte)
    times = in_turns(runs, things)
    for host in hosts:
        host.close()
    first = {name: [time[0] for time in measured] for name, measured in times.items()}
    ended = {name: [time[1] for time in measured] for name, measured in times.items()}

    whole = report.times("bubblewrap's whole run, same namespaces and files", ended["same"])
    less = report.times("the same, files as in `strict`", ended["bare"])
    little = report.times("bubblewrap's whole run, same namespaces, /usr alone", ended["lean"])
    notebook = report.times("launch until the first byte, `notebook`", first["notebook"])
    none = report.times("the same, `net none`", first["no network"])
    strict = report.times("the same, `strict`", first["strict"])
    report.times("launch until the exit is known, `notebook`", ended["notebook"])
    report.times("the same, `strict`", ended["strict"])
    report.add("`notebook` / bubblewrap, same files", notebook / whole, "", bar=0.4)
    report.add("`notebook`, `net none` / bubblewrap, same files", none / whole, "", bar=0.4)
    report.add("`strict`, `net none` / bubblewrap, same files", strict / less, "", bar=0.25)
    report.add("`notebook` / bubblewrap, /usr alone", notebook / little, "", note="which shows less")
    report.add("`strict` / bubblewrap, /usr alone", strict / little, "", note="which shows less")
    if enough:
        large = report.times("launch until the first byte, host with 4 GB resident", first["big"])
        report.add("host with 4 GB / small host", large / notebook, "", bar=1.3)
    else:
        # Not shown is not met.
        report.add("host with 4 GB / small host", float("inf"), "", bar=1.3, note="too little memory here")


#: Of what costs.c prints: which, in words, and whether the bar is about it.
COSTS = [("allowed, `getppid`", True), ("allowed, `read`", True), ("allowed after a look at an argument, `ioctl`", True),
         ("refused without a word, an unknown number", True), ("refused and told, `bpf`", False)]


def filters(report: Report, programs: Programs, runs: int):
    """Loading the filter, and what a call costs under it: undisturbed, for so little work is done that what others do on
    the machine would be measured instead."""
    host = Host(programs.host)
    host.ask("pin", 0)
    for preset in ("notebook", "strict"):
        length, *times = host.ask("filter", preset, programs.echo, runs * 5)
        what = f"loading the filter of `{preset}`"
        if times:
            spread = summary(times)
            report.add(what, spread["p10"], "µs", bar=100, spread=spread,
                       note=f"{length:.0f} instructions; median {spread['median']:.3g}")
        else:
            report.add(what, float("inf"), "µs", bar=100, note="only root can read it, of a kernel that lets him")
    costs = in_turns(runs // 3, {
        preset: lambda preset=preset: host.ask("costs", preset, programs.costs)
        for preset in ("outside", "notebook", "strict")
    })
    host.close()
    for index, (what, has_bar) in enumerate(COSTS):
        outside, notebook, strict = (
            summary([run[index] for run in costs[preset]])["p10"] for preset in ("outside", "notebook", "strict"))
        for preset, inside in (("notebook", notebook), ("strict", strict)):
            # In `strict` such a call ends the worker.
            if has_bar or preset == "notebook":
                report.add(f"added to a call under `{preset}`: {what}", inside - outside, "ns",
                           bar=60 if has_bar else None, note=f"{outside:.0f} without, {inside:,.0f} with")


def calls(report: Report, programs: Programs, runs: int, each: int):
    for pinned in (True, False):
        host = Host(programs.host)
        host.ask("pin", 0 if pinned else -1)
        host.ask("calls", programs.echo, each, lines=3)
        rounds = [host.ask("calls", programs.echo, each, lines=3) for _ in range(runs)]
        host.close()
        where = "both on one core" if pinned else "unpinned"
        near, far, call = ([time for run in rounds for time in run[index]] for index in range(3))
        bare = report.times(f"64 B, raw socket pair, {where}", near)
        apart = report.times(f"64 B, raw socket pair, peer in a session of its own, {where}", far)
        ours = report.times(f"64 B, call to a C worker, {where}", call)
        if pinned:
            report.add("call / raw, peer in a session of its own, one core", ours / apart, "", bar=1.25,
                       note="a worker always has one")
            report.add("call / raw, peer in the host's session, one core", ours / bare, "")
        else:
            report.add("call / raw, peer in a session of its own, unpinned", ours / apart, "",
                       note="an idle core must be woken: two modes")


def library(report: Report, programs: Programs, runs: int):
    path = str(programs.library)
    with tempfile.TemporaryDirectory() as folder:
        stripped = str(Path(folder, "liblauter.so"))
        subprocess.run(["strip", "-o", stripped, path], check=True)
        size = Path(stripped).stat().st_size
        measured = []
        for run in range(runs + 1):
            words = subprocess.run([programs.load, stripped], check=True, capture_output=True, text=True).stdout
            if run > 0:
                measured.append([float(word) for word in words.split()])
    report.add("library, stripped", size / 1000, "KB", bar=700)
    opened = summary([time / 1000 for time, _, _ in measured])
    report.add("dlopen", opened["median"], "ms", bar=0.5, spread=opened)
    loaded = summary([size / 1e6 for _, size, _ in measured])
    report.add("resident memory that it adds to a C host", loaded["median"], "MB", bar=0.6, spread=loaded,
               note="with libseccomp and libcap")
    used = summary([size / 1e6 for _, _, size in measured])
    report.add("the same, with a host made", used["median"], "MB", spread=used)

    dynamic = subprocess.run(["objdump", "-p", path], check=True, capture_output=True, text=True).stdout
    needed = {line.split()[1] for line in dynamic.splitlines() if line.split()[:1] == ["NEEDED"]}
    foreign = sorted(name for name in needed - NEEDED if not name.startswith("ld-linux"))
    report.add("libraries that it needs beyond libc, libm, libseccomp, libcap", len(foreign), "", bar=0,
               note=" ".join(foreign))
    symbols = subprocess.run(["objdump", "-T", path], check=True, capture_output=True, text=True).stdout
    versions = {tuple(int(part) for part in word.strip("()").removeprefix("GLIBC_").split("."))
                for word in symbols.split() if word.strip("()").startswith("GLIBC_2")}
    if not versions or not needed:
        raise SystemExit("objdump shows no symbol of glibc's, which cannot be")
    newest = max(versions)
    report.add("symbols newer than glibc 2.34", sum(version > NEWEST_GLIBC for version in versions), "", bar=0,
               note="newest: " + ".".join(str(part) for part in newest))


def crowd(report: Report, programs: Programs, runs: int, count: int):
    """One host with many idle workers, beside one with a single worker on the same machine."""
    for pinned in (True, False):
        alone, many = Host(programs.host), Host(programs.host)
        for host in (alone, many):
            host.ask("pin", 0 if pinned else -1)
            host.ask("crowd", "worker", programs.echo, 1)
        before = many.ask("crowd-costs")
        born = many.ask("crowd", "worker", programs.echo, count)
        after = many.ask("crowd-costs")
        where = "both on one core" if pinned else "unpinned"
        times = [[], [], [], []]
        for _ in range(runs):
            for index, host in enumerate((alone, many)):
                waits, loops = host.ask("crowd-calls", 50, lines=2)
                times[index] += waits
                times[2 + index] += loops
        for way, (few, all_) in (("lauter_call_wait", times[:2]), ("a loop", times[2:])):
            single = report.times(f"64 B by {way}, host with 1 worker, {where}", few)
            crowded = report.times(f"the same, host with {count:,}", all_)
            report.add(f"{count:,} workers / 1 worker, {way}, {where}", crowded / single, "",
                       bar=1.5 if pinned else None, note="" if pinned else "two modes")
        if not pinned:
            crowd_costs(report, (before, after), born, count)
            # In turns, and on a machine on which there is the crowd for both.
            fresh = in_turns(3 * runs, {
                "alone": lambda size=iter(range(2, 99)): alone.ask("crowd", "worker", programs.echo, next(size))[0],
                "many": lambda size=iter(range(count + 1, count + 99)):
                    many.ask("crowd", "worker", programs.echo, next(size))[0],
            })
            small = report.times(f"one more ready, host with 1 worker beside the other's {count:,}", fresh["alone"])
            large = report.times(f"one more ready, host with {count:,}", fresh["many"])
            report.add(f"one more, host with {count:,} / host with 1", large / small, "", bar=1.25)
            report.add(f"freeing a host with {count:,} workers", many.ask("crowd-free")[0] / 1000, "ms")
        for host in (alone, many):
            host.close()


def crowd_costs(report: Report, costs: tuple, born: list, count: int):
    before, after = costs
    memory, descriptors, mappings = ((late - early) / (count - 1) for early, late in zip(before[:3], after[:3]))
    report.add("memory of the host's own, a worker", memory / 1024, "KiB", bar=32)
    report.add("descriptors of the host's, a worker", descriptors, "", bar=6)
    report.add("mappings of the host's, a worker", mappings, "", bar=3, note="its page, and the halves of its arena")
    report.add("private memory of an idle init, the only one", before[3] / 1024, "KiB", bar=200)
    report.add("the same, one of many", after[3] / 1024, "KiB", note="they share their program")
    tenth = max(count // 10, 1)
    first = report.times(f"ready, the first {tenth} of {count:,}", born[:tenth])
    last = report.times(f"ready, the last {tenth}", born[-tenth:])
    report.add("last / first", last / first, "", note="the kernel's part grows with the machine's processes")


#: What host.c's `bulk` prints.
BULKS = ("in, raw Unix stream", "out, raw Unix stream", "in, a call's part", "out, a result's part",
         "memcpy, memory touched before", "out, into the caller's memory", "out, read in place")


def side(report: Report, programs: Programs, pinned: bool, where: str):
    host = Host(programs.host)
    host.ask("pin", 0 if pinned else -1)
    runs = [host.ask("side", programs.sided, programs.library.parent, 10**9, lines=2) for _ in range(5)]
    host.close()
    busy, alone = (
        report.times(f"64 B on the lane side, {what}, {where}", [time for run in runs for time in run[index]])
        for index, what in enumerate(("while 1 GB of the same worker is under way", "alone")))
    report.add(f"the same beside 1 GB / alone, {where}", busy / alone, "", bar=2)


def flood(report: Report, programs: Programs, seconds: int):
    host = Host(programs.host)
    alone, beside, (first, most) = host.ask("flood", programs.echo, seconds, lines=3)
    host.close()
    quiet = report.times("64 B, no other worker prints", alone)
    loud = report.times("64 B, another worker prints without end", beside)
    report.add("the same beside a flood / alone", loud / quiet, "", bar=2)
    report.add(f"host's memory more after {seconds} s of it", (most - first) / 1024, "MiB", bar=1)


def bulk(report: Report, programs: Programs, runs: int):
    for pinned in (True, False):
        host = Host(programs.host)
        host.ask("pin", 0 if pinned else -1)
        times = in_turns(runs, {"bulk": lambda: host.ask("bulk", programs.echo, BULK)})["bulk"]
        host.close()
        where = "one core" if pinned else "unpinned"
        raw_in, raw_out, part_in, part_out, copy, into, in_place = (
            report.times(f"50 MB {name}, {where}", [run[index] for run in times]) for index, name in enumerate(BULKS))
        side(report, programs, pinned, where)
        report.add(f"50 MB in, part / memcpy, {where}", part_in / copy, "")
        report.add(f"50 MB in, part / raw stream, {where}", part_in / raw_in, "")
        report.add(f"50 MB out, library's memory / memcpy, {where}", part_out / copy, "", bar=1 / 0.35)
        report.add(f"50 MB out, caller's memory / memcpy, {where}", into / copy, "", bar=1 / 0.45)
        report.add(f"50 MB out, caller's memory / raw stream, {where}", into / raw_out, "", bar=1 / 1.5)
        report.add(f"50 MB out, read in place / memcpy, {where}", in_place / copy, "", bar=1 / 0.85)


def beside(report: Report, programs: Programs, runs: int, python: str):
    host = Host(programs.host)
    times = in_turns(runs, {
        "kill": lambda: host.ask("kill", programs.echo)[0],
        "start": lambda: host.ask("python-start", python)[0],
        "bare": lambda: host.ask("bare-python", python)[0],
        "execute": lambda: host.ask("execute", python, 20),
        "interrupt": lambda: host.ask("interrupt", python)[0],
    })
    host.close()
    bare = report.times("python3 -c 'print(1)' until its byte", times["bare"])
    ready = report.times("Python worker until ready", times["start"])
    report.add("Python worker / bare python3", ready / bare, "")
    report.times("execute \"1+1\" in Python", [time for many in times["execute"] for time in many])
    report.times("interrupt of `while True` until done", times["interrupt"])
    report.times("kill until its exited event", times["kill"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True, help="folder of a release build")
    parser.add_argument("--python", default="/usr/bin/python3", help="the interpreter (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer runs: a look, not a verdict")
    parser.add_argument("--json", type=Path, help="where to keep the numbers")
    parser.add_argument("parts", nargs="*", metavar="PART", help="launches, filter, calls, bulk, flood, library, crowd, beside (default: all)")
    options = parser.parse_args()
    parts = options.parts or ["launches", "filter", "calls", "bulk", "flood", "library", "crowd", "beside"]
    runs = 10 if options.quick else 60
    programs = Programs(options.build.resolve())
    report = Report()
    measures = {
        "launches": lambda: launches(report, programs, runs * 2),
        "filter": lambda: filters(report, programs, runs),
        "calls": lambda: calls(report, programs, runs, 200),
        "bulk": lambda: bulk(report, programs, max(runs // 2, 10)),
        "flood": lambda: flood(report, programs, 10 if options.quick else 60),
        "library": lambda: library(report, programs, runs),
        "crowd": lambda: crowd(report, programs, max(runs // 3, 6), 200 if options.quick else 1000),
        "beside": lambda: beside(report, programs, max(runs // 2, 10), options.python),
    }
    for part in parts:
        if part not in measures:
            parser.error(f"no such part: {part}")
        print(f"==> measuring {part}", file=sys.stderr, flush=True)
        measures[part]()
    print(report.markdown())
    if options.json:
        content = {"machine": machine(), "quick": options.quick, "rows": report.rows}
        options.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    for row in report.missed():
        print(f"missed: {row['what']}: {number(row['value'])} {row['unit']}, at most {row['bar']:g}", file=sys.stderr)
    return 1 if report.missed() else 0


if __name__ == "__main__":
    sys.exit(main())
