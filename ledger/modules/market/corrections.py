"""Corrections: a seller who proves late that he delivered gets back what the grid account took for standing in.

No trade is reopened. What a settlement took as not delivered, because its meter had not reported or a step was held, is
remembered. The line that books the late interval is then followed by one with the flag CORRECTION, between the seller
and the grid account alone: retail and penalty back, less the feed-in that the late line paid for the same energy. There
is one for a meter and epoch: within 35 days of its end by itself, later by Q approvals. A buyer's late line bills what
he imported as it is.

Where a later boundary came first, a gap interval over several epochs has the energy already; `claims` then shows what
of it was the epoch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ledger import records
from ledger.codes import Code, Refusal
from ledger.modules.approvals import decision
from ledger.modules.kinds import Epoch, MeterId
from ledger.modules.market.lines import Line
from ledger.modules.market.tables import (
    AAIP_PER_PRICE_WH,
    SHORTFALLS,
    UNCORRECTED,
    EpochRow,
    Shortfall,
    Waiting,
    module,
    read_epoch,
)  # fmt: skip
from ledger.modules.market.transfers import book_lines
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context
from ledger.records import LineFlag, SettlementLine
from ledger.state import Overlay

CORRECTION_PERIOD_S: Final = 35 * 86_400
_TAKEN_AS_UNDELIVERED: Final = LineFlag.NOT_REPORTED | LineFlag.HELD


@decision(module)
def approve_correction(context: Context, meter: MeterId, epoch: Epoch) -> Refusal | None:
    """Correct an epoch of *meter* whose late line came more than 35 days after its end."""
    row = context.state.get(SHORTFALLS, epoch_key(epoch) + meter)
    if row is None or row.late_line is None:
        return Refusal(Code.NOTHING_TO_CORRECT, f"no correction of meter {meter.hex()} waits for epoch {epoch}")
    _correct(context, row, records.decode_settlement_line(row.late_line))
    return None


def remember_shortfalls(context: Context, book: EpochRow, lines: Sequence[Line]) -> None:
    """Keep what the settlement *lines* of an epoch took as not delivered for want of an interval."""
    returned = book.retail_uaip_per_kwh + book.penalty_uaip_per_kwh
    for line in lines:
        record = line.record
        if line.shortfall_wh and record.flags & _TAKEN_AS_UNDELIVERED:
            key = epoch_key(record.epoch) + record.meter
            context.state.put(SHORTFALLS, key, Shortfall(line.shortfall_wh, returned))
            context.state.put(UNCORRECTED, record.meter + epoch_key(record.epoch), Waiting(context.height))


def correct_late(context: Context, first_epoch: int, late: SettlementLine) -> None:
    """Correct the epoch of a *late* line, if it is of that one alone and had a shortfall."""
    row = context.state.get(SHORTFALLS, epoch_key(late.epoch) + late.meter)
    if row is not None and row.late_line is None and first_epoch == late.epoch and late.export_wh:
        correct_or_wait(context, row, late)


def correct_or_wait(context: Context, row: Shortfall, late: SettlementLine) -> None:
    """Correct the epoch that *row* is of, now that *late* shows what was delivered; after 35 days it waits."""
    if context.time_s <= (late.epoch + 1) * context.parameters.epoch_s + CORRECTION_PERIOD_S:
        _correct(context, row, late)
        return
    context.state.put(SHORTFALLS, epoch_key(late.epoch) + late.meter, replace(row, late_line=records.encode(late)))
    context.emit("market", "correction_waits", meter=late.meter, epoch=late.epoch)


def forget_shortfall(state: Overlay, epoch: int, meter: bytes) -> None:
    """Remove what is remembered of a shortfall: it is corrected, or too old."""
    state.delete(SHORTFALLS, epoch_key(epoch) + meter)
    state.delete(UNCORRECTED, meter + epoch_key(epoch))


def _correct(context: Context, row: Shortfall, late: SettlementLine) -> None:
    """Book the correction that *row* calls for now that *late* shows what was delivered."""
    corrected_wh = min(row.shortfall_wh, late.export_wh)
    paid_aaip = late.grid_income_aaip // late.export_wh * corrected_wh  # export x feed-in: it divides exactly
    returned_aaip = corrected_wh * row.returned_uaip_per_kwh * AAIP_PER_PRICE_WH
    record = replace(
        late, import_wh=0, export_wh=0, grid_income_aaip=returned_aaip, grid_cost_aaip=paid_aaip, minted_agrid=0,
        flags=late.flags | int(LineFlag.CORRECTION),
    )  # fmt: skip
    line = Line(record, 0, 0, 0, 0, 0, paid_aaip, 0)
    book_lines(context, late.epoch, read_epoch(context.state, late.epoch, context.parameters), [line], {})
    forget_shortfall(context.state, late.epoch, late.meter)
    context.emit(
        "market", "corrected", meter=late.meter, epoch=late.epoch, corrected_wh=corrected_wh,
        returned_aaip=returned_aaip, paid_aaip=paid_aaip,
    )  # fmt: skip
