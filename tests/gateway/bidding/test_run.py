"""Agents in their own process, over a real gateway and a real ledger node."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

from ledger.remote.client import LedgerClient, RefusedError
from tests.gateway.api.test_gate import require_login
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import BOUND_S, EPOCH_S, Pen, Plant, wait_for
from tests.gateway.test_run import run


async def test_agents_place_orders_from_forecasts_and_the_book_crosses(
    settling_plant: Plant, node: LedgerNode, tmp_path: Path
) -> None:
    plant, (pv, load) = settling_plant, settling_plant.pens
    node.start()
    await node.enrol(pv, node.prosumer)
    await node.enrol(load, node.consumer)
    require_login(plant)
    plant.start()
    meters = Meters(plant, {"r280": pv, "r180": load}, int(time.time()) // EPOCH_S - 4)
    for pen, baseline in meters.measure(meters.newest + 1).items():
        await node.call(node.admin, "registry", "rebase", pen, baseline)
    meters.go_on()
    wait_for(lambda: plant.stored() >= 8, "the history")

    said = f'[instructions]\n{pv.meter_id.hex()} = ["sell surplus at 3.20 or more", "keep 0 %"]\n'
    config = write_bidding(plant, node, tmp_path, said)
    shown = run("config", "check", "--config", str(plant.config), "--bidding", str(config)).stdout
    assert f"meter {pv.meter_id.hex()}: sell surplus at 3.20 or more; keep 0 %  ({config})" in shown
    assert f"meter {load.meter_id.hex()}: as the agent thinks best" in shown
    agents = start_agents(config)
    try:
        async with LedgerClient([node.url]) as client:
            epoch = await traded_epoch(client, meters)
            orders = await client.orders(epoch)
    finally:
        agents.terminate()
        assert agents.wait(BOUND_S) == 0
    assert {(order.account, order.meter, order.side, order.quantity_wh) for order in orders} == {
        (node.prosumer.id, pv.meter_id, "sell", 10), (node.consumer.id, load.meter_id, "buy", 10),
    }  # fmt: skip
    assert [order.price_uaip_per_kwh for order in orders if order.side == "sell"] == [3_200_000]


def test_config_check_refuses_a_meter_that_is_not_enrolled(plant: Plant, node: LedgerNode, tmp_path: Path) -> None:
    config = write_bidding(plant, node, tmp_path)
    config.write_text(config.read_text().replace(plant.pens[1].meter_id.hex(), "00000000000000cc"))
    done = run("config", "check", "--config", str(plant.config), "--bidding", str(config))
    assert done.returncode != 0
    assert "meter 00000000000000cc is not in" in done.stderr


def start_agents(config: Path) -> subprocess.Popen[bytes]:
    """Start `campusgrid gateway bid`."""
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "gateway", "bid", "--config", str(config)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


class Meters:
    """Meters that measure 10 Wh in every epoch behind *newest*: an agent goes by the last four epochs alone."""

    def __init__(self, plant: Plant, pens: dict[str, Pen], newest: int) -> None:
        self.pens, self.first, self.newest = pens, newest + 1, newest
        self._lines = {pen.meter_id: plant.line(pen.meter_id.hex()) for pen in pens.values()}

    def measure(self, epoch: int) -> dict[bytes, bytes]:
        """Send the boundary readings of the next *epoch*, and return them by meter."""
        self.newest, sent = epoch, {}
        for register, pen in self.pens.items():
            values = {"r180": 0, register: 1000 + 10 * (epoch - self.first)}
            sent[pen.meter_id] = pen.sign(epoch=epoch, **values)
            self._lines[pen.meter_id].send(pen.topic, sent[pen.meter_id])
        return sent

    def go_on(self) -> None:
        """Send what is due by now."""
        while self.newest < int(time.time()) // EPOCH_S:
            self.measure(self.newest + 1)


async def traded_epoch(client: LedgerClient, meters: Meters) -> int:
    """Return the first epoch in which energy was matched; meanwhile the meters go on."""
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        meters.go_on()
        with contextlib.suppress(RefusedError):
            for epoch in await client.epochs(meters.first, int(time.time()) // EPOCH_S):
                if epoch.matched_wh > 0:
                    return epoch.epoch
        await asyncio.sleep(0.1)
    raise AssertionError("nothing was matched")


def write_bidding(plant: Plant, node: LedgerNode, folder: Path, said: str = "") -> Path:
    """Return the path of a bidding.toml for the prosumer and the consumer, with what is *said* at its end."""
    users = ""
    for holder, pen in ((node.prosumer, plant.pens[0]), (node.consumer, plant.pens[1])):
        (folder / f"{holder.id.hex()}.key").write_text(holder.key.seed.hex())
        users += f"""
[[users]]
account = "{holder.id.hex()}"
key_file = "{holder.id.hex()}.key"
meters = [{{meter_id = "{pen.meter_id.hex()}", can_export = true}}]
"""
    path = folder / "bidding.toml"
    ledger = f'[ledger]\nurls = ["{node.url}"]\ngenesis = "ledger/genesis.json"\n'
    key = run("api-key", "add", "bidding", "--role", "operator", "--config", str(plant.config)).stdout
    (folder / "bidding.apikey").write_text(key)
    access = f'gateway = "http://127.0.0.1:{plant.api_port}"\ngateway_key_file = "bidding.apikey"\n'
    path.write_text(f"{access}{ledger}{users}{said}")
    return path
