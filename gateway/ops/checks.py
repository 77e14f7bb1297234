"""The checks of `campusgrid doctor`: each looks at one thing and says how it is, why, and what mends it."""

from __future__ import annotations

import ctypes
import shutil
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Final

from cryptography import x509

import gateway
from gateway.errors import GatewayError
from gateway.ops import disk
from gateway.settings import BrokerSettings, GatewaySettings, load_gateway, read_key

CONNECT_TIMEOUT_S: Final = 3.0
EXPIRY_WARNING_DAYS: Final = 30
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES: Final = 256
_CACHE: Final = Path(gateway.__file__).resolve().parents[1] / ".cache"


class Severity(IntEnum):
    """How bad a finding is; the worst one is the command's exit code."""

    WELL = 0
    WARNING = 1
    FAULT = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `mend` is the command or step that mends it, empty where all is well."""

    check: str
    severity: Severity
    text: str
    mend: str = ""


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
    if free < disk.MIN_FREE_BYTES:
        return Finding(
            "disk", Severity.FAULT, f"{text}; the gateway stops acknowledging when it is full", "free some space"
        )
    if free < disk.LOW_FREE_BYTES:
        return Finding("disk", Severity.WARNING, text, "free some space")
    return Finding("disk", Severity.WELL, text)


def check_gateway(config: Path) -> Iterator[Finding]:
    """Yield what is wrong with a gateway's files, disk, certificate and neighbours."""
    try:
        settings = load_gateway(config)
        for key in (settings.receipt_key, settings.ledger.key):
            read_key(key)
    except GatewayError as error:
        yield Finding("configuration", Severity.FAULT, str(error), f"campusgrid gateway config check --config {config}")
        return
    yield Finding("configuration", Severity.WELL, str(config))
    yield check_disk(settings.store.parent)
    yield check_broker(settings.broker)
    yield check_ledger(settings)


def check_broker(settings: BrokerSettings) -> Finding:
    """Whether the broker answers with a certificate of the campus that is valid for long enough."""
    where = f"{settings.host}:{settings.port}"
    try:
        context = ssl.create_default_context(cafile=str(settings.ca))
        with (
            socket.create_connection((settings.host, settings.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as secure,
        ):
            certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except (OSError, ValueError) as error:
        return Finding(
            "broker", Severity.FAULT, f"{where} does not answer: {error}", "start mosquitto, then look at its log"
        )
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if days < EXPIRY_WARNING_DAYS:
        return Finding("broker", Severity.WARNING, f"{where}: its certificate ends in {days} days", "issue a new one")
    return Finding("broker", Severity.WELL, f"{where} answers; its certificate holds for {days} days")


def check_ledger(settings: GatewaySettings) -> Finding:
    """Whether the ledger's nodes can be reached."""
    away = [url for url in settings.ledger.urls if not _is_open(url)]
    total = len(settings.ledger.urls)
    if not away:
        return Finding("ledger", Severity.WELL, f"{total} of {total} nodes can be reached")
    severity = Severity.FAULT if len(away) == total else Severity.WARNING
    text = f"{len(away)} of {total} nodes cannot be reached: {', '.join(away)}"
    return Finding("ledger", severity, text, "campusgrid ledger run --config node.toml, at the authority")


def _is_open(url: str) -> bool:
    host, _, port = url.rpartition("://")[2].rstrip("/").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False
