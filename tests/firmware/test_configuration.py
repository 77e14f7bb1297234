"""Configuration from afar: only the campus', only newer ones, whole or not at all, and told in the next reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zcbor
from meter import config as meter_config
from meter.board.folder import Directory
from meter.configuration import Store
from meter.errors import MalformedError
from zcbor import DataTranslator

from hil.flash import FlashDisk, distinct
from ledger import cbor, envelope
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from ledger.reading import Reason
from tests.firmware.device import METER_ID, Device, configuration
from tests.firmware.gateway import Gateway

CAMPUS = PrivateKey(b"\x0c" * 32)
KEYS = [PrivateKey(b"\x07" * 32).public_key]
PROTOCOL = Path(__file__).parents[2] / "firmware" / "protocol"


def payload(number: int, **changes: Any) -> bytes:
    """Return the payload of configuration *number*."""
    fields = {"meter": METER_ID, "number": number, "telemetry_s": 2, "gateway_keys": KEYS, "resend": None} | changes
    return cbor.encode([int(Kind.CONFIGURATION), *fields.values()])


def sealed(number: int, key: PrivateKey = CAMPUS, **changes: Any) -> bytes:
    """Return configuration *number*, signed."""
    return envelope.seal(payload(number, **changes), key)


def local() -> Any:
    """Return config.json's values."""
    return meter_config.parse(json.dumps(configuration(campus_key=CAMPUS.public_key.hex())).encode())


def test_the_newest_message_holds_over_the_file_and_outlives_a_restart() -> None:
    disk = FlashDisk()
    store = Store(Directory("state", disk), local())
    assert (store.number, store.config.telemetry_s) == (0, 1)
    assert store.take(sealed(5)).number == 5
    assert store.take(sealed(5, telemetry_s=9)) is None
    assert store.take(sealed(4, telemetry_s=9)) is None
    for found in (store, Store(Directory("state", disk), local())):
        assert (found.number, found.config.telemetry_s, found.config.gateway_keys) == (5, 2, tuple(KEYS))
        assert found.config.epoch_s == local().epoch_s


def test_a_power_cut_leaves_the_old_configuration_or_the_new_one() -> None:
    disk = FlashDisk()
    store = Store(Directory("state", disk), local())
    store.take(sealed(1, telemetry_s=11))
    first = disk.operations
    store.take(sealed(2, telemetry_s=12))
    found = set()
    for cut in [*disk.cuts[first:], disk.outcomes()]:
        for _, image in distinct(cut):
            again = Store(Directory("state", FlashDisk.of(image)), local())
            assert again.damage is None
            found.add((again.number, again.config.telemetry_s))
    assert found == {(1, 11), (2, 12)}


def test_the_number_that_no_reading_has_named_outlives_a_start_and_a_named_one_is_not_named_again() -> None:
    disk = FlashDisk()
    store = Store(Directory("state", disk), local())
    assert store.is_named()
    store.take(sealed(1))
    store.take(sealed(2))
    store.note_named(1)
    store = Store(Directory("state", disk), local())
    assert not store.is_named()
    store.note_named(2)
    assert store.is_named()
    assert Store(Directory("state", disk), local()).is_named()


@pytest.mark.parametrize(
    "message",
    [
        sealed(1, PrivateKey(b"\x0d" * 32)), sealed(1)[:-1] + b"\0", sealed(0), sealed(2**32),
        sealed(1, meter=bytes(8)), sealed(1, telemetry_s=0), sealed(1, telemetry_s=True), sealed(1, telemetry_s=86_401),
        sealed(1, gateway_keys=[]), sealed(1, gateway_keys=[bytes(31)]), sealed(1, gateway_keys=KEYS * 9),
        sealed(1, gateway_keys=None), sealed(1, resend=[]), sealed(1, resend=[5, 4]), sealed(1, resend=[5, -1]),
        sealed(1, extra=1), b"", b"\xff" * 600,
    ],
)  # fmt: skip
def test_any_other_message_changes_nothing(message: bytes) -> None:
    disk = FlashDisk()
    store = Store(Directory("state", disk), local())
    with pytest.raises(MalformedError):
        store.take(message)
    assert (store.number, store.config, disk.files) == (0, local(), {})


def test_a_damaged_stored_message_is_told_and_the_file_holds() -> None:
    disk = FlashDisk()
    Store(Directory("state", disk), local()).take(sealed(3))
    disk.files["state/configuration"].content = disk.files["state/configuration"].content[:-1] + b"\0"
    store = Store(Directory("state", disk), local())
    assert store.damage
    assert (store.number, store.config) == (0, local())
    assert store.take(sealed(1)).number == 1


def test_a_configuration_is_as_the_cddl_says() -> None:
    prelude = Path(zcbor.__file__).parent / "zcbor" / "prelude.cddl"
    texts = [path.read_text() for path in (prelude, PROTOCOL / "reading.cddl", PROTOCOL / "configuration.cddl")]
    types = DataTranslator.from_cddl("\n".join(texts), 256).my_types
    for message in (payload(1), payload(2**32 - 1, resend=[0, 7])):
        assert types["configuration"].validate_str(message)


def test_the_next_reading_names_it_old_boundaries_come_again_and_a_revoked_key_counts_no_more(
    device: Device, gateway: Gateway, gateway_key: PrivateKey
) -> None:
    text = device.config.read_text()
    device.config.write_text(text.replace(bytes(range(32)).hex(), CAMPUS.public_key.hex()))
    device.start()
    boundary = device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    device.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] >= boundary["sequence"])
    before = gateway.deliveries[boundary["sequence"]]
    gateway.send(sealed(7, gateway_keys=[gateway_key.public_key], resend=[boundary["epoch"], boundary["epoch"]]))
    told = device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "configuration")
    device.wait_for(lambda event: event["event"] == "receipted" and event["sequence"] >= told["sequence"])
    assert gateway.readings[told["sequence"]].reason is Reason.CONFIGURATION
    assert gateway.readings[told["sequence"]].configuration == 7
    device.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "boundary")
    assert gateway.deliveries[boundary["sequence"]] > before
    gateway.send(sealed(8, gateway_keys=[bytes(32)]))
    device.wait_for(lambda event: event["event"] == "error" and "none of the gateway keys" in event["text"])
