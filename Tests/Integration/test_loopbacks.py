# SPDX-License-Identifier: Apache-2.0
"""What programs do with a network, in each of the three: servers and clients of their own, the host's, names, families."""

import errno
import os
import socket
import threading

import pytest
from ffi import C, Launch, Policy
from support import python_interpreter

#: For the worker: what an attempt came to, as a word.
TRIED = """
import asyncio, errno, multiprocessing.connection, os, socket, subprocess, sys, threading, time

def tried(act):
    try:
        return act()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
"""

#: A server and a client of both kinds at an address, in one process: what came back.
ECHOES = """
def echoes(family, address, port):
    said = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as server, socket.socket(family, kind) as client:
            server.bind((address, port))
            client.settimeout(20)
            if kind == socket.SOCK_STREAM:
                server.listen()
                client.connect((address, port))
                peer, _ = server.accept()
                peer.sendall(b"stream")
                peer.close()
            else:
                client.sendto(b"ask", (address, port))
                _, back = server.recvfrom(8)
                server.sendto(b"datagram", back)
            said.append(client.recv(16).decode())
    return said

None
"""


@pytest.fixture
def start(host):
    def start(net, preset="notebook"):
        worker = host.spawn(Policy(preset, ("net", net)), Launch("python", interpreter=python_interpreter()))
        worker.wait_ready()
        said(worker, TRIED)
        return worker

    return start


def said(worker, source):
    """What the last expression of `source` came to."""
    done = worker.run(source)
    assert done.status == C.OK, done
    return eval(done.text) if done.text else None


@pytest.fixture
def neighbour():
    """A TCP and a UDP server of the machine's, on one port of its loopback, that answer each peer once."""
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        stream.bind(("127.0.0.1", 0))
        datagram.bind(stream.getsockname())
        stream.listen()
        stream.settimeout(20)
        datagram.settimeout(20)

        def serve():
            with stream.accept()[0] as peer:
                peer.sendall(b"stream")
            datagram.sendto(b"datagram", datagram.recvfrom(8)[1])

        thread = threading.Thread(target=serve)
        thread.start()
        port = stream.getsockname()[1]
        yield port
        # Whoever did not come is made up for, so that the server ends.
        with socket.socket() as client, socket.socket(type=socket.SOCK_DGRAM) as other:
            if thread.is_alive():
                client.connect(("127.0.0.1", port))
                other.sendto(b"", ("127.0.0.1", port))
        thread.join()


VISIT = """
def visit(port):
    with socket.socket() as client:
        client.settimeout(20)
        client.connect(("127.0.0.1", port))
        first = client.recv(16).decode()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.sendto(b"ask", ("127.0.0.1", port))
        return [first, client.recv(16).decode()]

tried(lambda: visit({port}))
"""


def test_a_private_loopback_carries_streams_and_datagrams_of_both_families(start):
    # The same port for two workers at a time: each has it to itself.
    workers = [start("private") for _ in range(2)]
    for worker in workers:
        said(worker, ECHOES)
        # Held while the other one tries.
        said(worker, "held = socket.create_server(('127.0.0.1', 8787)); None")
    for worker in workers:
        assert said(worker, "echoes(socket.AF_INET, '127.0.0.1', 8888)") == ["stream", "datagram"]
        assert said(worker, "tried(lambda: socket.create_server(('127.0.0.1', 8787)))") == "EADDRINUSE"
        if os.path.exists("/proc/net/if_inet6"):
            assert said(worker, "echoes(socket.AF_INET6, '::1', 8888)") == ["stream", "datagram"]


def test_the_machine_s_loopback_is_reached_by_the_host_s_network_alone(start, neighbour):
    assert said(start("private"), VISIT.format(port=neighbour)) == "ECONNREFUSED"
    assert said(start("none"), VISIT.format(port=neighbour)) == "EACCES"
    assert said(start("host"), VISIT.format(port=neighbour)) == ["stream", "datagram"]


def test_nothing_leads_out_of_a_private_network(start):
    worker = start("private")
    for family, address in (("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8::1")):
        for kind in ("SOCK_STREAM", "SOCK_DGRAM"):
            attempt = f"tried(lambda: socket.socket(socket.{family}, socket.{kind}).connect(('{address}', 9)))"
            assert said(worker, attempt) in ("ENETUNREACH", "EADDRNOTAVAIL"), (family, kind)
    assert said(worker, "[name for _, name in socket.if_nameindex()]") == ["lo"]


def test_processes_of_a_worker_meet_by_name_as_kernels_and_clusters_do(start):
    worker = start("private")
    # A parent that listens and children that connect, by "localhost" and by the host's name.
    source = """
listener = multiprocessing.connection.Listener(("localhost", 0), backlog=4)
child = '''
import multiprocessing.connection, sys
with multiprocessing.connection.Client((sys.argv[1], int(sys.argv[2]))) as parent:
    parent.send(sys.argv[1])
'''
children = [
    subprocess.Popen([sys.executable, "-c", child, name, str(listener.address[1])])
    for name in ("localhost", socket.gethostname())
]
names = sorted(listener.accept().recv() for _ in children)
listener.close()
(names == sorted(["localhost", socket.gethostname()]), [child.wait() for child in children])
"""
    assert said(worker, source) == (True, [0, 0])
    # Five channels and an event loop, as a Jupyter kernel has them.
    source = """
async def serve(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()

async def meet():
    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(5)]
    answers = []
    for server in servers:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"heartbeat\\n")
        answers.append(await reader.readline())
        writer.close()
        server.close()
    return answers

done = []
thread = threading.Thread(target=lambda: done.append(asyncio.run(meet())))
thread.start()
thread.join()
done[0]
"""
    assert said(worker, source) == [b"heartbeat\n"] * 5


@pytest.mark.parametrize("net", ["none", "private"])
def test_a_name_that_nobody_can_look_up_fails_at_once(start, net):
    worker = start(net)
    # Files are asked in each: a look-up can succeed.
    assert said(worker, "socket.gethostbyname('localhost')") == "127.0.0.1"
    source = """
begun = time.monotonic()
try:
    outcome = socket.getaddrinfo("lauter.invalid", 80)
except socket.gaierror as error:
    outcome = "failed"
(outcome, time.monotonic() - begun)
"""
    outcome, seconds = said(worker, source)
    # A resolver that waits for an answer does so for five seconds, and asks again.
    assert outcome == "failed" and seconds < 4


#: What socket(2) says to an ordinary program: by family, type and protocol, in each network; None: it gives a socket.
INTERNET = {"none": "EACCES", "private": None, "host": None}
FAMILIES = [
    ((socket.AF_UNIX, socket.SOCK_STREAM, 0), None),
    ((socket.AF_INET, socket.SOCK_STREAM, 0), INTERNET),
    ((socket.AF_INET, socket.SOCK_DGRAM, 0), INTERNET),
    ((socket.AF_INET6, socket.SOCK_STREAM, 0), INTERNET),
    ((socket.AF_INET6, socket.SOCK_DGRAM, 17), INTERNET),
    # Route, which getifaddrs(3) asks; another of netlink's.
    ((socket.AF_NETLINK, socket.SOCK_RAW, 0), None),
    ((socket.AF_NETLINK, socket.SOCK_RAW, 12), "ENOSYS"),
    # Raw, with a protocol that the filter lets through and one that it does not.
    ((socket.AF_INET, socket.SOCK_RAW, 1), {"none": "EACCES", "private": "EPERM", "host": "EPERM"}),
    ((socket.AF_INET, socket.SOCK_RAW, 255), {"none": "EACCES", "private": "ENOSYS", "host": "ENOSYS"}),
    # SCTP, MPTCP.
    ((socket.AF_INET, socket.SOCK_STREAM, 132), {"none": "EACCES", "private": "ENOSYS", "host": "ENOSYS"}),
    ((socket.AF_INET, socket.SOCK_STREAM, 262), {"none": "EACCES", "private": "ENOSYS", "host": "ENOSYS"}),
    # PACKET, ALG, VSOCK, XDP; Bluetooth; a number that nobody has.
    ((17, socket.SOCK_RAW, 0), "EPERM"),
    ((38, 5, 0), "EPERM"),
    ((40, socket.SOCK_STREAM, 0), "EPERM"),
    ((44, socket.SOCK_RAW, 0), "EPERM"),
    ((31, socket.SOCK_STREAM, 0), "EAFNOSUPPORT"),
    ((45, socket.SOCK_STREAM, 0), "ENOSYS"),
]


@pytest.mark.parametrize("preset", ["notebook", "strict"])
@pytest.mark.parametrize("net", ["none", "private", "host"])
def test_socket_families_are_those_of_the_policy(host, net, preset):
    # What would end a `strict` worker is to fail here.
    policy = Policy(preset, ("net", net), ("violations", "tell"))
    worker = host.spawn(policy, Launch("python", interpreter=python_interpreter())).wait_ready()
    said(worker, TRIED)
    wanted = [expected[net] if isinstance(expected, dict) else expected for _, expected in FAMILIES]
    if (preset, net) == ("strict", "none"):
        wanted[0] = "EACCES"  # pairs are enough for who is alone
    found = said(worker, f"[tried(lambda: socket.socket(*which).close()) for which in {[tuple(map(int, which)) for which, _ in FAMILIES]!r}]")
    assert list(zip([which for which, _ in FAMILIES], found)) == list(zip([which for which, _ in FAMILIES], wanted))
    assert all(word is None or hasattr(errno, word) for word in wanted)


def test_abstract_sockets_of_the_machine_are_out_of_reach_in_its_own_network(start):
    name = f"\0lauter-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
        attempt = f"tried(lambda: socket.socket(socket.AF_UNIX).connect({name!r}))"
        assert said(start("host"), attempt) == "EPERM"
        assert said(start("private"), attempt) == "ECONNREFUSED"
