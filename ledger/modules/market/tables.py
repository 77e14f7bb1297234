"""The market's tables: epochs, orders, intervals, what waits for clearing and settlement, and held energy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ledger.genesis import Parameters
from ledger.modules import tariffs
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context, Module
from ledger.state import Overlay, Reader, Table

AAIP_PER_PRICE_WH: Final = 10**9
"""Price (µAIP per kWh) x Wh in aAIP: settlement never rounds."""
MAX_HOOK_WORK_PER_BLOCK: Final = 2_500
"""So many orders and lines a block clears and settles; one epoch that has more is done in a block of its own."""


@dataclass(frozen=True, slots=True)
class EpochRow:
    """An epoch: tariffs and users frozen when its book opened, the auction's result, and the energy settled.

    `users` is how many have slots of their own in the book, `slots_used` how many of those are taken.

    `grid_supplied_wh` is what the grid account delivered, `grid_absorbed_wh` what it took:
    export + supplied = import + absorbed, always.
    """

    retail_uaip_per_kwh: int
    feed_in_uaip_per_kwh: int
    penalty_uaip_per_kwh: int
    users: int = 0
    orders: int = 0
    slots_used: int = 0
    matched_wh: int = 0
    price_uaip_per_kwh: int | None = None
    price_interval: tuple[int, int] | None = None
    import_wh: int = 0
    export_wh: int = 0
    grid_supplied_wh: int = 0
    grid_absorbed_wh: int = 0


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order under epoch ‖ account ‖ sequence; `fill_wh` is None until the epoch is cleared. `side`: buy or sell."""

    id: bytes
    meter: bytes
    side: str
    price_uaip_per_kwh: int
    quantity_wh: int
    sequence: int
    locked_aaip: int
    fill_wh: int | None = None


@dataclass(frozen=True, slots=True)
class OrderPlace:
    """Where the order with an id lies in `ORDERS`, and the agent that made it for its user (empty: the user did)."""

    key: bytes
    agent: bytes = b""


class Interval(NamedTuple):
    """What a meter measured in an epoch not settled yet, under epoch ‖ meter; `flags` are `records.LineFlag`.

    `key_id` names the meter's key that signed the last reading.
    """

    import_wh: int
    export_wh: int
    first_reading: bytes
    last_reading: bytes
    flags: int
    key_id: bytes


@dataclass(frozen=True, slots=True)
class Clock:
    """How far the market has come: epochs below `next_clear` are cleared, those below `next_settle` settled.

    Books of epochs below `next_forget` are no longer in the state; `last_epoch` is that of the last block.
    """

    next_sequence: int
    next_clear: int
    next_settle: int
    next_forget: int
    last_epoch: int


@dataclass(frozen=True, slots=True)
class Closing:
    """The height of the first block past the end of an epoch (and of those before it without a row)."""

    height: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mark that an epoch waits: for clearing, for settlement, or (of one meter) for a correction."""

    since_height: int


@dataclass(frozen=True, slots=True)
class Held:
    """Energy beyond rated power, under meter ‖ last epoch: booked once an admin and an authority have approved."""

    first_epoch: int
    import_wh: int
    export_wh: int
    first_reading: bytes
    last_reading: bytes
    flags: int
    key_id: bytes
    approved_by_admin: bytes
    approved_by_authority: bytes


@dataclass(frozen=True, slots=True)
class Keeper:
    """A meter whose owner keeps the GRID of what it exports unsold."""

    since_height: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The block in which overdue work was last done by request."""

    height: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a meter sold in a settled epoch and could not show to have delivered, under epoch ‖ meter.

    A correction returns `returned_uaip_per_kwh`. `late_line` is the record of a line that came too late to be corrected
    by itself.
    """

    shortfall_wh: int
    returned_uaip_per_kwh: int
    late_line: bytes | None = None


Point = tuple[int, bytes, bytes, int]
"""What a boundary reading says to corrections: register 2.8.0, the reading's hash, key id, `records.LineFlag`."""


@dataclass(frozen=True, slots=True)
class Span:
    """A gap interval of several epochs, some of which may still be corrected, under its last epoch ‖ meter.

    `line` is its record, `from_wh` register 2.8.0 at its start, `left_wh` what of its export has corrected nothing yet,
    `claims` how many of its epochs have a `Claim`.
    """

    line: bytes
    from_wh: int
    left_wh: int
    claims: int


@dataclass(frozen=True, slots=True)
class Claim:
    """An epoch within the span that ends with `last_epoch`, under epoch ‖ meter, and what is known of its two ends."""

    last_epoch: int
    early: Point | None
    late: Point | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """The energy, in Wh, of the epochs whose rows are no longer in the state, those below `until`."""

    until: int = 0
    import_wh: int = 0
    export_wh: int = 0
    grid_supplied_wh: int = 0
    grid_absorbed_wh: int = 0

    def plus(self, row: EpochRow) -> Dropped:
        """Return the sum with the energies of one epoch more."""
        return Dropped(
            self.until,
            self.import_wh + row.import_wh,
            self.export_wh + row.export_wh,
            self.grid_supplied_wh + row.grid_supplied_wh,
            self.grid_absorbed_wh + row.grid_absorbed_wh,
        )


@dataclass(frozen=True, slots=True)
class Rollover:
    """An order, under epoch ‖ sequence, whose unfilled rest goes into the next book, up to that of `until_epoch`."""

    order: bytes
    until_epoch: int


EPOCHS: Final = Table("market.epochs", EpochRow)
ORDERS: Final = Table("market.orders", OrderRow)
ORDER_PLACES: Final = Table("market.order_places", OrderPlace)
INTERVALS: Final = Table("market.intervals", Interval)
CLOCK: Final = Table("market.clock", Clock)
CLOSINGS: Final = Table("market.closings", Closing)
UNCLEARED: Final = Table("market.uncleared", Waiting)
UNSETTLED: Final = Table("market.unsettled", Waiting)
HELD: Final = Table("market.held", Held)
KEEPERS: Final = Table("market.keepers", Keeper)
UPKEEP: Final = Table("market.upkeep", Upkeep)
SHORTFALLS: Final = Table("market.shortfalls", Shortfall)
UNCORRECTED: Final = Table("market.uncorrected", Waiting)
"""The keys of `SHORTFALLS` the other way round, meter ‖ epoch: which of a meter's epochs have one."""
SPANS: Final = Table("market.spans", Span)
CLAIMS: Final = Table("market.claims", Claim)
DROPPED: Final = Table("market.dropped", Dropped)
ROLLOVERS: Final = Table("market.rollovers", Rollover)
CLOCK_KEY: Final = b"clock"
UPKEEP_KEY: Final = b"upkeep"
DROPPED_KEY: Final = b"dropped"

module = Module(
    "market",
    tables=(
        EPOCHS, ORDERS, ORDER_PLACES, INTERVALS, CLOCK, CLOSINGS, UNCLEARED, UNSETTLED, HELD, KEEPERS, UPKEEP,
        SHORTFALLS, UNCORRECTED, SPANS, CLAIMS, DROPPED, ROLLOVERS,
    ),
)  # fmt: skip


def read_clock(view: Reader) -> Clock:
    """Return how far the market has come."""
    return view.get(CLOCK, CLOCK_KEY) or Clock(1, 0, 0, 0, 0)


def read_dropped(view: Reader) -> Dropped:
    """Return the sums of the epochs whose rows are no longer in the state."""
    return view.get(DROPPED, DROPPED_KEY) or Dropped()


def read_epoch(view: Reader, epoch: int, parameters: Parameters) -> EpochRow:
    """Return the row of *epoch*; where it has none yet, one with its tariffs as agreed today."""
    row = view.get(EPOCHS, epoch_key(epoch))
    if row is not None:
        return row
    agreed = tariffs.tariffs_at(view, parameters, epoch)
    return EpochRow(agreed.retail_uaip_per_kwh, agreed.feed_in_uaip_per_kwh, parameters.penalty_uaip_per_kwh)


def read_span(view: Reader, first: int, last: int, parameters: Parameters) -> EpochRow:
    """Return what a gap interval over the epochs *first* to *last* is booked at: no price, and the worst tariffs."""
    worst, end = tariffs.find_worst(view, parameters, first, last), read_epoch(view, last, parameters)
    recent = range(max(first, last - tariffs.MAX_WALKED_EPOCHS + 1), last + 1)
    frozen = [row for epoch in recent if (row := view.get(EPOCHS, epoch_key(epoch))) is not None]
    return replace(
        end,
        price_uaip_per_kwh=None,
        retail_uaip_per_kwh=max([worst.retail_uaip_per_kwh, *(row.retail_uaip_per_kwh for row in frozen)]),
        feed_in_uaip_per_kwh=min([worst.feed_in_uaip_per_kwh, *(row.feed_in_uaip_per_kwh for row in frozen)]),
    )


def first_waiting(view: Reader, table: Table[Waiting]) -> int | None:
    """Return the first epoch that waits in *table*, or None."""
    return next((int.from_bytes(key, "big") for key, _ in view.scan(table)), None)


def take_on(context: Context, work: int) -> bool:
    """Take on *work* more orders and lines in this block's hooks; tell whether there was room for them."""
    if context.hook_work and context.hook_work + work > MAX_HOOK_WORK_PER_BLOCK:
        return False
    context.hook_work += work
    return True


def wait_for_settlement(state: Overlay, epoch: int, height: int) -> None:
    """Note that *epoch* has something to settle."""
    if state.get(UNSETTLED, epoch_key(epoch)) is None:
        state.put(UNSETTLED, epoch_key(epoch), Waiting(height))
