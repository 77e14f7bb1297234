"""Runs under MicroPython: the journal on a real littlefs, the power cut at every single flash operation.

A RAM block device remembers each program and erase. Every prefix of them, its last operation whole, half done and not
at all, is then a flash that is mounted and recovered from.
"""

from binascii import crc32
from hashlib import sha256

import vfs  # type: ignore[import-not-found]  # MicroPython's
from meter import journal as meter_journal
from meter import reading, segments
from meter.board.folder import Directory, Disk
from meter.journal import Journal

BLOCK_BYTES = 512
BLOCKS = 96
READINGS = 40
segments.SEGMENT_BYTES = 1100
meter_journal.RESERVED_NUMBERS = 4


class Flash:
    """NOR flash: erased to ones, programmed to zeros; in RAM."""

    def __init__(self, content: bytearray | None = None) -> None:
        self.content = content or bytearray(b"\xff" * (BLOCK_BYTES * BLOCKS))
        self.trace: list = []  # (place, data) programmed; (place, None) erased

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        start = block * BLOCK_BYTES + offset
        buffer[:] = self.content[start : start + len(buffer)]

    def writeblocks(self, block: int, data: bytes, offset: int = 0) -> None:
        self._do((block * BLOCK_BYTES + offset, bytes(data)))

    def ioctl(self, operation: int, argument: int) -> int:
        if operation == 4:
            return BLOCKS
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            self._do((argument * BLOCK_BYTES, None))
        return 0

    def _do(self, operation: tuple) -> None:
        self.trace.append(operation)
        apply(self.content, operation)


def apply(content: bytearray, operation: tuple, torn: bool = False) -> None:
    """Do *operation* on *content*: all of it, or the first half."""
    place, data = operation
    size = BLOCK_BYTES if data is None else len(data)
    size = size // 2 if torn else size
    if data is None:
        content[place : place + size] = b"\xff" * size
    else:
        for step in range(size):
            content[place + step] &= data[step]


class Key:
    """Signs without a secret; nobody looks at these signatures."""

    id = b"\x01" * 8

    def sign(self, message: bytes) -> bytes:
        return sha256(message).digest() * 2


def open_journal(flash: Flash) -> Journal:
    """Mount *flash* and start the journal on it."""
    vfs.mount(vfs.VfsLfs2(flash, progsize=32, readsize=32), "/flash")
    return Journal(*[Directory("/flash/" + name, Disk()) for name in ("log", "archive", "state")])


def live(flash: Flash) -> tuple:
    """Sign and receipt on *flash*; return [(operations so far, number, reason, envelope)], [(operations, receipt)]."""
    signed, receipted = [], []
    journal = open_journal(flash)
    for place in range(READINGS):
        sequence, previous = journal.link()
        begun = len(flash.trace)
        reason = reading.PERIODIC if place % 4 else reading.BOUNDARY
        epoch = None if place % 4 else place
        taken = reading.Reading(sequence, 5, 0, 0, None, reason, epoch, ((180, 1), (280, 2)), 0, previous)
        sealed = reading.seal(taken, Key())
        journal.append(sequence, reason, sealed)
        signed.append((begun, len(flash.trace), sequence, reason, sealed))
        if place % 9 == 8:
            receipted.append((len(flash.trace), sequence))
            journal.settle(sequence, sha256(sealed).digest())
    vfs.umount("/flash")
    return signed, receipted


def check(content: bytearray, operations: int, signed: list, receipted: list) -> None:
    """Raise AssertionError where a start from *content* breaks a promise made before flash operation *operations*."""
    journal = open_journal(Flash(content))
    try:
        mark = max([number for when, number in receipted if when <= operations] or [0])
        sealed = {number: envelope for _, _, number, _, envelope in signed}
        kept = {}
        for name in ("log", "archive"):
            for record in segments.Segments(Directory("/flash/" + name, Disk())).after(0, READINGS):
                kept[record.sequence] = record.data
        assert all(sealed[number] == envelope for number, envelope in kept.items()), "invented"
        for begun, done, number, reason, _ in signed:
            assert done > operations or (number <= mark and reason) or number in kept, f"{number} lost"
            assert begun > operations or journal.link()[0] > number, f"{number} comes again"
        pending = journal.pending(0, 1000)
        for place in range(1, len(pending)):
            assert reading.decode(pending[place][1]).previous == sha256(pending[place - 1][1]).digest()[:8], "chain"
    finally:
        vfs.umount("/flash")


def sweep() -> None:
    """Print how many cuts were tried; raises AssertionError at the first that breaks a promise."""
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash, progsize=32, readsize=32)
    blank = bytes(flash.content)
    flash.trace.clear()
    signed, receipted = live(flash)
    operations = len(flash.trace)
    flash.trace.append((0, b""))  # nothing: the cut after the last of them
    content = bytearray(blank)
    tried, seen = 0, set()
    for number, operation in enumerate(flash.trace):
        torn = bytearray(content)
        apply(torn, operation, True)
        for image in (content, torn):
            mark = crc32(image)
            if mark in seen:
                continue  # nothing changed: an erasure of what is erased
            seen.add(mark)
            tried += 1
            try:
                check(bytearray(image), number, signed, receipted)
            except AssertionError as error:
                raise AssertionError(f"cut at flash operation {number}: {error}") from error
        apply(content, operation)
    print(f"littlefs power cuts: {operations} flash operations, {tried} images")
