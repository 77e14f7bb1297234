"""Late boundary readings: in time for the settle deadline each makes its interval; after it, the span is a gap."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx

from ledger.codes import Code
from ledger.records import LineFlag
from ledger.remote.client import LedgerClient
from tests.gateway.ledger_node import made_node
from tests.gateway.plant import EPOCH_S, Holder, Plant, ended, wait_for
from tests.gateway.settlement.test_reporter import states

DEADLINE_S = 6 * EPOCH_S
"""Half of it is patience with a busy machine: by then the late reading must be booked that came in time."""


async def test_a_late_boundary_makes_its_interval_before_the_deadline_and_a_gap_after_it(tmp_path: Path) -> None:
    with (
        made_node(tmp_path / "ledger", Holder(), DEADLINE_S) as node,
        ended(Plant(tmp_path / "plant", 2, node.gateway, node.genesis, node.url)) as plant,
    ):
        node.start()
        plant.start()
        early, tardy = plant.pens
        await node.enrol(early, node.prosumer)
        await node.enrol(tardy, node.consumer)
        before = int(time.time()) // EPOCH_S
        wait_for(lambda: int(time.time()) // EPOCH_S > before, "an epoch to begin: none that is settled may be tested")
        start = int(time.time()) // EPOCH_S
        sent = {pen.meter_id: [pen.sign(epoch=start + n, r180=1000 + 10 * n) for n in range(3)] for pen in plant.pens}
        for pen in plant.pens:
            await node.call(node.admin, "registry", "rebase", pen.meter_id, sent[pen.meter_id][0])
        wait_for(lambda: time.time() >= (start + 2) * EPOCH_S, "the second boundary after it")
        for pen in plant.pens:
            first, _, last = sent[pen.meter_id]
            plant.line(pen.meter_id.hex()).send(pen.topic, first, last)
        wait_for(lambda: plant.stored() == 4, "all but the late ones")
        received = time.time()
        wait_for(lambda: time.time() > received + 1.2 * EPOCH_S, "more than an epoch to pass")
        assert [states(plant, pen)[-1] for pen in plant.pens] == ["waiting", "waiting"]

        plant.line(early.meter_id.hex()).send(early.topic, sent[early.meter_id][1])
        wait_for(lambda: states(plant, early) == ["done"] * 3, "the late one and what waited for it to be booked")
        assert time.time() < (start + 1) * EPOCH_S + DEADLINE_S
        wait_for(lambda: states(plant, tardy) == ["done", "done"], "the deadline", 2 * DEADLINE_S)
        plant.line(tardy.meter_id.hex()).send(tardy.topic, sent[tardy.meter_id][1])
        wait_for(lambda: states(plant, tardy) == ["done", "refused", "done"], "the ledger's answer to the late one")
        outdated = plant.rows("SELECT code FROM outbox WHERE meter_id = ? AND state = 'refused'", tardy.meter_id)
        assert outdated == [(Code.READING_OUTDATED,)]

        async with LedgerClient([node.url]) as client:
            lines = [line for epoch in await client.epochs(start, start + 2) for line in epoch.lines]
            gaps = {line.meter: line.import_wh for line in lines if line.flags & LineFlag.GAP}
            assert gaps == {tardy.meter_id: 20}
        shown = ask(plant, "intervals", {"meter": tardy.meter_id.hex(), "from": start, "to": start + 1})
        assert [(one["epoch"], one["import_wh"]) for one in shown] == [(start, 10), (start + 1, 10)]
        plant.line(early.meter_id.hex()).send(early.topic, early.sign(r180=1027))
        wait_for(lambda: plant.stored() == 7, "a reading inside the epoch")
        (meter,) = [one for one in ask(plant, "meters", {}) if one["meter_id"] == early.meter_id.hex()]
        assert meter["watermark_epoch"] == start + 2
        assert meter["estimate"] == {"epoch": start + 2, "import_wh": 7, "export_wh": 0, "display_only": True}


def ask(plant: Plant, what: str, query: dict[str, str | int]) -> list[dict[str, Any]]:
    """Return the list that the gateway's API gives under /api/*what*."""
    address = f"http://127.0.0.1:{plant.api_port}/api/{what}"
    found: list[dict[str, Any]] = httpx.get(address, params=query, trust_env=False).json()[what]
    return found
