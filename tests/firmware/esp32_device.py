"""An ESP32 of contract fakes as a process under real MicroPython, its flash a file that outlives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provisioning.toolchain.micropython import find_micropython
from tests.firmware.device import EVENT_LIMIT_S, Device, Event, configuration

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("esp32_script.py")
TABLE = ROOT / "firmware/esp32/partitions-4MiB.csv"
PATHS = [str(ROOT / "firmware"), str(ROOT / "hil/resources")]
FLASH_BYTES = 4 * 1024 * 1024
DIRECTION_PIN = 4
RESET = 75
"""Status with which the process ends when the chip resets itself."""
WIFI = {"kind": "wifi", "ssid": "campus", "password": "long enough", "hostname": "meter-1"}
LINE = {"path": f"uart1:tx=17,rx=16,de={DIRECTION_PIN}", "baud": 9600, "parity": "none", "stop_bits": 1}

NOBODY = "127.0.0.1:9"
"""A time server that there is not: the chip's own clock is held over."""


class Esp32(Device):
    """Like a Device, but on the board of an ESP32. `setup` is Python that the chip's surroundings are made with."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self._changes = {"line": LINE, "network": WIFI, "data_dir": "/data", "time_servers": [NOBODY]} | changes
        super().__init__(folder, **self._changes)
        self.setup = ""
        self.flash = folder / "flash"
        self.flash.write_bytes(b"\xff" * FLASH_BYTES)

    def configure(self, **changes: Any) -> None:
        """Write its configuration anew, with *changes*."""
        self._changes |= changes
        self.config.write_text(json.dumps(configuration(**self._changes)))

    def run_command(self) -> list[Any]:
        """Return the command by which it gets power."""
        arguments = {
            "paths": PATHS, "flash": str(self.flash), "table": str(TABLE), "tty": str(self.folder / "tty"),
            "turning": DIRECTION_PIN, "config": str(self.config), "setup": self.setup,
        }  # fmt: skip
        surroundings = self.folder / "chip.json"  # an argument of MicroPython has 255 bytes at most
        surroundings.write_text(json.dumps(arguments))
        return [find_micropython(), "-X", "heapsize=16m", SCRIPT, surroundings]

    def stop(self) -> Event:
        """Press Ctrl-C at its console; return the `stopped` event."""
        assert self._process
        self.surround("CHIP.is_ctrl_c_pressed = True")
        stopped = self.wait_for(lambda event: event["event"] == "stopped")
        assert self._process.wait(EVENT_LIMIT_S) == 0
        return stopped

    def wait_for_reset(self) -> None:
        """Come back when it has reset itself."""
        assert self._process
        assert self._process.wait(EVENT_LIMIT_S) == RESET

    def surround(self, source: str) -> None:
        """Change what surrounds the running chip: one line of Python, with CHIP and board at hand."""
        self.say(source)
