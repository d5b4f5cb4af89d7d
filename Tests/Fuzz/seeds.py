# SPDX-License-Identifier: Apache-2.0
"""What the targets of Tests/Fuzz begin with: `seeds.py FOLDER` makes inputs of the vectors of Tests/Vectors."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Runtime"))
import frames  # noqa: E402

VECTORS = Path(__file__).parents[1] / "Vectors"
FOLDER = Path(sys.argv[1])


def lines(name):
    path = VECTORS / name
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            yield line.split("\t")


def add(target, data):
    folder = FOLDER / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


for _, parts, _ in lines("values.txt"):
    parts = [bytes.fromhex(part) for part in parts.split("/")]
    add("value", b"".join(len(part).to_bytes(2, "little") + part for part in parts))

for _, sender, data, _ in frames.vectors():
    if len(data) < 4096:
        for how in (4, 4 + 8, 4 + 64):
            add("wire", bytes([how + (sender == "host"), 15]) + data)

for word in (
    "tmp 64M", "home private", "home none", "home /x", "net none", "net private", "net host", "env A=B", "env HOME", "run /usr/bin/*",
    "limit memory=1G", "limit processes=64", "limit cpus=1.5", "limit wall=10s", "read /a\nwrite /a/b\ndeny /a/b/c", "nest same",
    "allow-missing landlock", "run none", "read /with\\sspace\\nand\\\\", "device /dev/null", "# comment\n\n read /usr",
):  # fmt: skip
    for preset in range(3):
        add("policy", bytes([preset]) + word.encode() + b"\n")
