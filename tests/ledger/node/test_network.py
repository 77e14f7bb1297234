"""Four authorities as four processes, over real TLS and real disks: agreement, crashes, absence and return."""

from __future__ import annotations

import asyncio
import shutil
import signal
import statistics
import time
from dataclasses import replace

import pytest

from ledger.checkpoint import parse_note
from ledger.node.network.sync import WINDOW_BLOCKS
from ledger.remote.client import AccountClient
from tests.ledger.node.life import observes
from tests.ledger.node.network import NAMES, OTHER, PARAMETERS, PATIENCE_S, USER, Network, make_network, until

EVERYONE = tuple(range(len(NAMES)))


async def transfer(account: AccountClient, count: int) -> list[bytes]:
    return [await account.call("money", "transfer", OTHER, 1 + number) for number in range(count)]


async def assert_same_history(network: Network, *places: int) -> int:
    """Wait until the nodes have decided the same newest height, compare their state roots, and return it."""
    height = max([await network.height(place) for place in places])
    await network.reach(height, *places)
    assert len(await network.state_roots(height, *places)) == 1
    return height


async def assert_well(network: Network) -> None:
    """Nobody saw anybody sign twice, and nobody stopped signing."""
    for place in EVERYONE:
        async with network.client(place) as client:
            assert (await client.status()).alarm is None
        assert "signed two values" not in network.log(place)
        assert "Traceback" not in network.log(place)


async def test_a_transaction_submitted_to_any_node_is_final_on_all_with_one_state_root(running: Network) -> None:
    network = running
    async with network.client() as client:
        before_aaip = (await client.account(OTHER)).balance_aaip
    latencies_ms = []
    for place in [*EVERYONE, *EVERYONE]:
        async with network.client(place) as client:
            account = network.account(client)
            started = time.perf_counter()
            receipt = await account.call_and_wait("money", "transfer", OTHER, 10**15)
            latencies_ms.append((time.perf_counter() - started) * 1000)
            assert receipt.code == 0
        for other in EVERYONE:
            async with network.client(other) as client:
                assert (await client.wait_final(receipt.id)).height == receipt.height
        await asyncio.sleep(PARAMETERS.block_interval_ms / 1000)
    height = await assert_same_history(network, *EVERYONE)
    print(f"finality when idle, four processes: median {statistics.median(latencies_ms):.0f} ms at height {height}")
    async with network.client() as client:
        assert (await client.account(OTHER)).balance_aaip == before_aaip + 8 * 10**15
        assert (await client.supply()).conserved.money

        async def is_provable() -> bool:
            status = await client.status()
            return status.checkpoint_size == status.log_size

        await until(is_provable, "the newest checkpoint has a quorum of cosignatures")
        note, lines = parse_note(await client.checkpoint())
        assert note.size == (await client.status()).log_size
        assert len(lines) == 1 + network.genesis.authorities.quorum


async def test_nodes_killed_in_mid_vote_come_back_and_sign_nothing_twice(network: Network) -> None:
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    async with network.client(0) as client:
        account = network.account(client)
        ids = await transfer(account, 20)
        network.stop(3, signal.SIGKILL)
        ids += await transfer(account, 10)
        network.start(3)
        await network.ready(3)
        for transaction_id in ids:
            assert (await client.wait_final(transaction_id, PATIENCE_S)).code == 0
    before = await assert_same_history(network, *EVERYONE)
    for place in EVERYONE:
        network.stop(place, signal.SIGKILL)
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    assert min([await network.height(place) for place in EVERYONE]) >= before
    async with network.client(3) as client:
        account = network.account(client)
        assert (await account.call_and_wait("money", "transfer", OTHER, 1)).code == 0
        assert (await client.account(USER)).nonce == len(ids) + 1
    await assert_same_history(network, *EVERYONE)
    await assert_well(network)
    assert [network.stop(place) for place in EVERYONE] == [0, 0, 0, 0]


@pytest.fixture
def quick_network(network: Network) -> Network:
    """Return the four nodes with no pause between blocks."""
    shutil.rmtree(network.root)
    parameters = replace(PARAMETERS, block_interval_ms=1)
    network.__dict__.update(make_network(network.root, parameters).__dict__)
    return network


async def test_three_of_four_go_on_and_a_wiped_node_copies_the_chain_before_it_signs(quick_network: Network) -> None:
    network = quick_network
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    async with network.client(0) as client:
        account = network.account(client)
        while await network.height(0) <= WINDOW_BLOCKS:
            await client.wait_final((await transfer(account, 3))[-1])
        network.stop(3)
        shutil.rmtree(network.directory(3) / "data")
        await client.wait_final((await transfer(account, 2))[-1])
        await assert_same_history(network, 0, 1, 2)
        network.start(3)
        await network.ready(3)
        await assert_same_history(network, *EVERYONE)
        assert "may have forgotten" in network.log(3)
        while await observes(network, 3):  # it signs from the second height after the one where it caught up
            await client.wait_final((await transfer(account, 1))[0])
    network.stop(0)
    async with network.client(3) as client:  # with one node down, nothing is decided without its votes
        assert (await network.account(client).call_and_wait("money", "transfer", OTHER, 7)).code == 0
    await assert_same_history(network, 1, 2, 3)
    network.start(0)
    await network.ready(0)
    await assert_same_history(network, *EVERYONE)
    await assert_well(network)
