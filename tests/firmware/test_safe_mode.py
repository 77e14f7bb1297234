"""What cannot measure still answers: safe mode under real MicroPython, with a real broker and real file systems."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ledger.keys import PrivateKey
from tests.firmware.conftest import RunScript
from tests.firmware.device import METER_ID, Device, Event, is_receipted, wait_until
from tests.firmware.gateway import Gateway
from tests.firmware.mount import Mount
from tests.firmware.test_configuration import CAMPUS, sealed
from tests.firmware.test_uplink import FILL_JOURNAL

Hints = list[str]


@pytest.fixture
def hints(gateway: Gateway) -> Hints:
    """Give the list of hints that the meter publishes, as it grows."""
    heard: Hints = []
    gateway.listen(f"meter/{METER_ID.hex()}/status", lambda payload: heard.append(payload.decode("ascii")))
    return heard


@pytest.fixture
def worked(device: Device, gateway: Gateway) -> Device:
    """Give a meter that has worked, end to end, and stands still."""
    device.config.write_text(device.config.read_text().replace(bytes(range(32)).hex(), CAMPUS.public_key.hex()))
    device.start()
    device.wait_for(lambda event: event["event"] == "receipted")
    device.stop()
    return device


def is_safe(event: Event) -> bool:
    """Tell whether *event* says that the meter is in safe mode."""
    return bool(event["event"] == "safe")


def test_a_damaged_configuration_is_told_to_the_campus_and_its_repair_is_noticed(
    worked: Device, gateway: Gateway, hints: Hints
) -> None:
    good = worked.config.read_text()
    worked.config.write_text(good[: len(good) // 2])
    taken = len(worked.of_kind("signed"))
    worked.start()
    told = worked.wait_for(is_safe)
    assert (told["reason"], told["retry_s"] >= 1) == ("configuration", True)
    wait_until(lambda: hints, "no hint came")
    assert hints[0] == f"safe configuration: {told['text']}"[:160]
    assert len(worked.of_kind("signed")) == taken
    worked.config.write_text(good)
    worked.wait_for(is_receipted)
    worked.stop()
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_new_message_of_the_campus_puts_the_last_good_configuration_back(
    worked: Device, gateway: Gateway, gateway_key: PrivateKey, hints: Hints
) -> None:
    good = worked.config.read_text()
    worked.config.unlink()
    worked.start()
    wait_until(lambda: hints, "no hint came")
    gateway.send(sealed(3, PrivateKey(b"\x0d" * 32)))
    worked.wait_for(lambda event: event["event"] == "error" and "campus key did not sign" in event["text"])
    assert not worked.config.exists()
    gateway.send(sealed(3, telemetry_s=1, gateway_keys=[gateway_key.public_key]))
    named = worked.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "configuration")
    worked.wait_for(is_receipted)
    worked.stop()
    assert gateway.readings[named["sequence"]].configuration == 3
    assert worked.config.read_text() == good
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])
    worked.start()
    worked.wait_for(lambda event: event["event"] == "signed" and event["reason"] == "periodic")
    worked.stop()
    assert [event["reason"] for event in worked.of_kind("signed")].count("configuration") == 1


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_key_is_told_never_replaced_and_used_again_once_restored(
    worked: Device, gateway: Gateway, hints: Hints, damage: str
) -> None:
    key = worked.folder / "data" / "key"
    shutil.copy(key, worked.folder / "copy")
    if damage == "cut":
        key.write_bytes(key.read_bytes()[:32])
    else:
        key.unlink()
    worked.start()
    assert worked.wait_for(is_safe)["reason"] == "key"
    wait_until(lambda: hints, "no hint came")
    assert hints[0].startswith("safe key: the meter's key")
    assert key.exists() == (damage == "cut")
    shutil.copy(worked.folder / "copy", key)
    worked.wait_for(is_receipted)
    worked.stop()
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_meter_that_worked_stays_even_where_the_copy_of_its_configuration_is_damaged_too(worked: Device) -> None:
    good = worked.config.read_text()
    copy = worked.config.with_name("config.json.good")
    copy.write_text(copy.read_text().replace("127.0.0.1", "127.0.0.2"))
    worked.config.write_text("{}")
    worked.start()
    assert worked.wait_for(is_safe)["reason"] == "configuration"
    worked.config.write_text(good)
    worked.wait_for(is_receipted)
    worked.stop()


def test_safe_mode_ends_on_the_line_stop(worked: Device) -> None:
    before = worked.of_kind("stopped")[-1]
    worked.config.write_text("{}")
    worked.start()
    worked.wait_for(is_safe)
    after = worked.stop()
    assert [after[name] for name in ("signed", "sequence")] == [before[name] for name in ("signed", "sequence")]


@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_told_and_once_mended_the_chain_goes_on(
    device: Device, gateway: Gateway, hints: Hints, trouble: str
) -> None:
    with Mount(device.folder / "data", 256 * 1024) as mount:
        device.program = [*mount.prefix, *device.program]
        device.start()
        device.wait_for(is_receipted)
        device.stop()
        gateway.answers = False
        device.start()
        device.wait_for(lambda event: event["event"] == "signed")
        device.kill()
        if trouble == "full":
            mount.fill()
        else:
            mount.remount("ro")
        taken = len(device.of_kind("signed"))
        gateway.answers = True
        device.start()
        told = device.wait_for(is_safe)
        assert told["reason"] == "storage"
        assert ("ENOSPC" if trouble == "full" else "EROFS") in told["text"]
        device.wait_for(is_receipted)  # what was kept goes out all the same
        assert len(device.of_kind("signed")) == taken
        assert hints[-1].startswith("safe storage: cannot keep readings in ")
        if trouble == "full":
            mount.empty()
        else:
            mount.remount("rw")
        device.wait_for(lambda event: event["event"] == "signed")
        stopped = device.stop()
    assert stopped["signed"] == len(gateway.readings)
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_reading_that_the_flash_lost_costs_itself_alone_and_its_loss_is_signed_for(
    device: Device, gateway: Gateway, run_script: RunScript
) -> None:
    run_script(FILL_JOURNAL, str(device.config), "200")
    files = sorted((device.folder / "data" / "journal").iterdir())
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes(content)
    device.start()
    device.wait_for(lambda event: event["event"] == "error" and "damaged" in event["text"])
    device.wait_for(lambda event: is_receipted(event) and event["sequence"] > 200)
    stopped = device.stop()
    assert stopped["receipted"] == stopped["sequence"]
    missing = set(range(1, 201)) - set(gateway.readings)
    assert len(missing) == 1
    (told,) = [reading.thinned for reading in gateway.readings.values() if reading.thinned]
    assert (told.first, told.last, told.count) == (min(missing), min(missing), 1)


def test_a_damaged_mark_of_numbers_repeats_none(worked: Device, gateway: Gateway) -> None:
    mark = worked.folder / "data" / "sequence"
    before = max(gateway.readings)
    mark.write_bytes(mark.read_bytes()[:-4] + b"xxx\n")
    worked.start()
    assert worked.wait_for(lambda event: event["event"] == "signed")["sequence"] > before
    worked.wait_for(is_receipted)
    worked.stop()
    assert (gateway.forks, gateway.chain_breaks()) == (0, [])


def test_a_meter_that_never_worked_ends_and_leaves_no_copy(tmp_path: Path) -> None:
    done = Device(tmp_path, profile="none").command("run")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert not list(tmp_path.glob("config.json?*"))
    assert json.loads((tmp_path / "config.json").read_text())["profile"] == "none"


def test_a_mistyped_path_makes_no_folder(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.config = tmp_path / "typo" / "config.json"
    assert device.command("run").returncode == 2
    assert not device.config.parent.exists()
