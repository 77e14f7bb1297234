"""Who is given the proof of a transaction that says what was measured, before and after its block was given up."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from ledger import viewing_pass
from ledger.api.app import make_app
from ledger.api.readonly import ReadOnlySource
from ledger.node import settings
from ledger.node.signers.cosigning import decode_provable
from ledger.node.storage.pruned_rows import Kept
from tests.ledger.chain_kit import START_EPOCH, Chain, make_chain
from tests.ledger.node.provable import Place

STRANGER = ""
EPOCH = START_EPOCH + 1
"""The first that lies after the meter's baseline: it has a figure."""


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain whose last transaction is a user's own report, which answers his request."""
    made = make_chain()
    meter = made.add_based_meter("user0", 0)
    made.must("user0", "oracle", "request_energy_data", meter.id, EPOCH)
    made.to_epoch(EPOCH + 1)
    readings = [meter.boundary(EPOCH, 10, 20), meter.boundary(EPOCH + 1, 13, 25)]
    made.report(*readings, who="user0")
    return made


@pytest.fixture
def place(chain: Chain, tmp_path: Path) -> Place:
    made = Place(chain, tmp_path / "node")
    made.prove(chain.state.header.height)
    return made


@pytest_asyncio.fixture
async def http(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    source = await ReadOnlySource.open(settings.load(place.config), "http://127.0.0.1:1")
    stored = place.store.meta("provable")
    assert stored is not None
    source.provable = decode_provable(stored)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(make_app(source)), base_url="http://node") as made:
        yield made
    await source.close()


async def ask(http: httpx.AsyncClient, chain: Chain, who: str) -> int:
    """Return how the proof of the last transaction is answered when *who* asks with a pass."""
    headers = {}
    if who != STRANGER:
        person = chain.people[who]
        until_s = int(time.time()) + 60
        headers["authorization"] = viewing_pass.write(chain.genesis.chain_id, person.id, until_s, person.key)
    transaction_id = hashlib.sha256(chain.blocks[-1].transactions[-1]).hexdigest()
    return (await http.get(f"/v1/proofs/transactions/{transaction_id}", headers=headers)).status_code


@pytest.mark.parametrize(
    ("who", "before", "after"), [(STRANGER, 403, 403), ("user1", 403, 410), ("user0", 200, 410), ("admin", 200, 200)]
)
async def test_a_senders_proof_is_gone_with_its_block_and_not_somebody_elses(
    http: httpx.AsyncClient, place: Place, chain: Chain, who: str, before: int, after: int
) -> None:
    assert await ask(http, chain, who) == before
    with place.store.transaction():
        place.store.prune(Kept.BODIES, 1, chain.state.header.height)
    assert await ask(http, chain, who) == after
