"""Anchors: every stored reading is under one, in a chain that never forks, whoever is killed, away or restored."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from ledger import anchor, checkpoint, reading, receipt_proof
from ledger.anchor import NO_ANCHOR, Anchor
from ledger.codes import Code
from ledger.reading import Beacon
from ledger.remote.client import LedgerClient
from tests.gateway.ledger_node import LedgerNode, made_node
from tests.gateway.plant import EPOCH_S, ROOT, Holder, Pen, Plant, ended, wait_for


async def test_while_the_ledger_is_away_and_through_kills_anchors_are_made_once_and_reach_it_in_order(
    settling_plant: Plant, node: LedgerNode
) -> None:
    plant, pen = settling_plant, settling_plant.pens[0]
    node.start()
    plant.start()
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, *(pen.sign() for _ in range(20)))
    wait_for(lambda: states(plant).count("done") >= 2, "the first anchors to be proven")
    line.send(pen.topic, pen.sign())
    bound = beacon(line.newest_receipt(21, plant.receipt_key.public_key))
    assert bound.height > 0
    assert bound.anchor > 0

    node.stop()
    plant.kill_all()
    # as if it had been killed before it noted that it had submitted them
    change(plant, "UPDATE anchors SET state = 'waiting', transaction_id = NULL, code = NULL")
    before = len(anchors(plant))
    line.send(pen.topic, *(pen.sign() for _ in range(10)))
    plant.start()
    wait_for(lambda: len(anchors(plant)) > before + 1 and covered(plant) == 31, "anchors without a ledger")
    line.send(pen.topic, pen.sign())
    alone = beacon(line.newest_receipt(32, plant.receipt_key.public_key))
    assert (alone.height, alone.block_time, alone.block_id_head) == (0, 0, bytes(8))
    assert alone.anchor > bound.anchor
    assert set(states(plant)) == {"waiting"}

    made = len(anchors(plant))
    node.start()
    wait_for(lambda: states(plant).count("done") >= made and covered(plant) == 32, "the ledger's answers")
    assert codes(plant).count(Code.ANCHOR_REPEATED) >= 2
    check_chain(plant)
    await check_proof(plant, node, pen, 7)
    taken = await on_ledger(node)
    assert [one for one, _ in taken] == list(range(1, len(taken) + 1))
    assert [digest for _, digest in taken] == [row["hash"] for row in anchors(plant)][: len(taken)]


async def test_a_gateway_with_an_old_memory_or_none_goes_on_from_the_ledgers_newest_anchor(
    settling_plant: Plant, node: LedgerNode
) -> None:
    """An old copy that somebody put back by hand makes a fork, which the ledger refuses; a new database makes none."""
    plant, pen = settling_plant, settling_plant.pens[0]
    node.start()
    gateway = plant.start()
    wait_for(lambda: "done" in states(plant), "an anchor on the ledger")
    assert gateway.stop() == 0
    old = plant.folder / "old.sqlite"
    shutil.copy(plant.store, old)
    gateway = plant.start()
    before = len(anchors(plant))
    wait_for(lambda: states(plant).count("done") > before, "anchors that the copy does not know")
    assert gateway.stop() == 0
    shutil.copy(old, plant.store)

    gateway = plant.start()
    plant.line(pen.meter_id.hex()).send(pen.topic, *(pen.sign() for _ in range(3)))
    wait_for(lambda: "refused" in states(plant, "1"), "the ledger to refuse a fork")
    wait_for(lambda: covered(plant) == 3 and states(plant)[-1] == "done", "the readings under anchors that stand")
    assert gateway.stop() == 0

    plant.store.unlink()
    plant.start()
    wait_for(lambda: "done" in states(plant), "an anchor of a gateway that lost everything")
    taken = await on_ledger(node)
    assert [number for number, _ in taken] == list(range(1, len(taken) + 1))
    first = anchors(plant)[0]
    assert (first["number"] - 1, first["previous"]) in taken


async def test_with_a_clock_an_hour_ahead_no_anchor_is_made_and_no_report_leaves_early(tmp_path: Path) -> None:
    """A boundary whose predecessor may still come waits for the deadline as the blocks' time tells it."""
    with (
        made_node(tmp_path / "ledger", Holder(), settle_deadline_s=600) as node,
        ended(Plant(tmp_path / "plant", 1, node.gateway, node.genesis, node.url)) as plant,
    ):
        node.start()
        (pen,) = plant.pens
        await node.enrol(pen, node.prosumer)
        start = int(time.time()) // EPOCH_S - 2
        first, second, third = [pen.sign(epoch=start + place, r180=1000 + 10 * place) for place in range(3)]
        await node.call(node.admin, "registry", "rebase", pen.meter_id, first)
        (tmp_path / "sitecustomize.py").write_text("import time\ntrue = time.time\ntime.time = lambda: true() + 3600\n")
        plant.start(more={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
        line = plant.line(pen.meter_id.hex())
        line.send(pen.topic, first, third)
        wait_for(lambda: outbox(plant, pen) == ["done", "waiting"], "the first to be answered")
        answered = time.time()
        wait_for(lambda: time.time() > answered + EPOCH_S / 2, "time enough to send the third early")
        assert outbox(plant, pen) == ["done", "waiting"]
        assert anchors(plant, "1") == []
        line.send(pen.topic, second)
        wait_for(lambda: outbox(plant, pen) == ["done"] * 3, "all to be booked")


async def check_proof(plant: Plant, node: LedgerNode, pen: Pen, sequence: int) -> None:
    """Follow a reading from the meter's own bytes to a quorum's word for its anchor, with nothing but public keys."""
    address = f"http://127.0.0.1:{plant.api_port}/api/readings/{pen.meter_id.hex()}"
    async with httpx.AsyncClient(trust_env=False) as http:
        shown = (await http.get(f"{address}/{sequence}/anchor")).json()
        assert (await http.get(f"{address}/{10**6}/anchor")).status_code == 404
    raw = base64.b64decode(shown["envelope"])
    assert reading.decode(raw).sequence == sequence
    assert reading.decode(raw).is_signed_by(pen.key.public_key)
    values = shown["anchor"]
    made = Anchor(
        bytes.fromhex(values["gateway"]), values["number"], values["time"], values["count"],
        bytes.fromhex(values["root"]), bytes.fromhex(values["previous"]),
    )  # fmt: skip
    assert anchor.covers(
        made, hashlib.sha256(raw).digest(), shown["index"], [bytes.fromhex(one) for one in shown["path"]]
    )
    transaction_id = bytes.fromhex(shown["transaction_id"])
    keys = checkpoint.verifier_keys(node.genesis.authorities, checkpoint.origin(node.genesis.chain_id))
    async with LedgerClient([node.url]) as client:
        proven = receipt_proof.verify(await client.transaction_proof(transaction_id), transaction_id, keys)
    assert made.hash in [event["hash"] for _, name, event in proven.events if name == "anchor"]


def beacon(receipt: list[Any]) -> Beacon:
    return Beacon(*receipt[4])


async def on_ledger(node: LedgerNode) -> list[tuple[int, bytes]]:
    """Return (number, hash) of all anchors that the chain took, in its order."""
    found = []
    async with LedgerClient([node.url]) as client:
        for height in range(1, (await client.status()).height + 1):
            for transaction in (await client.block(height)).transactions:
                events = [one.values for one in (await client.receipt(transaction)).events if one.module == "anchors"]
                found += [(one["number"], bytes.fromhex(one["hash"])) for one in events if one["code"] == 0]
    return found


def anchors(plant: Plant, where: str = "state <> 'refused'") -> list[dict[str, Any]]:
    """Return the anchors that stand, in the order of the chain."""
    columns = ("number", "time", "first", "last", "count", "root", "previous", "hash", "state", "code")
    rows = plant.rows(f"SELECT {', '.join(columns)} FROM anchors WHERE {where} ORDER BY number")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def states(plant: Plant, where: str = "state <> 'refused'") -> list[str]:
    return [row["state"] for row in anchors(plant, where)]


def codes(plant: Plant) -> list[int]:
    return [row["code"] for row in anchors(plant)]


def covered(plant: Plant) -> int:
    """Return how many readings are under the anchors that stand."""
    return sum(row["count"] for row in anchors(plant))


def outbox(plant: Plant, pen: Pen) -> list[str]:
    rows = plant.rows("SELECT state FROM outbox WHERE meter_id = ? ORDER BY epoch", pen.meter_id)
    return [state for (state,) in rows]


def check_chain(plant: Plant) -> None:
    """Each anchor links to the one before and covers the readings right behind its own."""
    previous, last, time_ = NO_ANCHOR, 0, 0
    for number, row in enumerate(anchors(plant), start=1):
        hashes = [digest for (digest,) in plant.rows(
            "SELECT hash FROM readings WHERE id BETWEEN ? AND ? ORDER BY id", row["first"], row["last"]
        )]  # fmt: skip
        made = Anchor(plant.gateway.id, number, row["time"], len(hashes), row["root"], previous)
        assert (row["number"], row["previous"], row["hash"]) == (number, previous, made.hash)
        assert row["first"] == last + 1
        assert row["time"] > time_
        assert anchor.follow(plant.gateway.id, anchor.Point(), 1, hashes).root == row["root"]
        previous, last, time_ = made.hash, max(last, row["last"]), row["time"]


def change(plant: Plant, sql: str, *values: object) -> None:
    """Change the database of a gateway that does not run."""
    with closing(sqlite3.connect(plant.store)) as connection, connection:
        connection.execute(sql, values)
