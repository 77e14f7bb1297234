"""Simulated time and the simulated network: a heap of actions."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from ledger.envelope import Kind
from ledger.simulation.frames import Frame, MessageFrame
from ledger.simulation.schedule import Schedule

HEALED_DELAY_MS = 50
"""The longest delay once the faults are over."""


class Receiver(Protocol):
    """Whoever is plugged into the network."""

    name: str
    index: int

    def receive(self, source: str, frame: Frame) -> None:
        """Take in a frame from the peer named *source*."""


@dataclass(slots=True)
class Timeline:
    """What happens when, in ms since the start of the run; ties in the order of planning."""

    now_ms: int = 0
    _count: int = 0
    _heap: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Plan *action* for *delay_ms* from now."""
        self._count += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._count, action))

    def step(self) -> None:
        """Go to the next planned action and do it."""
        self.now_ms, _, action = heapq.heappop(self._heap)
        action()


@dataclass(slots=True)
class Network:
    """Loses, doubles, delays and cuts as the schedule says, until `faulty_ms`; after that it is merely a network."""

    schedule: Schedule
    timeline: Timeline
    random: Random
    receivers: dict[str, Receiver] = field(default_factory=dict)

    @property
    def is_healed(self) -> bool:
        """Whether the time of faults is over."""
        return self.timeline.now_ms >= self.schedule.faulty_ms

    def plug_in(self, receiver: Receiver) -> None:
        """Connect *receiver* under its name."""
        self.receivers[receiver.name] = receiver

    def send(self, source: Receiver, target: str, frame: Frame) -> None:
        """Send *frame*; whether and when it arrives is up to the schedule."""
        receiver = self.receivers.get(target)
        if receiver is None or self._is_lost(source.index, receiver.index, frame):
            return
        for _ in range(2 if self._happens(self.schedule.duplication_percent) else 1):
            self.timeline.after(self._delay_ms(frame), lambda: receiver.receive(source.name, frame))

    def _is_lost(self, source: int, target: int, frame: Frame) -> bool:
        now_ms = self.timeline.now_ms
        is_cut = any(partition.cuts(now_ms, source, target) for partition in self.schedule.partitions)
        is_disliked = isinstance(frame, MessageFrame) and frame.kind == self.schedule.disliked
        return is_cut or self._happens(self.schedule.disliked_percent if is_disliked else self.schedule.loss_percent)

    def _delay_ms(self, frame: Frame) -> int:
        schedule, longest_ms = self.schedule, HEALED_DELAY_MS
        is_proposal = isinstance(frame, MessageFrame) and frame.kind == Kind.PROPOSAL
        if is_proposal and schedule.proposal_delay_ms and not self.is_healed:
            longest_ms = schedule.proposal_delay_ms
        elif self._happens(schedule.slow_percent):
            longest_ms = schedule.max_delay_ms
        return self.random.randint(schedule.min_delay_ms, longest_ms)

    def _happens(self, percent: int) -> bool:
        return not self.is_healed and percent > 0 and self.random.randrange(100) < percent
