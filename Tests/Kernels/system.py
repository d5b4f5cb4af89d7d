#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lists the files of installed Debian packages, of all that these need, and of what their installation made below /etc: one path
a line, as `tar --files-from` wants them. The last line of what is said on standard error is a key for the whole.

    system.py PACKAGE…
"""

import hashlib
import os
import re
import subprocess
import sys

#: Made by the installation of packages, so that no package has them.
MADE = ["/etc/passwd", "/etc/group", "/etc/ld.so.cache", "/etc/nsswitch.conf", "/etc/hosts", "/etc/machine-id", "/etc/localtime",
        "/etc/alternatives", "/etc/shadow"]  # fmt: skip


def installed() -> dict:
    """{name: (version, [alternatives that it needs])} of installed packages, also by the names that they provide."""
    form = "${Package}\t${Version}\t${db:Status-Status}\t${Essential}\t${Provides}\t${Pre-Depends}, ${Depends}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], stdout=subprocess.PIPE, text=True, check=True).stdout
    packages = {}
    for line in listed.splitlines():
        name, version, status, essential, provides, depends = line.split("\t")
        if status != "installed":
            continue
        needs = [[word.strip() for word in re.sub(r"\(.*?\)|:\w+", "", part).split("|")] for part in depends.split(",") if part.strip()]
        packages[name] = (name, version, essential == "yes", needs)
        for other in re.sub(r"\(.*?\)", "", provides).split(","):
            packages.setdefault(other.strip(), packages[name])
    return packages


def closure(wanted, packages) -> dict:
    """{name: version} of what is wanted and all that it needs; what is essential is always wanted."""
    found = {}
    waiting = [*wanted, *(name for name, package in packages.items() if package[2])]
    while waiting:
        package = packages.get(waiting.pop())
        if package is None or package[0] in found:
            continue
        found[package[0]] = package[1]
        for alternatives in package[3]:
            waiting += [next((name for name in alternatives if name in packages), alternatives[0])]
    return found


def plain(path: str) -> str:
    """The path without symbolic links above its last part: /bin is one, and what tar makes must not go through it."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def main():
    packages = installed()
    missing = [name for name in sys.argv[1:] if name not in packages]
    if missing:
        raise SystemExit(f"system.py: not installed: {' '.join(missing)}")
    chosen = closure(sys.argv[1:], packages)
    listed = subprocess.run(["dpkg-query", "-L", *sorted(chosen)], stdout=subprocess.PIPE, text=True, check=True).stdout
    skipped = ("/usr/share/man/", "/usr/share/locale/", "/usr/share/info/", "/lib/modules/", "/boot/")
    paths = {plain(path) for path in listed.splitlines() if path.startswith("/") and path != "/." and not path.startswith(skipped)}
    for made in MADE:
        paths.add(made)
        paths.update(os.path.join(made, name) for name in (os.listdir(made) if os.path.isdir(made) else []))
    # Links beside the packages' own: /bin, and what ldconfig and update-alternatives made.
    paths.update(entry.path for entry in os.scandir("/") if entry.is_symlink())
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        for entry in os.scandir(folder) if os.path.isdir(folder) else []:
            if entry.is_symlink() and os.path.realpath(entry.path) in paths:
                paths.add(entry.path)
    present = sorted(path for path in paths if os.path.lexists(path))
    print("\n".join(path.lstrip("/") for path in present))
    key = hashlib.sha256("\n".join([f"{n} {v}" for n, v in sorted(chosen.items())] + present).encode()).hexdigest()[:16]
    print(f"{len(chosen)} packages, {len(present)} files\n{key}", file=sys.stderr)


if __name__ == "__main__":
    main()
