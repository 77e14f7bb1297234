"""How far this machine's clock is off, by NTP where servers are configured, else by the ledger nodes' answers.

The limits follow PTB-A 50.8: an alarm from 2 s on; beyond 1 % of the measuring period (9 s of 900 s) nothing may be
billed by this clock.
"""

from __future__ import annotations

import secrets
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from gateway.ops.finding import Finding, Severity

ALARM_S: Final = 2.0
BILLING_SHARE: Final = 0.01
TIMEOUT_S: Final = 3.0
SAMPLE_S: Final = 1.2
"""For how long a node is asked for its time: its whole seconds turn over within it."""
SAMPLE_PAUSE_S: Final = 0.1
DATE_WIDTH_S: Final = 2.1
"""A Date header is cut to whole seconds and up to one second old."""
NTP_PORT: Final = 123
_NTP_BYTES: Final = 48
_NTP_EPOCH_S: Final = 2_208_988_800
_CLIENT: Final = 0x23
_SERVER_MODE: Final = 4

_SET: Final = "timedatectl set-ntp true; systemctl restart systemd-timesyncd"


def check_offset(time_servers: Sequence[str], ledger_urls: Sequence[str], epoch_s: int) -> Finding:
    """Whether the clock is right, by the median of those who can be asked."""
    offsets, whose = list(_answers(ask_ntp, time_servers)), "time servers"
    if not offsets:
        offsets, whose = list(_answers(ask_node, ledger_urls)), "ledger nodes"
    if not offsets:
        text = "neither a time server nor a ledger node tells the time"
        return Finding("clock offset", Severity.WARNING, text, "name a server in clock.time_servers of gateway.toml")
    return judge(statistics.median(offsets), f"by {len(offsets)} {whose}", epoch_s)


def judge(offset_s: float, source: str, epoch_s: int) -> Finding:
    """Return the finding about a clock that is ahead by *offset_s*."""
    text = f"the clock is {abs(offset_s):.1f} s {'ahead' if offset_s > 0 else 'behind'}, {source}"
    limit_s = max(ALARM_S, BILLING_SHARE * epoch_s)
    if abs(offset_s) > limit_s:
        text += f"; beyond {limit_s:g} s per {epoch_s} s nothing may be billed by it (PTB-A 50.8)"
        return Finding("clock offset", Severity.FAULT, text, _SET)
    if abs(offset_s) >= ALARM_S:
        return Finding("clock offset", Severity.WARNING, text, _SET)
    return Finding("clock offset", Severity.WELL, text)


def ask_ntp(server: str) -> float:
    """Return by how many seconds this clock is ahead of the NTP *server* (RFC 4330); raises OSError, ValueError."""
    host, port = _split(server)
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as line:
        line.settimeout(TIMEOUT_S)
        line.connect(address)
        nonce = secrets.token_bytes(8)  # stands for our time, and comes back: nobody else can know it
        sent = time.time()
        line.send(bytes([_CLIENT]) + bytes(39) + nonce)
        answer = line.recv(1024)
        received = time.time()
    if len(answer) < _NTP_BYTES or answer[24:32] != nonce or answer[0] & 7 != _SERVER_MODE or not 1 <= answer[1] <= 15:
        raise ValueError(f"{server} does not answer as an NTP server that knows the time")
    taken, given = (_ntp_time(answer[start : start + 8]) for start in (32, 40))
    return ((sent - taken) + (received - given)) / 2


def ask_node(url: str) -> float:
    """Return by how many seconds this clock is ahead of a ledger node's, to half a second; raises httpx.HTTPError."""
    least, most = float("-inf"), float("inf")
    deadline = time.monotonic() + SAMPLE_S
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        while time.monotonic() < deadline:
            before = time.time()
            stamp = parsedate_to_datetime(client.get(f"{url.rstrip('/')}/v1/status").headers["date"]).timestamp()
            least = max(least, before - stamp - DATE_WIDTH_S)
            most = min(most, time.time() - stamp)
            time.sleep(SAMPLE_PAUSE_S)
    return (least + most) / 2


def _answers(ask: Callable[[str], float], whom: Iterable[str]) -> Iterator[float]:
    for one in whom:
        try:
            yield ask(one)
        except (OSError, ValueError, KeyError, httpx.HTTPError, httpx.InvalidURL):
            continue  # who does not answer is told of elsewhere


def _ntp_time(raw: bytes) -> float:
    seconds, fraction = struct.unpack(">II", raw)
    if seconds < _NTP_EPOCH_S:
        seconds += 2**32  # after the turn of 2036
    return float(seconds - _NTP_EPOCH_S) + float(fraction) / 2**32


def _split(server: str) -> tuple[str, int]:
    """Return host and port of "host", "host:port", "::1" or "[::1]:port"; raises ValueError."""
    if server.startswith("["):
        host, _, port = server[1:].partition("]")
        return host, int(port.removeprefix(":") or NTP_PORT)
    host, _, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
    return host, int(port or NTP_PORT)
