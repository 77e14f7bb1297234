"""Each meter's hash chain: what is complete, what is here twice, what contradicts itself. Pure, no I/O.

A reading names its predecessor by the head of its hash. The chain is complete up to `head`; what is stored above
it waits for a predecessor that has not come yet. Numbers may be skipped, links may not, except over what the meter
itself gave up for want of room and signed for (`ledger.reading.Thinned`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.intake.refusals import RefusalCode
from gateway.roster import MeterKey, Succession
from ledger.reading import NO_PREVIOUS, PREVIOUS_BYTES, Reading, Reason, Thinned

MAX_REFUSED_LISTED: Final = 8
"""How many of a meter's newest refused numbers its receipts list."""
_SUCCESSIONS: Final = {
    Succession.ROTATION: RefusalCode.KEY_ROTATED, Succession.REPLACEMENT: RefusalCode.METER_REPLACED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """What the chain needs to know of a stored reading."""

    sequence: int
    hash: bytes
    previous: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """One meter's chain: complete up to number `head` (0 = nothing yet), whose reading has `head_hash` (32 bytes)."""

    head: int = 0
    head_hash: bytes = bytes(32)
    highest: int = 0
    refused: tuple[tuple[int, int], ...] = ()

    @property
    def is_waiting(self) -> bool:
        """Tell whether readings above the head wait for a predecessor."""
        return self.highest > self.head


def place(chain: Chain, link: Link, stored: bytes | None) -> RefusalCode | None:
    """Return what speaks against storing the reading *link*, or None.

    *stored* is the hash of what is stored under its number already (None = nothing), and is not its own: identical
    readings are duplicates and never come here.
    """
    if stored is not None and stored != link.hash:
        return RefusalCode.FORK
    if link.sequence <= chain.head:
        return RefusalCode.RESET if link.previous == NO_PREVIOUS else RefusalCode.OFF_CHAIN
    return None


def judge_key(key: MeterKey | None, sequence: int) -> RefusalCode | None:
    """Return why *key*, a key of the meter that signed reading *sequence*, does not hold for that number, or None."""
    crossed = key and key.crossed(sequence)
    return _SUCCESSIONS[crossed] if crossed else None


def advance(
    chain: Chain, above: Sequence[Link], refused: Iterable[tuple[int, int]] = (), thinned: Sequence[Thinned] = ()
) -> Chain:
    """Return *chain* moved along the links in *above* (stored readings above its head, by ascending number).

    *thinned* are the runs that the meter gave up, by ascending number: they stand in for the readings removed.
    """
    head, head_hash = chain.head, chain.head_hash
    for link in above:
        if link.previous != head_hash[:PREVIOUS_BYTES] and not _is_bridged(head, head_hash, link, thinned):
            break
        head, head_hash = link.sequence, link.hash
    highest = max(chain.highest, above[-1].sequence) if above else chain.highest
    newest = sorted({*chain.refused, *refused})[-MAX_REFUSED_LISTED:]
    return Chain(head, head_hash, highest, tuple(newest))


def retrace(
    chain: Chain, stored: Iterable[Link], thinned: Sequence[Thinned] = (), adopted: Mapping[bytes, int] | None = None
) -> Chain:
    """Return *chain* moved over *stored* readings above its head, by ascending number, passing over what is off it.

    *adopted* maps the hash of a reading from which an operator let the chain go on to the head that it had before.
    """
    for link in stored:
        if adopted and adopted.get(link.hash) == chain.head:
            chain = Chain(link.sequence, link.hash, link.sequence)
        else:
            chain = advance(chain, [link], (), thinned)
    return chain


def _is_bridged(head: int, head_hash: bytes, link: Link, thinned: Sequence[Thinned]) -> bool:
    """Tell whether what lies between the chain's head and *link* is signed for as removed, in one run or several."""
    for run in thinned:
        if run.last >= link.sequence:
            break
        if run.previous == head_hash[:PREVIOUS_BYTES] or run.first <= head <= run.last:
            head, head_hash = run.last, run.hash
    return link.previous == head_hash[:PREVIOUS_BYTES]


def find_fault(reading: Reading, epoch_s: int) -> RefusalCode | None:
    """Return why a signed *reading* cannot count although it is whole, or None. Needs no clock but its own."""
    if reading.reason is not Reason.BOUNDARY or reading.epoch is None:
        return None
    tolerance_s = max(2, epoch_s // 100)
    if abs(reading.time - reading.epoch * epoch_s) > tolerance_s:
        return RefusalCode.BOUNDARY_TIME
    return None
