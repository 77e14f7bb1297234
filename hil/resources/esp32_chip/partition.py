"""The module `esp32` (ports/esp32/esp32_partition.c), and `rom_ioctl` of `vfs`, which gives the partition `romfs`."""

from .chip import BLOCK_BYTES, CHIP

EINVAL = 22
ENOENT = 2
_COUNT, _SIZE, _ERASE = 4, 5, 6
_SEGMENTS, _SEGMENT = 1, 2


class Partition:
    """A partition of the chip's flash as a block device. Only a write without an offset erases first."""

    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, label: str, block_size: int = BLOCK_BYTES) -> None:
        found = [part for part in CHIP.parts if part.label == label]
        if not found:
            raise OSError(ENOENT)
        self._attach(found[0], block_size)

    @staticmethod
    def find(type: int = 0, subtype: int = 0xFF, label=None, block_size: int = BLOCK_BYTES) -> list:
        """Return the partitions that fit, none where none does."""
        return [
            Partition(part.label, block_size)
            for part in CHIP.parts
            if part.kind == type and subtype in (0xFF, part.subtype) and label in (None, part.label)
        ]

    def info(self) -> tuple:
        """Return (type, subtype, address, size, label, encrypted)."""
        part = self._part
        return part.kind, part.subtype, part.address, part.size, part.label, False

    def readblocks(self, block: int, buffer: bytearray, offset: int = 0) -> None:
        """Fill *buffer*; raises OSError beyond the end."""
        CHIP.flash.read_into(self._address(block, offset, len(buffer)), buffer)

    def writeblocks(self, block: int, data: bytes, offset=None) -> None:
        """Program *data*, erasing first where no *offset* is given."""
        address = self._address(block, offset or 0, len(data))
        if offset is None:
            if len(data) % BLOCK_BYTES:
                raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
            for start in range(0, len(data), BLOCK_BYTES):
                CHIP.flash.erase(address + start)
        CHIP.flash.program(address, data)
        self._changed(address, len(data))

    def ioctl(self, operation: int, argument: int):
        """Answer as `vfs.AbstractBlockDev` says; nothing for what is unknown."""
        if operation == _COUNT:
            return self._part.size // self._block_size
        if operation == _SIZE:
            return self._block_size
        if operation == _ERASE:
            if self._block_size != BLOCK_BYTES:
                return -EINVAL
            address = self._address(argument, 0, BLOCK_BYTES)
            CHIP.flash.erase(address)
            self._changed(address, BLOCK_BYTES)
            return 0
        return 0 if operation in (1, 2, 3) else None

    def _attach(self, part, block_size: int) -> None:
        self._part = part
        self._block_size = block_size

    def _address(self, block: int, offset: int, count: int) -> int:
        start = block * self._block_size + offset
        if start + count > self._part.size:
            raise OSError(-0x104, "ESP_ERR_INVALID_SIZE")
        return self._part.address + start

    def _changed(self, address: int, count: int) -> None:
        """Follow a change of the flash; here nothing looks at it through memory."""


def _rom_methods(rom, part):
    """Return a Partition for *part* whose changes show in *rom*."""

    class Mapped(Partition):
        def __init__(self) -> None:
            self._attach(part, BLOCK_BYTES)

        def _changed(self, address: int, count: int) -> None:
            view = bytearray(count)
            CHIP.flash.read_into(address, view)
            rom[address - part.address : address - part.address + count] = view

    return Mapped()


class RomPartition(bytearray):
    """What `vfs.rom_ioctl(2, 0)` gives: a partition that can also be read as memory."""

    def readblocks(self, *arguments) -> None:
        """See Partition."""
        self.device.readblocks(*arguments)

    def writeblocks(self, *arguments) -> None:
        """See Partition."""
        self.device.writeblocks(*arguments)

    def ioctl(self, *arguments):
        """See Partition."""
        return self.device.ioctl(*arguments)

    def info(self) -> tuple:
        """See Partition."""
        return self.device.info()


_rom = []


def rom_ioctl(operation: int, *_: int):
    """Answer as a build with MICROPY_VFS_ROM_IOCTL does."""
    found = [part for part in CHIP.parts if part.label == "romfs"]
    if operation == _SEGMENTS:
        return len(found)
    if operation != _SEGMENT or not found:
        return -EINVAL
    if not _rom:
        rom = RomPartition(found[0].size)
        rom.device = _rom_methods(rom, found[0])
        rom.device._changed(found[0].address, found[0].size)
        _rom.append(rom)
    return _rom[0]
