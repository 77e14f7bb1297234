"""The flash of an ESP32: which partitions the meter has, and how much a journal may take."""

import esp32

from meter.board import littlefs
from meter.errors import ConfigError

ROOT = "/data"
PLACES = (("journal", ROOT + "/journal"), ("archive", ROOT + "/archive"), ("state", ROOT))
"""Partitions and where they are mounted; of two that fit a path MicroPython takes the one that was mounted first."""

_COUNT = 4  # of `vfs.AbstractBlockDev.ioctl`
_BLOCKS_OF_FILES = (16, 3)
"""In so many blocks of 4 KB so many files of 16 KB: one takes five, and names and what is written anew take room."""

_faults = {}


def mount():
    """Mount the partitions; one that cannot be is left alone until the next start, and `require` says why."""
    for label, path in PLACES:
        try:
            found = partition(label)
            _mount(found, label, path)
        except (ConfigError, OSError) as error:
            _faults[path] = error


def _mount(device, label, path):
    try:
        littlefs.mount(device, path)
    except OSError as error:
        _, _, address, size = device.info()[:4]
        raise OSError(
            error.errno,
            "the file system of partition {} is damaged; `esptool erase_region {:#x} {:#x}` gives it up".format(
                label, address, size
            ),
        ) from None


def require(path):
    """Raise what stands in the way of using folder *path*: ConfigError or OSError."""
    for _, place in PLACES:
        if path == place or path.startswith(place + "/"):
            if place in _faults:
                raise _faults[place]
            return


def partition(label):
    """Return the partition *label*; raises ConfigError."""
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
    if not found:
        raise ConfigError("no partition {} in the flash: write the table of firmware/esp32 to it".format(label))
    return found[0]


def journal_files():
    """Return how many files the journal's partition holds."""
    blocks, files = _BLOCKS_OF_FILES
    return partition("journal").ioctl(_COUNT, 0) * files // blocks
