"""Images of the application on the virtual board: regions of its NOR flash behind the littlefs, read in place."""

import uctypes
import vfs

from meter.board.qemu_flash import BANK, ERASE_SECTOR, SECTOR_BYTES, SECTORS, Flash

FOLDER = "/image"
_SECTORS = 2
_WORD_BYTES = 4


class Image:
    """What is in *slot*, 0 or 1."""

    sector_bytes = SECTOR_BYTES
    capacity = _SECTORS * SECTOR_BYTES

    def __init__(self, slot):
        self._first = SECTORS + slot * _SECTORS
        self._flash = Flash()

    def prepare(self, offset):
        """Do nothing: there is no more to a slot than its bytes."""

    def write(self, offset, data):
        """Program *data* at *offset*; a sector is erased when its first byte is written."""
        sector, within = divmod(offset, SECTOR_BYTES)
        if within == 0:
            self._flash.ioctl(ERASE_SECTOR, self._first + sector)
        padding = b"\xff" * (-len(data) % _WORD_BYTES)
        self._flash.writeblocks(self._first + sector, data + padding, within)

    def read(self, offset, count):
        """Return up to *count* bytes from *offset* on."""
        return bytes(self._memory()[offset : offset + count])

    def mount(self):
        """Make the files readable where they lie; return the folder to import from."""
        vfs.mount(vfs.VfsRom(self._memory()), FOLDER)
        return FOLDER

    def _memory(self):
        return memoryview(uctypes.bytearray_at(BANK + self._first * SECTOR_BYTES, self.capacity))
