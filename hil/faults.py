"""Faults of a serial line: what an asker hears instead of the answer that a meter gave."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final, Protocol

CRC_BYTES: Final = 2


class LineFault(Protocol):
    """What happens to one exchange on the line."""

    def heard_at_once(self, request: bytes) -> bytes:
        """Return what the asker hears of its own *request* (nothing on a sound line)."""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        """Return the delay in ms and what the asker then hears instead of *answer*."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The answer is lost, all but its first *kept* bytes."""

    kept: int = 0

    def heard_at_once(self, _request: bytes) -> bytes:
        return b""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        return 0, answer[: self.kept]


@dataclass(frozen=True, slots=True)
class Garble:
    """One bit of the answer is wrong, by chance from *source*."""

    source: random.Random

    def heard_at_once(self, _request: bytes) -> bytes:
        return b""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        bit = self.source.randrange(8 * len(answer))
        broken = bytearray(answer)
        broken[bit // 8] ^= 1 << bit % 8
        return 0, bytes(broken)


@dataclass(frozen=True, slots=True)
class Delay:
    """The answer comes *delay_ms* late: too late, perhaps, and then into the next exchange."""

    delay_ms: int

    def heard_at_once(self, _request: bytes) -> bytes:
        return b""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        return self.delay_ms, answer


@dataclass(frozen=True, slots=True)
class Echo:
    """The adapter hears itself: the request comes back before the answer."""

    def heard_at_once(self, request: bytes) -> bytes:
        return request

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        return 0, answer


@dataclass(frozen=True, slots=True)
class OtherSlave:
    """A neighbour answers in the meter's place, with a frame of its own that holds."""

    slave: int

    def heard_at_once(self, _request: bytes) -> bytes:
        return b""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        body = bytes([self.slave]) + answer[1:-CRC_BYTES]
        return 0, body + crc16(body).to_bytes(CRC_BYTES, "little")


@dataclass(slots=True)
class First:
    """*fault* in the first *count* exchanges, none after; `struck` says how often it was."""

    fault: LineFault
    count: int
    struck: int = field(default=0, init=False)

    def heard_at_once(self, request: bytes) -> bytes:
        return self.fault.heard_at_once(request) if self.struck < self.count else b""

    def instead_of(self, answer: bytes) -> tuple[int, bytes]:
        if self.struck >= self.count:
            return 0, answer
        self.struck += 1
        return self.fault.instead_of(answer)


def crc16(data: bytes) -> int:
    """Return the CRC-16/MODBUS of *data*."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
