# SPDX-License-Identifier: Apache-2.0
"""Run a program where something is refused to it, as containers and careful machines refuse it; the machine itself is left
as it is."""

import ctypes
import errno
import os
import platform
import struct
import subprocess

#: System calls by number, x86_64 and aarch64.
NUMBERS = {
    "clone": (56, 220),
    "mount": (165, 40),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "fsopen": (430, 430),
    "openat": (257, 56),
    "unshare": (272, 97),
    "memfd_create": (319, 279),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
}
NEW_USER = 0x1000_0000
NEW_NETWORK = 0x4000_0000

_LOAD, _EQUAL, _BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF_0000, 0x0005_0000
_ARGUMENT = 16  # of struct seccomp_data


def number(call):
    return NUMBERS[call][platform.machine() == "aarch64"]


def refusing(call, error=errno.EPERM, argument=None, bits=0, equal=None):
    """A seccomp program that refuses `call`, where `argument` has any of `bits`, or is `equal`, if one is given."""
    program = [(_LOAD, 0, 0, 0)]
    if argument is None:
        program += [(_EQUAL, 0, 1, number(call))]
    else:
        test = (_BITS, 0, 1, bits) if equal is None else (_EQUAL, 0, 1, equal)
        program += [(_EQUAL, 0, 3, number(call)), (_LOAD, 0, 0, _ARGUMENT + 8 * argument), test]
    program += [(_RETURN, 0, 0, _ERRNO | error), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *each) for each in program)


def load(program):
    """Restrict this process by a seccomp program, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    if libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    whole = Program(len(program) // 8, ctypes.addressof(code))
    if libc.prctl(22, 2, ctypes.byref(whole), 0, 0) != 0:  # PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def run(command, *, user=None, groups=(), filters=(), before=None, **options):
    """As subprocess.run, as another user and below seccomp programs; `before` runs in the child as the present user."""

    def prepare():
        if before:
            before()
        if user is not None:
            os.setgroups(list(groups))
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        for program in filters:
            load(program)

    return subprocess.run(
        list(map(str, command)), preexec_fn=prepare, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=120, **options,
    )
