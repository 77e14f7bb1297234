"""The power-cut sweep: at every operation on the disk, with every outcome a file system may leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from meter import journal as meter_journal
from meter import reading, segments
from meter.board.folder import Directory
from meter.journal import Journal

from hil.flash import FlashDisk, Image, distinct
from tests.firmware.conftest import RunScript
from tests.firmware.test_journal import digest, sign_one

READINGS = 60
BOUNDARY_EVERY = 4
RECEIPT_EVERY = 9
STOPS = (17, 38)
"""Before these the meter is restarted in good order."""


@dataclass
class History:
    """What was promised, each with the number of disk operations after which it was."""

    begun: list[tuple[int, int]] = field(default_factory=list)
    sealed: dict[int, bytes] = field(default_factory=dict)
    acknowledged: list[tuple[int, int, int]] = field(default_factory=list)
    receipted: list[tuple[int, int]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files roll over, and numbers be reserved, every few readings."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 700)
    monkeypatch.setattr(meter_journal, "RESERVED_NUMBERS", 4)


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
        if place % RECEIPT_EVERY == RECEIPT_EVERY - 1:
            history.receipted.append((disk.operations, sequence))
            assert journal.settle(sequence, digest(sealed))
    return history


def check(image: Image, history: History, operations: int) -> FlashDisk:
    """Assert that a start from *image* keeps every promise made before disk operation number *operations*."""
    disk = FlashDisk.of(image)
    journal = open_journal(disk)
    receipted = max([number for when, number in history.receipted if when <= operations], default=0)
    stored = _stored(disk.image())
    assert stored.items() <= history.sealed.items()
    for when, number, reason in history.acknowledged:
        if when <= operations and (number > receipted or reason == reading.BOUNDARY):
            assert number in stored, f"acknowledged reading {number} is lost"
    pending = dict(journal.pending(0, READINGS))
    assert journal.receipted <= receipted
    assert {number for number in stored if number > receipted} <= set(pending)
    for (_, before), (_, after) in pairwise(sorted(pending.items())):
        assert reading.decode(after).previous == digest(before)[:8]
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
        for record in segments.unpack(content)[0]
    }


def images(disk: FlashDisk) -> Iterator[tuple[int, str, Image]]:
    """Give (operation, outcome, image) of each cut during the life of *disk*."""
    for operation, cut in enumerate([*disk.cuts, disk.outcomes()]):
        for outcome, image in distinct(cut):
            yield operation, outcome, image


def test_a_power_cut_at_every_disk_operation_loses_and_invents_nothing(capsys: pytest.CaptureFixture[str]) -> None:
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
    with capsys.disabled():
        print(f"\npower cuts: {len(disk.cuts) + 1} operations, {tried} outcomes, {again} second cuts while starting")
    assert len(disk.cuts) > 4 * READINGS // 2


def test_a_power_cut_at_every_flash_operation_of_littlefs_loses_and_invents_nothing(
    run_script: RunScript, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run_script("import littlefs_sweep; littlefs_sweep.sweep()")
    with capsys.disabled():
        print("\n" + printed.strip())
    assert "littlefs power cuts" in printed
