"""Simulated time and the simulated network: a heap of actions."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from ledger.envelope import Kind
from ledger.simulation.frames import Frame, MessageFrame
from ledger.simulation.schedule import Schedule

HEALED_DELAY_MS = 50
"""The longest delay once the faults are over."""


class Receiver(Protocol):
    """Whoever is plugged into the network: a process `name` of the authority `member`."""

    name: str
    member: int

    @property
    def observes(self) -> bool:
        """Whether it may have forgotten what it signed, and so signs nothing."""

    def receive(self, source: str, frame: Frame) -> None:
        """Take in a frame from the peer named *source*."""


@dataclass(slots=True)
class Timeline:
    """What happens when, in ms since the start of the run; ties in the order of planning."""

    now_ms: int = 0
    _count: int = 0
    _heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def after(self, delay_ms: int, action: Callable[..., None], *arguments: Any) -> None:
        """Plan *action* for *delay_ms* from now."""
        self._count += 1
        heapq.heappush(self._heap, (self.now_ms + delay_ms, self._count, action, arguments))

    def step(self) -> None:
        """Go to the next planned action and do it."""
        self.now_ms, _, action, arguments = heapq.heappop(self._heap)
        action(*arguments)


class Network:
    """Loses, doubles, delays and cuts as the schedule says, until `faulty_ms`; after that it is merely a network."""

    def __init__(self, schedule: Schedule, timeline: Timeline, random: Random) -> None:
        self.receivers: dict[str, Receiver] = {}
        self.faults: Counter[str] = Counter()
        self._schedule, self._timeline, self._random = schedule, timeline, random
        self._longest_delay_ms = 0 if schedule.rounds else HEALED_DELAY_MS
        """The longest delay of a message that nothing happens to."""

    @property
    def is_healed(self) -> bool:
        """Whether the time of faults is over."""
        return self._timeline.now_ms >= self._schedule.faulty_ms

    def plug_in(self, receiver: Receiver) -> None:
        """Connect *receiver* under its name."""
        self.receivers[receiver.name] = receiver

    def send(self, source: Receiver, target: str, frame: Frame) -> None:
        """Send *frame*; whether and when it arrives is up to the schedule."""
        receiver = self.receivers.get(target)
        if receiver is None:
            return
        schedule, timeline = self._schedule, self._timeline
        if timeline.now_ms >= schedule.faulty_ms:
            timeline.after(1 + int(self._random.random() * HEALED_DELAY_MS), receiver.receive, source.name, frame)
        elif not self._is_lost(source, receiver, frame):
            self._deliver(source, receiver, frame)
            if schedule.duplication_percent and self._happens(schedule.duplication_percent):
                self.faults["duplicated"] += 1
                self._deliver(source, receiver, frame)

    def _deliver(self, source: Receiver, receiver: Receiver, frame: Frame) -> None:
        self._timeline.after(self._delay_ms(frame), receiver.receive, source.name, frame)

    def _is_lost(self, source: Receiver, target: Receiver, frame: Frame) -> bool:
        schedule, now_ms = self._schedule, self._timeline.now_ms
        if schedule.rounds:
            return not isinstance(frame, MessageFrame) or not schedule.lets_pass(frame.round, source.name, target.name)
        for partition in schedule.partitions:
            if partition.cuts(now_ms, source.member, target.member):
                self.faults["cut off" if partition.is_symmetric else "cut off one way"] += 1
                return True
        is_disliked = isinstance(frame, MessageFrame) and frame.kind == schedule.disliked
        percent = schedule.disliked_percent if is_disliked else schedule.loss_percent
        if percent and self._happens(percent):
            self.faults["lost"] += 1
            return True
        return False

    def _delay_ms(self, frame: Frame) -> int:
        schedule, longest_ms = self._schedule, self._longest_delay_ms
        if schedule.proposal_delay_ms and isinstance(frame, MessageFrame) and frame.kind == Kind.PROPOSAL:
            longest_ms = schedule.proposal_delay_ms
        elif schedule.slow_percent and self._happens(schedule.slow_percent):
            self.faults["delayed"] += 1
            longest_ms = schedule.max_delay_ms
        return schedule.min_delay_ms + int(self._random.random() * longest_ms)

    def _happens(self, percent: int) -> bool:
        return self._random.random() * 100 < percent
