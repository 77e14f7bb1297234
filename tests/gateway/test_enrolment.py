"""A meter's keys change while the gateway runs, and no reading is lost over it."""

from __future__ import annotations

import signal
from functools import partial

import httpx

from gateway.intake.refusals import RefusalCode
from ledger import reading
from tests.gateway.intake.test_reasons import edit_roster, succeed
from tests.gateway.plant import Pen, Plant, wait_for


def test_a_replaced_device_goes_on_behind_the_old_ones_numbers_whose_backlog_still_counts(plant: Plant) -> None:
    old = plant.pens[0]
    plant.start()
    line = plant.line(old.meter_id.hex())
    sent = [old.sign() for _ in range(10)]
    line.send(old.topic, *sent[:8])
    line.newest_receipt(8, plant.receipt_key.public_key)
    new = succeed(plant, old, 10, "replacement")

    first = new.sign()
    line.send(old.topic, first)
    _, head, head_hash, refused, *_ = line.newest_receipt(8, plant.receipt_key.public_key)
    assert refused == [[1, RefusalCode.METER_REPLACED]]
    line.send(old.topic, *sent[8:])
    _, head, head_hash, *_ = line.newest_receipt(10, plant.receipt_key.public_key)
    new.sequence, new.previous = head, head_hash[:8]  # as PROTOCOL.md has a meter do on a receipt above its own numbers
    sent += [new.sign(), new.sign()]
    line.send(old.topic, *sent[10:], old.sign())

    assert line.newest_receipt(12, plant.receipt_key.public_key)[2] == reading.decode(sent[-1]).hash
    assert [raw for (raw,) in plant.rows("SELECT raw FROM readings ORDER BY sequence")] == sent
    wait_for(lambda: len(plant.rows("SELECT * FROM evidence")) == 2, "what the keys may not sign to be evidence")


def test_rosters_come_and_go_under_a_stream_of_readings_and_none_is_lost(plant: Plant) -> None:
    pen, added = plant.pens
    edit_roster(plant, lambda meters: meters.pop())
    gateway = plant.start()
    line = plant.line(pen.meter_id.hex())
    sent = []
    for turn in range(10):
        sent += [pen.sign() for _ in range(50)]
        line.send(pen.topic, *sent[-50:])
        edit_roster(plant, partial(relabel, f"Room {turn}"))
        gateway.process.send_signal(signal.SIGHUP)
    line.newest_receipt(len(sent), plant.receipt_key.public_key)
    assert [raw for (raw,) in plant.rows("SELECT raw FROM readings ORDER BY sequence")] == sent

    entry = {
        "meter_id": added.meter_id.hex(), "public_key": added.key.public_key.hex(), "profile": "eastron_sdm120",
        "rated_power_w": 10_000, "can_export": True, "account": "00" * 8, "label": "New",
    }  # fmt: skip
    edit_roster(plant, lambda meters: meters.append(entry))
    wait_for(lambda: '"added": 1' in plant.gateway_log(), "the change of the file to be seen without a signal")
    logged = plant.rows("SELECT who, detail FROM audit WHERE action = 'replace roster' ORDER BY id")
    assert logged[-1] == ("gateway", '{"added": 1, "meters": 2, "removed": 0}')
    newcomer = plant.line(added.meter_id.hex())
    newcomer.send(added.topic, added.sign())
    newcomer.newest_receipt(1, plant.receipt_key.public_key)


def relabel(label: str, meters: list[dict[str, object]]) -> None:
    meters[0]["label"] = label


def test_a_damaged_roster_is_refused_and_said_while_the_old_one_goes_on(plant: Plant) -> None:
    pen: Pen = plant.pens[0]
    gateway = plant.start()
    line = plant.line(pen.meter_id.hex())
    path = plant.folder / "roster.json"
    good = path.read_text()
    with httpx.Client(base_url=f"http://127.0.0.1:{plant.api_port}", trust_env=False) as api:
        for damaged in (good[: len(good) // 2], '{"meters": []}', good.replace("public_key", "publik_key")):
            path.write_text(damaged)
            gateway.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "the old one goes on" in str(api.get("/health").json()["reasons"]), "/health to say so")
            line.send(pen.topic, pen.sign())
            line.newest_receipt(pen.sequence, plant.receipt_key.public_key)
            path.write_text(good)
            gateway.process.send_signal(signal.SIGHUP)
            wait_for(lambda: "the old one" not in str(api.get("/health").json()["reasons"]), "/health to be well again")
    assert gateway.stop() == 0
