"""What every test may ask for: the real tools, patience that suits a shared machine. And what a run ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx._config import DEFAULT_TIMEOUT_CONFIG
from hypothesis import settings

from provisioning.toolchain.browser import find_chromium
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto, find_mosquitto_passwd
from provisioning.toolchain.softhsm import find_softhsm
from tests import parts
from tests.firmware import summary

pytest_plugins = ["tests.demo_run", "tests.order"]

# An example, and a request, may take as long as the machine needs: the test's own timeout is what ends it.
settings.register_profile("campusgrid", deadline=None)
settings.load_profile("campusgrid")
for _part in ("connect", "read", "write", "pool"):
    setattr(DEFAULT_TIMEOUT_CONFIG, _part, 50.0)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show what was tried on the firmware, and what each part of the product cost.

    The process where the reports of all workers come together reads no conftest of a folder: it is done here for all.
    """
    found = terminalreporter.stats
    reports = [report for kind in found.values() for report in kind]
    workers = config.getoption("numprocesses", None) or 1
    for title, told in (
        ("what was tried on the firmware", list(summary.lines(found.get("passed", [])))),
        ("what each part took", list(parts.lines(reports, workers))),
    ):
        if told:
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(told))


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
def softhsm() -> Path:
    """Return the library of the PKCS#11 token in software."""
    return find_softhsm()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Return the browser's executable."""
    return find_chromium()
