"""The virtual board's NOR flash: QEMU's second `pflash` bank, two 16-bit chips side by side with Intel's command set.

A block device for `vfs.VfsLfs2`: programs turn ones into zeros, word by word; a sector is erased as a whole.
"""

from machine import mem32

from meter.board import littlefs

SECTOR_BYTES = 256 * 1024
SECTORS = 64
"""Of the littlefs: half of the bank."""

BANK = 0x22000000
ERASE_SECTOR = 6  # of `vfs.AbstractBlockDev.ioctl`, as the next two
_COUNT, _SIZE = 4, 5
_PROGRAM, _ERASE, _CONFIRM, _READ = 0x00400040, 0x00200020, 0x00D000D0, 0x00FF00FF  # one command for each chip
_READY = 0x00800080


def mount(path):
    """Mount the littlefs of the flash at *path*; an unused flash gets a new one, a damaged one raises OSError."""
    littlefs.mount(Flash(), path)


class Flash:
    """The block device."""

    def readblocks(self, block, buffer, offset=0):
        """Fill *buffer*, whole words, from sector *block*."""
        start = BANK + block * SECTOR_BYTES + offset
        for place in range(0, len(buffer), 4):
            buffer[place : place + 4] = (mem32[start + place] & 0xFFFFFFFF).to_bytes(4, "little")

    def writeblocks(self, block, data, offset=0):
        """Program *data*, whole words, into sector *block*, which was erased there."""
        start = BANK + block * SECTOR_BYTES + offset
        for place in range(0, len(data), 4):
            self._command(start + place, _PROGRAM, int.from_bytes(data[place : place + 4], "little"))

    def ioctl(self, operation, argument):
        """Answer as `vfs.AbstractBlockDev` says."""
        if operation == _COUNT:
            return SECTORS
        if operation == _SIZE:
            return SECTOR_BYTES
        if operation == ERASE_SECTOR:
            self._command(BANK + argument * SECTOR_BYTES, _ERASE, _CONFIRM)
        return 0

    def _command(self, address, command, argument):
        mem32[address] = command
        mem32[address] = argument
        while mem32[address] & _READY != _READY:
            pass
        mem32[address] = _READ
