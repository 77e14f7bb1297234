"""Meters: who owns them, the key that signs their readings, and the mark up to which their registers are booked.

A mark is a meter's last accepted boundary reading with the high-water mark of each register. `MARK_COUNTS` says how
many active meters have their mark at an epoch, so that "have all meters reported epoch e?" is one look.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple

from ledger.codes import Code, Refusal
from ledger.errors import CorruptedError
from ledger.keys import key_id
from ledger.state import Overlay, Reader, Table

BOUNDARY_HISTORY: Final = 128
"""For how many boundaries back the ledger still knows which reading it accepted, to tell repeats from forks."""
MAX_KEYS_PER_METER: Final = 32
_EPOCH_BYTES: Final = 8


class MeterStatus(IntEnum):
    """Whether a meter's readings count."""

    ACTIVE = 0
    SUSPENDED = 1


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter: owner's account, profile name, rated power, signing key, whether it may sell, `MeterStatus`, site.

    `key_ids` are those of all keys that it ever had, the newest last.
    """

    owner: bytes
    profile: str
    rated_power_w: int
    public_key: bytes
    can_export: bool
    status: int
    assigned_at_ms: int
    site: str
    key_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MeterKey:
    """A key that a meter signs with, for readings of a range of sequence numbers (`last_sequence` None: open).

    Blocks from `revoked_from` on (None: never) take no reading that it signed.
    """

    meter: bytes
    public_key: bytes
    first_sequence: int
    last_sequence: int | None = None
    revoked_from: int | None = None

    def is_revoked(self, height: int) -> bool:
        """Tell whether block *height* takes no reading of this key."""
        return self.revoked_from is not None and height >= self.revoked_from


class Mark(NamedTuple):
    """Up to where a meter is booked: a boundary reading of `epoch`, its registers and their high-water marks."""

    epoch: int
    time_s: int
    import_wh: int
    export_wh: int
    import_high_wh: int
    export_high_wh: int
    reading_hash: bytes
    key_id: bytes


@dataclass(frozen=True, slots=True)
class Count:
    """How many."""

    count: int


class Boundary(NamedTuple):
    """The reading accepted for one boundary."""

    reading_hash: bytes


METERS: Final = Table("meters.meters", Meter)
METER_KEYS: Final = Table("meters.keys", MeterKey)
MARKS: Final = Table("meters.marks", Mark)
MARK_COUNTS: Final = Table("meters.mark_counts", Count)
BOUNDARIES: Final = Table("meters.boundaries", Boundary)


def epoch_key(epoch: int) -> bytes:
    """Return the key of *epoch*: big-endian, so that keys ascend as epochs do."""
    return epoch.to_bytes(_EPOCH_BYTES, "big")


def find(view: Reader, meter: bytes) -> Meter | None:
    """Return the meter with id *meter*, or None."""
    return view.get(METERS, meter)


def find_by_key(view: Reader, key: bytes) -> tuple[MeterKey, Meter] | None:
    """Return the key with the 8-byte id *key* and its meter, or None."""
    row = view.get(METER_KEYS, key)
    meter = None if row is None else find(view, row.meter)
    return None if row is None or meter is None else (row, meter)


def list_keys(view: Reader, meter: bytes) -> list[MeterKey]:
    """Return all keys that *meter* ever had, the newest last."""
    row = find(view, meter)
    keys = [] if row is None else [view.get(METER_KEYS, key) for key in row.key_ids]
    return [key for key in keys if key is not None]


def add(state: Overlay, meter: bytes, row: Meter) -> Refusal | None:
    """Make a meter (without keys yet) that `row.public_key` signs for; refuses an id or a key that is taken."""
    if find(state, meter) is not None:
        return Refusal(Code.METER_EXISTS, f"meter {meter.hex()} is assigned already")
    return add_key(state, meter, row, row.public_key, 0)


def add_key(state: Overlay, meter: bytes, row: Meter, public_key: bytes, first_sequence: int) -> Refusal | None:
    """Have *public_key* sign for *meter*, whose row is *row*, from *first_sequence* on."""
    key = key_id(public_key)
    if state.get(METER_KEYS, key) is not None:
        return Refusal(Code.KEY_IN_USE, f"the key {key.hex()} belongs to a meter already, or did")
    if len(row.key_ids) >= MAX_KEYS_PER_METER:
        return Refusal(Code.TOO_MANY_KEYS, f"meter {meter.hex()} had {MAX_KEYS_PER_METER} keys already")
    state.put(METERS, meter, replace(row, public_key=public_key, key_ids=(*row.key_ids, key)))
    state.put(METER_KEYS, key, MeterKey(meter, public_key, first_sequence))
    return None


def set_status(state: Overlay, meter: bytes, status: MeterStatus) -> None:
    """Suspend a meter or make it active again; a suspended one holds up no settlement."""
    row, mark = find(state, meter), state.get(MARKS, meter)
    if row is None:
        raise CorruptedError(f"meter {meter.hex()} does not exist; synchronise anew")
    if row.status == status:
        return
    state.put(METERS, meter, replace(row, status=int(status)))
    if mark is not None:
        _count(state, mark.epoch, 1 if status is MeterStatus.ACTIVE else -1)


def set_mark(state: Overlay, meter: bytes, mark: Mark) -> None:
    """Move a meter's mark and remember which reading stands for that boundary."""
    row, moves = find(state, meter), Counter[int]()
    if row is None:
        raise CorruptedError(f"meter {meter.hex()} does not exist; synchronise anew")
    move_mark(state, meter, row, state.get(MARKS, meter), mark, moves)
    count_moves(state, moves)


def move_mark(state: Overlay, meter: bytes, row: Meter, before: Mark | None, mark: Mark, moves: Counter[int]) -> None:
    """Do what `set_mark` does for a meter whose row and mark are at hand, but for counting *moves* (`count_moves`)."""
    if row.status == MeterStatus.ACTIVE:
        if before is not None:
            moves[before.epoch] -= 1
        moves[mark.epoch] += 1
    state.put(MARKS, meter, mark)
    state.put(BOUNDARIES, meter + epoch_key(mark.epoch), Boundary(mark.reading_hash))
    if before is not None:
        _forget_boundaries(state, meter, before.epoch, mark.epoch)


def count_moves(state: Overlay, moves: Counter[int]) -> None:
    """Count how many active meters came to each epoch, or left it (below 0)."""
    for epoch, change in moves.items():
        _count(state, epoch, change)


def remember_boundary(state: Overlay, meter: bytes, epoch: int, reading_hash: bytes) -> None:
    """Remember which reading stands for a boundary before the mark, unless it lies too far back."""
    mark = state.get(MARKS, meter)
    if mark is not None and mark.epoch - BOUNDARY_HISTORY < epoch < mark.epoch:
        state.put(BOUNDARIES, meter + epoch_key(epoch), Boundary(reading_hash))


def _forget_boundaries(state: Overlay, meter: bytes, before: int, epoch: int) -> None:
    """Forget what lies too far behind *epoch*, where the mark goes, and did not behind *before*, where it was."""
    first = max(0, before - BOUNDARY_HISTORY + 1)
    for forgotten in range(first, min(before, epoch - BOUNDARY_HISTORY) + 1):
        state.delete(BOUNDARIES, meter + epoch_key(forgotten))


def first_unreported_epoch(view: Reader) -> int | None:
    """Return the first epoch that an active meter has still to report, or None where no meter has a mark."""
    return next((int.from_bytes(key, "big") for key, _ in view.scan(MARK_COUNTS)), None)


def _count(state: Overlay, epoch: int, change: int) -> None:
    row = state.get(MARK_COUNTS, epoch_key(epoch))
    count = (row.count if row else 0) + change
    if count:
        state.put(MARK_COUNTS, epoch_key(epoch), Count(count))
    else:
        state.delete(MARK_COUNTS, epoch_key(epoch))
