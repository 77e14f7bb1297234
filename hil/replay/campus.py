"""The virtual campus over measured days: meters sign boundaries, agents order, the ledger clears and settles.

One block at the start of each epoch holds what a campus sends then: the boundary readings, and the agents' orders for
the next epoch, made from each meter's own last intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from gateway.bidding.agent import MeterLimits, OrderPlan, plan_orders
from gateway.bidding.forecast import persist
from gateway.epochs.intervals import Interval
from gateway.settings import StrategySettings
from hil.errors import TraceError
from hil.plan import METERS, USERS, CampusMeter
from hil.replay.ledger import ADMIN, GATEWAY, LocalLedger, make_key
from hil.resources.trace import SLOT, Trace
from hil.resources.virtual_meter import MODELS
from ledger.genesis import Parameters
from ledger.keys import PrivateKey
from ledger.modules.market.tables import ORDERS, EpochRow, OrderRow, read_epoch
from ledger.modules.meters import epoch_key
from ledger.reading import NO_PREVIOUS
from ledger.records import SettlementLine
from ledger.trial_reading import link_to, sign_boundary

EPOCH_S: Final = int(SLOT.total_seconds())
EPOCHS_PER_DAY: Final = 86_400 // EPOCH_S
HISTORY: Final = 4
BLOCK_DELAY_MS: Final = 1000


class Agents(StrEnum):
    """How everybody's agent bids; all expect what each meter's last intervals suggest.

    FORECAST: near the tariff of its side, as the gateway's agents do. TRUTHFUL: at what the grid would pay or take.
    ZERO_INTELLIGENCE: any price between the tariffs, any part of the forecast.
    """

    FORECAST = "forecast"
    TRUTHFUL = "truthful"
    ZERO_INTELLIGENCE = "zero-intelligence"


MARGIN_PERMILLE: Final = {Agents.FORECAST: 400, Agents.TRUTHFUL: 0, Agents.ZERO_INTELLIGENCE: 1000}


@dataclass
class ReplayMeter:
    """A meter of the plan: its registers rise by the trace, its key signs them."""

    plan: CampusMeter
    id: bytes
    key: PrivateKey
    energy_wh: Sequence[int]
    import_wh: int
    export_wh: int
    sequence: int = 0
    previous: bytes = NO_PREVIOUS
    history: list[Interval] = field(default_factory=list)

    def advance(self, slot: int, epoch: int) -> None:
        """Measure *slot* of the trace, which is *epoch*."""
        energy_wh = self.energy_wh[slot]
        imported, exported = (0, energy_wh) if self.plan.exports else (energy_wh, 0)
        self.import_wh += imported
        self.export_wh += exported
        self.history = [*self.history[1 - HISTORY :], Interval(self.id, epoch, 1, imported, exported)]

    def sign_boundary(self, epoch: int) -> bytes:
        """Return the signed boundary reading of the start of *epoch*."""
        self.sequence += 1
        registers_wh = self.import_wh, self.export_wh
        raw = sign_boundary(self.key, self.sequence, epoch, EPOCH_S, registers_wh, previous=self.previous)
        self.previous = link_to(raw)
        return raw


@dataclass(frozen=True, slots=True)
class PlayedEpoch:
    """What an epoch came to: its book as cleared, its orders with account ids, and its settlement lines."""

    epoch: int
    book: EpochRow
    orders: tuple[tuple[bytes, OrderRow], ...]
    lines: tuple[SettlementLine, ...]


class Campus:
    """The virtual campus on a ledger of its own."""

    def __init__(self, trace: Trace, days: int, agents: Agents, seed: int) -> None:
        """Take the first *days* of *trace*; raises TraceError where it has fewer or lacks a series of the plan."""
        slots = days * EPOCHS_PER_DAY
        available = len(next(iter(trace.energy_wh.values())))
        if slots > available:
            raise TraceError(f"the trace has {available // EPOCHS_PER_DAY} whole days, not {days}; ask for fewer")
        self.parameters = Parameters(epoch_s=EPOCH_S)
        self._slots, self._agents, self._seed = slots, agents, seed
        self._first_epoch = int(trace.start.timestamp()) // EPOCH_S
        names = [user.name for user in USERS]
        self.ledger = LocalLedger(names, self.parameters, (self._first_epoch - 1) * EPOCH_S * 1000)
        self.names = {self.ledger.accounts[name].id: name for name in names}
        self._meters = [_make_meter(place, meter, trace) for place, meter in enumerate(METERS)]

    def play(self) -> Iterator[PlayedEpoch]:
        """Yield each epoch as it settles, first to last."""
        self._install_meters()
        for slot in range(self._slots):
            epoch = self._first_epoch + slot
            for meter in self._meters:
                meter.advance(slot, epoch)
            yield self._play_boundary(epoch + 1)
            if (slot + 1) % EPOCHS_PER_DAY == 0:
                self.ledger.check_conservation()

    def _install_meters(self) -> None:
        start_ms = self._first_epoch * EPOCH_S * 1000
        self.ledger.make_block(start_ms + BLOCK_DELAY_MS, [
            self.ledger.sign(
                ADMIN, "registry", "assign_meter", meter.id, self.ledger.accounts[meter.plan.owner].id,
                MODELS[meter.plan.model].profile, MODELS[meter.plan.model].rated_power_w, meter.key.public_key,
                meter.plan.exports, "campus",
            )
            for meter in self._meters
        ])  # fmt: skip
        self.ledger.make_block(start_ms + 2 * BLOCK_DELAY_MS, [
            self.ledger.sign(ADMIN, "registry", "rebase", meter.id, meter.sign_boundary(self._first_epoch))
            for meter in self._meters
        ])  # fmt: skip

    def _play_boundary(self, epoch: int) -> PlayedEpoch:
        """Make the block in which *epoch* begins: it settles the one before and takes the orders for the next."""
        readings: list[bytes] = [meter.sign_boundary(epoch) for meter in self._meters]
        calls = [self.ledger.sign(GATEWAY, "market", "report_intervals", readings)]
        calls += [
            self.ledger.sign(
                user.name, "market", plan.function, plan.meter_id, plan.epoch, plan.price_uaip_per_kwh, plan.quantity_wh
            )
            for user in USERS
            for plan in self._plan(user.name, epoch + 1)
        ]
        execution = self.ledger.make_block(epoch * EPOCH_S * 1000 + BLOCK_DELAY_MS, calls)
        lines = tuple(e.record for e in execution.records if isinstance(e.record, SettlementLine))
        state, settled = self.ledger.state, epoch - 1
        orders = tuple((key[8:16], row) for key, row in state.scan(ORDERS, epoch_key(settled)))
        return PlayedEpoch(settled, read_epoch(state, settled, self.parameters), orders, lines)

    def _plan(self, user: str, epoch: int) -> list[OrderPlan]:
        own = [meter for meter in self._meters if meter.plan.owner == user]
        limits = {m.id: MeterLimits(MODELS[m.plan.model].rated_power_w, m.plan.exports) for m in own}
        strategy = StrategySettings(seed=self._seed, margin_permille=MARGIN_PERMILLE[self._agents])
        expected = [found for meter in own if (found := persist(meter.history)) is not None]
        plans = plan_orders(expected, limits, epoch, strategy, self.parameters)
        if self._agents is not Agents.ZERO_INTELLIGENCE:
            return plans
        drawn = [replace(plan, quantity_wh=_draw(self._seed, plan)) for plan in plans]
        return [plan for plan in drawn if plan.quantity_wh >= self.parameters.min_order_wh]


def _draw(seed: int, plan: OrderPlan) -> int:
    """Return a quantity from 1 to the planned one, the same on every run."""
    digest = hashlib.sha256(f"quantity {seed}:{plan.meter_id.hex()}:{plan.epoch}".encode()).digest()
    return 1 + int.from_bytes(digest[:8]) % plan.quantity_wh


def _make_meter(place: int, meter: CampusMeter, trace: Trace) -> ReplayMeter:
    if meter.series not in trace.energy_wh:
        raise TraceError(f"the trace has no series {meter.series}, which {meter.label} follows")
    energy_wh = [wh * meter.permille // 1000 for wh in trace.energy_wh[meter.series]]
    return ReplayMeter(
        meter, (2000 + place).to_bytes(8), make_key(f"meter {place}"), energy_wh, meter.import_wh, meter.export_wh
    )
