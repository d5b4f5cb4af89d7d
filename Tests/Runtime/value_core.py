# SPDX-License-Identifier: Apache-2.0
"""`lauter_value_check()` by ctypes."""

import ctypes
import os
import re
from pathlib import Path


class _Part(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


def load():
    """A function from parts' bytes to None, or to the offset and the reason; None where there is no library."""
    build = Path(os.environ.get("LAUTER_BUILD", Path(__file__).parents[2] / "build"))
    path = build / "lib" / "liblauter.so"
    if not path.exists():
        return None
    library = ctypes.CDLL(str(path))
    library.lauter_value_check.argtypes = [ctypes.POINTER(_Part), ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)]
    library.lauter_error_message.argtypes = library.lauter_error_free.argtypes = [ctypes.c_void_p]
    library.lauter_error_message.restype = ctypes.c_char_p

    def check(parts):
        kept = [ctypes.create_string_buffer(bytes(part), max(len(part), 1)) for part in parts]
        table = (_Part * len(kept))(
            *(_Part(b"x", ctypes.addressof(block), len(part)) for block, part in zip(kept, parts))
        )
        error = ctypes.c_void_p()
        if library.lauter_value_check(table, len(kept), ctypes.byref(error)) == 0:
            return None
        text = library.lauter_error_message(error).decode()
        library.lauter_error_free(error)
        found = re.fullmatch(r"the value is broken at byte (\d+): (.*)", text)
        assert found, text
        return int(found[1]), found[2]

    return check
