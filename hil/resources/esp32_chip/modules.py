"""Puts the fakes in the place of MicroPython's modules, before the firmware's board is imported."""

import os
import sys
import time

from . import partition, radio, wires
from .chip import CHIP

EPOCH_S = 946_684_800  # 2000-01-01, from where an ESP32 counts


def install() -> None:
    """Let `import machine` and the others find the fakes."""
    sys.modules["sys"] = _Overlay(sys, {"platform": "esp32"})
    sys.modules["machine"] = wires
    sys.modules["network"] = radio
    sys.modules["esp32"] = partition
    sys.modules["time"] = _Overlay(time, {"time": _time, "time_ns": _time_ns, "gmtime": _gmtime})
    sys.modules["os"] = _Overlay(os, {"urandom": _urandom, "uname": _uname})
    if sys.implementation.name == "micropython":
        import vfs

        names = {"rom_ioctl": partition.rom_ioctl} if CHIP.has_romfs else {}
        sys.modules["vfs"] = _Overlay(vfs, names)
    else:
        sys.modules["vfs"] = None


class _Overlay:
    """A module, some of whose names are others."""

    def __init__(self, module, names: dict) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str):
        if name in self._names:
            return self._names[name]
        return getattr(self._module, name)


def _time_ns() -> int:
    return time.time_ns() + 1000 * CHIP.clock_offset_us - EPOCH_S * 1_000_000_000


def _time() -> int:
    return _time_ns() // 1_000_000_000


def _gmtime(*seconds: int) -> tuple:
    moment = time.gmtime((seconds[0] if seconds else _time()) + EPOCH_S)
    return tuple(moment)[:8]


def _uname() -> tuple:
    return "esp32", "esp32", "1.25.0", "v1.25.0 on 2025-04-15", "Generic " + CHIP.model + " module with " + CHIP.model


def _urandom(count: int) -> bytes:
    CHIP.noise.append(CHIP.radio_is_on)
    return os.urandom(count)
