"""Boundary readings reach a real ledger node exactly once, whoever is away meanwhile."""

from __future__ import annotations

import resource
import time

from ledger.remote.client import LedgerClient
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import EPOCH_S, Pen, Plant, wait_for


async def test_boundary_readings_wait_for_the_ledger_and_the_baseline_and_are_booked_once(
    settling_plant: Plant, node: LedgerNode
) -> None:
    plant, (pen, other) = settling_plant, settling_plant.pens
    line, other_line = plant.line(pen.meter_id.hex()), plant.line(other.meter_id.hex())
    plant.start()
    first = int(time.time()) // EPOCH_S - 4
    sent = [pen.sign(epoch=first + place, r180=1000 + 10 * place) for place in range(5)]
    line.send(pen.topic, *sent)
    other_line.send(other.topic, other.sign(epoch=first))
    wait_for(lambda: plant.stored() == 6, "the readings")
    assert states(plant, pen) == ["waiting"] * 5

    node.start()
    await node.enrol(pen, node.prosumer)
    await node.enrol(other, node.consumer)
    await node.call(node.admin, "registry", "rebase", pen.meter_id, sent[0])
    wait_for(lambda: "submitted" in states(plant, pen) or "done" in states(plant, pen), "a report to be under way")
    plant.kill_all()
    plant.start()
    wait_for(lambda: states(plant, pen) == ["done"] * 5, "every reading to be answered")

    assert states(plant, other) == ["waiting"]
    async with LedgerClient([node.url]) as client:
        baseline = (await client.meter(pen.meter_id)).baseline
        assert baseline is not None
        assert (baseline.epoch, baseline.import_wh) == (first + 4, 1040)
        assert await accepted(client) == [first + place for place in range(1, 5)]


async def test_on_a_full_disk_reports_wait_and_are_booked_once_there_is_room(
    settling_plant: Plant, node: LedgerNode
) -> None:
    plant, pen = settling_plant, settling_plant.pens[0]
    gateway = plant.start()
    first = int(time.time()) // EPOCH_S - 4
    sent = [pen.sign(epoch=first + place, r180=1000 + 10 * place) for place in range(3)]
    plant.line(pen.meter_id.hex()).send(pen.topic, *sent)
    wait_for(lambda: plant.stored() == 3, "the readings")
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    node.start()
    await node.enrol(pen, node.prosumer)
    await node.call(node.admin, "registry", "rebase", pen.meter_id, sent[0])
    wait_for(lambda: "free disk space" in plant.gateway_log(), "the gateway to say so")
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    wait_for(lambda: states(plant, pen) == ["done"] * 3, "every reading to be answered")

    assert gateway.stop() == 0
    async with LedgerClient([node.url]) as client:
        assert await accepted(client) == [first + 1, first + 2]


async def accepted(client: LedgerClient) -> list[int]:
    """Return the epochs of all readings that the chain accepted, in its order."""
    found = []
    for height in range(1, (await client.status()).height + 1):
        for transaction in (await client.block(height)).transactions:
            receipt = await client.receipt(transaction)
            readings = [event.values for event in receipt.events if event.name == "reading"]
            found += [values["epoch"] for values in readings if values["code"] == 0]
    return found


def states(plant: Plant, pen: Pen) -> list[str]:
    """Return the outbox states of a meter's boundary readings by epoch."""
    rows = plant.rows("SELECT state FROM outbox WHERE meter_id = ? ORDER BY epoch", pen.meter_id)
    return [state for (state,) in rows]
