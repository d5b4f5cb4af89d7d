# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts by user, whatever the sandbox: a worker gets a share, and leaves its host the rest."""

import pytest
from ffi import C, Launch, Policy
from support import python_interpreter

PRESETS = pytest.mark.parametrize("preset", ["notebook", "strict"])
TAKE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
taken = []
while len(taken) < 100 and (fd := libc.inotify_init1(0)) >= 0:
    taken.append(fd)
count = len(taken)
for fd in taken:
    os.close(fd)
count
"""


@pytest.fixture
def start(host):
    def start(preset):
        worker = host.spawn(Policy(preset), Launch("python", interpreter=python_interpreter()))
        worker.wait_ready()
        return worker

    return start


@PRESETS
def test_a_worker_cannot_take_all_inotify_instances_of_its_user(start, preset):
    # `strict` watches no files at all.
    assert start(preset).run(TAKE).text == {"notebook": "32", "strict": "0"}[preset]
    assert int(start("unconfined").run(TAKE).text) > 32, "the machine gives no more anyway: this shows nothing"


@PRESETS
def test_names_in_memory_are_bounded_as_their_bytes_are(start, preset):
    worker = start(preset)
    total = int(worker.run("import os; os.statvfs('/tmp').f_files").text)
    size = int(worker.run("s = os.statvfs('/tmp'); s.f_blocks * s.f_frsize").text)
    assert total == size // 8192
    refused = """
try:
    os.mkdir('/tmp/many')
    for number in range(200_000):
        open(f'/tmp/many/{number}', 'x').close()
    answer = 'all'
except OSError as error:
    answer = error.strerror
answer
"""
    if preset == "strict":  # 8,192 are quickly made
        assert worker.run(refused).text == "'No space left on device'"
        assert worker.run("len(os.listdir('/tmp/many')) > 8000").text == "True"


def test_each_worker_is_a_machine_of_its_own_to_who_asks_for_the_boot(start):
    read = "open('/proc/sys/kernel/random/boot_id').read()"
    with open("/proc/sys/kernel/random/boot_id") as file:
        seen = [repr(file.read())]
    workers = [start("notebook") for _ in range(2)]
    for worker in workers:
        seen.append(worker.run(read).text)
        assert worker.run(read).text == seen[-1]
    assert len(set(seen)) == 3
    assert {len(text) for text in seen} == {len(seen[0])}


@pytest.mark.parametrize("name", ["cmdline", "diskstats", "partitions"])
def test_the_machine_s_start_and_disks_are_not_told(start, name):
    done = start("notebook").run(f"open('/proc/{name}').read()")
    assert (done.status, done.name) == (C.ERROR_FAILED, "PermissionError")
    assert start("unconfined").run(f"len(open('/proc/{name}').read()) > 0").text == "True"
