# SPDX-License-Identifier: Apache-2.0
"""Tries to reach what is the host's, in each way that mounts and namespaces would close; says as JSON what came of each.

Run outside of a sandbox it shows that each can succeed. Its argument: where things are."""

import ctypes
import errno
import json
import os
import resource
import socket
import sys

at = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
said = {}


def attempt(function):
    try:
        function()
        said[function.__name__] = "done"
    except OSError as error:
        said[function.__name__] = errno.errorcode.get(error.errno, str(error))


def call(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "call")
    return result


@attempt
def read_a_file():
    open(at["secret"]).read()


@attempt
def list_a_folder():
    os.listdir(at["private"])


@attempt
def change_a_file():
    open(at["secret"], "a").write("x")


@attempt
def truncate_a_file():
    os.truncate(at["secret"], 3)


@attempt
def make_a_file():
    open(at["private"] + "/new", "w").close()


@attempt
def change_a_mode():
    os.chmod(at["secret"], 0o600)


@attempt
def change_a_readable_mode():
    os.fchmod(os.open(at["readable"] + "/file", os.O_RDONLY), 0o644)


@attempt
def change_an_owner():
    os.chown(at["secret"], -1, os.getgid())


@attempt
def change_dates():
    os.utime(at["secret"])


@attempt
def write_below_readable():
    open(at["readable"] + "/new", "w").close()


@attempt
def read_what_is_denied():
    open(at["readable"] + "/denied/secret").read()


@attempt
def write_below_writable_what_is_readable():
    open(at["writable"] + "/readable/file", "a").write("x")


@attempt
def link_to_a_file():
    os.link(at["secret"], at["writable"] + "/linked")


@attempt
def connect_to_a_path():
    socket.socket(socket.AF_UNIX).connect(at["readable"] + "/socket")


@attempt
def connect_to_an_abstract_name():
    socket.socket(socket.AF_UNIX).connect("\0" + at["abstract"])


@attempt
def send_from_a_pair():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", at["readable"] + "/datagrams")


@attempt
def connect_by_tcp():
    socket.create_connection(("127.0.0.1", at["port"]))


@attempt
def ask_for_interfaces():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


@attempt
def signal_the_host():
    os.kill(at["host"], 0)


@attempt
def limit_the_host():
    resource.prlimit(at["host"], resource.RLIMIT_CORE, (1, 1))


@attempt
def give_the_host_less_time():
    os.setpriority(os.PRIO_PROCESS, at["host"], os.getpriority(os.PRIO_PROCESS, at["host"]))


@attempt
def move_the_host():
    os.sched_setaffinity(at["host"], os.sched_getaffinity(at["host"]))


@attempt
def read_a_command_line():
    open(f"/proc/{at['host']}/cmdline").read()


@attempt
def read_an_environment():
    open(f"/proc/{at['host']}/environ").read()


@attempt
def find_shared_memory():
    call(libc.shmget(at["key"], 0, 0))


@attempt
def watch_a_folder():
    call(libc.inotify_add_watch(call(libc.inotify_init1(0)), at["private"].encode(), 0x100))


@attempt
def make_a_file_in_tmp():
    path = f"/tmp/lauter-reach-{os.getpid()}"
    open(path, "x").close()
    os.unlink(path)


# What it may do all the same: each is `done` inside as well.


@attempt
def may_read():
    open(at["readable"] + "/file").read()
    os.listdir(at["readable"] + "/folder")


@attempt
def may_write():
    open(at["writable"] + "/file", "a").write("x")


@attempt
def may_read_below_writable():
    open(at["writable"] + "/readable/file").read()


@attempt
def may_use_its_folders():
    for name in ("TMPDIR", "HOME"):
        folder = os.environ.get(name)
        if at["has_folders"]:
            os.mkdir(folder + "/x")
            open(folder + "/x/file", "w").write("x" * 1000)
            os.truncate(folder + "/x/file", 10)


@attempt
def may_use_a_pair():
    one, other = socket.socketpair()
    one.send(b"x")
    assert other.recv(1) == b"x"


@attempt
def may_start_and_end_programs():
    import subprocess

    sleeper = subprocess.Popen(["sleep", "60"])
    sleeper.kill()
    assert sleeper.wait() == -9


@attempt
def may_limit_itself():
    resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
    os.nice(1)


@attempt
def may_set_dates_of_its_own():
    os.utime(os.open(at["writable"] + "/file", os.O_WRONLY))


print(json.dumps(said))
