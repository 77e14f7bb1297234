"""Boundary readings that come behind a later one: what they still prove of an epoch within a gap interval.

The gap interval has all energy of its span in it, and stays as it is. But where the meter had sold in one of its
epochs, the two boundary readings of that epoch show what it delivered, and its correction is due as if the interval had
come alone. So each such epoch of a gap interval over several has a claim, which waits for the readings that it lacks:
that of an epoch not settled yet until its settlement, which shows whether anything was missed; then for as long as
corrections are made. All epochs of a span together are never credited with more than the gap interval's export.

Energy that was held makes no claims: who releases it decides what it is, not when it was.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from ledger import records
from ledger.errors import CorruptedError
from ledger.keys import thumbprint
from ledger.modules import meters
from ledger.modules.market.corrections import correct_or_wait
from ledger.modules.market.tables import (
    CLAIMS,
    SHORTFALLS,
    SPANS,
    UNCLEARED,
    UNCORRECTED,
    UNSETTLED,
    Claim,
    Point,
    Span,
)  # fmt: skip
from ledger.modules.meters import Mark, epoch_key
from ledger.modules.module import Context
from ledger.modules.readings import CheckedBoundary
from ledger.records import LineFlag, SettlementLine
from ledger.state import Overlay, Reader


def open_claims(state: Overlay, before: Mark, end: CheckedBoundary, line: SettlementLine) -> None:
    """Have the epochs of a gap interval in which its meter may have sold wait for their boundary readings.

    *line* is the interval's, *before* the mark at its start, *end* the reading at its end.
    """
    if before.epoch == line.epoch or not line.export_wh:
        return
    epochs = _find_missed(state, line.meter, before.epoch, line.epoch)
    if not epochs:
        return
    from_wh = before.export_high_wh
    first: Point = (from_wh, before.reading_hash, before.key_id, 0)
    last = _point(end, from_wh + line.export_wh)
    for epoch in epochs:
        claim = Claim(line.epoch, first if epoch == before.epoch else None, last if epoch == line.epoch else None)
        state.put(CLAIMS, epoch_key(epoch) + line.meter, claim)
    span = Span(records.encode(line), from_wh, line.export_wh, len(epochs))
    state.put(SPANS, epoch_key(line.epoch) + line.meter, span)


def is_claimed(view: Reader, checked: CheckedBoundary) -> bool:
    """Tell whether a claim lacks the reading of this boundary."""
    before, behind = (view.get(CLAIMS, key) for key in _keys(checked))
    return (before is not None and before.late is None) or (behind is not None and behind.early is None)


def note_between(context: Context, checked: CheckedBoundary) -> None:
    """Take in a boundary reading that `is_claimed`: it ends one epoch and begins the next."""
    state = context.state
    meters.remember_boundary(state, checked.meter_id, checked.epoch, checked.hash)
    for key, is_late in zip(_keys(checked), (True, False), strict=True):
        claim = state.get(CLAIMS, key)
        if claim is None or (claim.late if is_late else claim.early) is not None:
            continue
        point = _point(checked, max(checked.export_wh, _span_of(state, key, claim).from_wh))
        state.put(CLAIMS, key, replace(claim, late=point) if is_late else replace(claim, early=point))
        _judge(context, key)


def judge_settled(context: Context, epoch: int) -> None:
    """Correct what can be corrected of *epoch*, settled just now, and give up its claims where nothing was missed."""
    for key, claim in context.state.scan(CLAIMS, epoch_key(epoch)):
        if context.state.get(SHORTFALLS, key) is None:
            _give_up(context.state, key, claim)
        else:
            _judge(context, key)


def give_up_claims(state: Overlay, epoch: int) -> None:
    """Forget the claims of an epoch that is too old."""
    for key, claim in state.scan(CLAIMS, epoch_key(epoch)):
        _give_up(state, key, claim)


def _find_missed(state: Overlay, meter: bytes, first: int, last: int) -> list[int]:
    """Return which epochs of a span have a shortfall of *meter*, or may come to one since they are not settled yet."""
    epochs: set[int] = set()
    for high in range(first >> 8, (last >> 8) + 1):  # by all bytes of a key but the last: a meter may have missed many
        rows = state.scan(UNCORRECTED, meter + epoch_key(high << 8)[:-1])
        epochs.update(int.from_bytes(key[8:], "big") for key, _ in rows)
    for table in (UNCLEARED, UNSETTLED):
        waiting = (int.from_bytes(key, "big") for key, _ in state.scan(table))
        epochs.update(takewhile(lambda epoch: epoch <= last, waiting))
    return sorted(epoch for epoch in epochs if first <= epoch <= last)


def _keys(checked: CheckedBoundary) -> tuple[bytes, bytes]:
    """Return the keys of the claims whose epoch the reading ends, and whose it begins."""
    return epoch_key(checked.epoch - 1) + checked.meter_id, epoch_key(checked.epoch) + checked.meter_id


def _point(checked: CheckedBoundary, export_wh: int) -> Point:
    return export_wh, checked.hash, checked.key_id, int(LineFlag.FALSE_BEACON) * checked.has_false_beacon


def _span_of(state: Overlay, key: bytes, claim: Claim) -> Span:
    span = state.get(SPANS, epoch_key(claim.last_epoch) + key[8:])
    if span is None:
        raise CorruptedError(f"a claim of meter {key[8:].hex()} lost its gap interval; synchronise anew")
    return span


def _judge(context: Context, key: bytes) -> None:
    """Make the correction that the claim under *key* calls for, once its epoch is settled and its ends are known."""
    state, claim, row = context.state, context.state.get(CLAIMS, key), context.state.get(SHORTFALLS, key)
    if claim is None or row is None or claim.early is None or claim.late is None:
        return
    span = _span_of(state, key, claim)
    proven_wh = min(row.shortfall_wh, span.left_wh, max(0, claim.late[0] - claim.early[0]))
    state.put(SPANS, epoch_key(claim.last_epoch) + key[8:], replace(span, left_wh=span.left_wh - proven_wh))
    _give_up(state, key, claim)
    if proven_wh:
        correct_or_wait(context, row, _draw_late(state, key, span, (claim.early, claim.late), proven_wh))


def _draw_late(state: Overlay, key: bytes, span: Span, ends: tuple[Point, Point], export_wh: int) -> SettlementLine:
    """Return the late line that there would be of the claim's epoch alone, at the feed-in tariff that the gap had."""
    line, (early, late) = records.decode_settlement_line(span.line), ends
    signer = state.get(meters.METER_KEYS, late[2])
    if signer is None:
        raise CorruptedError(f"the key {late[2].hex()} of a meter vanished; synchronise anew")
    return replace(
        line, epoch=int.from_bytes(key[:8], "big"), key_thumbprint=thumbprint(signer.public_key),
        first_reading=early[1], last_reading=late[1], export_wh=export_wh,
        grid_income_aaip=line.grid_income_aaip // line.export_wh * export_wh,  # export x feed-in: it divides exactly
        flags=int(LineFlag.GAP | LineFlag.KEY_CHANGED * (early[2] != late[2])) | late[3],
    )  # fmt: skip


def _give_up(state: Overlay, key: bytes, claim: Claim) -> None:
    """Remove a claim, and with the last one of its span what was kept of that."""
    place, span = epoch_key(claim.last_epoch) + key[8:], _span_of(state, key, claim)
    state.delete(CLAIMS, key)
    if span.claims == 1:
        state.delete(SPANS, place)
    else:
        state.put(SPANS, place, replace(span, claims=span.claims - 1))
