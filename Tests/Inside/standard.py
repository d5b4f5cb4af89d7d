# SPDX-License-Identifier: Apache-2.0
"""Python's standard library where it asks the kernel for something."""

import asyncio
import ctypes
import faulthandler
import fcntl
import io
import mmap
import os
import queue
import selectors
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Threads, their queues and names.
answers = queue.Queue()
threads = [threading.Thread(target=lambda n=n: answers.put(n * n)) for n in range(50)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert sorted(answers.get() for _ in threads) == [n * n for n in range(50)]
with ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(len, ["ab"] * 100)) == 200

# Signals and timers.
rung = []
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.01)
while not rung:
    signal.pause()

# Files: temporary, locked, mapped, watched by nobody, with attributes.
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "file")
    with open(path, "w+b") as file:
        file.write(b"x" * 8192)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        with mmap.mmap(file.fileno(), 0) as view:
            view[:3] = b"abc"
        os.posix_fallocate(file.fileno(), 0, 65536)
    assert open(path, "rb").read(4) == b"abcx"
    os.symlink(path, path + ".link"), os.link(path, path + ".hard"), os.mkfifo(path + ".fifo")
    shutil.copytree(folder, folder + ".copy", ignore=shutil.ignore_patterns("*.fifo"))
    assert sorted(os.listdir(folder + ".copy")) == ["file", "file.hard", "file.link"]
    shutil.rmtree(folder + ".copy")

# SQLite with a write-ahead log, which wants shared memory and locks.
data = sqlite3.connect("data.sqlite")
assert data.execute("pragma journal_mode=wal").fetchone() == ("wal",)
data.execute("create table t (n)")
data.executemany("insert into t values (?)", [(n,) for n in range(1000)])
data.commit()
assert sqlite3.connect("data.sqlite").execute("select sum(n) from t").fetchone() == (499500,)
data.close()

# Sockets of the worker's own loopback, of both families; one end each of a pair.
left, right = socket.socketpair()
left.send(b"pair")
assert right.recv(8) == b"pair"
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.create_server((address, 0), family=family) as server:
        with socket.create_connection(server.getsockname()[:2]) as client:
            client.sendall(b"tcp")
            assert server.accept()[0].recv(8) == b"tcp"
    with socket.socket(family, socket.SOCK_DGRAM) as one, socket.socket(family, socket.SOCK_DGRAM) as other:
        one.bind((address, 0))
        other.sendto(b"udp", one.getsockname())
        assert one.recv(8) == b"udp"
assert socket.getaddrinfo("localhost", 80) and socket.gethostname()
begun = time.monotonic()
try:
    socket.getaddrinfo("example.org", 80)
    raise SystemExit("a name of the Internet was found")
except socket.gaierror:
    assert time.monotonic() - begun < 5, "to be without a network is known at once"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
assert urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/hello").read() == b"/hello"
server.shutdown()


# asyncio: a server, a client, a child.
async def both():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"line\n")
        assert await reader.readline() == b"line\n"
        writer.close()
    child = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert (await child.communicate(b"through"))[0] == b"through"
    return await asyncio.gather(*(asyncio.sleep(0.001, n) for n in range(100)))


assert asyncio.run(both()) == list(range(100))

# C: a function called back, memory of its own, a look at the machine.
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
numbers = (ctypes.c_int * 3)(3, 1, 2)
ctypes.CDLL(None).qsort(numbers, 3, 4, compare(lambda a, b: a[0] - b[0]))
assert list(numbers) == [1, 2, 3]
assert os.cpu_count() >= 1 and os.sched_getaffinity(0) and os.sysconf("SC_PHYS_PAGES") > 0 and os.getloadavg()
assert os.path.exists("/proc/meminfo") and open("/proc/self/status").read().startswith("Name:")
faulthandler.dump_traceback(file=open("trace", "w"))
assert selectors.DefaultSelector.__name__ == "EpollSelector" and len(os.urandom(8)) == 8
try:
    termios.tcgetattr(0)
except termios.error:
    pass
sys.stdout.flush()
assert io.open(os.devnull).read() == ""
print("DONE")
