"""The authorities change under a running ledger of real processes, whose transactions flow on."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from ledger import cbor, checkpoint, keys
from ledger.handover import parse_all, walk
from ledger.members import membership
from ledger.proof import ProofRefusedError, check_cosigned
from ledger.remote.client import AccountClient, LedgerClient
from tests.ledger.node.life import back_up, put_back, settings_of, signs, traffic
from tests.ledger.node.network import Network, account_key, until, write_keys

NEWCOMER = bytes(8)
"""Sorts before all others, so that every other authority's place moves."""
ACCOUNT_KEY = keys.PrivateKey(b"newcomer" * 4)
USES = ("vote", "cosign", "log")


def make_keys() -> tuple[dict[str, bytes], list[keys.PrivateKey]]:
    seeds = {use: os.urandom(32) for use in USES}
    return seeds, [keys.PrivateKey(seeds[use]) for use in USES]


async def decide(network: Network, client: LedgerClient, function: str, *arguments: cbor.Value) -> None:
    """Let a quorum of institutions, all of the genesis, approve of a call."""
    chain_id = network.genesis.chain_id
    quorum = 2 * len((await client.query("authorities", "list_sets"))[0]["members"]) // 3 + 1
    for member in network.genesis.authorities.members[:quorum]:
        account = AccountClient(client, chain_id, member.id, account_key(member.id))
        receipt = await account.call_and_wait("authorities", function, "minutes", *arguments)
        assert receipt.code == 0, receipt


async def sits_at(network: Network, node: int, index: int | None) -> None:
    async def does() -> bool:
        async with network.client(node) as client:
            return (await client.status()).index == index

    await until(does, f"{network.names[node]} has place {index}")


async def have_snapshots(network: Network) -> bool:
    return all("snapshot made" in network.log(place) for place in range(4))


async def join(network: Network, client: LedgerClient, fifth: int, own: list[keys.PrivateKey]) -> None:
    """Admit the newcomer, let its node take a snapshot, and send its call with what only such a node knows."""
    public = [key.public_key for key in own]
    await decide(network, client, "admit", NEWCOMER, ACCOUNT_KEY.public_key, "EPPO", *public)
    await until(partial(have_snapshots, network), "the four have a snapshot")
    network.start(fifth)
    await network.ready(fifth)
    await network.reach((await client.status()).height, fifth)
    await sits_at(network, fifth, None)
    assert "went on from a snapshot" in network.log(fifth)
    account = AccountClient(client, network.genesis.chain_id, NEWCOMER, ACCOUNT_KEY)
    call = membership.join(settings_of(network, fifth), NEWCOMER)
    assert (await client.wait_final(await account.submit(call))).code == 0
    for node, index in ((fifth, 0), (0, 1), (1, 2), (2, 3), (3, 4)):
        await sits_at(network, node, index)


def hold_next_keys(network: Network, node: int, seeds: dict[str, bytes]) -> None:
    write_keys(network.directory(node), seeds, "next-")
    toml = network.directory(node) / "node.toml"
    next_keys = "".join(f'{use} = "next-{use}.key"\n' for use in USES)
    toml.write_text(toml.read_text().replace("[tls]", f"[next_keys]\n{next_keys}[tls]"))


async def rotate(network: Network, client: LedgerClient, node: int, new: list[keys.PrivateKey]) -> None:
    authority = network.genesis.authorities.members[node].id
    request = membership.rotation(settings_of(network, node), authority)
    _, *arguments = request.call("minutes").arguments
    await decide(network, client, "rotate_keys", *arguments)
    members = (await client.query("authorities", "list_sets"))[0]["members"]
    assert members[node + 1]["vote_key"] == new[0].public_key.hex()


async def assert_well(network: Network, height: int) -> None:
    """All five, whoever left included, have the same state, and nobody stopped for a fault."""
    await network.reach(height, *range(5))
    assert len(await network.state_roots(height, *range(5))) == 1
    for node in range(5):
        async with network.client(node) as client:
            assert (await client.status()).alarm is None
        assert "Traceback" not in network.log(node)


async def test_one_joins_one_rotates_keys_one_comes_back_from_a_backup_and_one_leaves_while_transactions_flow(
    network: Network,
) -> None:
    (seeds, own), (new_seeds, new) = make_keys(), make_keys()
    fifth = network.add("EPPO", seeds)
    hold_next_keys(network, 1, new_seeds)
    for place in range(4):
        network.configure(place, "snapshots", every_blocks=6)
    network.configure(fifth, "snapshots", after_blocks=3)
    for place in range(4):
        network.start(place)
    await network.ready(*range(4))
    async with network.client(0) as client, traffic(network, client) as flowing:
        await flowing.goes_on()
        old = back_up(network, 3)
        await join(network, client, fifth, own)
        await flowing.goes_on()
        await rotate(network, client, 1, new)
        await flowing.goes_on()
        await sits_at(network, 1, 2)
        network.stop(3, signal.SIGKILL)  # with one of five away, the newcomer's votes and those of the new keys decide
        put_back(network, 3, old)
        await flowing.goes_on()
        network.start(3)
        await network.ready(3)
        await signs(network, 3)
        assert "may have forgotten" in network.log(3)
        await decide(network, client, "remove", network.genesis.authorities.members[3].id)
        await sits_at(network, 3, None)
        await flowing.goes_on()
        await assert_well(network, (await client.status()).height)

    async def is_provable() -> bool:
        async with network.client(0) as client:
            status = await client.status()
            return status.checkpoint_size == status.log_size

    await until(is_provable, "the newest checkpoint is cosigned by a quorum of the new set")
    async with network.client(2) as client:
        files = await client.handovers(), await client.checkpoint()
    assert_an_outsider_follows(network, *files)


def assert_an_outsider_follows(network: Network, handovers: bytes, note: str) -> None:
    """From the genesis alone to whoever cosigned the newest checkpoint."""
    rules = network.genesis
    eras = walk(rules.chain_id, rules.authorities, parse_all(handovers, rules.chain_id))
    assert [len(era.authorities) for era in eras.eras] == [4, 5, 5, 4]
    found, lines = checkpoint.parse_note(note)
    assert len(check_cosigned(found, lines, eras.verifiers(found.size))) == 3
    with pytest.raises(ProofRefusedError):
        check_cosigned(found, lines, checkpoint.verifier_keys(rules.authorities, found.origin))
