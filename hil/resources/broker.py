"""A real mosquitto as a child process, on the configuration that provisioning wrote."""

from __future__ import annotations

from pathlib import Path

from hil.resources.process import ChildProcess


def broker_process(mosquitto: Path, folder: Path) -> ChildProcess:
    """Return the broker of the folder with mosquitto.conf, not yet started."""
    return ChildProcess("broker", [mosquitto, "-c", folder / "mosquitto.conf"], folder / "broker.log")
