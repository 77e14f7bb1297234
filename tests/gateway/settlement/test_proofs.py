"""No node's word closes a report: what is not proven waits, and the next node is asked."""

from __future__ import annotations

import http.server
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.genesis import Parameters
from ledger.remote.client import LedgerClient
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import EPOCH_S, ROOT, Holder, Plant, ended, wait_for
from tests.gateway.settlement.test_reporter import accepted, states
from tests.ledger.node.network import ADMIN, USER, Network, make_network


class Liar(http.server.BaseHTTPRequestHandler):
    """Passes everything on to a node, and spoils its proofs of transactions."""

    behind = ""
    spoiled = 0

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass_on(self, body: bytes | None) -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(self.behind + self.path, body), timeout=5) as answer:
                status, kind, content = answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            status, kind, content = error.code, error.headers["Content-Type"], error.read()
        if status == 200 and self.path.startswith("/v1/proofs/transactions/"):
            type(self).spoiled += 1
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        self.send_response(status)
        self.send_header("Content-Type", kind or "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def liar(node: LedgerNode) -> Iterator[str]:
    """The address of a node that lies about proofs."""
    Liar.behind, Liar.spoiled = node.url, 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_node_whose_proof_does_not_hold_closes_nothing_and_is_left_for_the_next(
    settling_plant: Plant, node: LedgerNode, liar: str
) -> None:
    plant, pen = settling_plant, settling_plant.pens[0]
    name_nodes(plant, liar)
    node.start()
    await node.enrol(pen, node.prosumer)
    first = int(time.time()) // EPOCH_S - 2
    sent = [pen.sign(epoch=first + place, r180=1000 + 10 * place) for place in range(2)]
    await node.call(node.admin, "registry", "rebase", pen.meter_id, sent[0])
    plant.start()
    plant.line(pen.meter_id.hex()).send(pen.topic, *sent)
    wait_for(lambda: "proof of what became of the reports does not hold" in plant.gateway_log(), "the lie to be seen")
    wait_for(lambda: states(plant, pen) == ["submitted"] * 2, "both reports to be under way")
    before = Liar.spoiled
    wait_for(lambda: Liar.spoiled > before + 1, "the node to lie again")
    assert states(plant, pen) == ["submitted"] * 2

    plant.kill_all()
    name_nodes(plant, liar, node.url)
    plant.start()
    wait_for(lambda: states(plant, pen) == ["done"] * 2, "the honest node's proof")
    async with LedgerClient([node.url]) as client:
        assert await accepted(client) == [first + 1]


@pytest.fixture
def authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Four real nodes, not started yet."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    network = make_network(tmp_path / "ledger", Parameters(epoch_s=EPOCH_S, block_interval_ms=200, heartbeat_ms=1000))
    yield network
    for place in list(network.processes):
        network.stop(place, 9)


async def test_reports_follow_from_a_killed_authority_node_to_another_and_are_booked_once(
    tmp_path: Path, authorities: Network
) -> None:
    gateway = Holder()
    for place in range(4):
        authorities.start(place)
    with ended(Plant(tmp_path / "plant", 1, gateway, authorities.genesis)) as plant:
        name_nodes(plant, *authorities.urls)
        pen = plant.pens[0]
        await authorities.ready()
        first = int(time.time()) // EPOCH_S - 6
        sent = [pen.sign(epoch=first + place, r180=1000 + 5 * place) for place in range(6)]
        async with authorities.client() as client:
            admin = authorities.account(client, ADMIN)
            for call in (
                ("register_gateway", gateway.id, gateway.key.public_key),
                ("assign_meter", pen.meter_id, USER, "eastron_sdm120", 10_000, pen.key.public_key, True, "east"),
                ("rebase", pen.meter_id, sent[0]),
            ):
                assert (await admin.call_and_wait("registry", *call)).code == 0
        plant.start()
        line = plant.line(pen.meter_id.hex())
        line.send(pen.topic, *sent[:3])
        wait_for(lambda: states(plant, pen) == ["done"] * 3, "the first reports", 60)

        line.send(pen.topic, *sent[3:5])
        wait_for(lambda: len(states(plant, pen)) == 5, "further readings")
        authorities.stop(0, 9)  # the node that the gateway speaks to, with a report on its way
        line.send(pen.topic, sent[5])
        wait_for(lambda: states(plant, pen) == ["done"] * 6, "reports over another node", 60)

        async with authorities.client(1, 2, 3) as client:
            assert await accepted(client) == [first + place for place in range(1, 6)]


def name_nodes(plant: Plant, *urls: str) -> None:
    """Have gateway.toml name the ledger nodes *urls*, in this order."""
    listed = ", ".join(f'"{url}"' for url in urls)
    lines = plant.config.read_text().splitlines()
    plant.config.write_text("\n".join(f"urls = [{listed}]" if line.startswith("urls") else line for line in lines))
