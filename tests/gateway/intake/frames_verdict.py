"""What became of hostile frames: each accounted for, for a listed reason, and every good reading stored once."""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from gateway.epochs.intervals import Boundary, derive_intervals
from gateway.intake.refusals import RefusalCode
from gateway.store.readings import QUARANTINE_BYTES
from ledger import reading
from tests.gateway.intake.hostile_frames import FIRST_EPOCH, Frame, Hostility

QUARANTINED = {int(code) for code in RefusalCode if not code.is_signed}
KEPT = {0, *(int(code) for code in RefusalCode if code.is_signed and not code.is_note)}
NOTED = {int(code) for code in RefusalCode if code.is_note}
COUNTED = {"stored", "duplicates", "refused", "evicted", "evidence_dropped", *(code.counter for code in RefusalCode)}
Rows = list[tuple[bytes, bytes, int]]


def judge(store: Path, hostility: Hostility, sent: Sequence[Frame]) -> Iterator[str]:
    """Yield what is wrong with the database at *store* after *sent* went in, one text each."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        readings: Rows = connection.execute("SELECT meter_id, raw, refusal FROM readings ORDER BY sequence").fetchall()
        evidence: Rows = connection.execute("SELECT meter_id, raw, refusal FROM evidence").fetchall()
        quarantine = connection.execute("SELECT topic, raw, size, refusal FROM quarantine").fetchall()
        chains = {row[0]: row[1:] for row in connection.execute("SELECT meter_id, head, head_hash FROM chains")}
        notes = {code for (code,) in connection.execute("SELECT code FROM notes")}
        counts = Counter(dict(connection.execute("SELECT name, value FROM counters").fetchall()))
        if (state := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            yield f"the database is damaged: {state}"
    kept = readings + evidence
    yield from _judge_reasons(kept, [row[3] for row in quarantine], notes, set(counts))
    if (handled := count_handled(counts)) != len(sent):
        yield f"{len(sent)} frames came, {handled} were counted"
    yield from _judge_kept(hostility, kept)
    yield from _judge_account(sent, kept, Counter(row[:3] for row in quarantine))
    for meter_id, signed in hostility.signed.items():
        rows = [(raw, refusal) for meter, raw, refusal in readings if meter == meter_id]
        if rows != [(raw, 0) for raw in signed]:
            yield f"meter {meter_id.hex()} signed {len(signed)} good readings; stored otherwise: {len(rows)} rows"
        elif chains[meter_id] != ((last := reading.decode(signed[-1])).sequence, last.hash):
            yield f"the chain of meter {meter_id.hex()} is not complete up to its last reading"


def judge_intervals(store: Path, hostility: Hostility) -> Iterator[str]:
    """Yield each healthy meter of which an interval is not the difference of what it signed."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        for meter_id, signed in hostility.signed.items():
            rows = connection.execute(
                "SELECT meter_id, epoch, import_wh, export_wh FROM readings WHERE meter_id = ? AND epoch IS NOT NULL"
                " AND refusal = 0 ORDER BY epoch",
                (meter_id,),
            ).fetchall()
            found = [(one.epoch, one.epochs, one.import_wh) for one in derive_intervals(Boundary(*row) for row in rows)]
            energies = [one.register(180) or 0 for raw in signed if (one := reading.decode(raw)).epoch is not None]
            if found != [(FIRST_EPOCH + place, 1, b - a) for place, (a, b) in enumerate(itertools.pairwise(energies))]:
                yield f"meter {meter_id.hex()}: intervals are not the differences of its registers"


def count_reasons(store: Path) -> Counter[str]:
    """Return how often each reason was given, and how many readings were stored and dropped as copies."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        return Counter(dict(connection.execute("SELECT name, value FROM counters").fetchall()))


def count_handled(counts: Counter[str]) -> int:
    """Return how many frames *counts* tell of. A signed reading that is refused in its place is stored all the same."""
    twice = counts[RefusalCode.BOUNDARY_TIME.counter] + counts[RefusalCode.EPOCH_TWICE.counter]
    return counts["stored"] + counts["duplicates"] + counts["refused"] - twice


def _judge_reasons(kept: Rows, quarantined: list[int], notes: set[int], names: set[str]) -> Iterator[str]:
    found = {"quarantine": set(quarantined) - QUARANTINED, "readings or evidence": {row[2] for row in kept} - KEPT}
    found |= {"notes": notes - NOTED}
    yield from (f"codes in {place} that are not listed: {codes}" for place, codes in found.items() if codes)
    if names - COUNTED:
        yield f"counters that are not listed: {names - COUNTED}"


def _judge_kept(hostility: Hostility, kept: Rows) -> Iterator[str]:
    stored = Counter(raw for _, raw, _ in kept)
    if max(stored.values(), default=1) > 1:
        yield f"kept more than once: {[raw.hex() for raw, count in stored.items() if count > 1]}"
    if hostility.formed - stored.keys():
        yield f"signed by a meter and not kept: {[raw.hex() for raw in hostility.formed - stored.keys()]}"
    keys = hostility.roster.keys
    for meter_id, raw, _ in kept:
        one = reading.decode(raw)
        key = keys.get(one.key_id)
        if key is None or key.meter_id != meter_id or not one.is_signed_by(key.public_key):
            yield f"kept, though the meter did not sign it: {raw.hex()}"


def _judge_account(sent: Sequence[Frame], kept: Rows, quarantine: Counter[tuple[str, bytes, int]]) -> Iterator[str]:
    """What is kept under its meter came on its topic; all else must lie in the quarantine, as often as it came."""
    at_home = {(f"meter/{meter_id.hex()}/reading", raw) for meter_id, raw, _ in kept}
    others = Counter(
        (topic[:256], raw[:QUARANTINE_BYTES], len(raw)) for topic, raw in sent if (topic, raw) not in at_home
    )
    for (topic, raw, size), times in (others - quarantine).items():
        yield f"lost {times} times, neither kept nor quarantined: {size} bytes {raw.hex()} on {topic!r}"
    for (topic, raw, _), times in (quarantine - others).items():
        yield f"quarantined {times} times too often: {raw.hex()} on {topic!r}"
