# SPDX-License-Identifier: Apache-2.0
"""A worker that says on its session what its host's test tells it to, and tells what it heard.

Calls: `say` (parts: whole frames, written as they are), `heard` (the frames that came meanwhile, but for calls, as JSON:
kind, flags, id, payload in hexadecimal), `echo`,
`hold` (its answer comes with that to `free`). Its argument: its abilities. Written from docs/protocol.md alone.
"""

import json
import os
import struct
import sys

HEADER = struct.Struct("<IBBHQ")
heard, held = [], []
buffer = b""


def read(size):
    global buffer
    while len(buffer) < size:
        data = os.read(3, 1 << 18)
        if not data:
            os._exit(0)
        buffer += data
    data, buffer = buffer[:size], buffer[size:]
    return data


def write(data):
    while data:
        data = data[os.write(3, data):]


def frame(kind, id, payload, flags=0):
    return HEADER.pack(len(payload), kind, flags, 0, id) + payload


def message(parts):
    head = struct.pack("<HHIQ", len(parts), 0, 0, 0)
    for data in parts:
        head += struct.pack("<HQ", 3, len(data)) + b"a/b"
    return head + b"".join(parts)


def answer_in_frames(id, answer):
    for at in range(0, len(answer), 65536):
        write(frame(5, id, answer[at : at + 65536], at + 65536 < len(answer)))


read(HEADER.unpack(read(HEADER.size))[0])  # the greeting
write(frame(1, 0, struct.pack("<IHHIIQH", 0x5254554C, 1, 1, int(sys.argv[1]), 0, 1 << 30, 4) + b"peer") + frame(2, 0, b""))
unfinished = {}
while True:
    size, kind, flags, _, id = HEADER.unpack(read(HEADER.size))
    payload = read(size)
    if kind == 8:
        os._exit(0)
    if kind != 3:
        heard.append([kind, flags, id, payload.hex()])
        continue
    unfinished.setdefault(id, []).append(payload)
    if flags & 1:
        continue
    payload = b"".join(unfinished.pop(id))
    count, name_size, lane, _ = struct.unpack_from("<HHIQ", payload)
    at = 16 + name_size
    name, sizes, parts = payload[16:at].decode(), [], []
    for _ in range(count):
        type_size, size = struct.unpack_from("<HQ", payload, at)
        at += 10 + type_size
        sizes.append(size)
    for size in sizes:
        parts.append(payload[at:at + size])
        at += size
    if name == "hold":
        held.append(id)
    elif name == "free":
        write(b"".join(frame(5, call, message([b"held"])) for call in [*held, id]))
        held.clear()
    elif name == "say":
        write(b"".join(parts) + frame(5, id, message([])))
    elif name == "heard":
        answer = message([json.dumps(heard).encode()])
        heard.clear()
        answer_in_frames(id, answer)
    else:
        answer = message(parts + [b"on lane %d" % lane])
        answer_in_frames(id, answer)
