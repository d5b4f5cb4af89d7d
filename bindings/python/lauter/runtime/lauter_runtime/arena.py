# SPDX-License-Identifier: Apache-2.0
"""The arena of docs/protocol.md: memory that host and worker share. The host writes its first half, this worker the second.

Imported when the first large part comes or goes. Each half is mapped when it is first needed: the worker's address
space is its user's to limit.
"""

import _thread
import mmap
import os
from bisect import insort

from .wire import PLACE, PLACED_MAX, Broken

_ALIGNMENT = 64
_PAGE = mmap.PAGESIZE


class Arena:
    """Both halves. Any thread may write; who reads holds the session's role."""

    PIECE = 1 << 18
    """What a large part places at once: little enough to be in a processor's cache still when the host copies it."""
    PIECES = 8
    """Places of one part that the host has not released, before it is waited for."""

    def __init__(self, descriptor, half):
        self.half = half
        self._descriptor = descriptor
        self._identity = _identity(descriptor)
        self._room = half  # of our half: 0 where it cannot be mapped
        self._theirs = self._ours = None
        self._book = _thread.allocate_lock()
        self._taken = []  # places of ours that are not released, by their offset in our half
        self._owners = {}  # by offset: the set of the message that waits for it
        self._touched = 0

    def _map(self, offset, protection):
        # Code that closes what it did not open may have something of its own there by now.
        if _identity(self._descriptor) != self._identity:
            raise OSError("descriptor %d is not the arena any more" % self._descriptor)
        return mmap.mmap(self._descriptor, self.half, mmap.MAP_SHARED, protection, offset=offset)

    # -- reading --

    def read(self, payload, assembly):
        """Copy what a frame's places hold into its message."""
        if not payload or len(payload) % PLACE.size:
            raise Broken("%d bytes are no places" % len(payload))
        left = PLACED_MAX
        for offset, size in PLACE.iter_unpack(payload):
            left -= size
            if not size or left < 0 or offset + size > self.half:
                raise Broken("a place of %d bytes at %d in the arena" % (size, offset))
            self._copy(offset, size, assembly)

    def _copy(self, offset, size, assembly):
        if self._theirs is None:
            try:
                self._theirs = memoryview(self._map(0, mmap.PROT_READ))
            except (OSError, ValueError, MemoryError):
                # No address space is left for all of it; this is what must be read nevertheless.
                assembly.add(os.pread(self._descriptor, size, offset))
                return
        assembly.add(self._theirs[offset : offset + size])

    # -- writing --

    def put(self, data, owner=None):
        """Put bytes where there is room, as low as there is any: the place as a payload, or None.

        While the host has not released it, its offset is in the set `owner`.
        """
        size = len(data)
        with self._book:
            if self._ours is None:
                try:
                    self._ours = memoryview(self._map(self.half, mmap.PROT_READ | mmap.PROT_WRITE))
                except (OSError, ValueError, MemoryError):
                    self._room = 0
            offset = 0
            for place in self._taken:
                if place[0] >= offset + size:
                    break
                offset = place[0] + place[1] + _ALIGNMENT - 1 & -_ALIGNMENT
            if offset + size > self._room:
                return None
            insort(self._taken, (offset, size))
            if owner is not None:
                owner.add(offset)
                self._owners[offset] = owner
            self._touched = max(self._touched, offset + size)
        self._ours[offset : offset + size] = data
        return PLACE.pack(self.half + offset, size)

    def released(self, payload):
        """The host is done with these."""
        if not payload or len(payload) % PLACE.size:
            raise Broken("%d bytes are no places" % len(payload))
        with self._book:
            for offset, size in PLACE.iter_unpack(payload):
                offset -= self.half
                try:
                    self._taken.remove((offset, size))
                except ValueError:
                    raise Broken("a release of %d bytes at %d, which were not placed" % (size, offset + self.half))
                owner = self._owners.pop(offset, None)
                if owner is not None:
                    owner.discard(offset)

    def is_idle(self):
        """Whether it has memory that nobody needs."""
        return self._touched > 0 and not self._taken

    def give_back(self):
        """Give that memory back to the system."""
        with self._book:
            if self.is_idle():
                size = min(self._touched + _PAGE - 1 & -_PAGE, self.half)
                self._touched = 0
                try:
                    self._ours.obj.madvise(mmap.MADV_REMOVE, 0, size)
                except OSError:
                    pass  # a kernel that cannot: it is used again

    def in_forked_child(self):
        """Let go of it: nothing of the host's is the child's."""
        for view in (self._theirs, self._ours):
            try:
                if view is not None:
                    whole = view.obj
                    view.release()
                    whole.close()
            except BufferError:
                pass  # a thread was at it, of which the child has nothing but this
        if _identity(self._descriptor) == self._identity:
            os.close(self._descriptor)


def _identity(descriptor):
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size
