"""The power-cut sweep: at every operation on the disk, with every outcome a file system may leave."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from meter import journal as meter_journal
from meter import reading, segments
from meter.board.folder import Directory
from meter.journal import Journal

from hil.flash import FlashDisk, Image, images
from tests.firmware.conftest import RunScript, Tell
from tests.firmware.test_journal import CheapKey, bridged, digest, sign_one

READINGS = 60
BOUNDARY_EVERY = 5
RECEIPTS = (8, 14, 44, 55)
STOPS = (17, 38)
"""Before these the meter is restarted in good order."""
THINNED = (*range(24, 44, 2), *range(47, 55))
"""After these the journal is thinned by one run, where it has one."""


@dataclass
class History:
    """What was promised, each with the number of disk operations after which it was."""

    begun: list[tuple[int, int]] = field(default_factory=list)
    sealed: dict[int, bytes] = field(default_factory=dict)
    acknowledged: list[tuple[int, int, int]] = field(default_factory=list)
    receipted: list[tuple[int, int]] = field(default_factory=list)
    thinned: list[tuple[int, int, int]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files roll over, and numbers be reserved, every few readings."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1200)
    monkeypatch.setattr(meter_journal, "RESERVED_NUMBERS", 4)
    monkeypatch.setattr(meter_journal, "THIN_RUN", 2)


def open_journal(disk: FlashDisk) -> Journal:
    """Start, as after a power cut."""
    return Journal(*(Directory(name, disk) for name in ("log", "archive", "state")))


def live(disk: FlashDisk) -> History:
    """Sign, receipt, trim and restart on *disk*; return what was promised when."""
    history = History()
    journal = open_journal(disk)
    for place in range(READINGS):
        if place in STOPS:
            journal = open_journal(disk)
        number = journal.link()[0]
        history.begun.append((disk.operations, number))
        reason = reading.PERIODIC if place % BOUNDARY_EVERY else reading.BOUNDARY
        sequence, sealed = sign_one(journal, reason)
        history.sealed[sequence] = sealed
        history.acknowledged.append((disk.operations, sequence, reason))
        if place in RECEIPTS:
            history.receipted.append((disk.operations, sequence))
            assert journal.settle(sequence, digest(sealed))
        if place in THINNED:
            thin(journal, disk, history)
    return history


def thin(journal: Journal, disk: FlashDisk, history: History) -> None:
    """Give up one run of readings, and note what was promised."""
    run = journal.thinnable()
    if run is None:
        return
    number, previous = journal.link()
    history.begun.append((disk.operations, number))
    taken = reading.Reading(number, 5, 0, 0, None, reading.THINNED, run, (), 4, previous)
    history.sealed[number] = reading.seal(taken, CheapKey())
    journal.append(number, reading.THINNED, history.sealed[number])
    history.acknowledged.append((disk.operations, number, reading.THINNED))
    history.thinned.append((disk.operations, run[0], run[1]))
    journal.thin(run[0], run[1])


def check(image: Image, history: History, operations: int) -> FlashDisk:
    """Assert that a start from *image* keeps every promise made before disk operation number *operations*."""
    disk = FlashDisk.of(image)
    journal = open_journal(disk)
    receipted = max([number for when, number in history.receipted if when <= operations], default=0)
    stored = _stored(disk.image())
    assert stored.items() <= history.sealed.items()
    for when, number, reason in history.acknowledged:
        gone = any(when <= operations and first <= number <= last for when, first, last in history.thinned)
        if when <= operations and not gone and (number > receipted or reason == reading.BOUNDARY):
            assert number in stored, f"acknowledged reading {number} is lost"
    pending = dict(journal.pending(0, READINGS))
    assert journal.receipted <= receipted
    assert {number for number in stored if number > receipted} <= set(pending)
    if pending:
        first = reading.decode(pending[min(pending)])
        assert bridged(sorted(pending.items()), first.previous) == sorted(pending)
    begun = max([number for when, number in history.begun if when <= operations], default=0)
    sequence, previous = journal.link()
    assert sequence > begun, f"number {sequence} comes again"
    newest = max(pending, default=None)
    assert newest is None or previous == digest(pending[newest])[:8]
    return disk


def _stored(image: Image) -> dict[int, bytes]:
    return {
        record.sequence: record.data
        for path, content in image.items()
        if path.endswith(".log")
        for record in segments.unpack(content)
    }


def test_a_power_cut_at_every_disk_operation_loses_and_invents_nothing(tell: Tell) -> None:
    disk = FlashDisk()
    history = live(disk)
    tried = again = 0
    seen: set[bytes] = set()
    for operation, outcome, image in images(disk):
        tried += 1
        try:
            starting = check(image, history, operation)
            for _, _, second in images(starting):  # the power goes again while the journal is mended
                key = hashlib.sha256(repr((operation, second)).encode()).digest()
                if key not in seen:
                    seen.add(key)
                    again += 1
                    check(second, history, operation)
        except Exception as error:
            raise AssertionError(f"cut before operation {operation}, outcome {outcome!r}: {error}") from error
    tell(f"power cuts: {len(disk.cuts) + 1} disk operations, {tried} outcomes, {again} second cuts while starting")
    assert len(disk.cuts) > 4 * READINGS
    assert len(history.thinned) > 3


def test_a_power_cut_at_every_flash_operation_of_littlefs_loses_and_invents_nothing(
    run_script: RunScript, tell: Tell
) -> None:
    printed = run_script("import littlefs_sweep; littlefs_sweep.sweep()")
    tell(printed.strip())
    assert "littlefs power cuts" in printed
