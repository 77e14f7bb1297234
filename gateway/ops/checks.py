"""The checks of `campusgrid doctor`: each looks at one thing and says how it is, why, and what mends it."""

from __future__ import annotations

import ctypes
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import gateway
from gateway.errors import GatewayError
from gateway.genesis import read_genesis
from gateway.ops import clock, custody, disk, entrance, neighbours, service
from gateway.ops.configuration import find_faults
from gateway.ops.finding import Finding, Severity
from gateway.roster import read_roster
from gateway.settings import load_gateway

_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 256
_CACHE: Final = Path(gateway.__file__).resolve().parents[1] / ".cache"


def run_checks(config: Path | None) -> list[Finding]:
    """Return the findings about this machine and, if *config* is given, about the gateway that it describes."""
    folder = config.parent if config is not None else Path.cwd()
    machine: list[Callable[[], Finding]] = [
        check_python,
        lambda: check_tool("micropython", "make micropython"),
        lambda: check_tool("mosquitto", "make mosquitto"),
        check_clock,
        lambda: check_disk(folder),
    ]
    findings = [check() for check in machine]
    if config is not None:
        findings += check_gateway(config)
    return findings


def check_python() -> Finding:
    """Whether this interpreter can run campusgrid."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11) or struct.calcsize("P") != 8:
        text = f"Python {version} is too old or not 64-bit"
        return Finding("python", Severity.FAULT, text, "install Python 3.11 or newer")
    return Finding("python", Severity.WELL, f"Python {version}, 64-bit")


def check_tool(name: str, mend: str) -> Finding:
    """Whether the program *name* is installed or unpacked in the project's cache."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    cached = _CACHE / name / name
    if found or cached.is_file():
        return Finding(name, Severity.WELL, found or str(cached))
    return Finding(name, Severity.WARNING, f"{name} is neither installed nor in {_CACHE}", mend)


def check_clock() -> Finding:
    """Whether the kernel holds the clock to be synchronised."""
    answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if answer < 0:
        return Finding("clock", Severity.WARNING, "the kernel does not tell whether the clock is synchronised")
    if answer == _TIME_ERROR:
        text = "the clock is not synchronised; a reading's time cannot be judged"
        return Finding("clock", Severity.WARNING, text, "timedatectl set-ntp true")
    return Finding("clock", Severity.WELL, "synchronised")


def check_disk(folder: Path) -> Finding:
    """Whether the file system of *folder* has room."""
    free = disk.free_bytes(folder)
    text = f"{free // 2**20} MiB free at {folder}"
    mount = disk.mount_of(folder)
    mend = f"du -xh {mount} | sort -h | tail -30; then remove what can go, or lower retention.raw_days"
    if free < disk.MIN_FREE_BYTES:
        return Finding("disk", Severity.FAULT, f"{text}; when it is full the gateway acknowledges nothing", mend)
    if free < disk.LOW_FREE_BYTES:
        return Finding("disk", Severity.WARNING, text, mend)
    return Finding("disk", Severity.WELL, text)


def check_gateway(config: Path) -> Iterator[Finding]:
    """Yield what is wrong with a gateway's files, disk, clock, custody of what it took in, and neighbours."""
    mend = f"campusgrid gateway config check --config {config}"
    try:
        settings = load_gateway(config)
    except GatewayError as error:
        yield from (Finding("configuration", Severity.FAULT, fault, mend) for fault in str(error).splitlines())
        return
    if faults := find_faults(settings):
        yield from (Finding("configuration", Severity.FAULT, fault, mend) for fault in faults)
        return
    genesis, roster = read_genesis(settings), read_roster(settings.roster)
    yield Finding("configuration", Severity.WELL, str(config))
    yield from service.check_gateway(settings.api)
    yield check_disk(settings.store.parent)
    yield clock.check_offset(settings.clock.time_servers, settings.ledger.urls, settings.epoch_s)
    yield from custody.check_store(settings, config, genesis, roster)
    yield custody.check_backup(settings, config)
    yield from entrance.check_entrance(settings.api, settings.store)
    yield from neighbours.check_broker(settings.broker)
    yield from neighbours.check_ledger(settings.ledger.urls, genesis)
