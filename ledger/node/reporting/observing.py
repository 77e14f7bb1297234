"""What a node remembers for its operators: whom it heard when, whose clock is off, and why it voted nil.

The driver and the node tell it what happens; nothing that they decide depends on it. All of it is bounded.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger.authority import AuthoritySet
from ledger.consensus.effects import Step, Timer
from ledger.consensus.height import Height
from ledger.consensus.messages import Message, Statement, Vote
from ledger.execution import Execution
from ledger.node.network.wire import NodeReport
from ledger.node.reporting.metrics import Metrics
from ledger.node.reporting.nils import Nil, explain

log = structlog.get_logger("consensus")
MAX_NILS: Final = 64
MAX_FAULTS: Final = 64
CLOCK_SAMPLES: Final = 32
"""Reports that a clock is estimated from: 13 s of them."""


@dataclass(slots=True)
class Heard:
    """What a peer's reports say: the newest one, when it came (monotonic seconds), and by how much clocks differ."""

    report: NodeReport
    at_s: float
    offsets_ms: deque[int] = field(default_factory=lambda: deque(maxlen=CLOCK_SAMPLES))

    @property
    def clock_offset_ms(self) -> int | None:
        """How far the peer's clock is ahead of this node's, less the time of the fastest report on its way."""
        return max(self.offsets_ms, default=None)


class Observer:
    """One node's memory for its operators. `height_since_s` and `round_since_s` are monotonic seconds."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reports: dict[str, Heard] = {}
        self.message_at_s: dict[str, float] = {}
        self.nils: deque[Nil] = deque(maxlen=MAX_NILS)
        self.height_since_s = time.monotonic()
        self.round_since_s: float | None = None
        self._faults: dict[bytes, str] = {}

    # ---- what the node tells

    def take_report(self, peer: str, report: NodeReport, now_ms: int) -> None:
        """Note a peer's report that came at *now_ms* of this node's clock."""
        heard = self.reports.setdefault(peer, Heard(report, 0.0))
        heard.report, heard.at_s = report, time.monotonic()
        if report.clock_ms is not None:
            heard.offsets_ms.append(report.clock_ms - now_ms)

    # ---- what the driver tells

    def take_message(self, message: Message, authorities: AuthoritySet) -> None:
        """Note that an authority signed a message that came."""
        self.message_at_s[authorities.members[message.sender].name] = time.monotonic()

    def note_cast(self, at: Height | None, statement: Statement, missing: Container[bytes], now_ms: int) -> None:
        """Keep why *statement*, just cast, is nil, if it is; *missing* are the ids of blocks that have not come."""
        if at is not None and isinstance(statement, Vote) and statement.block_id is None:
            nil = explain(at, statement, now_ms, self._faults, missing)
            self.nils.append(nil)
            self.metrics.count_nil(nil)

    def note_fault(self, block_id: bytes, reason: str) -> None:
        """Keep why a block of the height in progress is invalid."""
        if len(self._faults) < MAX_FAULTS:
            self._faults[block_id] = reason

    def note_timer(self, timer: Timer) -> None:
        """Note that a round begins: each sets the timer of its first step."""
        if timer.step is Step.PROPOSE:
            now_s = time.monotonic()
            if self.round_since_s is None:
                self.height_since_s = now_s
            self.round_since_s = now_s

    def note_decided(self, height: int, round_: int, authorities: AuthoritySet) -> None:
        """Note that *height* is decided and durable, in *round_*."""
        taken_s = time.monotonic() - self.height_since_s if self.round_since_s is not None else None
        failed = [authorities.members[authorities.proposer(height, before)].name for before in range(round_)]
        self.metrics.count_decision(round_, taken_s, failed)

    def note_events(self, execution: Execution) -> None:
        """Log what the modules' events were in a decided block, each under its module, where debug lines are wanted."""
        if not log.is_enabled_for(logging.DEBUG):
            return
        for event in (*(one for receipt in execution.receipts for one in receipt.events), *execution.events):
            values = {name: value.hex() if isinstance(value, bytes) else value for name, value in event.values}
            structlog.get_logger(event.module).debug(event.name, height=execution.header.height, values=values)

    def note_height(self) -> None:
        """Turn to the next height, which begins when somebody has something to say."""
        self._faults.clear()
        self.height_since_s, self.round_since_s = time.monotonic(), None
