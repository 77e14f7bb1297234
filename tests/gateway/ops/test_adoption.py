"""A gateway that lost its database says which meters wait in vain, and goes on with them when the operator says so."""

from __future__ import annotations

import sqlite3

import httpx

from tests.gateway.plant import Plant, wait_for
from tests.gateway.test_run import run


def test_a_meter_whose_past_is_lost_is_named_and_receipted_again_after_adoption(plant: Plant) -> None:
    pen, name = plant.pens[0], plant.pens[0].meter_id.hex()
    lost = [pen.sign() for _ in range(3)]
    line = plant.line(name)
    gateway = plant.start()
    line.send(pen.topic, *[pen.sign() for _ in range(4)])
    wait_for(lambda: plant.stored() == 4, "the readings")
    command = ("adopt", name, "--yes", "--config", str(plant.config))
    assert "another process works on it; stop that gateway first" in run(*command).stderr
    assert gateway.stop() == 0
    with sqlite3.connect(plant.store) as connection:
        connection.execute("UPDATE readings SET received_at = received_at - 3600")
    plant.start()
    health = httpx.get(f"http://127.0.0.1:{plant.api_port}/health").json()
    assert f"meter Room 1 ({name}) gets no receipts beyond number 0: its readings from 4 on" in str(health["reasons"])
    plant.kill_all()

    done = run(*command)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"meter Room 1 ({name}): adopted from number 4; complete up to 7.\n1 adopted. Start" in done.stdout
    assert "there is nothing to adopt" in run(*command).stderr
    assert plant.rows("SELECT meter_id, head, first FROM adoptions") == [(pen.meter_id, 0, 4)]
    plant.start()
    line.send(pen.topic, pen.sign())
    assert line.newest_receipt(8, plant.receipt_key.public_key)[1] == 8
    line.send(pen.topic, lost[0])
    wait_for(lambda: plant.rows("SELECT sequence FROM evidence") == [(1,)], "the late reading to be kept")


def test_one_adoption_gives_up_every_gap_as_after_a_restore_with_boundary_readings_sent_again(plant: Plant) -> None:
    pen = plant.pens[0]
    signed = [pen.sign() for _ in range(10)]
    kept = [signed[2], signed[5], signed[8], signed[9]]
    line = plant.line(pen.meter_id.hex())
    plant.start()
    line.send(pen.topic, *kept)
    wait_for(lambda: plant.stored() == 4, "the readings")
    plant.kill_all()

    done = run("adopt", "--all", "--yes", "--config", str(plant.config))

    assert (done.returncode, done.stderr) == (0, "")
    assert "readings are here up to number 0, and again, whole or in part, from 3 to 10" in done.stdout
    assert "complete up to 10.\n1 adopted. Start" in done.stdout
    assert plant.rows("SELECT head, first FROM adoptions ORDER BY head") == [(0, 3), (3, 6), (6, 9)]
    assert "there is nothing to adopt" in run("adopt", "--all", "--yes", "--config", str(plant.config)).stderr


def test_a_meter_is_named_by_id_or_label_and_one_that_is_none_is_refused(plant: Plant) -> None:
    plant.start()
    plant.kill_all()
    name = plant.pens[0].meter_id.hex()
    for known in (name, "Room 1"):
        told = run("adopt", known, "--config", str(plant.config)).stderr
        assert f"meter Room 1 ({name}): nothing of it waits" in told
    for unknown in ("kitchen", "cafe"):
        told = run("adopt", unknown, "--config", str(plant.config)).stderr
        assert f"'{unknown}' is no meter's id or label" in told


def test_of_twin_meters_none_is_adopted_until_the_operator_names_the_chain(plant: Plant) -> None:
    pen, name = plant.pens[0], plant.pens[0].meter_id.hex()
    pen.sign()
    twin = pen.copy()
    own, others = [pen.sign() for _ in range(2)], [twin.sign(skip=2)]
    own += [pen.sign(skip=1)]
    others += [twin.sign(skip=1)]
    plant.start()
    line = plant.line(name)
    line.send(pen.topic, *own, *others)
    wait_for(lambda: plant.stored() == 5, "the readings of both")
    plant.kill_all()
    for options in ((name,), ("--all",), (name, "--from", "3")):
        told = run("adopt", *options, "--yes", "--config", str(plant.config))
        assert told.returncode == 1
        assert "(fork)" in told.stderr
        assert "--from 2: to 5, 3 readings" in told.stderr
        assert "--from 4: to 6, 2 readings" in told.stderr
    assert plant.rows("SELECT * FROM adoptions") == []

    done = run("adopt", name, "--from", "2", "--yes", "--config", str(plant.config))

    assert (done.returncode, done.stderr) == (0, "")
    assert plant.rows("SELECT head FROM chains WHERE meter_id = ?", pen.meter_id) == [(5,)]
    assert plant.rows("SELECT first FROM adoptions") == [(2,)]
