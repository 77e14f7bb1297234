"""Real processes whose data is an old backup: one while transactions flow, and all four at once."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from ledger import transaction
from ledger.members import membership
from ledger.node.chain import Chain
from ledger.node.recovery import memory, resuming
from ledger.node.recovery.memory import DATABASE
from ledger.node.recovery.resuming import Permission, ResumeError
from ledger.node.storage.store import Store
from ledger.remote.client import LedgerClient, NotFinalError
from ledger.runtime import Runtime
from tests.ledger.node.life import back_up, observes, put_back, settings_of, signs, traffic
from tests.ledger.node.network import NAMES, OTHER, USER, Network, account_key, until

EVERYONE = tuple(range(len(NAMES)))


async def assert_well(network: Network) -> None:
    """Nobody saw anybody sign twice, nobody stopped signing, and all have one state."""
    height = max([await network.height(place) for place in EVERYONE])
    await network.reach(height, *EVERYONE)
    assert len(await network.state_roots(height, *EVERYONE)) == 1
    for place in EVERYONE:
        async with network.client(place) as client:
            assert (await client.status()).alarm is None
        assert "signed two values" not in network.log(place)
        assert "Traceback" not in network.log(place)


async def sign_permission(network: Network, client: LedgerClient, signers: int) -> Permission:
    """Let institutions sign, one after another, that the ledger goes on from where it stands."""
    permission, name = None, "the fire"
    for place in range(signers):
        member = network.genesis.authorities.members[place]
        key = account_key(member.id)
        permission = await membership.sign_permission(permission, name, client.node, member.id, key)
    assert permission is not None
    return permission


async def test_a_node_from_an_old_backup_signs_again_once_it_contradicts_nothing_and_four_at_once_by_permission(
    network: Network,
) -> None:
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    async with network.client(1) as client, traffic(network, client) as flowing:
        await flowing.goes_on()
        old = back_up(network, 3)
        await flowing.goes_on(6)
        network.stop(3, signal.SIGKILL)
        put_back(network, 3, old)
        network.start(3)
        await network.ready(3)
        network.stop(3, signal.SIGKILL)  # it does not forget that it may have forgotten
        network.start(3)
        await network.ready(3)
        await flowing.goes_on()
        await signs(network, 3)
        assert "may have forgotten" in network.log(3)
        network.stop(0)  # with one down, nothing is decided without the votes of the restored one
        async with network.client(3) as at_restored:
            account = network.account(at_restored, OTHER)
            assert (await account.call_and_wait("money", "approve", USER, 1)).code == 0
        network.start(0)
        await network.ready(0)
        await flowing.goes_on()
    await assert_well(network)
    await all_from_backups(network)


async def all_from_backups(network: Network) -> None:
    """Restore all four: nobody signs, until a quorum of institutions says from where they go on."""
    for place in EVERYONE:
        network.stop(place)
        shutil.rmtree(network.root / f"backup of {network.names[place]}", ignore_errors=True)
        put_back(network, place, back_up(network, place))
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    async with network.client(0) as client:
        height = max([await network.height(place) for place in EVERYONE])
        await network.reach(height, *EVERYONE)
        waiting = await network.account(client).call("money", "transfer", OTHER, 1)
        with pytest.raises(NotFinalError):
            await client.wait_final(waiting, 3)
        assert all([await observes(network, place) for place in EVERYONE])
        too_few, permission = await sign_permission(network, client, 2), await sign_permission(network, client, 3)
    for place in EVERYONE:
        network.stop(place)
        own = settings_of(network, place)
        with pytest.raises(ResumeError, match="2 of 4 authorities have signed, 3 must"):
            resuming.accept(own, too_few)
        resuming.dump(permission, network.root / "permission.json")
        assert resuming.accept(own, resuming.load(network.root / "permission.json")) == height + 1
    for place in EVERYONE:
        network.start(place)
    await network.ready()
    async with network.client(1) as client:
        receipt = await network.account(client).call_and_wait("money", "transfer", OTHER, 2)
        assert receipt.code == 0

        async def is_recorded() -> bool:
            found = await client.query("resumption", "list_resumptions")
            return [(one["height"], one["block_id"]) for one in found] == [(height, permission.block_id.hex())]

        await until(is_recorded, "the permission stands in the chain")
    await assert_well(network)


def test_a_permission_for_another_block_or_with_forged_signatures_changes_nothing(network: Network) -> None:
    rules, chain_id = network.genesis, network.genesis.chain_id
    shutil.rmtree(network.directory(0) / "data")
    store = Store.open(network.directory(0) / "data" / DATABASE, chain_id)
    memory.note_loss(store)
    header = Chain.recover(Runtime(rules), store).state.header
    store.close()

    def permit(height: int, block_id: bytes, keys: list[bytes], reference: str = "fire") -> Permission:
        made = Permission(reference, height, block_id)
        members = rules.authorities.members
        calls = [
            transaction.sign(chain_id, member.id, 0, 100, made.call, account_key(key))
            for member, key in zip(members, keys, strict=False)
        ]
        return Permission(reference, height, block_id, tuple(calls))

    ids = [member.id for member in rules.authorities.members]
    own = settings_of(network, 0)
    good = permit(0, header.id, ids)
    for bad, text in (
        (permit(1, header.id, ids), "let it copy up to there"),
        (permit(0, bytes(32), ids), "must not be lost"),
        (permit(0, header.id, [ids[0], ids[1], OTHER]), "missing: PEA, EGAT"),
        (Permission("another", 0, header.id, good.calls), "0 of 4"),
        (Permission("fire", 0, header.id, good.calls[:1] * 3), "1 of 4"),
    ):
        with pytest.raises(ResumeError, match=text):
            resuming.accept(own, bad)
        store = Store.open(network.directory(0) / "data" / DATABASE, chain_id)
        assert not memory.is_whole(store)
        store.close()
    assert resuming.accept(own, good) == 1


def test_a_damaged_permission_is_told(tmp_path: Path) -> None:
    path = tmp_path / "permission.json"
    with pytest.raises(ResumeError, match="cannot read"):
        resuming.load(path)
    for text in ("{", "[]", "{}", '{"reference": "x", "height": 1, "block_id": "zz", "calls": []}'):
        path.write_text(text)
        with pytest.raises(ResumeError, match="signed anew"):
            resuming.load(path)
