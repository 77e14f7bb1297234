"""The journal: nothing lost, nothing invented, no number used twice, trimmed by receipts alone."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meter import journal as meter_journal
from meter import reading, segments
from meter.envelope import Key
from meter.errors import JournalError
from meter.journal import MAX_JUMP, RESERVED_NUMBERS, Journal
from meter.segments import Record

from gateway.intake.sequence import Chain, Link, advance
from ledger.reading import decode
from tests.firmware.memory_directory import MemoryDirectory, PowerCutError

KEY = Key(bytes(32))
BOUNDARY_EVERY = 5
DIRECTORIES = st.sampled_from(["log", "archive", "state"])


class Storage:
    """The three directories of a journal; each may lose power."""

    def __init__(self) -> None:
        self.log, self.archive, self.state = MemoryDirectory(), MemoryDirectory(), MemoryDirectory()

    def open(self) -> Journal:
        """Start, as after a power cut."""
        for directory in (self.log, self.archive, self.state):
            directory.cut_at = None
            directory.failing = False
        return Journal(self.log, self.archive, self.state)


class CheapKey:
    """Stands in for the meter's key where thousands of readings are sealed: its signature is not looked at."""

    id = KEY.id

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(message).digest()


def sign_one(journal: Journal, reason: int = reading.PERIODIC, run: object = None) -> tuple[int, bytes]:
    """Put the next reading, or the record of a *run* that is gone, into *journal*; return its number and envelope."""
    sequence, previous = journal.link()
    epoch = sequence if reason == reading.BOUNDARY else run
    registers = () if run else ((180, 1), (280, 2))
    taken = reading.Reading(sequence, 5, 0, 0, None, reason, epoch, registers, 4 if run else 0, previous)
    sealed = reading.seal(taken, CheapKey())
    journal.append(sequence, reason, sealed)
    return sequence, sealed


def fill(journal: Journal, count: int) -> list[tuple[int, bytes]]:
    """Sign *count* readings, every fifth a boundary reading."""
    return [
        sign_one(journal, reading.PERIODIC if place % BOUNDARY_EVERY else reading.BOUNDARY) for place in range(count)
    ]


def digest(sealed: bytes) -> bytes:
    """Return the reading's hash."""
    return hashlib.sha256(sealed).digest()


def test_a_new_journal_starts_at_one_with_no_predecessor() -> None:
    assert Storage().open().link() == (1, bytes(8))


def test_readings_are_chained_and_pending_oldest_first() -> None:
    journal = Storage().open()
    signed = fill(journal, 300)
    assert journal.pending(0, 1000) == signed
    assert journal.pending(250, 8) == signed[250:258]
    for (_, before), (_, after) in pairwise(signed):
        assert reading.decode(after).previous == digest(before)[:8]


def test_a_restart_finds_everything_and_goes_on_behind_the_reserved_numbers() -> None:
    storage = Storage()
    signed = fill(storage.open(), 200)
    journal = storage.open()
    assert journal.pending(0, 1000) == signed
    assert (journal.signed, journal.sequence) == (200, 200)
    sequence, previous = journal.link()
    assert sequence > 200
    assert sequence <= 200 + RESERVED_NUMBERS + 1
    assert previous == digest(signed[-1][1])[:8]
    assert sign_one(journal)[0] == sequence
    assert journal.signed == 201


@settings(max_examples=100, deadline=None)
@given(cuts=st.lists(st.tuples(DIRECTORIES, st.integers(1, 40), st.integers(0, 200)), max_size=8))
def test_no_power_cut_loses_invents_or_renumbers_a_reading(cuts: list[tuple[str, int, int]]) -> None:
    storage = Storage()
    durable: dict[int, bytes] = {}  # what append came back for
    begun: set[int] = set()
    receipted = 0
    for name, cut_at, torn in cuts:
        journal = storage.open()
        stored = dict(journal.pending(0, 10_000))
        assert {number: data for number, data in durable.items() if number > receipted}.items() <= stored.items()
        assert set(stored) <= begun
        assert journal.receipted <= receipted
        durable |= stored
        directory = getattr(storage, name)
        directory.operations, directory.cut_at, directory.torn = 0, cut_at, torn
        try:
            for place in range(30):
                begun.add(journal.link()[0])
                sequence, sealed = sign_one(journal, place % 3)
                assert sequence not in durable
                durable[sequence] = sealed
                if place % 10 == 9:
                    receipted = sequence
                    assert journal.settle(sequence, digest(sealed))
        except PowerCutError:
            continue


def test_a_torn_record_is_cut_off_and_told() -> None:
    storage = Storage()
    signed = fill(storage.open(), 3)
    (name,) = storage.log.files
    storage.log.files[name] = storage.log.files[name][:-5]
    journal = storage.open()
    assert journal.pending(0, 10) == signed[:2]
    assert journal.lost_bytes > 0
    assert storage.open().lost_bytes == 0


@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_flipped_byte_never_yields_another_reading(place: int, byte: int) -> None:
    storage = Storage()
    signed = fill(storage.open(), 3)
    (name,) = storage.log.files
    data = storage.log.files[name]
    place %= len(data)
    storage.log.files[name] = data[:place] + bytes([byte]) + data[place + 1 :]
    found = storage.open().pending(0, 10)
    assert found == [one for one in signed if one in found]
    assert len(found) >= 2


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 2**16), min_size=1, max_size=3), flip=st.integers(1, 255))
def test_damage_costs_the_readings_it_hits_and_a_signed_record_bridges_them(places: list[int], flip: int) -> None:
    storage = Storage()
    signed = fill(storage.open(), 250)
    for place in places:
        names = sorted(storage.log.files)
        name = names[place % len(names)]
        data = storage.log.files[name]
        hit = place % len(data)
        storage.log.files[name] = data[:hit] + bytes([data[hit] ^ flip]) + data[hit + 1 :]
    journal = storage.open()
    kept = journal.pending(0, 1000)
    assert kept == [one for one in signed if one in kept]
    assert len(signed) - len(kept) <= len(places)
    while run := journal.lost():
        sign_one(journal, reading.THINNED, run)
    assert storage.open().lost() is None
    numbers = [number for number, _ in kept]
    if signed[0] in kept and signed[-1] in kept:  # what is lost at an end has no neighbour to tell of it
        assert complete_up_to(journal) == journal.sequence, set(range(1, 251)) - set(numbers)


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("receipted", [130, 160, RESERVED_NUMBERS * 4])
def test_the_receipt_for_a_reading_that_went_with_its_file_lets_the_meter_sign_for_the_loss(
    left: int, receipted: int
) -> None:
    storage = Storage()
    signed = dict(fill(storage.open(), RESERVED_NUMBERS * 4))
    for name in sorted(storage.log.files)[left:]:
        del storage.log.files[name]
    journal = storage.open()
    assert journal.sequence < 130
    fill(journal, 3)
    assert not journal.settle(receipted, digest(signed[receipted]))
    assert journal.miss(receipted, digest(signed[receipted]))
    run = journal.lost()
    assert run is not None
    assert journal.lost() == run
    number, _ = sign_one(journal, reading.THINNED, run)
    assert journal.lost() is None
    assert not journal.miss(receipted, digest(signed[receipted]))
    stored = {number: sealed for number, sealed in signed.items() if number <= receipted}
    assert complete_up_to(journal, stored) == number
    assert journal.settle(number, digest(journal.find(number) or b""))
    assert journal.lost() is None


def test_no_other_receipt_makes_the_meter_sign_for_a_loss() -> None:
    storage = Storage()
    fill(storage.open(), 3)
    journal = storage.open()
    assert not journal.miss(10, bytes(32))  # nothing was signed behind it
    journal.jump(500, b"\x05" * 32)
    fill(journal, 3)
    assert not journal.miss(2, bytes(32))  # it is here
    assert not journal.miss(500, b"\x05" * 32)  # the chain goes on from it
    assert not journal.miss(503, bytes(32))
    assert journal.lost() is None


def complete_up_to(journal: Journal, stored: dict[int, bytes] | None = None) -> int:
    """Return up to which number a gateway, which has what is *stored*, takes the chain in *journal* for complete."""
    had = (stored or {}) | dict(journal.pending(0, 1000))
    readings = [decode(sealed) for _, sealed in sorted(had.items())]
    links = [Link(one.sequence, one.hash, one.previous) for one in readings]
    runs = sorted((one.thinned for one in readings if one.thinned), key=lambda run: run.first)
    return advance(Chain(), links, (), runs).head


def test_only_the_receipt_of_the_very_reading_trims() -> None:
    storage = Storage()
    journal = storage.open()
    signed = fill(journal, 300)
    files = len(storage.log.files)
    sequence, sealed = signed[280]
    assert not journal.settle(sequence, digest(sealed + b"!"))
    assert not journal.settle(sequence, digest(signed[279][1]))
    assert (journal.receipted, len(storage.log.files)) == (0, files)
    assert journal.settle(sequence, digest(sealed))
    assert journal.receipted == sequence
    assert len(storage.log.files) < files
    assert journal.pending(0, 1000) == signed[281:]
    assert not journal.settle(sequence, digest(sealed))
    assert not journal.settle(signed[5][0], digest(signed[5][1]))


def test_the_end_of_the_chain_outlives_a_receipt_for_all() -> None:
    storage = Storage()
    journal = storage.open()
    signed = fill(journal, 300)
    journal.settle(signed[-1][0], digest(signed[-1][1]))
    assert journal.is_receipted()
    again = storage.open()
    assert again.sequence == 300
    assert again.link()[1] == digest(signed[-1][1])[:8]
    assert again.signed == 300


def test_boundary_readings_are_kept_behind_the_receipt() -> None:
    storage = Storage()
    journal = storage.open()
    signed = fill(journal, 400)
    journal.settle(signed[-1][0], digest(signed[-1][1]))
    kept = [record for data in storage.archive.files.values() for record in segments.unpack(data)]
    left = {sequence for sequence, _ in storage.open().pending(0, 0)} | {
        record.sequence for data in storage.log.files.values() for record in segments.unpack(data)
    }
    boundaries = {sequence for place, (sequence, _) in enumerate(signed) if place % BOUNDARY_EVERY == 0}
    assert boundaries <= {record.sequence for record in kept} | left
    assert all(record.reason == reading.BOUNDARY for record in kept)


def test_the_archive_is_bounded_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_journal, "ARCHIVE_SEGMENTS", 2)
    storage = Storage()
    journal = storage.open()
    for _ in range(8):
        signed = [sign_one(journal, reading.BOUNDARY) for _ in range(100)]
        journal.settle(signed[-1][0], digest(signed[-1][1]))
    assert len(storage.archive.files) == 2
    assert list(storage.open().epochs())[-1] == signed[-1][0]


def test_one_receipt_keeps_the_flash_busy_for_a_bounded_time() -> None:
    storage = Storage()
    journal = storage.open()
    signed = fill(journal, 2000)
    storage.log.operations = storage.archive.operations = 0
    journal.settle(signed[-2][0], digest(signed[-2][1]))
    assert storage.log.operations == meter_journal.TRIM_SEGMENTS
    assert storage.archive.operations <= 2 * meter_journal.TRIM_SEGMENTS
    journal.settle(signed[-1][0], digest(signed[-1][1]))
    assert storage.log.operations == 2 * meter_journal.TRIM_SEGMENTS


def test_fourteen_days_of_boundaries_fit_into_the_archive() -> None:
    record = segments.pack(Record(1, 0, 1, 1, bytes(reading.MAX_READING_BYTES)))
    in_a_segment = segments.SEGMENT_BYTES // len(record)
    assert (meter_journal.ARCHIVE_SEGMENTS - 1) * in_a_segment >= 14 * 96


def thin_one(journal: Journal) -> tuple[int, int] | None:
    """Thin *journal* by one run, as the application does; return its first and last number."""
    run = journal.thinnable()
    if run is None:
        return None
    sequence, previous = journal.link()
    taken = reading.Reading(sequence, 5, 0, 0, None, reading.THINNED, run, (), 4, previous)
    journal.append(sequence, reading.THINNED, reading.seal(taken, CheapKey()))
    journal.thin(run[0], run[1])
    return run[0], run[1]


def bridged(pending: list[tuple[int, bytes]], head: bytes) -> list[int]:
    """Follow the chain from hash head *head*, over what was thinned; return the numbers reached."""
    readings = [(number, reading.decode(sealed), digest(sealed)[:8]) for number, sealed in pending]
    bridges = {bytes(taken.epoch[3]): bytes(taken.epoch[4][:8]) for _, taken, _ in readings if taken.reason == 4}
    reached = []
    for number, taken, own in readings:
        while taken.previous != head and head in bridges:
            head = bridges[head]  # two runs can have been removed one after the other
        if taken.previous != head:
            break
        head = own
        reached.append(number)
    return reached


def test_thinning_gives_up_periodic_runs_alone_and_signs_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 2000)
    storage = Storage()
    journal = storage.open()
    signed = dict(fill(journal, 200))
    files = journal.segments
    assert not journal.is_thin()
    while thin_one(journal):
        assert journal.is_thin()
    pending = journal.pending(0, 1000)
    assert bridged(pending, bytes(8)) == [number for number, _ in pending]
    assert set(list(signed)[::BOUNDARY_EVERY]) <= dict(pending).keys()
    removed = sum(reading.decode(sealed).epoch[2] for _, sealed in pending if reading.decode(sealed).reason == 4)
    assert removed == len(signed) - sum(number in signed for number, _ in pending) > 100
    assert journal.segments < files
    again = storage.open()
    assert again.pending(0, 1000) == pending
    assert again.is_thin()
    assert again.last_reading() == reading.decode([sealed for number, sealed in pending if number in signed][-1])
    number, sealed = pending[-1]
    assert again.settle(number, digest(sealed))
    assert not again.is_thin()


def test_a_receipted_reading_is_not_thinned() -> None:
    journal = Storage().open()
    signed = fill(journal, 300)
    journal.settle(signed[250][0], digest(signed[250][1]))
    assert journal.thinnable() is None


def test_a_full_journal_thins_then_refuses_and_recovers_with_a_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_journal, "THIN_SEGMENTS", 2)
    monkeypatch.setattr(meter_journal, "MAX_SEGMENTS", 3)
    journal = Storage().open()
    signed = []
    while not journal.is_crowded():
        signed.append(sign_one(journal))
    with pytest.raises(JournalError, match="full"):
        signed.extend(sign_one(journal, reading.BOUNDARY) for _ in range(1000))
    assert journal.pending(0, 10_000) == signed
    journal.settle(signed[-1][0], digest(signed[-1][1]))
    assert not journal.is_crowded()
    sign_one(journal)


@pytest.mark.parametrize("torn", [0, 7, 10_000])
def test_a_full_disk_costs_one_reading_at_most_and_breaks_no_chain(torn: int) -> None:
    storage = Storage()
    journal = storage.open()
    signed = fill(journal, 3)
    storage.log.failing, storage.log.torn = True, torn
    with pytest.raises(OSError, match="No space"):
        sign_one(journal)
    storage.log.failing = False
    fill(journal, 3)
    found = storage.open().pending(0, 10)
    assert found[:3] == signed
    assert len(found) == (7 if torn > 200 else 6)
    for (_, before), (_, after) in pairwise(found):
        assert reading.decode(after).previous == digest(before)[:8]


def test_a_receipt_from_the_future_makes_the_numbers_jump_and_the_chain_go_on() -> None:
    storage = Storage()
    journal = storage.open()
    fill(journal, 3)
    forgotten = bytes(range(32))
    assert not journal.settle(5000, forgotten)
    assert journal.jump(5000, forgotten)
    assert not journal.jump(5000, forgotten)
    assert journal.link() == (5001, forgotten[:8])
    assert storage.open().link() == (5001 + RESERVED_NUMBERS, forgotten[:8])
    journal = storage.open()
    _, sealed = sign_one(journal)
    assert reading.decode(sealed).previous == forgotten[:8]
    assert journal.link()[1] == digest(sealed)[:8]
    assert storage.open().link()[1] == digest(sealed)[:8]
    assert journal.receipted == 0


def test_no_receipt_can_use_up_the_numbers() -> None:
    journal = Storage().open()
    assert not journal.jump(2**32 - 1, bytes(32))
    assert not journal.jump(MAX_JUMP + 2, bytes(32))
    assert journal.link()[0] == 1


@pytest.mark.parametrize("mark", [b"", b"12", b"12 34\n", b"x y\n", b"\xff\xfe", b"1 0 00 5\n"])
def test_a_lost_mark_never_leads_to_a_number_twice(mark: bytes) -> None:
    storage = Storage()
    fill(storage.open(), 10)
    storage.state.files["sequence"] = mark
    assert storage.open().link()[0] > 10


def test_a_reading_out_of_turn_is_refused() -> None:
    journal = Storage().open()
    with pytest.raises(JournalError, match="out of turn"):
        journal.append(2, 0, b"x")


def test_files_that_are_no_segments_are_left_alone() -> None:
    storage = Storage()
    storage.log.files["notes.txt"] = b"hello"
    fill(storage.open(), 2)
    assert storage.open().sequence == 2
    assert storage.log.files["notes.txt"] == b"hello"
