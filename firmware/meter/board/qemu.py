"""The virtual 32-bit board: MicroPython's `ports/qemu` on QEMU's riscv32 `virt` machine. For tests, never for a mount.

It has no network and no source of randomness: its random bytes are a hash of what `seed_random` was given, or the file
/seed holds, and a count, so that a test repeats. Its RS-485 line is a `pci-serial` (a 16550, first device on the bus);
time is the CLINT's.
"""

import asyncio
import errno
import json
import os
import time
from hashlib import sha256

from machine import mem8, mem32

from meter.board import folder, qemu_flash, qemu_image
from meter.board.watchdog import Watchdog
from meter.errors import ConfigError

INTERPRETER = "micropython qemu rv32imac"
TARGET = "qemu"
SEED = "/seed"
LINE = "pci-serial"
"""The one line that it has, by name."""

_CONFIGURATION = 0x30000000 + (1 << 15)  # ECAM of bus 0, device 1
_IDENTITY, _COMMAND, _BAR0 = 0x00, 0x04, 0x10
_PCI_SERIAL = 0x0002_1B36
_IO_ENABLED = 1
_PORT = 0x1000
_UART = 0x03000000 + _PORT  # where the machine shows the bus's ports
_DATA, _DIVISOR_HIGH, _FIFO, _LINE, _STATUS = 0, 1, 2, 3, 5
_DIVISOR_ACCESS, _EIGHT_BITS, _TWO_STOP_BITS = 0x80, 3, 4
_RECEIVED, _MAY_SEND = 0x01, 0x20
_PARITIES = {"none": 0, "odd": 0x08, "even": 0x18}
_CLOCK_BAUD = 115200
_random = [b"", 0]


def prepare():
    """Mount the flash."""
    qemu_flash.mount("/")
    if not _random[0] and SEED[1:] in os.listdir("/"):
        with open(SEED, "rb") as file:
            seed_random(file.read())


def check(settings):
    """Raise ConfigError where *settings* (a config.Config) want a network, which this board has not."""
    if settings.network is not None:
        raise ConfigError("network must be null here: the virtual board has none")


def now_ms():
    """Return Unix time in milliseconds, as far as `time.set_ms` told it."""
    return time.time_ns() // 1_000_000


def clock_state():
    """Return (whether anything keeps the clock in step, its estimated offset in ms): here nothing does."""
    return False, 0


def set_clock(now_ms):
    """Set the board's own clock to the Unix time *now_ms*."""
    time.set_ms(now_ms)


def ticks_ms():
    """Return a millisecond count that no clock setting disturbs; only `ticks_since` makes sense of it."""
    return time.ticks_ms()


def ticks_since(start):
    """Return the milliseconds since `ticks_ms` gave *start*."""
    return time.ticks_diff(time.ticks_ms(), start)


def seed_random(secret):
    """Take *secret* (bytes) as what all random bytes follow from."""
    _random[:] = [secret, 0]


def random_bytes(count):
    """Return *count* bytes that nobody foresees who does not know what `seed_random` was given."""
    if not _random[0]:
        raise ConfigError("the virtual board has no random source: call seed_random() first")
    found = b""
    while len(found) < count:
        _random[1] += 1
        found += sha256(_random[0] + _random[1].to_bytes(8, "big")).digest()
    return found[:count]


secret_bytes = random_bytes


def emit(event):
    """Print *event* (a dict) as one JSON line."""
    print(json.dumps(event))


def claim(path):
    """Return an open file in folder *path*; no other process could hold it."""
    return open(path + "/lock", "ab")  # noqa: SIM115  open as long as the meter runs


class Directory(folder.Directory):
    """A folder of the flash."""

    def __init__(self, path):
        super().__init__(path, folder.Disk())


def journal_files():
    """Return how many files a journal may have: each takes a sector at least."""
    return qemu_flash.SECTORS * 3 // 4


async def connect(host, port, authority_path, timeout_s):
    """Raise OSError: the board has no network."""
    raise OSError(errno.EHOSTUNREACH)


async def connect_plain(host, port, timeout_s):
    """Raise OSError: the board has no network."""
    raise OSError(errno.EHOSTUNREACH)


async def exchange(host, port, question, is_answer, timeout_s, count_ms):
    """Raise OSError: the board has no network."""
    raise OSError(errno.EHOSTUNREACH)


async def command_line_ended():
    """Never return: the board runs until its power is cut."""
    await asyncio.Event().wait()


def watchdog(timeout_s):
    """Return a watchdog that bites nobody."""
    return Watchdog(timeout_s)


def open_image(data_dir, slot, version):
    """Return the image in *slot*, whatever version it is of."""
    return qemu_image.Image(slot)


def limit_trial(seconds):
    """Do nothing: whoever runs the board cuts its power."""


def restart():
    """End the program: whoever runs the board boots it anew."""
    raise SystemExit


def open_uart(settings):
    """Return the serial line with the speed, parity and stop bits of *settings* (a config.Line)."""
    return Uart(settings)


class Uart:
    """A 16550 behind PCI, polled: `read` gives what has come, possibly nothing, and never waits."""

    def __init__(self, settings):
        if mem32[_CONFIGURATION + _IDENTITY] != _PCI_SERIAL:
            raise OSError(19, "no pci-serial is the first device of the virtual board's bus")
        mem32[_CONFIGURATION + _BAR0] = _PORT | 1
        mem32[_CONFIGURATION + _COMMAND] = _IO_ENABLED
        line = _EIGHT_BITS | _PARITIES[settings.parity] | (_TWO_STOP_BITS if settings.stop_bits == 2 else 0)
        divisor = _CLOCK_BAUD // settings.baud
        mem8[_UART + _LINE] = _DIVISOR_ACCESS | line
        mem8[_UART + _DATA] = divisor & 0xFF
        mem8[_UART + _DIVISOR_HIGH] = divisor >> 8
        mem8[_UART + _LINE] = line
        mem8[_UART + _FIFO] = 0x07  # on, and emptied

    def read(self, count):
        """Return up to *count* bytes."""
        found = bytearray()
        while len(found) < count and mem8[_UART + _STATUS] & _RECEIVED:
            found.append(mem8[_UART + _DATA])
        return bytes(found)

    def write(self, data):
        """Send *data*."""
        for byte in data:
            while not mem8[_UART + _STATUS] & _MAY_SEND:
                pass
            mem8[_UART + _DATA] = byte

    def close(self):
        """Let go of the line: the next `open_uart` sets it up anew."""
