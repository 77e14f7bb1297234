"""Images of the application on an ESP32: the two halves of the partition `romfs`, read in place.

Stock builds of MicroPython 1.25 have no ROMFS; `firmware/esp32/README.md` says how to build one that has. Without it
the meter runs as it was delivered, and no update can be taken.
"""

import errno

import vfs

SECTOR_BYTES = 4096
FOLDER = "/image"

_COUNT, _ERASE = 4, 6  # of `vfs.AbstractBlockDev.ioctl`
_SEGMENT = 2  # of `vfs.rom_ioctl`
_MISSING = "this MicroPython has no ROMFS, or no partition romfs: see firmware/esp32/README.md"


class Image:
    """What is in half *slot*, 0 or 1, of the partition."""

    sector_bytes = SECTOR_BYTES

    def __init__(self, slot):
        self._device = _device()
        sectors = self._device.ioctl(_COUNT, 0) // 2 if self._device else 0
        self.capacity = sectors * SECTOR_BYTES
        self._first = slot * sectors

    def prepare(self, offset):
        """Do nothing: there is no more to a half than its bytes."""
        self._require()

    def write(self, offset, data):
        """Program *data* at *offset*; a sector is erased when its first byte is written."""
        self._require()
        sector, within = divmod(offset, SECTOR_BYTES)
        if offset + len(data) > self.capacity or within + len(data) > SECTOR_BYTES:
            raise OSError(errno.EINVAL)
        if within == 0:
            self._device.ioctl(_ERASE, self._first + sector)
        self._device.writeblocks(self._first + sector, data, within)

    def read(self, offset, count):
        """Return up to *count* bytes from *offset* on."""
        self._require()
        found = bytearray(max(0, min(count, self.capacity - offset)))
        self._device.readblocks(self._first, found, offset)
        return bytes(found)

    def mount(self):
        """Make the files readable where they lie; return the folder to import from."""
        self._require()
        start = self._first * SECTOR_BYTES
        half = memoryview(self._device)[start : start + self.capacity]
        vfs.mount(vfs.VfsRom(half), FOLDER)
        return FOLDER

    def _require(self):
        if self._device is None:
            raise OSError(errno.ENODEV, _MISSING)


def _device():
    """Return the partition, which can be read as memory too; None where there is none."""
    found = vfs.rom_ioctl(_SEGMENT, 0) if hasattr(vfs, "rom_ioctl") else -errno.ENODEV
    return None if isinstance(found, int) else found
