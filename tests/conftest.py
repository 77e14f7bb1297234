"""What every test may ask for: the real tools, free ports, patience that suits a shared machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from provisioning.toolchain.browser import find_chromium
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd

pytest_plugins = ["tests.demo_run"]

# An example may take as long as the machine needs: the test's own timeout is what ends it.
settings.register_profile("campusgrid", deadline=None)
settings.load_profile("campusgrid")


@pytest.fixture(scope="session")
def micropython() -> Path:
    """Return the MicroPython that runs the firmware; without one the test fails and names the command."""
    return find_micropython()


@pytest.fixture(scope="session")
def mosquitto() -> Path:
    """Return the broker's executable."""
    return find_mosquitto()


@pytest.fixture(scope="session")
def mosquitto_passwd() -> Path:
    """Return the executable that hashes the broker's password file."""
    return find_mosquitto_passwd()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the browser's executable."""
    return find_chromium()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that names a TCP port of the loopback interface that was free a moment ago."""
    return _free_port


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
