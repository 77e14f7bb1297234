"""What the virtual campus needs on this machine, looked up before anything starts."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hil.errors import DemoError
from hil.ports import LOOPBACK
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd

ROOT: Final = Path(__file__).resolve().parents[1]
FIRMWARE: Final = ROOT / "firmware"
TRACE: Final = ROOT / "tests" / "data" / "traces" / "monash-2020-09.csv"


@dataclass(frozen=True, slots=True)
class Tools:
    """Executables, the firmware's folder and the measured trace."""

    micropython: Path
    mosquitto: Path
    mosquitto_passwd: Path
    campusgrid: Path
    firmware: Path
    trace: Path


def find() -> Tools:
    """Return the tools; raises ToolchainError or DemoError with the command that gets what is missing."""
    campusgrid = Path(sys.executable).with_name("campusgrid")
    needed = {campusgrid: "`make setup`", FIRMWARE / "meter" / "main.py": "a whole checkout", TRACE: "a whole checkout"}
    for path, remedy in needed.items():
        if not path.exists():
            raise DemoError(f"{path} is missing: it takes {remedy}")
    return Tools(find_micropython(), find_mosquitto(), find_mosquitto_passwd(), campusgrid, FIRMWARE, TRACE)


def require_free(port: int) -> None:
    """Raise DemoError where something listens on *port* already or the port may not be used."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise DemoError(f"port {port} cannot be used: {error.strerror}. Choose another with --port.") from error
