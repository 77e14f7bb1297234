"""Faults of delivery: when, how often and in which order a client gets the messages that its broker sends. Pure.

TCP does none of this to one connection; a broker does it over several (it sends again what was not acknowledged), and
bridges, retries and a second path do it too. A gate before the broker (`resources/mqtt_gate.py`) plays them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

DUPLICATE_FLAG = 0x08
Due = tuple[float, bytes]
"""When a packet is handed on, on the clock of the caller, and the packet."""


class DeliveryFault(Protocol):
    """What becomes of PUBLISH packets; `struck` says to how many something did."""

    struck: int

    def deliver(self, packet: bytes, now: float) -> Sequence[Due]:
        """Return what is handed on of *packet*, which came at *now* (seconds), and when."""


@dataclass(slots=True)
class Duplicate:
    """Every second message, by chance, comes twice, the copy up to *within_s* later."""

    source: random.Random
    within_s: float = 0.3
    struck: int = field(default=0, init=False)

    def deliver(self, packet: bytes, now: float) -> Sequence[Due]:
        if self.source.random() < 0.5:
            return [(now, packet)]
        self.struck += 1
        copy = bytes([packet[0] | DUPLICATE_FLAG]) + packet[1:]
        return [(now, packet), (now + self.source.uniform(0, self.within_s), copy)]


@dataclass(slots=True)
class Reorder:
    """Each message takes its own time, up to *within_s*; it struck whenever one overtook another."""

    source: random.Random
    within_s: float = 0.5
    struck: int = field(default=0, init=False)
    _latest: float = field(default=0.0, init=False)

    def deliver(self, packet: bytes, now: float) -> Sequence[Due]:
        due = now + self.source.uniform(0, self.within_s)
        self.struck += due < self._latest
        self._latest = max(self._latest, due)
        return [(due, packet)]


@dataclass(slots=True)
class Delay:
    """All messages are *delay_s* late, in their order."""

    delay_s: float = 1.0
    struck: int = field(default=0, init=False)

    def deliver(self, packet: bytes, now: float) -> Sequence[Due]:
        self.struck += 1
        return [(now + self.delay_s, packet)]
