# SPDX-License-Identifier: Apache-2.0
"""A worker that says on its session what its host's test tells it to, and tells what it heard.

Calls: `say` (parts: whole frames, written as they are), `heard` (the frames that came meanwhile, but for calls, as JSON:
kind, flags, id, payload in hexadecimal), `echo`. Written from docs/protocol.md alone.
"""

import json
import os
import struct

HEADER = struct.Struct("<IBBHQ")
heard = []
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


read(HEADER.unpack(read(HEADER.size))[0])  # the greeting
write(frame(1, 0, struct.pack("<IHHIIQH", 0x5254554C, 1, 1, 1, 0, 1 << 30, 4) + b"peer") + frame(2, 0, b""))
unfinished = b""
while True:
    size, kind, flags, _, id = HEADER.unpack(read(HEADER.size))
    payload = read(size)
    if kind == 8:
        os._exit(0)
    if kind != 3:
        heard.append([kind, flags, id, payload.hex()])
        continue
    unfinished += payload
    if flags & 1:
        continue
    payload, unfinished = unfinished, b""
    count, name_size, _, _ = struct.unpack_from("<HHIQ", payload)
    at = 16 + name_size
    name, sizes, parts = payload[16:at].decode(), [], []
    for _ in range(count):
        type_size, size = struct.unpack_from("<HQ", payload, at)
        at += 10 + type_size
        sizes.append(size)
    for size in sizes:
        parts.append(payload[at:at + size])
        at += size
    if name == "say":
        write(b"".join(parts) + frame(5, id, message([])))
    elif name == "heard":
        answer = message([json.dumps(heard).encode()])
        heard.clear()
        while len(answer) > 65536:
            write(frame(5, id, answer[:65536], 1))
            answer = answer[65536:]
        write(frame(5, id, answer))
    else:
        write(frame(5, id, message(parts)))
