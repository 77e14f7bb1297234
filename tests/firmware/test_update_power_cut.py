"""The power-cut sweep of updates: at every disk operation from the first piece to the roll-back, with every outcome."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from meter import ed25519, slots

from hil.flash import FlashDisk, Image, images
from ledger import envelope
from provisioning.signed_update import SignedUpdate
from tests.firmware.conftest import Tell
from tests.firmware.updates import CAMPUS, Meter, make_update
from tests.firmware.virtual_time import verify_fast

UPDATES = {version: make_update(version, pieces=3) for version in range(1, 8)}
LATER = make_update(9, pieces=2)


@dataclass
class History:
    """What became true, each with the number of disk operations after which it was; `sent`: that before which."""

    sent: list[tuple[int, SignedUpdate]] = field(default_factory=list)
    confirmed: list[tuple[int, int]] = field(default_factory=list)
    failed: list[tuple[int, int]] = field(default_factory=list)


@pytest.fixture(autouse=True)
def quick_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check signatures in C."""
    monkeypatch.setattr(ed25519, "verify", verify_fast)


def live(disk: FlashDisk) -> History:
    """Take updates of every fate on *disk*; return what was true when."""
    history = History()
    receive(disk, history, 1)
    confirm(disk, history)
    receive(disk, history, 2)
    confirm(disk, history)
    receive(disk, history, 3)
    run_out_of_time(disk, history)
    receive(disk, history, 4)
    crash(disk, history)
    meter = Meter(disk)  # one that is overtaken by the next
    history.sent.append((disk.operations, UPDATES[5]))
    for message in (UPDATES[5].manifest, *UPDATES[5].pieces[:2]):
        meter.take(message)
    receive(disk, history, 6)
    confirm(disk, history)
    receive(disk, history, 7)
    confirm(disk, history)
    return history


def receive(disk: FlashDisk, history: History, version: int) -> None:
    """Bring an update onto the meter, with a restart in good order half-way."""
    history.sent.append((disk.operations, UPDATES[version]))
    for message in (UPDATES[version].manifest, *UPDATES[version].pieces[:1]):
        Meter(disk).take(message)
    assert Meter(disk).receive(UPDATES[version]) == "trial"


def confirm(disk: FlashDisk, history: History) -> None:
    """Start it once without luck, then have its reading receipted."""
    assert Meter(disk).version == Meter(disk).version
    meter = Meter(disk)
    meter.updater.note_receipt()
    history.confirmed.append((disk.operations, meter.version))


def run_out_of_time(disk: FlashDisk, history: History) -> None:
    """Let a trial end without a receipt."""
    meter = Meter(disk)
    meter.board.now_ms = 10**6
    meter.updater.check_trial()
    history.failed.append((disk.operations, meter.version))


def crash(disk: FlashDisk, history: History) -> None:
    """Let a trial crash at every start."""
    versions = [Meter(disk).version for _ in range(slots.TRIAL_BOOTS + 1)]
    history.failed.append((disk.operations, versions[0]))


def check(image: Image, history: History, operations: int) -> FlashDisk:
    """Assert that a start from *image* keeps what was true before disk operation number *operations*."""
    disk = FlashDisk.of(image)
    meter = Meter(disk)
    assert meter.slots.damage is None
    highest = max([version for when, version in history.confirmed if when <= operations], default=0)
    assert meter.version >= highest, f"version {meter.version} runs, {highest} is confirmed"
    assert meter.version not in [version for when, version in history.failed if when <= operations]
    if meter.running is not None:
        require_whole(meter)
    return disk


def require_whole(meter: Meter) -> None:
    """Assert that what runs is, byte for byte, what the campus signed."""
    sealed = meter.slots.state.sealed[meter.running]
    assert envelope.parse(sealed).is_signed_by(CAMPUS.public_key)
    found = meter.slots.manifest(meter.running)
    data = meter.slots.image(meter.running).read(0, found.size + 1)
    assert (len(data), hashlib.sha256(data).digest()) == (found.size, found.sha256)


def go_on(image: Image, history: History, operations: int) -> None:
    """Assert that the update which was on its way can be sent again and that a later one gets through."""
    disk = FlashDisk.of(image)
    sent = [update for when, update in history.sent if when < operations]
    meter = Meter(disk)
    if sent:
        heard = meter.receive(sent[-1])
        assert heard in {"trial", "confirmed"} or heard.startswith("rolled-back"), heard
    for _ in range(slots.TRIAL_BOOTS + 1):  # whatever is on trial does not come up
        before = Meter(disk)
    assert before.receive(LATER) == "trial"
    after = Meter(disk)
    after.updater.note_receipt()
    assert after.version == Meter(disk).version == LATER.version


def test_a_power_cut_at_every_disk_operation_of_an_update_leaves_a_bootable_meter(tell: Tell) -> None:
    disk = FlashDisk()
    history = live(disk)
    tried = again = 0
    seen: set[bytes] = set()
    for operation, outcome, image in images(disk):
        tried += 1
        try:
            starting = check(image, history, operation)
            go_on(image, history, operation)
            for _, _, second in images(starting):  # the power goes again while the launcher is at work
                key = hashlib.sha256(repr((operation, sorted(second.items()))).encode()).digest()
                if key not in seen:
                    seen.add(key)
                    again += 1
                    check(second, history, operation)
        except Exception as error:
            raise AssertionError(f"cut before operation {operation}, outcome {outcome!r}: {error}") from error
    tell(f"update power cuts: {len(disk.cuts) + 1} operations, {tried} outcomes, {again} second cuts at start")
    assert [version for _, version in history.confirmed] == [1, 2, 6, 7]
    assert [version for _, version in history.failed] == [3, 4]
