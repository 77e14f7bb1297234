"""Real nodes: one that is new comes by a snapshot where blocks alone cannot bring it, also when it is killed midway."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from ledger.genesis import GenesisAccount, Role
from ledger.node.recovery.memory import DATABASE
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store
from ledger.remote.client import RefusedError
from tests.ledger.node.life import traffic
from tests.ledger.node.network import OTHER, PATIENCE_S, START_TIMEOUT_S, Network, account_key, make_network, until

MANY = 150
"""Accounts enough that a snapshot has parts for some seconds."""
PRUNED = (0, 1)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    ids = [b"more" + number.to_bytes(4, "big") for number in range(MANY)]
    more = tuple(GenesisAccount(one, account_key(one).public_key, Role.USER, 1) for one in ids)
    made = make_network(tmp_path / "campus", more_accounts=more)
    yield made
    made.end()


def add_newcomer(network: Network) -> int:
    """Add a node that knows those two alone that have pruned."""
    fifth = network.add("EPPO", {use: os.urandom(32) for use in ("vote", "cosign", "log")})
    toml = network.directory(fifth) / "node.toml"
    head, *peers = toml.read_text().split("[[peers]]")
    known = [peer for peer in peers if any(f'"{network.names[place]}"' in peer for place in PRUNED)]
    toml.write_text("[[peers]]".join([head, *known]))
    network.configure(fifth, "snapshots", after_blocks=5)
    for place in range(4):
        network.configure(place, "snapshots", every_blocks=15)
    for place in PRUNED:
        network.configure(place, "keep", bodies_days=0)
    return fifth


def reader(network: Network, place: int) -> closing[Store]:
    return closing(Store.open_reader(network.directory(place) / "data" / DATABASE))


async def has_pruned(network: Network, place: int) -> bool:
    with reader(network, place) as store:
        return store.pruned(Kept.BODIES) >= 15 and store.decided(1) is None and store.header(1) is not None


async def has_whole_block(network: Network, place: int) -> bool:
    """Tell whether the node went on beyond a snapshot, of whose own block it has the header alone."""
    with reader(network, place) as store:
        return store.decided(store.height()) is not None


async def kill_in_the_middle(network: Network, place: int) -> int:
    """Start the node and kill it once some parts of the snapshot came; return how many there were then."""
    incoming = network.directory(place) / "data" / "incoming"
    network.start(place)

    def count() -> int:
        return sum(path.name.isdecimal() for path in incoming.glob("*"))

    async def has_some() -> bool:
        return count() > 5

    await until(has_some, "parts of a snapshot come", START_TIMEOUT_S + PATIENCE_S)
    network.stop(place, signal.SIGKILL)
    return count()


async def test_a_node_comes_by_snapshot_where_blocks_are_pruned_also_when_it_is_killed_midway(network: Network) -> None:
    fifth = add_newcomer(network)
    for place in range(3):  # a quorum: the fourth would take its share of two cores and show nothing
        network.start(place)
    await network.ready(*range(3))
    async with network.client(2) as client:
        early = await network.account(client, OTHER).call_and_wait("money", "transfer", account_id(1), 1)
        async with traffic(network, client):
            for place in PRUNED:
                await until(partial(has_pruned, network, place), f"{network.names[place]} has pruned")
        parts = await kill_in_the_middle(network, fifth)
        assert parts < 2 * MANY
        network.start(fifth)
        async with traffic(network, client) as flowing:
            await network.ready(fifth)
            await flowing.goes_on()
            await network.reach((await client.status()).height, fifth)
            await until(partial(has_whole_block, network, fifth), "it goes on by blocks")
            height = await network.height(fifth)
            assert len(await network.state_roots(height, 2, fifth)) == 1
            await flowing.goes_on()
        await assert_says_pruned(network, fifth)
    log = network.log(fifth)
    assert "going on with a snapshot" in log
    assert "went on from a snapshot" in log
    assert "Traceback" not in log
    with reader(network, fifth) as new, reader(network, 2) as old:
        assert new.decided(1) is None
        assert new.decided(height) is not None
        size = min(new.log_size(), old.log_size())
        assert new.some_leaf_hashes(0, size) == old.some_leaf_hashes(0, size)
        assert old.result(early.id) is not None
    assert not (network.directory(fifth) / "data" / "incoming").exists()


async def assert_says_pruned(network: Network, place: int) -> None:
    async with network.client(place) as client:
        for request in (client.block(1), client.proof(1, bytes(8))):
            with pytest.raises(RefusedError) as refused:
                await request
            assert (refused.value.status, refused.value.code) == (410, "pruned")


def account_id(number: int) -> bytes:
    return b"more" + number.to_bytes(4, "big")
