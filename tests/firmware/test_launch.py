"""Updates as an operator sends them: real launcher, real MicroPython, real broker, the real command line."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ledger.keys import PrivateKey
from ledger.reading import Reason
from provisioning import sent as notes
from provisioning.signed_update import SignedUpdate, sign
from tests.firmware.device import is_receipted, wait_until
from tests.firmware.launched import PATIENCE_S, Plant, running_plant

TRIAL_S = 20
SILENT = "\n\nasync def _say_nothing(self):\n    await asyncio.sleep(10**6)\n\n\nUplink.run = _say_nothing\n"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Give a campus whose one meter measures."""
    with running_plant(tmp_path_factory.mktemp("plant")) as running:
        running.meter.wait_for(is_receipted)
        assert running.provision("meters", str(running.campus.folder)).returncode == 0
        yield running


def running_version(plant: Plant) -> int:
    """Return the version that was started last."""
    return int([event for event in plant.meter.events if event["event"] == "started"][-1]["version"])


def confirmed_version(plant: Plant) -> int:
    """Return the version that runs, after an update if there was none."""
    if not running_version(plant):
        assert plant.update(plant.image(), TRIAL_S).returncode == 0
    return running_version(plant)


def require_that_it_measures(plant: Plant, version: int) -> None:
    """Assert that *version* runs, that its readings are receipted, and that no link of the chain is missing."""
    seen = len(plant.meter.events)
    signed = plant.meter.wait_for(lambda event: event["event"] == "signed", seen)
    plant.meter.wait_for(lambda event: is_receipted(event) and event["sequence"] >= signed["sequence"], seen)
    assert running_version(plant) == version
    assert (plant.gateway.forks, plant.gateway.chain_breaks()) == (0, [])


def test_the_next_version_runs_after_a_receipt_confirmed_it_and_a_signed_reading_proves_that(plant: Plant) -> None:
    for _ in range(2):  # from the copy that the meter was delivered with, and from an image
        sent = plant.image()
        done = plant.update(sent, TRIAL_S)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert done.stdout.endswith(f"oven: version {sent.version} is confirmed\n")
        require_that_it_measures(plant, sent.version)
    assert plant.meter.stderr.read_text().count("ended with status 75, to be started again") == 2
    again = plant.update(sent, TRIAL_S + 1)
    assert (again.returncode, again.stderr) == (0, ""), again.stdout
    starts = [reading for reading in plant.gateway.readings.values() if reading.reason is Reason.STARTUP]
    assert starts[0].version is None
    assert starts[-1].version == sent.version
    assert plant.update(sent, TRIAL_S).returncode == 0  # the reading that proved it was seen, which is kept
    note = plant.campus.meters[0].config(plant.campus.folder).with_name("sent.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"proven": 0}))  # as if nobody had listened
    done = plant.update(sent, TRIAL_S)
    assert done.returncode == 3
    assert "by the meter's own unsigned word" in done.stdout


@pytest.mark.parametrize(
    ("broken", "trial_s", "outcome"),
    [
        ({"main.py": "raise RuntimeError('broken')\n"}, TRIAL_S, "rolled-back boots"),
        ({"config.py": "while True:\n    pass\n"}, 1, "rolled-back boots"),
        ({"config.py": '_CONFIG += (("colour", _text),)\n'}, TRIAL_S, "rolled-back boots"),
        ({"uplink.py": SILENT}, 3, "rolled-back receipt"),
    ],
    ids=["raises when it is imported", "hangs", "cannot read this meter's configuration", "never publishes"],
)
def test_a_broken_image_is_rolled_back_and_the_meter_goes_on(
    plant: Plant, broken: dict[str, str], trial_s: int, outcome: str
) -> None:
    before = running_version(plant)
    done = plant.update(plant.image(broken), trial_s)
    assert done.returncode == 1
    assert outcome in done.stdout
    require_that_it_measures(plant, before)


@pytest.mark.parametrize(
    "damaged", [["config.json"], ["config.json", "config.json.good"]], ids=["itself", "and its copy"]
)
def test_a_mended_configuration_has_the_confirmed_version_run_again(plant: Plant, damaged: list[str]) -> None:
    version = confirmed_version(plant)
    files = [plant.campus.meters[0].config(plant.campus.folder).with_name(name) for name in damaged]
    good = [path.read_bytes() for path in files]
    for path in files:
        path.write_bytes(path.read_bytes()[:150])
    seen = len(plant.meter.events)
    plant.meter.cut_power()
    assert plant.meter.wait_for(lambda event: event["event"] == "safe", seen)["reason"] == "configuration"
    files[0].write_bytes(good[0])
    assert plant.meter.wait_for(lambda event: event["event"] == "started", seen)["version"] == version
    was_chosen_anew = any(event["event"] == "restarting" for event in plant.meter.events[seen:])
    assert was_chosen_anew == (len(damaged) > 1)
    require_that_it_measures(plant, version)


def test_a_damaged_state_of_the_slots_is_told_with_what_to_do(plant: Plant) -> None:
    state = plant.campus.meters[0].config(plant.campus.folder).parent / "data" / "slots.state"
    version, good = confirmed_version(plant), state.read_bytes()
    seen = len(plant.meter.events)
    state.write_bytes(good[:-1])
    plant.meter.cut_power()
    told = plant.meter.wait_for(lambda event: event["event"] == "error" and "slots" in event["text"], seen)
    assert told["text"].endswith("what the meter was delivered with runs: send it an update")
    assert plant.meter.wait_for(lambda event: event["event"] == "started", seen)["version"] == 0
    seen = len(plant.meter.events)
    state.write_bytes(good)
    plant.meter.cut_power()
    assert plant.meter.wait_for(lambda event: event["event"] == "started", seen)["version"] == version
    require_that_it_measures(plant, version)


def test_a_power_cut_at_any_moment_of_an_update_costs_nothing_but_time(plant: Plant) -> None:
    sent = plant.image()
    update = sign(sent, plant.meter_id, plant.campus_key, TRIAL_S)
    plant.gateway.send(update.manifest)
    for piece in update.pieces[: len(update.pieces) // 2]:
        plant.gateway.send(piece)
    folder = plant.campus.meters[0].config(plant.campus.folder).parent / "data" / "slots"
    images = f"?-{sent.version}/image.romfs"
    wait_until(lambda: any(path.stat().st_size > 50_000 for path in folder.glob(images)), "the update does not come in")
    seen = len(plant.meter.events)
    plant.meter.cut_power()
    plant.meter.wait_for(lambda event: event["event"] == "started", seen)
    assert plant.update(sent, TRIAL_S).returncode == 0
    require_that_it_measures(plant, sent.version)


def require_refusal(plant: Plant, update: SignedUpdate, reason: str) -> None:
    """Assert that the meter refuses *update*, says why, and takes no piece of it."""
    hints: queue.Queue[str] = queue.Queue()
    plant.gateway.listen(f"meter/{plant.meter_id.hex()}/status", lambda payload: hints.put(payload.decode()))
    seen = len(plant.meter.events)
    for message in (update.manifest, *update.pieces[:3]):
        plant.gateway.send(message)
    plant.meter.wait_for(lambda event: event["event"] == "error" and f"refused: {reason}" in event["text"], seen)
    assert hints.get(timeout=PATIENCE_S) == f"update {update.version} refused {reason}"


def test_what_the_campus_did_not_sign_for_this_meter_is_refused(plant: Plant) -> None:
    sent, key, meter_id = plant.image(), plant.campus_key, plant.meter_id
    require_refusal(plant, sign(sent, meter_id, PrivateKey(b"\x0d" * 32), TRIAL_S), "signature")
    require_refusal(plant, sign(replace(sent, target="esp32"), meter_id, key, TRIAL_S), "target")
    require_refusal(plant, sign(sent, bytes(8), key, TRIAL_S), "meter")
    assert plant.update(sent, TRIAL_S).returncode == 0
    require_refusal(plant, sign(replace(sent, data=b"another"), meter_id, key, TRIAL_S), "version")
    require_refusal(plant, sign(replace(sent, version=sent.version - 1), meter_id, key, TRIAL_S), "version")
    require_that_it_measures(plant, sent.version)


def test_a_configuration_is_sent_and_echoed_in_a_signed_reading(plant: Plant) -> None:
    arguments = ["configure", str(plant.campus.folder), "--resend", "0", "7", "oven"]
    for period in (["--telemetry-s", "2"], []):
        done = plant.provision(*arguments, *period)
        assert (done.returncode, done.stdout, done.stderr) == (0, "oven: echoed\n", "")
    numbers = [event["number"] for event in plant.meter.events if event["event"] == "configured"]
    assert numbers == [1, 2]
    require_that_it_measures(plant, running_version(plant))


def test_a_configuration_that_another_one_superseded_is_told_so_and_waits_no_longer(plant: Plant) -> None:
    assert plant.provision("meters", str(plant.campus.folder)).returncode == 0
    meter = plant.campus.meters[0]
    before = notes.read(plant.campus, meter).configuration
    configure = ["configure", str(plant.campus.folder), "--telemetry-s"]
    with ThreadPoolExecutor() as operators:
        plant.meter.halt()
        first = operators.submit(plant.provision, *configure, "3")
        wait_until(lambda: notes.read(plant.campus, meter).configuration == before + 1, "no number is taken")
        second = operators.submit(plant.provision, *configure, "2")
        superseded = first.result()
        plant.meter.go_on()
        done = second.result()
    assert (superseded.returncode, superseded.stdout) == (1, f"oven: superseded by {before + 2}\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "oven: echoed\n", "")
    require_that_it_measures(plant, running_version(plant))
