"""The chip that all fakes share, and what surrounds it: flash, air, cable, wires."""

import time

ERASED = 0xFF
BLOCK_BYTES = 4096


class PowerCutError(Exception):
    """The power went in the middle of a flash operation."""


class ResetError(Exception):
    """The chip was reset by itself: `machine.reset()` does not come back."""


class Air:
    """What the radio can hear: one access point. Association and DHCP take their time."""

    def __init__(self) -> None:
        self.ssid = "campus"
        self.password = "long enough"
        self.is_there = True
        self.has_dhcp = True
        self.associate_ms = 60
        self.dhcp_ms = 40


class Cable:
    """What is in the Ethernet socket."""

    def __init__(self) -> None:
        self.is_in = True
        self.has_dhcp = True
        self.has_phy = True
        self.link_ms = 60
        self.dhcp_ms = 40


class Part:
    """One line of a partition table."""

    def __init__(self, label: str, kind: int, subtype: int, address: int, size: int) -> None:
        self.label = label
        self.kind = kind
        self.subtype = subtype
        self.address = address
        self.size = size


class Flash:
    """NOR flash in the file *path*: an erasure sets ones, by the block; a program clears bits and sets none.

    `operations` counts both; at number `cut_at` the power goes with the first half done.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, "r+b", buffering=0)  # open as long as the chip is
        self.operations = 0
        self.cut_at = -1

    def read_into(self, address: int, buffer: bytearray) -> None:
        """Fill *buffer*."""
        self._file.seek(address)
        self._file.readinto(buffer)

    def fill_with_ones(self) -> None:
        """Make it as the factory delivers it."""
        size = self._file.seek(0, 2)
        self._file.seek(0)
        for _ in range(size // BLOCK_BYTES):
            self._file.write(bytes([ERASED]) * BLOCK_BYTES)

    def erase(self, address: int) -> None:
        """Erase the block at *address*."""
        self._do(address, bytes([ERASED]) * BLOCK_BYTES)

    def program(self, address: int, data: bytes) -> None:
        """Clear the bits that are zero in *data*."""
        before = bytearray(len(data))
        self.read_into(address, before)
        is_erased = before == bytes([ERASED]) * len(data)
        self._do(address, bytes(data) if is_erased else bytes([old & new for old, new in zip(before, data)]))

    def _do(self, address: int, after: bytes) -> None:
        is_cut = self.operations == self.cut_at
        self.operations += 1
        self._file.seek(address)
        self._file.write(after[: len(after) // 2] if is_cut else after)
        if is_cut:
            raise PowerCutError("flash operation " + str(self.operations))


class Chip:
    """One ESP32. `ttys` says which tty each UART is wired to, `turning` the pin of its RS-485 transceiver, if any."""

    def __init__(self) -> None:
        self.model = "ESP32"
        self.air = Air()
        self.cable = Cable()
        self.flash = None
        self.parts = []
        self.ttys = {}
        self.turning = {}
        self.levels = {}  # pin -> its level, where it is an output
        self.has_romfs = True
        self.radio_is_on = False
        self.noise = []  # of each draw of random bytes: whether the radio was on
        self.resets = 0
        self.clock_offset_us = 0  # what was set is this much ahead of the host's clock
        self.is_ctrl_c_pressed = False  # at its console; `heed_console` is where the program notices

    def insert_flash(self, path: str, table: str) -> None:
        """Give the chip the flash in file *path* with the partition table in file *table*."""
        self.flash = Flash(path)
        with open(table) as lines:
            self.parts = [part for part in [_part(line) for line in lines] if part]

    def heed_console(self) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed.

        The chip raises it between any two bytecodes, never in the midst of native code, as MicroPython's unix port does
        at SIGINT. Here it is raised in a call that a running meter makes many times a second.
        """
        if self.is_ctrl_c_pressed:
            self.is_ctrl_c_pressed = False
            raise KeyboardInterrupt


def now_ms() -> int:
    """Return the host's time: what passes on the chip passes there."""
    return time.time_ns() // 1_000_000


def _part(line: str):  # a Part or None
    values = [value.strip() for value in line.split(",")]
    if line.startswith("#") or len(values) < 5:
        return None
    subtypes = {"nvs": 2, "phy": 1, "factory": 0, "fat": 0x81}
    subtype = subtypes[values[2]] if values[2] in subtypes else int(values[2], 16)
    return Part(values[0], {"app": 0, "data": 1}[values[1]], subtype, int(values[3], 16), int(values[4], 16))


CHIP = Chip()
