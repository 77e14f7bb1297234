"""An NTP server whose time and faults are set: for meters that keep their own clock by several of them."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

PACKET_BYTES: Final = 48
EPOCH_1900_S: Final = 2_208_988_800
"""From 1900, where NTP's first era begins, to 1970."""
POLL_S: Final = 0.05
_ERA_S: Final = 2**32
_SERVER: Final = 4
_CLIENT: Final = 3


class TimeFault(StrEnum):
    """What is wrong with a server's answers; `DROP` gives none at all."""

    DROP = "drop"
    RATE = "kiss of death: too many questions"
    DENY = "kiss of death: go away"
    UNSYNCHRONISED = "its leap indicator says that it knows no time"
    WRONG_NONCE = "an answer to a question that nobody asked, before the true one"
    FORGED = "nothing but an answer to a question that nobody asked"
    ZERO = "its transmit timestamp is zero"
    DISTANT = "16 s from its reference clock"
    SHORT = "cut in the middle"


@dataclass(slots=True)
class ServedTime:
    """The pure part of a server: true time plus `offset_ms`, `stratum`, its own error, and a fault."""

    offset_ms: int = 0
    stratum: int = 2
    root_dispersion_ms: int = 1
    fault: TimeFault | None = None
    asked: int = 0

    def answers(self, question: bytes, now_ns: int) -> list[bytes]:
        """Return the datagrams that answer *question* at the true Unix time *now_ns*; none for what is no question."""
        if len(question) < PACKET_BYTES or question[0] & 7 != _CLIENT:
            return []
        self.asked += 1
        good = self._answer(question[40:48], now_ns + 1_000_000 * self.offset_ms)
        return [good] if self.fault is None else _spoil(good, self.fault)

    def _answer(self, nonce: bytes, now_ns: int) -> bytes:
        stamp = timestamp(now_ns)
        head = struct.pack(
            ">BBbbII4s", 4 << 3 | _SERVER, self.stratum, 6, -20, 0, (self.root_dispersion_ms << 16) // 1000, b"TEST"
        )
        return head + timestamp(now_ns - 5_000_000_000) + nonce + stamp + stamp


def _spoil(good: bytes, fault: TimeFault) -> list[bytes]:
    stranger = good[:24] + bytes(8) + good[32:]
    return {
        TimeFault.DROP: [],
        TimeFault.RATE: [good[:1] + b"\0" + good[2:12] + b"RATE" + good[16:]],
        TimeFault.DENY: [good[:1] + b"\0" + good[2:12] + b"DENY" + good[16:]],
        TimeFault.UNSYNCHRONISED: [bytes([good[0] | 0xC0]) + good[1:]],
        TimeFault.WRONG_NONCE: [stranger, good],
        TimeFault.FORGED: [stranger],
        TimeFault.ZERO: [good[:40] + bytes(8)],
        TimeFault.DISTANT: [good[:4] + struct.pack(">I", 16 << 16) + good[8:]],
        TimeFault.SHORT: [good[:40]],
    }[fault]


def timestamp(now_ns: int) -> bytes:
    """Return the NTP timestamp of a Unix time, in whatever era."""
    seconds, part_ns = divmod(now_ns, 1_000_000_000)
    return struct.pack(">II", (seconds + EPOCH_1900_S) % _ERA_S, (part_ns << 32) // 1_000_000_000)


class TimeServer:
    """A server on a free UDP port of the loopback, in a thread of its own while the context lasts."""

    def __init__(self, served: ServedTime | None = None) -> None:
        self.served = served or ServedTime()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            if not select.select([self._socket], [], [], POLL_S)[0]:
                continue
            question, asker = self._socket.recvfrom(512)
            for answer in self.served.answers(question, time.time_ns()):
                self._socket.sendto(answer, asker)
