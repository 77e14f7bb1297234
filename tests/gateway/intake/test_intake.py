"""Readings over a real broker into the store: each once, each with a receipt, whatever else comes."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator

import pytest

from gateway.intake.refusals import RefusalCode
from ledger import reading
from tests.gateway.killed_gateway import STEPS
from tests.gateway.plant import Pen, Plant, ended, wait_for

OF_METER = "SELECT raw FROM readings WHERE meter_id = ? ORDER BY sequence"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with a running gateway; each test takes meters of its own from its `pens`."""
    with ended(Plant(tmp_path_factory.mktemp("intake") / "plant", meters=8)) as made:
        made.start()
        yield made


def stored_of(plant: Plant, pen: Pen) -> int:
    """Return how many readings of a meter are committed."""
    return len(plant.rows(OF_METER, pen.meter_id))


def test_a_reading_is_committed_and_receipted(plant: Plant) -> None:
    pen = plant.pens[0]
    line = plant.line(pen.meter_id.hex())
    gateway = plant.start()
    sent = [pen.sign(), pen.sign(skip=6), pen.sign(epoch=180_000_001)]
    line.send(pen.topic, *sent)

    meter_id, number, digest, refused, beacon, _ = line.newest_receipt(pen.sequence, plant.receipt_key.public_key)

    assert (meter_id, number, refused, beacon) == (pen.meter_id, 9, [], None)
    assert digest == reading.decode(sent[-1]).hash
    assert [raw for (raw,) in plant.rows("SELECT raw FROM readings ORDER BY sequence")] == sent
    assert gateway.stop() == 0


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_reading_survives_a_kill_before_each_step_and_is_stored_once(plant: Plant, step: str) -> None:
    pen = plant.pens[0]
    line = plant.line(pen.meter_id.hex())
    killed = plant.start(kill_at=step)
    sent = [pen.sign() for _ in range(20)]
    line.send(pen.topic, *sent)
    assert killed.wait() == -9

    plant.start()
    if step == "receipt":  # the broker has forgotten them: the meter, without a receipt, sends again
        line.send(pen.topic, *sent)

    _, number, digest, *_ = line.newest_receipt(20, plant.receipt_key.public_key)
    assert (number, digest) == (20, reading.decode(sent[-1]).hash)
    assert [raw for (raw,) in plant.rows("SELECT raw FROM readings ORDER BY sequence")] == sent


def test_readings_survive_kills_at_random_moments_without_being_sent_again(plant: Plant) -> None:
    pen, schedule = plant.pens[0], random.Random(7)
    line = plant.line(pen.meter_id.hex())
    sent: list[bytes] = []
    for _ in range(3):
        gateway = plant.start()
        burst = [pen.sign() for _ in range(400)]
        sent += burst
        line.send(pen.topic, *burst)
        time.sleep(schedule.random() / 5)  # not to wait for anything: the kill shall fall anywhere
        gateway.kill()
    plant.start()
    wait_for(lambda: plant.stored() == len(sent), "all readings to be stored")
    assert [raw for (raw,) in plant.rows("SELECT raw FROM readings ORDER BY sequence")] == sent
    # a kill between PUBACK and receipt leaves the receipt to the next message of the meter
    line.send(pen.topic, pen.sign())
    line.newest_receipt(len(sent) + 1, plant.receipt_key.public_key)


def test_a_reading_survives_a_broker_that_is_killed_and_comes_back(plant: Plant) -> None:
    pen = plant.pens[0]
    plant.start()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())
    line.newest_receipt(1, plant.receipt_key.public_key)

    plant.broker.stop(9)
    plant.broker.start()
    wait_for(lambda: plant.gateway_log().count("broker connected") == 2, "the gateway to come back")
    line.close()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())

    line.newest_receipt(2, plant.receipt_key.public_key)
    assert plant.stored() == 2


def test_on_a_full_disk_intake_waits_says_so_and_goes_on_when_there_is_room(plant: Plant) -> None:
    pen = plant.pens[0]
    gateway = plant.start()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())
    line.newest_receipt(1, plant.receipt_key.public_key)
    full = plant.store.with_name(plant.store.name + "-wal").stat().st_size
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))

    sent = [pen.sign() for _ in range(300)]
    line.send(pen.topic, *sent)
    wait_for(lambda: "commit failed, intake waits" in plant.gateway_log(), "the gateway to say so")
    assert plant.stored() < 301
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert line.newest_receipt(301, plant.receipt_key.public_key)[2] == reading.decode(sent[-1]).hash
    assert plant.stored() == 301
    assert gateway.stop() == 0


def test_a_gateway_whose_disk_is_full_still_ends_and_loses_nothing(plant: Plant) -> None:
    pen = plant.pens[0]
    gateway = plant.start()
    line = plant.line(pen.meter_id.hex())
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    line.send(pen.topic, *[pen.sign() for _ in range(3)])
    wait_for(lambda: "commit failed, intake waits" in plant.gateway_log(), "the gateway to say so")

    assert gateway.stop() == 0

    plant.start()
    line.newest_receipt(3, plant.receipt_key.public_key)


def test_a_message_that_wants_no_acknowledgement_does_not_end_the_session(running: Plant) -> None:
    pen = running.pens.pop()
    line = running.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign(), qos=0)
    line.newest_receipt(1, running.receipt_key.public_key)
    line.send(pen.topic, pen.sign())
    line.newest_receipt(2, running.receipt_key.public_key)

    assert running.gateway_log().count("broker connected") == 1


def test_duplicates_are_dropped_and_receipted_again(running: Plant) -> None:
    pen = running.pens.pop()
    line = running.line(pen.meter_id.hex())
    first = pen.sign()
    for _ in range(3):
        line.send(pen.topic, first)
        line.newest_receipt(1, running.receipt_key.public_key)
    line.send(pen.topic, *[first] * 5, pen.sign())
    line.newest_receipt(2, running.receipt_key.public_key)

    assert stored_of(running, pen) == 2
    assert running.rows("SELECT value FROM counters WHERE name = 'duplicates'") == [(7,)]


def test_a_reading_that_overtook_its_predecessor_waits_and_is_receipted_with_it(running: Plant) -> None:
    pen = running.pens.pop()
    line = running.line(pen.meter_id.hex())
    first, second, third, fourth = (pen.sign() for _ in range(4))
    line.send(pen.topic, first, third, fourth)
    wait_for(lambda: stored_of(running, pen) == 3, "three readings")
    assert line.newest_receipt(1, running.receipt_key.public_key)[1] == 1

    line.send(pen.topic, second)

    assert line.newest_receipt(4, running.receipt_key.public_key)[2] == reading.decode(fourth).hash


def test_two_readings_with_one_number_are_kept_as_evidence_and_named_in_the_receipt(running: Plant) -> None:
    pen = running.pens.pop()
    line = running.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())
    restored = pen.copy()
    sent = [pen.sign(), pen.sign(skip=1)]
    line.send(pen.topic, *sent)
    line.newest_receipt(4, running.receipt_key.public_key)

    forks = [restored.sign(r180=7), restored.sign(r180=8)]
    line.send(pen.topic, *forks)
    wait_for(lambda: running.rows("SELECT count(*) FROM evidence") == [(2,)], "the evidence")
    line.send(pen.topic, pen.sign())

    refused = line.newest_receipt(5, running.receipt_key.public_key)[3]
    assert refused == [[2, RefusalCode.FORK], [3, RefusalCode.OFF_CHAIN]]
    assert [raw for (raw,) in running.rows("SELECT raw FROM evidence ORDER BY sequence")] == forks
    assert [raw for (raw,) in running.rows(OF_METER, pen.meter_id)][1:3] == sent


def test_refused_messages_never_stall_good_ones_and_each_has_its_reason(running: Plant) -> None:
    pen, other = running.pens.pop(), running.pens.pop()
    line = running.line(pen.meter_id.hex())
    bad = refused_messages(pen, other)
    for code, payload in bad:
        line.send(pen.topic, payload)
        assert code is not None
    line.send(pen.topic, good := pen.sign())

    line.newest_receipt(1, running.receipt_key.public_key)
    assert [raw for (raw,) in running.rows(OF_METER, pen.meter_id)] == [good]
    found = running.rows("SELECT refusal, raw, size FROM quarantine ORDER BY id")
    assert found == [(code, payload[:1024], len(payload)) for code, payload in bad]


def refused_messages(pen: Pen, other: Pen) -> list[tuple[RefusalCode, bytes]]:
    """Return messages on *pen*'s topic that nobody signed as *pen*, each with the reason it must get."""
    good = pen.copy().sign()
    forged = good[:-1] + bytes([good[-1] ^ 1])
    return [
        (RefusalCode.MALFORMED, b""),
        (RefusalCode.MALFORMED, good[:-1]),
        (RefusalCode.MALFORMED, good + b"\0"),
        (RefusalCode.MALFORMED, b"\x84" * 180),
        (RefusalCode.OVERSIZED, b"\0" * 3000),
        (RefusalCode.UNKNOWN_KEY, Pen(meter_id=pen.meter_id).sign()),
        (RefusalCode.WRONG_METER, other.copy().sign()),
        (RefusalCode.BAD_SIGNATURE, forged),
    ]
