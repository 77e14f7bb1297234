"""A campus in virtual time: the firmware's outboxes before one queue, which a gateway works off at its own rate."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count

from meter import mqtt
from meter.outbox import Outbox

LOOK_MS = 500
"""The uplink looks at its outbox at least that often."""
LINK_MS = 20
"""From a meter to the broker, and back."""
BATCH_MS = 150
"""The work that the gateway commits at once, at most; receipts go out after that. (500 readings, at 3,300 a second.)"""


class Numbers:
    """A journal of nothing but numbers."""

    def __init__(self, sequence: int) -> None:
        self.sequence, self.receipted = sequence, 0

    def pending(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the oldest readings above *after* without a receipt."""
        first = max(after, self.receipted) + 1
        return [(number, b"%d" % number) for number in range(first, min(first + limit, self.sequence + 1))]

    def find(self, sequence: int) -> bytes:
        """Return a reading."""
        return b"%d" % sequence

    def thinnings(self, _after: int, _limit: int) -> list[tuple[int, bytes]]:
        """Return that nothing was thinned."""
        return []


class PacedMeter:
    """An outbox with a *backlog*, its journal, and what of its chain the gateway has."""

    def __init__(self, campus: Campus, backlog: int) -> None:
        self.journal = Numbers(backlog)
        self.outbox = Outbox(campus, "0" * 16, self.journal, campus.complaints.append, lambda: None)
        self.outbox.begin(mqtt.V5, mqtt.TERMS, is_resumed=False)
        self.new_ms: dict[int, int] = {}
        self._stored: set[int] = set()
        self.head = 0

    def store(self, number: int) -> bool:
        """Let the gateway have reading *number*; tell whether it is new there."""
        if number <= self.head or number in self._stored:
            return False
        self._stored.add(number)
        while self.head + 1 in self._stored:
            self.head += 1
            self._stored.remove(self.head)
        return True


class Campus:
    """*meters* outboxes with *backlog* readings each before a gateway that does *rate* a second; also their board.

    `waited_ms` has, for each new reading, how long it took to be stored; `done` how many readings ever were.
    """

    def __init__(self, meters: int, backlog: int, rate: int) -> None:
        self.now_ms = 0
        self.complaints: list[str] = []
        self.meters = [PacedMeter(self, backlog) for _ in range(meters)]
        self.waited_ms: list[int] = []
        self.done = 0
        self.longest_queue = 0
        self.rate = rate
        self._queue: deque[tuple[PacedMeter, int]] = deque()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        for place, meter in enumerate(self.meters):
            self.after(place * LOOK_MS // meters, self._looks(meter))
        self.after(0, self._serve)

    def ticks_ms(self) -> int:
        """Return the time."""
        return self.now_ms

    def ticks_since(self, start: int) -> int:
        """Return how long ago *start* was."""
        return self.now_ms - start

    def after(self, ms: int, act: Callable[[], None]) -> None:
        """Let *act* happen in *ms*."""
        heapq.heappush(self._events, (self.now_ms + ms, next(self._order), act))

    def run(self, until: Callable[[], bool], limit_ms: int) -> None:
        """Let time go by until *until*, at most to *limit_ms*."""
        while not until():
            self.now_ms, _, act = heapq.heappop(self._events)
            assert self.now_ms <= limit_ms, f"{self.done} readings stored in {limit_ms} ms"
            act()

    def sign(self, meter: PacedMeter) -> None:
        """Let *meter* take a new boundary reading and send it."""
        meter.journal.sequence += 1
        meter.new_ms[meter.journal.sequence] = self.now_ms
        meter.outbox.hasten(meter.journal.sequence)
        self.look(meter)

    def look(self, meter: PacedMeter) -> None:
        """Send what is due."""
        packets = meter.outbox.due()
        if packets:
            self.after(LINK_MS, lambda: self._arrive(meter, packets))

    def _looks(self, meter: PacedMeter) -> Callable[[], None]:
        def look() -> None:
            self.look(meter)
            if meter.journal.receipted < meter.journal.sequence:
                self.after(LOOK_MS, look)

        return look

    def _arrive(self, meter: PacedMeter, packets: list[bytes]) -> None:
        """Queue what the meter sent, and acknowledge it."""
        published = [mqtt.Parser(mqtt.V5).feed(packet)[0] for packet in packets]
        self._queue.extend((meter, int(one.payload)) for one in published)
        self.longest_queue = max(self.longest_queue, len(self._queue))
        self.after(LINK_MS, lambda: self._acknowledge(meter, [one.packet_id for one in published]))

    def _acknowledge(self, meter: PacedMeter, packet_ids: list[int]) -> None:
        for packet_id in packet_ids:
            meter.outbox.acknowledge(packet_id, 0, b"")
        self.look(meter)

    def _serve(self) -> None:
        """Take a batch; when its time is over, it is stored."""
        batch = [self._queue.popleft() for _ in range(min(max(self.rate * BATCH_MS // 1000, 1), len(self._queue)))]
        self.after(max(len(batch) * 1000 // self.rate, 1), lambda: self._store(batch))

    def _store(self, batch: list[tuple[PacedMeter, int]]) -> None:
        for meter, number in batch:
            self.done += meter.store(number)
            if number in meter.new_ms:
                self.waited_ms.append(self.now_ms - meter.new_ms.pop(number))
        for meter in {id(meter): meter for meter, _ in batch}.values():
            self.after(LINK_MS, partial(self._receipt, meter, meter.head))
        self._serve()

    def _receipt(self, meter: PacedMeter, head: int) -> None:
        if head > meter.journal.receipted:
            meter.journal.receipted = head
            meter.outbox.receipted()
            self.look(meter)
