"""ESP32, ESP32-S3 and ESP32-C3 under MicroPython 1.25. Written from its sources and run against fakes that keep their
contracts (`hil/resources/esp32_chip/`); not yet run on silicon.

Each of the three directories that a journal takes lies in a partition of its own (`firmware/esp32/README.md`): flashing
one anew, or losing it, leaves the others as they are, the mark of used sequence numbers before all.
"""

import asyncio
import json
import os
import sys
import time

import machine

from meter.board import esp32_image, esp32_line, esp32_network, esp32_storage, esp32_watchdog, folder
from meter.board.datagram import exchange  # noqa: F401  part of a board's interface
from meter.board.esp32_line import open_uart  # noqa: F401
from meter.board.esp32_storage import journal_files  # noqa: F401
from meter.board.network import connect, connect_plain  # noqa: F401
from meter.errors import ConfigError

INTERPRETER = "micropython {} {}".format(
    ".".join([str(part) for part in sys.implementation.version[:3]]), os.uname()[4]
)
MAC_CHIP = "ESP32"
"""The one chip that has an Ethernet MAC, which a LAN8720 needs."""
CHIP = os.uname()[4].rpartition(" with ")[2]
TARGET = "esp32" if CHIP in ("ESP32", "ESP32S3") else "esp32c3"
"""What the images of this chip are compiled for: Xtensa or RISC-V."""
TRIAL_TIMER = 0

_EPOCH_S = 946_684_800 if time.gmtime(0)[0] == 2000 else 0  # where the build counts from, in Unix time


def prepare():
    """Mount the partitions. What is missing or damaged is for the Directory to tell that needs it."""
    esp32_storage.mount()


def check(settings):
    """Raise ConfigError where this board cannot do what *settings* (a config.Config) ask of it."""
    if settings.network is None:
        raise ConfigError("network must not be null here: the board brings it up itself")
    if settings.data_dir != esp32_storage.ROOT:
        raise ConfigError("data_dir must be {}: its partitions are mounted there".format(esp32_storage.ROOT))
    if not settings.time_servers:
        raise ConfigError("time_servers must not be empty here: nothing else keeps the time")
    if settings.network.kind == "lan8720" and CHIP != MAC_CHIP:
        raise ConfigError("network.kind lan8720 needs an ESP32: {} has no Ethernet MAC, take a w5500".format(CHIP))
    _check_pins(settings)
    if hasattr(settings.line, "baud"):
        open_uart(settings.line).close()
    try:
        open(settings.broker.ca, "rb").close()
    except OSError as error:
        raise ConfigError("cannot read broker.ca {}: {}".format(settings.broker.ca, error)) from None


def now_ms():
    """Return Unix time in milliseconds."""
    return time.time_ns() // 1_000_000 + 1000 * _EPOCH_S


def set_clock(now_ms):
    """Set the clock to the Unix time *now_ms*. It goes on through a reset, and is lost with the power.

    MicroPython's mbedtls compares a certificate's dates with it: before it is set no broker's is valid yet.
    """
    year, month, day, hour, minute, second = time.gmtime(now_ms // 1000 - _EPOCH_S)[:6]
    machine.RTC().datetime((year, month, day, 0, hour, minute, second, now_ms % 1000 * 1000))  # the weekday is ignored


def clock_state():
    """Return (whether anything keeps the clock in step, its estimated offset in ms): of itself nothing does."""
    return False, 0


def ticks_ms():
    """Return a millisecond count that no clock setting disturbs; only `ticks_since` makes sense of it."""
    return time.ticks_ms()


def ticks_since(start):
    """Return the milliseconds since `ticks_ms` gave *start*."""
    return time.ticks_diff(time.ticks_ms(), start)


def random_bytes(count):
    """Return *count* bytes of the chip's random source, to which the radio, where it is on, lends true noise."""
    return os.urandom(count)


def secret_bytes(count):
    """Return *count* bytes that a key may be made of: drawn with the radio on, whose noise makes them truly random."""
    with esp32_network.Radio():
        return os.urandom(count)


def emit(event):
    """Print *event* (a dict) as one JSON line.

    A UART sends it on by itself; a USB host that has stopped to read holds it up for 200 ms, once.
    """
    sys.stdout.write(json.dumps(event) + "\n")


async def keep_network(settings, report):
    """Bring up the network of *settings* (a config.Config) and keep it up; `report(text)` hears why it is not."""
    await esp32_network.keep(esp32_network.link_of(settings.network), random_bytes, emit, report)


def claim(path):
    """Return what holds folder *path* until it is closed; no other process could take it."""
    return _Claim()


class Directory(folder.Directory):
    """A folder of the flash."""

    def __init__(self, path):
        esp32_storage.require(path)
        super().__init__(path, folder.Disk())


def open_image(data_dir, slot, version):
    """Return the image in *slot*, whatever version it is of."""
    return esp32_image.Image(slot)


def restart():
    """Start anew, as after a power cut; does not come back."""
    machine.reset()


def limit_trial(seconds):
    """Reset the chip in so many *seconds*, if by then the watchdog has not; 0: not any more."""
    if seconds:
        machine.Timer(
            TRIAL_TIMER, mode=machine.Timer.ONE_SHOT, period=1000 * seconds, callback=lambda _: machine.reset()
        )
    else:
        machine.Timer(TRIAL_TIMER).deinit()


async def command_line_ended():
    """Never return: the board runs until its power is cut, or somebody at its console presses Ctrl-C."""
    await asyncio.Event().wait()


def watchdog(timeout_s):
    """Return the chip's watchdog, started; nothing can stop it."""
    return esp32_watchdog.ChipWatchdog(timeout_s)


class _Claim:
    def close(self):
        """Do nothing."""


def _check_pins(settings):
    """Raise ConfigError where two wires would share a pin."""
    uses = []
    if hasattr(settings.line, "baud"):
        port = esp32_line.parse(settings.line.path)
        uses += [("line.path's " + name, getattr(port, name)) for name in ("tx", "rx", "de")]
    for name in ("mdc", "mdio", "ref_clk", "power", "reset", "sck", "mosi", "miso", "cs", "int"):
        uses.append(("network." + name, getattr(settings.network, name, None)))
    taken = {}
    for use, pin in uses:
        if pin in taken:
            raise ConfigError("pin {} is {} and {}: each needs its own".format(pin, taken[pin], use))
        if pin is not None:
            taken[pin] = use
