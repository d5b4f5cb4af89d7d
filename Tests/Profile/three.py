# SPDX-License-Identifier: Apache-2.0
"""A worker that offers `complete`, `inspect` and `is-complete` for the few sources of their cases, rightly or, with an argument,
wrongly: it shows that the suite can tell."""

import json
import os
import struct
import sys

METADATA = "application/vnd.lauter.metadata+json"
RIGHT = len(sys.argv) < 2


def read(size):
    data = b""
    while len(data) < size:
        more = os.read(3, size - len(data))
        if not more:
            os._exit(0)
        data += more
    return data


def frame():
    size, kind, _, _, id = struct.unpack("<IBBHQ", read(16))
    return kind, id, read(size)


def send(kind, id, payload):
    os.write(3, struct.pack("<IBBHQ", len(payload), kind, 0, 0, id) + payload)


def message(kind, id, name, parts):
    head = struct.pack("<HHIQ", len(parts), len(name), 0, 0) + name.encode()
    for media, data in parts:
        head += struct.pack("<HQ", len(media), len(data)) + media.encode()
    send(kind, id, head + b"".join(data for _, data in parts))


def told(value):
    return [(METADATA, json.dumps(value).encode())]


def answer(verb, parts):
    source = parts[0][1].decode()
    metadata = json.loads(parts[1][1]) if len(parts) > 1 else {}
    if verb in ("complete", "inspect") and not metadata.get("cursor", 99) <= len(source):
        return "ValueError" if RIGHT else "OtherError"
    if verb == "complete":
        return told({"matches": ["long_name"], "start": 14 if RIGHT else 13, "end": 21, "types": ["name"]})
    if verb == "inspect":
        known = source == "area"
        return [("text/plain" if RIGHT else "text/html", b"area(a, b)")] if known else []
    if verb == "is-complete":
        status = {"x = 1": "complete", "def f():": "incomplete", "1 +* 2": "invalid"}[source]
        return told({"status": status if RIGHT else "unknown"})
    return []


frame()
send(1, 0, struct.pack("<IHHIIQH", 0x5254554C, 1, 1, 1, 0, 1 << 30, 5) + b"three")
send(2, 0, b"")
while True:
    kind, id, payload = frame()
    if kind == 8:
        break
    count, length = struct.unpack_from("<HH", payload)
    verb, at, heads, parts = payload[16 : 16 + length].decode(), 16 + length, [], []
    for _ in range(count):
        n, size = struct.unpack_from("<HQ", payload, at)
        heads.append((payload[at + 10 : at + 10 + n].decode(), size))
        at += 10 + n
    for media, size in heads:
        parts.append((media, payload[at : at + size]))
        at += size
    said = answer(verb, parts)
    if isinstance(said, str):
        message(6, id, said, [("text/plain", b"no")])
    else:
        message(5, id, "", said)
