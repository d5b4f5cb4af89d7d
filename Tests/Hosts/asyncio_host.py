# SPDX-License-Identifier: Apache-2.0
"""A notebook host in Python's asyncio, over ctypes: the loop is asyncio's, the library adds one descriptor to it.

    python3 asyncio_host.py

It runs cells in two sandboxed workers at once, answers their input(), interrupts one, and meanwhile runs children of its
own as asyncio does. It is written against `lauter.h` alone; `header.py` reads constants and structures from there.
"""

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "Integration"))

from ffi import C, Call, Host, Launch, Policy  # noqa: E402


# begin: loop
class AsyncHost:
    """Futures for calls, driven by `add_reader` on the host's descriptor."""

    def __init__(self):
        self.host = Host()
        self.loop = asyncio.get_running_loop()
        self.calls = {}
        self.ends = {}
        self.streams = {}
        self.asked = []
        self.loop.add_reader(self.host.fd, self.dispatch)

    def dispatch(self):
        """Take what there is, but let the loop breathe: the descriptor stays readable while there is more."""
        for _ in range(100):
            event = self.host.next()
            if event is None:
                return
            if event.kind == C.EVENT_STREAM:
                self.streams[event.worker] = self.streams.get(event.worker, b"") + event.data
            elif event.kind == C.EVENT_DONE:
                self.calls.pop(event.call).set_result(event)
            elif event.kind == C.EVENT_EXITED:
                self.ends.pop(event.worker).set_result(event.report)
            elif event.kind == C.EVENT_CALL:
                self.asked.append(event.text)
                Call(self.host, event.call).reply("Ada")
    # end: loop

    def spawn(self, policy, launch):
        worker = self.host.spawn(policy, launch)
        self.ends[worker.id] = self.loop.create_future()
        return worker

    def execute(self, worker, source):
        call = worker.execute(source)
        self.calls[call.id] = self.loop.create_future()
        return call, self.calls[call.id]

    def close(self):
        self.loop.remove_reader(self.host.fd)
        self.host.close()


async def own_children(count):
    """Children of this process, as asyncio starts and reaps them."""
    codes = []
    for i in range(count):
        child = await asyncio.create_subprocess_exec("sh", "-c", f"echo {i}; exit {i}", stdout=asyncio.subprocess.PIPE)
        output, _ = await child.communicate()
        codes.append((int(output), child.returncode))
    return codes


async def main():
    host = AsyncHost()
    python = os.environ.get("LAUTER_PYTHON", "/usr/bin/python3")
    policy = Policy("notebook", ("limit", "memory=1G"))
    workers = [host.spawn(policy, Launch("python", interpreter=python)) for _ in range(2)]
    children = asyncio.create_task(own_children(20))

    firsts = [host.execute(w, f"import os; print('cell of worker {i}'); {i} * 21")[1] for i, w in enumerate(workers)]
    for i, first in enumerate(firsts):
        print(f"worker {i}: {(await first).text}, printed {host.streams[workers[i].id].decode().strip()!r}")

    endless, ended = host.execute(workers[0], "while True: pass")
    _, beside = host.execute(workers[1], "sum(range(1000))")
    print(f"beside the endless loop: {(await beside).text}")
    endless.interrupt()
    print(f"the endless loop: {(await ended).name}")

    _, answer = host.execute(workers[1], "'hello ' + input('who? ')")
    print(f"input: {(await answer).text} (asked {host.asked[0]!r})")

    codes = await children
    print(f"own children: {'all as they should be' if codes == [(i, i) for i in range(20)] else codes}")

    _, crash = host.execute(workers[0], "os.abort()")
    end = host.ends[workers[0].id]
    done = await crash
    print(f"crash: {done.error.message}")
    print(f"report: {(await end).why}")
    end = host.ends[workers[1].id]
    workers[1].stop(2000, 2000)
    print(f"report: {(await end).why}")
    host.close()


if __name__ == "__main__":
    asyncio.run(main())
