# SPDX-License-Identifier: Apache-2.0
"""Python's processes: every way of `multiprocessing`, pools, managers, shared memory, pipes, terminals."""

import multiprocessing
import os
import pty
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory


def square(n):
    return n * n


def fill(name):
    memory = shared_memory.SharedMemory(name)
    memory.buf[:4] = b"full"
    memory.close()


def talk(pipe, lock, count):
    with lock:
        count.value += 1
    pipe.send(os.getpid())


def main():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            assert pool.map(square, range(20)) == [n * n for n in range(20)], method
        ours, theirs = context.Pipe()
        lock, count = context.Lock(), context.Value("i", 0)
        children = [context.Process(target=talk, args=(theirs, lock, count)) for _ in range(3)]
        [child.start() for child in children], [child.join() for child in children]
        assert {ours.recv() for _ in children} == {child.pid for child in children} and count.value == 3
        with context.Manager() as manager:
            shared = manager.dict(a=1)
            shared["b"] = 2
            assert shared.copy() == {"a": 1, "b": 2}
    memory = shared_memory.SharedMemory(create=True, size=4096)
    child = multiprocessing.Process(target=fill, args=(memory.name,))
    child.start(), child.join()
    assert bytes(memory.buf[:4]) == b"full"
    memory.close(), memory.unlink()
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(square, range(5))) == [0, 1, 4, 9, 16]

    assert subprocess.run("echo a | tr a b", shell=True, capture_output=True).stdout == b"b\n"
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as sleeper:
        sleeper.terminate()
        assert sleeper.wait() == -15

    # A terminal for a program that wants one, with its size and its Ctrl-C.
    pid, terminal = pty.fork()
    if pid == 0:
        os.execlp("bash", "bash", "-c", "stty rows 10 cols 20; stty size; tty; trap 'echo caught; exit 7' INT; echo ready; read x")
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    while b"caught" not in said:
        said += os.read(terminal, 1000)
    assert b"10 20" in said and b"/dev/pts/" in said, said
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    print("DONE")


if __name__ == "__main__":
    sys.exit(main())
