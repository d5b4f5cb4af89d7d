# SPDX-License-Identifier: Apache-2.0
"""What a program compiled against `lauter.h` relies on, compared with the last release.

    abi.py check     compare with the baseline: additions are noted, everything else is a fault
    abi.py accept    make what is here the baseline

Types: a translation unit that defines every function of the header is compiled with -g; `abidw` writes down its functions
and all types that they reach, `abidiff` compares. Constants do not reach the debugger's types (they are of anonymous
enumerations), so they are compared by name and value.
"""

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADER = ROOT / "include" / "lauter.h"
BASELINE = Path(__file__).parent / "baseline"
#: Bits of abidiff's exit status (its manual, "RETURN VALUES").
FAILED = 0b0011


def run(*command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def checked(*command) -> str:
    done = run(*command)
    if done.returncode:
        raise SystemExit(f"abi: {command[0]} failed:\n{done.stdout}")
    return done.stdout


def report_fields(text: str, keep: int = -1):
    """The text of a header with the first fields of `lauter_report` alone, and those that were left out."""
    body = re.search(r"(?<=struct lauter_report \{)[^}]*(?=\} lauter_report;)", text)
    fields = [part for part in body[0].split(";") if part.strip()]
    kept, added = (fields, []) if keep < 0 else (fields[:keep], fields[keep:])
    return text[: body.start()] + "".join(f"{part};" for part in kept) + text[body.end() :], added


def describe(header: Path, to: Path, keep: int = -1) -> list:
    """Write `lauter.abi` and `constants` of a header into the folder `to`.

    With `keep`, of only so many fields of `lauter_report`; what it has more is returned.
    """
    with tempfile.TemporaryDirectory() as work:
        source, library = Path(work, "abi.c"), Path(work, "liblauter.so")
        text = checked("gcc", "-std=c99", "-E", "-P", header)
        text, count = re.subn(r"(\blauter_\w+\([^;{}]*\));", r"\1 { __builtin_trap(); }", text)
        if count == 0:
            raise SystemExit(f"abi: no function in {header}")
        text, added = report_fields(text, keep)
        source.write_text(text)
        checked(
            "gcc", "-std=c99", "-g", "-O0", "-shared", "-fPIC", "-Wl,-soname,liblauter.so.0",
            f"-Wl,--version-script={ROOT / 'cmake' / 'lauter.map'}", source, "-o", library,
        )  # fmt: skip
        checked(
            "abidw", "--no-show-locs", "--no-comp-dir-path", "--no-corpus-path", "--no-elf-needed",
            "--no-architecture", "--type-id-style", "hash", "--out-file", to / "lauter.abi", library,
        )  # fmt: skip
        # Nothing of where it was made; the compiler's version is not part of the ABI either.
        described = (to / "lauter.abi").read_text().replace(str(work) + "/", "")
        described = re.sub(r"language='LANG_[A-Z]+\d*'", "language='LANG_C99'", described)
        (to / "lauter.abi").write_text(described)
        names = sorted(set(re.findall(r"\bLAUTER_[A-Z0-9_]+\b", header.read_text())))
        found = constants(header, names, Path(work))
        (to / "constants").write_text("".join(f"{name} {value}\n" for name, value in found))
        return [" ".join(part.split()) for part in added]


def constants(header: Path, names: list, work: Path):
    """Those of the names that are constants of the header, with their values, as the compiler sees them."""
    macros = checked("gcc", "-E", "-dM", header)
    text = checked("gcc", "-E", "-P", header)
    source, program = work / "constants.c", work / "constants"
    lines = [f'#include "{header}"', "#include <stdio.h>", "int main(void) {"]
    for name in names:
        macro = re.search(rf"^#define {name} (.+)$", macros, re.M)
        enumerator = re.search(rf"\b{name}\b", text)  # Macros are gone from it.
        if enumerator or (macro and "__attribute__" not in macro[1]):
            lines.append(f'printf("{name} %lld\\n", (long long) {name});')
    source.write_text("\n".join([*lines, "return 0; }"]))
    checked("gcc", source, "-o", program)
    return [line.split() for line in checked(program).splitlines()]


@dataclass
class Comparison:
    faults: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def compare(old: Path, new: Path) -> Comparison:
    """What has changed from the description in `old` to that in `new`."""
    result = Comparison()
    strict = run("abidiff", "--no-added-syms", "--no-show-locs", old / "lauter.abi", new / "lauter.abi")
    if strict.returncode & FAILED:
        raise SystemExit(f"abi: abidiff failed:\n{strict.stdout}")
    if strict.returncode:
        result.faults.append(strict.stdout.strip())
    full = run("abidiff", "--no-show-locs", old / "lauter.abi", new / "lauter.abi")
    result.notes += re.findall(r"\[A\] '(?:function|variable) (.*)'", full.stdout)
    before, after = (
        dict(line.split() for line in (folder / "constants").read_text().splitlines())
        for folder in (old, new)
    )
    for name, value in before.items():
        if name not in after:
            result.faults.append(f"{name} is gone")
        elif after[name] != value:
            result.faults.append(f"{name} was {value} and is {after[name]}")
    result.notes += [f"{name} = {after[name]}" for name in after if name not in before]
    return result


def check(header: Path = HEADER, baseline: Path = BASELINE) -> Comparison:
    """Compare a header with what is described in `baseline`.

    A report belongs to the library and begins with its size: it may grow at its end, so only as much of it is compared as the
    baseline has.
    """
    described = (baseline / "lauter.abi").read_text()
    report = re.search(r"<class-decl name='lauter_report'[^>]*size-in-bits.*?</class-decl>", described, re.S)
    with tempfile.TemporaryDirectory() as work:
        added = describe(header, Path(work), keep=report[0].count("<data-member"))
        result = compare(baseline, Path(work))
        result.notes += [f"lauter_report: {field}" for field in added]
        return result


def main(arguments: list) -> int:
    if arguments == ["accept"]:
        BASELINE.mkdir(exist_ok=True)
        describe(HEADER, BASELINE)
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    compared = check()
    for note in compared.notes:
        print(f"abi: new since the baseline: {note}", file=sys.stderr)
    for fault in compared.faults:
        print(f"abi: {fault}", file=sys.stderr)
    return 1 if compared.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
