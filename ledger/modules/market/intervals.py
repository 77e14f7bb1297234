"""Interval reports: two boundary readings of a meter make what it measured between them.

Continuity is by register: each report is measured from the meter's mark, which only moves on. One epoch on time is an
interval that serves orders; anything else is a gap interval, booked at once against the grid account. So no energy is
counted twice, and none is lost: what does not count shows as a flag or as held. A boundary before the mark books
nothing more, but may prove what its meter delivered of what it sold (`claims`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import meters, registry, requests
from ledger.modules.kinds import Epoch, MeterId, ReadingEnvelopes
from ledger.modules.market.claims import is_claimed, note_between, open_claims
from ledger.modules.market.settlement import book_gap
from ledger.modules.market.tables import HELD, INTERVALS, Held, Interval, module, read_clock, wait_for_settlement
from ledger.modules.meters import Mark, MeterStatus, epoch_key
from ledger.modules.module import Context
from ledger.modules.readings import CheckedBoundary, check_boundary
from ledger.records import LineFlag

STEP_MARGIN_PERCENT: Final = 105
"""A step up to rated power x elapsed time x 1.05 is possible."""
STEP_SLACK_S: Final = 1
"""Meters' times are whole seconds."""
STEP_SLACK_WH: Final = 10
"""The coarsest register resolution: 0.01 kWh."""
_SECONDS_PER_HOUR: Final = 3600
_BELOW_MARK: Final = int(LineFlag.BELOW_MARK)
_KEY_CHANGED: Final = int(LineFlag.KEY_CHANGED)
_REPORTERS: Final = int(Role.GATEWAY | Role.AUTHORITY)


@module.call(is_free=True)
def report_intervals(context: Context, readings: ReadingEnvelopes) -> Refusal | None:
    """Report boundary readings as the meters signed them, each meter's in the order of epochs.

    For registered gateways, authorities, and owners for their own meters; anybody else is refused. Each reading has
    its own code in the events; good ones count though others are refused, and repeats change nothing.
    """
    return report(context, readings)


def report(context: Context, readings: list[bytes]) -> Refusal | None:
    """Take in the *readings* of an interval report, or return why the sender may not make one."""
    if not _may_report_any(context) and not registry.owns_meters(context.state, context.sender):
        return Refusal(
            Code.MAY_NOT_REPORT, f"account {context.sender.hex()} is no gateway, no authority and owns no meter"
        )
    moves = Counter[int]()
    for raw in readings:
        _report(context, raw, moves)
    meters.count_moves(context.state, moves)
    return None


@module.call(Role.ADMIN | Role.AUTHORITY)
def release_energy(context: Context, meter: MeterId, epoch: Epoch) -> Refusal | None:
    """Approve energy that was held as impossible for the meter's rated power; *epoch* is the last of its span.

    It is booked as a gap interval once an admin and an authority, two accounts, have approved.
    """
    state, key = context.state, meter + epoch_key(epoch)
    held = state.get(HELD, key)
    if held is None:
        return Refusal(Code.NOTHING_HELD, f"nothing of meter {meter.hex()} is held for epoch {epoch}")
    if context.sender in (held.approved_by_admin, held.approved_by_authority):
        return Refusal(Code.ALREADY_APPROVED, "you have approved it already; the other role must, too")
    if Role.ADMIN in context.roles and not held.approved_by_admin:
        held = replace(held, approved_by_admin=context.sender)
    elif Role.AUTHORITY in context.roles and not held.approved_by_authority:
        held = replace(held, approved_by_authority=context.sender)
    else:
        return Refusal(Code.ALREADY_APPROVED, "your role has approved it already; the other role must, too")
    if held.approved_by_admin and held.approved_by_authority:
        interval = Interval(
            held.import_wh, held.export_wh, held.first_reading, held.last_reading, held.flags, held.key_id
        )
        book_gap(context, (held.first_epoch, epoch), meter, interval, LineFlag.GAP | LineFlag.RELEASED)
        state.delete(HELD, key)
    else:
        state.put(HELD, key, held)
    context.emit("market", "release_approved", meter=meter, epoch=epoch, account=context.sender)
    return None


def _may_report_any(context: Context) -> bool:
    return int(context.roles) & _REPORTERS != 0


def _report(context: Context, raw: bytes, moves: Counter[int]) -> None:
    checked = check_boundary(context, raw)
    if isinstance(checked, Refusal):
        context.emit("market", "reading", meter=b"", epoch=None, code=int(checked.code))
        return
    mark = context.state.get(meters.MARKS, checked.meter_id)
    code = _judge(context, checked, mark)
    if code is Code.DONE and mark is not None:
        _accept(context, checked, mark, moves)
    elif code is Code.READING_FORKED:
        meters.set_status(context.state, checked.meter_id, MeterStatus.SUSPENDED)
    context.emit("market", "reading", meter=checked.meter_id, epoch=checked.epoch, code=int(code))


def _judge(context: Context, checked: CheckedBoundary, mark: Mark | None) -> Code:
    """Return why the reading does not count for its meter, whose mark is *mark*, or DONE."""
    if checked.meter.owner != context.sender and not _may_report_any(context):
        return Code.READING_OF_FOREIGN_METER
    if mark is None:
        return Code.METER_WITHOUT_BASELINE
    known = context.state.get(meters.BOUNDARIES, checked.meter_id + epoch_key(checked.epoch))
    if known is not None:
        return Code.READING_REPEATED if known.reading_hash == checked.hash else Code.READING_FORKED
    if checked.epoch <= mark.epoch and not is_claimed(context.state, checked):
        return Code.READING_OUTDATED
    return Code.DONE if checked.meter.status == MeterStatus.ACTIVE else Code.METER_SUSPENDED


def _accept(context: Context, checked: CheckedBoundary, mark: Mark, moves: Counter[int]) -> None:
    """Measure from *mark*, book or hold the result, and move the mark; before it, a reading proves what was sold."""
    if checked.epoch < mark.epoch:
        note_between(context, checked)
        return
    interval = _measure(checked, mark)
    if checked.has_false_beacon:
        interval = interval._replace(flags=interval.flags | int(LineFlag.FALSE_BEACON))
    epoch, key = checked.epoch - 1, checked.meter_id
    meters.move_mark(context.state, key, checked.meter, mark, _next_mark(checked, mark), moves)
    if _is_impossible(checked, mark, interval):
        held = Held(
            mark.epoch, interval.import_wh, interval.export_wh, interval.first_reading, interval.last_reading,
            interval.flags & int(LineFlag.KEY_CHANGED), interval.key_id, b"", b"",
        )  # fmt: skip
        context.state.put(HELD, key + epoch_key(epoch), held)
        context.emit(
            "market", "held", meter=key, epoch=epoch, import_wh=interval.import_wh, export_wh=interval.export_wh
        )
        interval = interval._replace(import_wh=0, export_wh=0, flags=interval.flags | int(LineFlag.HELD))
    if mark.epoch == epoch and epoch >= read_clock(context.state).next_settle:
        context.state.put(INTERVALS, epoch_key(epoch) + key, interval)
        wait_for_settlement(context.state, epoch, context.height)
    else:
        open_claims(context.state, mark, checked, book_gap(context, (mark.epoch, epoch), key, interval, LineFlag.GAP))
    requests.note_reported(context, key, epoch, interval.import_wh, interval.export_wh)


def _measure(checked: CheckedBoundary, mark: Mark) -> Interval:
    """Return what rose above the high-water marks; energy below them counts zero and is flagged.

    So is the interval in which a register climbs past its mark again: it is not the difference of its two readings.
    """
    below = (
        min(checked.import_wh, mark.import_wh) < mark.import_high_wh
        or min(checked.export_wh, mark.export_wh) < mark.export_high_wh
    )
    flags = _BELOW_MARK * below | _KEY_CHANGED * (mark.key_id != checked.key_id)
    return Interval(
        max(0, checked.import_wh - mark.import_high_wh),
        max(0, checked.export_wh - mark.export_high_wh),
        mark.reading_hash,
        checked.hash,
        flags,
        checked.key_id,
    )


def _next_mark(checked: CheckedBoundary, mark: Mark) -> Mark:
    return Mark(
        checked.epoch, checked.time_s, checked.import_wh, checked.export_wh,
        max(mark.import_high_wh, checked.import_wh), max(mark.export_high_wh, checked.export_wh), checked.hash,
        checked.key_id,
    )  # fmt: skip


def _is_impossible(checked: CheckedBoundary, mark: Mark, interval: Interval) -> bool:
    elapsed_s = checked.time_s - mark.time_s + STEP_SLACK_S
    most = checked.meter.rated_power_w * elapsed_s * STEP_MARGIN_PERCENT
    step_wh = max(interval.import_wh, interval.export_wh) - STEP_SLACK_WH
    return step_wh * _SECONDS_PER_HOUR * 100 > most
