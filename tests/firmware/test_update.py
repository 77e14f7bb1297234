"""Updates: only the campus', only newer ones, only whole ones; on trial until a receipt, else rolled back."""

from __future__ import annotations

from typing import Any

import pytest
from meter import ed25519, manifest, reading, slots
from meter import update as meter_update
from meter.errors import MalformedError

from hil.flash import FlashDisk
from ledger import cbor, envelope
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from provisioning import delivery, signed_update
from tests.firmware.updates import CAMPUS, METER, ROOT, Meter, NorImage, altered, make_update
from tests.firmware.virtual_bench import Bench
from tests.firmware.virtual_time import START_S, VirtualLoop, verify_fast

STRANGER = PrivateKey(b"\x0d" * 32)


@pytest.fixture(autouse=True)
def quick_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check signatures in C."""
    monkeypatch.setattr(ed25519, "verify", verify_fast)


def updated(disk: FlashDisk, version: int) -> Meter:
    """Bring *version* onto the meter and have it confirmed; return the meter that runs it."""
    assert Meter(disk).receive(make_update(version)) == "trial"
    meter = Meter(disk)
    meter.updater.note_receipt()
    assert (meter.version, meter.last_of(version)) == (version, "confirmed")
    return meter


def test_an_update_is_received_tried_and_confirmed_by_a_receipt() -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    assert (meter.version, meter.receive(make_update(1, pieces=20))) == (0, "trial")
    assert meter.updater.wants_restart
    assert meter.said == ["1 0", "1 8", "1 16", "1 trial"]
    meter = Meter(disk)
    assert (meter.version, meter.said) == (1, ["1 trial"])
    meter.updater.note_receipt()
    assert meter.board.limits == [0]
    assert Meter(disk).version == 1
    assert updated(disk, 2).version == Meter(disk).version == 2


def test_without_a_receipt_in_its_time_a_trial_is_rolled_back_and_never_repeated() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    Meter(disk).receive(make_update(2, trial_s=60))
    meter = Meter(disk)
    meter.board.now_ms = 60_000
    meter.updater.check_trial()
    assert not meter.updater.wants_restart
    meter.board.now_ms = 60_001
    meter.updater.check_trial()
    assert meter.updater.wants_restart
    assert meter.last_of(2) == "rolled-back receipt"
    meter = Meter(disk)
    assert (meter.version, meter.said) == (1, ["2 rolled-back receipt"])
    assert meter.receive(make_update(2)) == "rolled-back receipt"
    assert updated(disk, 3).version == 3


def test_a_receipt_for_a_mere_record_of_what_was_lost_confirms_nothing(loop: VirtualLoop) -> None:
    bench = Bench(loop)
    application, proven = bench.application, []
    application._proven = lambda: proven.append(bench.journal.receipted)
    for reason, about, values in (
        (reading.THINNED, (1, 1, 1, bytes(8), bytes(32)), ()), (reading.PERIODIC, None, ((180, 1),)),
    ):  # fmt: skip
        bench.journal.receipted = application._record(reason, about, values, 1000 * START_S)
        application._heard("receipted")
    assert proven == [bench.journal.sequence]


def test_a_trial_that_never_comes_up_uses_its_boots_up() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    Meter(disk).receive(make_update(2))
    assert [Meter(disk).version for _ in range(slots.TRIAL_BOOTS + 2)] == [2] * slots.TRIAL_BOOTS + [1, 1]
    assert Meter(disk).said == ["2 rolled-back boots"]


def test_a_boot_that_cannot_be_counted_does_not_start_a_trial() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    Meter(disk).receive(make_update(2))
    disk.full = True
    assert Meter(disk).version == 1
    disk.full = False
    assert Meter(disk).version == 2


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (make_update(2, meter=bytes(8)), "meter"), (make_update(2, target="esp32"), "target"),
        (make_update(1, data=b"another"), "version"), (make_update(2, key=STRANGER), "signature"),
    ],
)  # fmt: skip
def test_what_is_not_for_this_meter_not_newer_or_not_signed_is_refused(
    update: signed_update.SignedUpdate, reason: str
) -> None:
    disk = FlashDisk()
    meter = updated(disk, 1)
    before = disk.image()
    assert meter.receive(update) == "refused " + reason
    for piece in update.pieces:
        meter.take(piece)
    assert disk.image() == before
    assert meter.refused == [f"update {update.version} refused: {reason}"]


@pytest.mark.parametrize("key", [CAMPUS, STRANGER], ids=["signed", "not the campus'"])
def test_the_same_image_offered_with_another_trial_time_is_answered_and_changes_nothing(key: PrivateKey) -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    update, again = make_update(1, pieces=6), make_update(1, pieces=6, trial_s=9, key=key)
    for message in (update.manifest, *update.pieces[:2]):
        meter.take(message)

    def answer(meter: Meter) -> str:
        before = disk.image()
        meter.take(again.manifest)
        assert (disk.image(), meter.refused) == (before, [])
        return meter.last_of(1)

    assert answer(meter) == "2"
    assert meter.receive(update) == "trial"
    assert answer(meter) == "trial"
    meter = Meter(disk)
    assert answer(meter) == "trial"
    meter.updater.note_receipt()
    assert (answer(meter), meter.slots.manifest(0).trial_s) == ("confirmed", 60)


def test_an_update_replaces_an_older_one_that_is_coming_in_and_none_during_a_trial() -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    older, newer = make_update(4), make_update(5)
    meter.take(older.manifest)
    meter.take(older.pieces[0])
    meter.take(newer.manifest)
    assert meter.receive(older) == "refused version"
    assert meter.receive(newer) == "trial"
    assert meter.receive(make_update(6)) == "refused busy"
    assert Meter(disk).receive(make_update(6)) == "refused busy"


def test_forged_repeated_and_early_pieces_change_nothing() -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    update = make_update(1)
    meter.take(update.pieces[0])
    meter.take(update.manifest)
    meter.take(update.pieces[1])
    before = disk.image()
    meter.take(altered(update.pieces[0]))
    assert "not the campus'" in meter.refused[-1]
    assert disk.image() == before
    for piece in (update.pieces[0], update.pieces[0], update.pieces[2], update.pieces[1]):
        meter.take(piece)
    assert meter.last_of(1) == "0"
    meter.take(update.manifest)
    assert meter.last_of(1) == "2"
    meter.take(update.pieces[2])
    assert meter.last_of(1) == "trial"


def test_a_lost_link_or_a_restart_goes_on_where_it_was() -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    update = make_update(1, pieces=6)
    meter.take(update.manifest)
    for piece in update.pieces[:4]:
        meter.take(piece)
    meter = Meter(disk)
    assert meter.said == ["1 4"]
    assert meter.receive(update) == "trial"


@pytest.mark.parametrize("taken", range(7))
def test_in_flash_too_an_update_goes_on_where_it_was_save_a_sector_that_may_be_half_written(taken: int) -> None:
    disk, flash = FlashDisk(), [NorImage(), NorImage()]
    update = make_update(1, pieces=6)
    meter = Meter(disk, lambda slot, _: flash[slot])
    for message in (update.manifest, *update.pieces[:taken]):
        meter.take(message)
    if taken % 2:
        flash[0].content[2048 * taken : 2048 * taken + 99] = bytes(99)  # what a torn write left
    meter = Meter(disk, lambda slot, _: flash[slot])
    assert meter.said == (["1 trial"] if taken == 6 else [f"1 {taken // 2 * 2}"])
    assert meter.receive(update) == "trial"
    assert Meter(disk, lambda slot, _: flash[slot]).version == 1


def test_an_image_that_does_not_fit_is_refused() -> None:
    assert Meter(FlashDisk(), lambda *_: NorImage()).receive(make_update(1, pieces=33)) == "refused size"


def test_an_image_that_changes_on_the_flash_is_not_started() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    updated(disk, 2)
    Meter(disk).receive(make_update(3))
    damage(disk, "a-3")
    meter = Meter(disk)
    assert (meter.version, meter.said) == (2, ["3 rolled-back image"])


def test_a_confirmed_image_that_is_damaged_gives_way_to_the_one_before_and_that_to_the_delivered_copy() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    updated(disk, 2)
    damage(disk, "b-2")
    assert Meter(disk).version == 1
    assert Meter(disk).receive(make_update(2)) == "refused version"
    damage(disk, "a-1")
    assert Meter(disk).version == 0
    assert updated(disk, 3).version == 3


def test_a_damaged_state_is_that_of_a_new_meter() -> None:
    disk = FlashDisk()
    updated(disk, 1)
    disk.files[f"{ROOT}/slots.state"].content = disk.files[f"{ROOT}/slots.state"].content[:-1] + b"\0"
    meter = Meter(disk)
    assert (meter.version, meter.slots.damage) == (0, "the state of the slots is damaged")
    assert updated(disk, 2).version == 2


def test_a_disk_that_fails_costs_time_alone() -> None:
    disk = FlashDisk()
    meter = Meter(disk)
    update = make_update(1)
    meter.take(update.manifest)
    meter.take(update.pieces[0])
    disk.full = True
    with pytest.raises(OSError, match="space"):
        meter.take(update.pieces[1])
    disk.full = False
    assert meter.receive(update) == "trial"


def damage(disk: FlashDisk, folder: str) -> None:
    """Turn one bit of an image."""
    file = disk.files[f"{ROOT}/slots/{folder}/image.romfs"]
    file.content = file.content[:100] + bytes([file.content[100] ^ 1]) + file.content[101:]


GOOD: dict[str, Any] = {
    "meter": METER, "version": 1, "target": "linux", "trial_s": 60, "size": 1, "sha256": bytes(32), "heads": bytes(8),
}  # fmt: skip


def sealed(**changes: Any) -> bytes:
    """Return a manifest with *changes*."""
    return envelope.seal(cbor.encode([int(Kind.UPDATE), *(GOOD | changes).values()]), CAMPUS)


@pytest.mark.parametrize(
    "message",
    [
        sealed(version=0), sealed(version=2**32), sealed(version=True), sealed(target=""), sealed(target="x" * 17),
        sealed(target=b"linux"), sealed(trial_s=0), sealed(trial_s=86_401), sealed(size=0, heads=b""),
        sealed(size=2049), sealed(sha256=bytes(31)), sealed(size=440 * 2048 + 1, heads=bytes(8 * 441)),
        sealed(meter=METER[:7]), sealed(more=1), envelope.seal(cbor.encode([int(Kind.UPDATE)]), CAMPUS), b"",
        b"\xff" * 5000,
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_refused(message: bytes) -> None:
    assert manifest.decode(sealed()).version == 1
    with pytest.raises(MalformedError):
        manifest.decode(message)


@pytest.mark.parametrize(
    "fields", [[0, 0, b"x"], [1, 440, b"x"], [1, 0, b""], [1, 0, bytes(2049)], [1, 0, "x"], [1, 0], [1, 0, b"x", 1]]
)
def test_a_malformed_piece_is_refused(fields: list[Any]) -> None:
    with pytest.raises(MalformedError):
        manifest.decode_piece(cbor.encode([int(Kind.UPDATE_PIECE), *fields]))


def test_both_sides_agree_on_what_fits() -> None:
    names = ("PIECE_BYTES", "HEAD_BYTES", "MAX_PIECES")
    assert all(getattr(manifest, name) == getattr(signed_update, name) for name in names)
    assert meter_update.PIECES_PER_ANSWER == delivery.PIECES_PER_HINT
    largest = make_update(2**32 - 1, data=bytes(440 * 2048))
    assert manifest.decode(largest.manifest).size == 440 * 2048
    assert len(largest.manifest) <= manifest.MAX_BYTES
