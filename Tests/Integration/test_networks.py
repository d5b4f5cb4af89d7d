# SPDX-License-Identifier: Apache-2.0
"""Workers and their networks: of their own, or the empty one that those without any have together."""

import os

import pytest
from ffi import C, Launch, Policy
from support import landlock_abi, python_interpreter

#: Where the host may, and Landlock keeps their abstract sockets apart, it has one for all of them; else they have one each.
SHARED = os.geteuid() == 0 and landlock_abi() >= 6
NAMESPACE = "import os, socket\nos.readlink('/proc/self/ns/net')"
LISTEN = "server = socket.socket(socket.AF_UNIX); server.bind('\\0lauter-neighbour'); server.listen(); 'listens'"
REACH = """
client = socket.socket(socket.AF_UNIX)
try:
    client.connect('\\0lauter-neighbour')
    answer = 'connected'
except OSError as error:
    answer = error.strerror
client.close()
answer
"""


@pytest.fixture
def start(host):
    def start(*words, preset="notebook"):
        worker = host.spawn(Policy(preset, *words), Launch("python", interpreter=python_interpreter()))
        worker.wait_ready()
        return worker

    return start


def test_a_network_of_its_own_is_shared_with_nobody(start):
    spaces = {start(("net", "private")).run(NAMESPACE).text for _ in range(2)}
    spaces.add(repr(os.readlink("/proc/self/ns/net")))
    assert len(spaces) == 3


@pytest.mark.parametrize("preset", ["notebook", "strict"])
def test_workers_without_a_network_have_an_empty_one(start, preset):
    workers = [start(("net", "none"), preset=preset) for _ in range(2)]
    spaces = [worker.run(NAMESPACE).text for worker in workers]
    assert repr(os.readlink("/proc/self/ns/net")) not in spaces
    assert len(set(spaces)) == (1 if SHARED else 2)
    for worker in workers:
        assert worker.run("[line.split(':')[0].strip() for line in open('/proc/self/net/dev')][2:]").text == "['lo']"
        # Its loopback is down: nobody meets there either.
        done = worker.run("open('/proc/self/net/fib_trie').read().count('127.0.0.1')")
        assert done.status == C.OK and done.text == "0"


@pytest.mark.parametrize("net", ["none", "private"])
def test_abstract_sockets_of_one_worker_are_out_of_another_s_reach(start, net):
    one, other = start(("net", net)), start(("net", net))
    assert one.run(NAMESPACE + "\n" + LISTEN).text == "'listens'"
    assert one.run(REACH).text == "'connected'"
    other.run(NAMESPACE)
    refused = other.run(REACH).text
    assert refused in ("'Operation not permitted'", "'Connection refused'")


def test_the_end_of_one_worker_leaves_the_others_their_network(host, start):
    one, other = start(("net", "none")), start(("net", "none"))
    space = one.run(NAMESPACE).text
    other.kill()
    assert other.wait_exit().report.reason == C.REASON_KILLED
    assert one.run(NAMESPACE).text == space
    assert start(("net", "none")).run(NAMESPACE).text == space or not SHARED


@pytest.mark.root
def test_the_plan_says_which_network_it_is():
    launch = Launch("program", "/bin/true")
    shared = Policy("notebook", ("net", "none")).explain(launch)
    own = Policy("notebook").explain(launch)
    if SHARED:
        assert "in an empty network, with other workers that have none" in shared.splitlines()
        assert "network" not in shared.splitlines()[0]
    else:
        assert "network" in shared.splitlines()[0] and "empty network" not in shared
    assert "network" in own.splitlines()[0] and "empty network" not in own
