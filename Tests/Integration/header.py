# SPDX-License-Identifier: Apache-2.0
"""`lauter.h` and `lauter_worker.h`, read mechanically: constants, structures and functions as ctypes needs them.

Nothing of the header is retyped here; `test_header.py` compares what this parser found with what a C compiler says.
"""

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

#: Scalars that the header uses. A name that is missing here stops the tests rather than being guessed.
SCALARS = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "lauter_worker": ctypes.c_uint64,
    "lauter_call": ctypes.c_uint64,
    "lauter_channel": ctypes.c_uint64,
}


def header_path() -> Path:
    """The header under test: LAUTER_HEADER, or the one of this source tree."""
    given = os.environ.get("LAUTER_HEADER")
    return Path(given) if given else Path(__file__).parents[2] / "include" / "lauter.h"


@dataclass(frozen=True)
class Function:
    name: str
    result: object
    arguments: list  # (name, C type, ctypes type)
    checked: bool  # warn_unused_result


class Header:
    def __init__(self, *paths: Path):
        text = "".join(path.read_text() for path in paths)
        text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
        defines = re.findall(r"^#define (LAUTER_\w+) (\S.*)$", text, flags=re.M)
        text = re.sub(r"^#.*?(?<!\\)$", "", text, flags=re.M)
        self.constants = self._constants(text)
        self.constants.update(
            {name: self._value(value) for name, value in defines if "__attribute__" not in value}
        )
        self.structures = {}
        for body, name in re.findall(r"typedef struct (?:\w+) \{(.*?)\} (\w+);", text, flags=re.S):
            fields = [self._declaration(part) for part in body.split(";") if part.strip()]
            members = [(field, kind) for field, _, kind in fields]
            self.structures[name] = type(name, (ctypes.Structure,), {"_fields_": members})
        self.functions = {f.name: f for f in self._functions(text)}

    @staticmethod
    def _value(text: str) -> int:
        text = re.sub(r"\((?:u?int\d+_t|size_t)\)", "", text)
        text = re.sub(r"(?<=\d)[uU]", "", text)
        if not re.fullmatch(r"[-\d\s()<x]+", text):
            raise ValueError(f"lauter.h: cannot read the value {text!r}")
        return eval(text)  # noqa: S307 - digits, parentheses and shifts alone

    def _constants(self, text: str) -> dict:
        found = {}
        for body in re.findall(r"\benum \{(.*?)\};", text, flags=re.S):
            for item in filter(None, (i.strip() for i in body.split(","))):
                name, value = item.split("=")
                found[name.strip()] = self._value(value.strip())
        return found

    def _declaration(self, text: str):
        """`const char *name` → its name, its C type, its ctypes type."""
        text = " ".join(text.split())
        match = re.fullmatch(r"(.*?)(\**)\s*(\w+)", text)
        base, stars, name = match.group(1).strip(), match.group(2), match.group(3)
        spelled = f"{base} {stars}".strip()
        if not stars:
            return name, spelled, SCALARS[base]
        if spelled == "const char *":
            return name, spelled, ctypes.c_char_p
        return name, spelled, ctypes.c_void_p

    def _functions(self, text: str):
        pattern = r"(LAUTER_API|LAUTER_CHECKED) ([\w\s]+?\**)\s*(\w+)\(([^)]*)\);"
        for mark, result, name, arguments in re.findall(pattern, text):
            result = " ".join(result.split())
            if result == "void":
                kind = None
            elif result == "const char *":
                kind = ctypes.c_char_p
            else:
                kind = SCALARS[result]
            split = [] if arguments.strip() == "void" else arguments.split(",")
            yield Function(
                name, kind, [self._declaration(a) for a in split], mark == "LAUTER_CHECKED"
            )

    def bind(self, library: ctypes.CDLL) -> None:
        """Give each function of the loaded library its types."""
        for function in self.functions.values():
            entry = getattr(library, function.name)
            entry.restype = function.result
            entry.argtypes = [kind for _, _, kind in function.arguments]


#: The worker's header stands beside the host's, and includes it.
HEADER = Header(header_path(), header_path().with_name("lauter_worker.h"))
