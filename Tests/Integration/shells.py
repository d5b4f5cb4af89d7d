# SPDX-License-Identifier: Apache-2.0
"""A shell in a sandbox that is asked one line after the other, while the host does something between them."""

import os
import time

import ffi
from ffi import C

#: What follows an answer.
END = "--lauter-end--"


def missing(*words) -> list:
    """What a report lists, `words` among it: an ordinary user's supplementary groups as well."""
    has_groups = os.geteuid() != 0 and set(os.getgroups()) - {os.getegid()}
    return sorted([*words, *(["groups"] if has_groups else [])])


class Shell:
    def __init__(self, host: ffi.Host, policy: ffi.Policy, **properties):
        loop = f'while read -r line; do eval "$line"; echo; echo {END}; done'
        launch = ffi.Launch("program", "/bin/sh", "-c", f"exec 2>&1; {loop}", stdin="pipe", **properties)
        self.host = host
        self.worker = host.spawn(policy, launch)

    def run(self, line: str, timeout=20.0) -> str:
        """What `line` prints, errors among it."""
        # What came before is another's answer.
        self.worker.output(C.STREAM_STDOUT)
        seen = len(self.worker.output(C.STREAM_STDOUT))
        self.worker.stdin(f"{line}\n".encode())
        deadline = time.monotonic() + timeout
        while True:
            said = self.worker.output(C.STREAM_STDOUT)[seen:].decode(errors="replace")
            if END in said:
                return said.split(END)[0].strip()
            assert time.monotonic() < deadline, f"no answer to {line}: {said}"
            self.host.wait(100)
            self.host.drain()

    def end(self) -> ffi.Report:
        self.worker.stdin(b"")
        self.worker.kill()
        return self.worker.exited().report
