"""One node among peers that lie: it believes signatures and its own execution, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import pytest_asyncio

from ledger import handover, transaction
from ledger.block import Block, Commit
from ledger.codes import Code, Refusal
from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Message, Vote, sign
from ledger.envelope import Kind
from ledger.modules.authorities import prove_synced
from ledger.node import settings
from ledger.node.admission import Admitted
from ledger.node.chain import Chain
from ledger.node.inbox import MAX_QUEUED_JOBS
from ledger.node.mempool import PoolCode, PoolRefusal
from ledger.node.network import wire
from ledger.node.network.wire import Frame, FrameType, NodeReport
from ledger.node.recovery.memory import DATABASE
from ledger.node.reporting import status
from ledger.node.reporting.results import decode_result
from ledger.node.service import REPORT_INTERVAL_S, Node
from ledger.node.storage.store import Signed, SignedType, Store
from ledger.runtime import Runtime
from ledger.state import LedgerState
from ledger.statements import sign_possession
from ledger.transaction import Call
from tests.ledger.node.network import NAMES, OTHER, USER, Network, account_key, make_network, until


class Authorities:
    """The other three, in the hands of the test: they make blocks and certificates."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.runtime = Runtime(network.genesis)
        self.state: LedgerState = self.runtime.genesis_state()
        self.keys = [settings.read_key(network.directory(place) / "vote.key") for place in range(4)]
        self.last_commit: Commit | None = None

    def certify(self, block: Block, signers: tuple[int, ...] = (1, 2, 3)) -> Commit:
        vote = Vote(Kind.PRECOMMIT, block.header.height, 0, block.id)
        chain_id = self.network.genesis.chain_id
        signatures = tuple((place, sign(vote, chain_id, place, self.keys[place]).signature) for place in signers)
        return Commit(block.header.height, 0, block.id, signatures)

    def vote(self, place: int, value: bytes) -> Message:
        """Return a prevote of round 0 at the next height."""
        vote = Vote(Kind.PREVOTE, self.state.header.height + 1, 0, value)
        return sign(vote, self.network.genesis.chain_id, place, self.keys[place])

    def decide(self, *transactions: bytes, evidence: tuple[bytes, ...] = ()) -> tuple[Block, Commit]:
        """Return the next block with its certificate, and go on from it."""
        header = self.state.header
        block, execution = self.runtime.build(
            self.state, height=header.height + 1, time_ms=header.time_ms + 1000, proposer=1,
            transactions=transactions, evidence=evidence, last_commit=self.last_commit,
        )  # fmt: skip
        self.state.apply(execution)
        self.last_commit = self.certify(block)
        return block, self.last_commit


class Lone:
    """The node under test, and what reaches it."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def hear(self, name: str, frame: Frame) -> None:
        self.node._take_frame(name, frame)

    async def reach(self, height: int) -> None:
        """Wait until the node has decided *height*, and has turned to the next one or said why it cannot."""

        async def is_there() -> bool:
            driver, at = self.node.driver, self.node.machine.state
            has_turned = driver.alarm is not None or (at is not None and at.number > height)
            return driver.position.header.height >= height and has_turned

        await until(is_there, f"height {height}")


@contextlib.asynccontextmanager
async def run_alone(
    network: Network, peers: Mapping[str, bool] = MappingProxyType(dict.fromkeys(NAMES[1:], False))
) -> AsyncIterator[tuple[Lone, Authorities]]:
    """Run the first node, whose peers are away; it heard that *peers* are at height 1, and which of them observe."""
    node = Node.open(settings.load(network.directory(0) / "node.toml"))
    working = asyncio.create_task(node.run())
    made = Lone(node)
    for name, observes in peers.items():
        made.hear(name, wire.report(NodeReport(None, 1, 0, observes=observes)))
    yield made, Authorities(network)
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
    await node.close()


@pytest_asyncio.fixture
async def lone(tmp_path: Path) -> AsyncIterator[tuple[Lone, Authorities]]:
    async with run_alone(make_network(tmp_path)) as made:
        yield made


def encode(block: Block, commit: Commit) -> tuple[bytes, Commit]:
    return block.encode(), commit


def transfer(network: Network, nonce: int, amount_aaip: int = 1) -> bytes:
    call = Call("money", "transfer", (OTHER, amount_aaip))
    return transaction.sign(network.genesis.chain_id, USER, nonce, 100, call, account_key(USER))


async def test_decided_blocks_are_taken_from_anybody_with_their_certificates(lone: tuple[Lone, Authorities]) -> None:
    node, others = lone
    for nonce in range(3):
        block, commit = others.decide(transfer(others.network, nonce))
        node.hear(NAMES[1 + nonce], wire.decided(block.encode(), commit))
        await node.reach(1 + nonce)
    assert node.node.driver.position.header == others.state.header


async def test_evidence_is_stored_until_a_block_proves_the_offence_be_it_by_another_pair(tmp_path: Path) -> None:
    network = make_network(tmp_path)
    first, second, third = (bytes([number]) * 32 for number in range(3))
    async with run_alone(network) as (node, others):
        votes = [others.vote(1, value) for value in (first, second, third)]
        for vote in votes[:2]:
            node.hear(NAMES[1], wire.message(vote.raw))

        async def is_stored() -> bool:
            return await node.node.disk.read(Store.evidence) == [Evidence.of(votes[0], votes[1]).encode()]

        await until(is_stored, "the evidence is on the disk")
    async with run_alone(network) as (node, _):
        assert await node.node.disk.read(Store.evidence) != []
        node.hear(NAMES[2], wire.decided(*encode(*others.decide(evidence=(Evidence.of(votes[0], votes[2]).encode(),)))))
        await node.reach(1)

        async def is_settled() -> bool:
            return await node.node.disk.read(Store.evidence) == []

        await until(is_settled, "the evidence is forgotten")


async def test_what_was_computed_for_a_block_is_told_once_to_each_peer_that_asks(
    lone: tuple[Lone, Authorities], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, others = lone
    block, commit = others.decide(transfer(others.network, 0))
    node.hear(NAMES[1], wire.decided(block.encode(), commit))
    await node.reach(1)
    sent: list[tuple[str, Frame]] = []
    monkeypatch.setattr(node.node.peers, "send", lambda name, frame: sent.append((name, frame)))
    for name in (NAMES[1], NAMES[1], NAMES[2]):
        for block_id in (block.id, bytes(32)):
            node.hear(name, wire.result_wanted(1, block_id))
    answers = [(name, decode_result(frame.payload)) for name, frame in sent if frame.kind is FrameType.RESULT]
    assert [name for name, _ in answers] == [NAMES[1], NAMES[2]]
    assert {(one.block_id, one.state_root) for _, one in answers} == {(block.id, block.header.state_root)}
    assert all(one.rows and one.receipts for _, one in answers)


async def test_a_certificate_without_a_quorum_of_good_signatures_moves_nothing(lone: tuple[Lone, Authorities]) -> None:
    node, others = lone
    block, commit = others.decide(transfer(others.network, 0))
    forged = Commit(1, 0, block.id, ((1, b"x" * 64), *commit.signatures[1:]))
    for bad in (others.certify(block, (1, 2)), others.certify(block, ()), forged):
        node.hear(NAMES[1], wire.decided(block.encode(), bad))
    await asyncio.sleep(0.2)
    assert node.node.driver.position.header.height == 0
    node.hear(NAMES[2], wire.decided(block.encode(), commit))
    await node.reach(1)


async def test_a_wrong_body_under_a_good_certificate_is_dropped_and_the_right_one_taken(
    lone: tuple[Lone, Authorities],
) -> None:
    node, others = lone
    rival = Authorities(others.network)
    wrong, _ = rival.decide(transfer(others.network, 0, 999))
    block, commit = others.decide(transfer(others.network, 0))
    altered = Block(block.header, wrong.transactions, (), None)
    for body in (b"", b"garbage", wrong.encode(), altered.encode()):
        node.hear(NAMES[3], wire.decided(body, commit))
        await asyncio.sleep(0.05)
    assert node.node.driver.position.header.height == 0
    node.hear(NAMES[1], wire.decided(block.encode(), commit))
    await node.reach(1)
    assert node.node.driver.position.header.id == block.id
    assert node.node.driver.alarm is None


async def test_a_certified_block_that_is_invalid_raises_the_alarm_and_is_not_applied(
    lone: tuple[Lone, Authorities],
) -> None:
    node, others = lone
    good, _ = others.decide(transfer(others.network, 0))
    values = {name: getattr(good.header, name) for name in good.header.__slots__}
    lying = Block(type(good.header)(**(values | {"state_root": bytes(32)})), good.transactions, (), None)
    node.hear(NAMES[1], wire.decided(lying.encode(), others.certify(lying)))

    async def is_alarmed() -> bool:
        return node.node.driver.alarm is not None

    await until(is_alarmed, "the alarm")
    assert "invalid_block_committed" in str(node.node.driver.alarm)
    assert node.node.driver.position.header.height == 0


async def test_a_node_that_fails_while_it_executes_a_block_raises_the_alarm_and_signs_nothing(
    lone: tuple[Lone, Authorities], monkeypatch: pytest.MonkeyPatch
) -> None:
    node, others = lone

    def fail(*_: object) -> None:
        raise MemoryError("no more memory")

    monkeypatch.setattr(Chain, "validate", fail)
    block, commit = others.decide(transfer(others.network, 0))
    node.hear(NAMES[1], wire.decided(block.encode(), commit))

    async def is_alarmed() -> bool:
        return node.node.driver.alarm is not None

    await until(is_alarmed, "the alarm")
    assert "height 1: a step of consensus failed unexpectedly (MemoryError" in str(status.describe(node.node).alarm)
    assert await node.node.driver._cast(Vote(Kind.PREVOTE, 1, 0, None)) == ()
    assert await node.node.disk.read(lambda store: store.signed(1)) == []


async def test_a_node_that_does_not_know_the_protocol_agreed_on_goes_no_further_and_says_what_to_install(
    lone: tuple[Lone, Authorities],
) -> None:
    node, others = lone
    others.runtime = Runtime(others.network.genesis, versions=frozenset({1, 2}))
    chain_id = others.network.genesis.chain_id
    upgrade = Call("governance", "upgrade", ("minutes", 2, 11))
    institutions = [member.id for member in others.network.genesis.authorities.members[:3]]
    approvals = [transaction.sign(chain_id, one, 0, 100, upgrade, account_key(one)) for one in institutions]
    for height in range(1, 12):
        block, commit = others.decide(*(approvals if height == 1 else ()))
        assert block.header.version == (2 if height == 11 else 1)
        node.hear(NAMES[1], wire.decided(block.encode(), commit))
        await node.reach(min(height, 10))
    alarm = (
        "block 11 is of protocol version 2, this program knows 1; install the release that the authorities agreed on"
    )
    assert status.describe(node.node).alarm == alarm
    assert await node.node.driver._cast(Vote(Kind.PREVOTE, 11, 0, None)) == ()
    assert node.node.driver.position.header.height == 10


async def test_a_nodes_place_follows_the_set_when_a_newcomer_sorts_before_it(lone: tuple[Lone, Authorities]) -> None:
    """A node that took its own votes for another's would count none of them, and propose in nobody's turn."""
    node, others = lone
    chain_id, newcomer = others.network.genesis.chain_id, bytes(8)
    keys_ = [account_key(bytes([number]) * 8) for number in range(50, 53)]
    call = Call(
        "authorities",
        "admit",
        ("minutes", newcomer, account_key(bytes(7) + b"1").public_key, "EPPO", *(key.public_key for key in keys_)),
    )
    institutions = [member.id for member in others.network.genesis.authorities.members[:3]]
    approvals = [transaction.sign(chain_id, one, 0, 100, call, account_key(one)) for one in institutions]

    async def go_on(*transactions: bytes) -> None:
        block, commit = others.decide(*transactions)
        node.hear(NAMES[1], wire.decided(block.encode(), commit))
        await node.reach(block.header.height)

    await go_on(*approvals)
    head = others.state.head
    proofs = [sign_possession(chain_id, newcomer, key) for key in keys_]
    join = Call("authorities", "join", (1, prove_synced(head, newcomer), *proofs))
    await go_on(transaction.sign(chain_id, newcomer, 0, 100, join, account_key(bytes(7) + b"1")))
    assert (node.node.driver.place, len(node.node.driver.position.authorities)) == (0, 4)
    await go_on()
    assert (node.node.driver.place, len(node.node.driver.position.authorities)) == (1, 5)
    at = node.node.machine.state
    assert at is not None
    assert (at.number, at.own) == (4, 1)
    assert status.describe(node.node).index == 1

    store = Store.open_reader(others.network.directory(0) / "data" / DATABASE)
    held = store.handovers()
    eras = handover.walk(chain_id, others.network.genesis.authorities, map(handover.parse, held.values()))
    assert (list(held), eras.newest) == ([3], others.state.authority_set)
    store.close()


async def test_a_node_that_ran_before_certificates_were_kept_makes_them_of_its_blocks(
    lone: tuple[Lone, Authorities], tmp_path: Path
) -> None:
    await test_a_nodes_place_follows_the_set_when_a_newcomer_sorts_before_it(lone)
    _, others = lone
    with contextlib.closing(sqlite3.connect(others.network.directory(0) / "data" / DATABASE)) as live:
        live.execute("VACUUM INTO ?", (str(tmp_path / "copy.sqlite"),))
    store = Store.open(tmp_path / "copy.sqlite", others.network.genesis.chain_id)
    held = store.handovers()
    with store.transaction():
        store._run("DELETE FROM handovers", ())
    Chain.recover(Runtime(others.network.genesis), store)
    assert store.handovers() == held != {}
    store.close()


async def test_a_wiped_node_signs_no_height_it_may_have_signed_before(tmp_path: Path) -> None:
    """Its peers are still at height 1, as those of a new chain are: all it has to tell by is that nobody let it begin.

    Two peers are not enough, the one that remembers may be the third; and one that observes itself tells nothing.
    """
    network = make_network(tmp_path)
    shutil.rmtree(network.directory(0) / "data")
    for height in (1, 2):  # neither a restart nor the block that it copied makes it forget that it forgot
        async with run_alone(network, {"MEA": False, "PEA": False, "EGAT": True}) as (node, others):

            async def observes(node: Lone = node, height: int = height) -> bool:
                at = node.node.machine.state
                return at is not None and not at.signing and at.number == height

            await until(observes, f"it observes height {height}")
            await asyncio.sleep(2 * REPORT_INTERVAL_S)
            assert node.node.rejoining.signs_from is None
            if height == 1:
                node.hear(NAMES[1], wire.decided(*encode(*others.decide())))
                await node.reach(1)

    async def knows(node: Lone) -> bool:
        return node.node.rejoining.signs_from == 4

    async with run_alone(network) as (node, _):
        await until(lambda: knows(node), "it will sign from height 4 on")
        assert not node.node.rejoining.may_sign(3)
    async with run_alone(network, {}) as (node, _):
        await until(lambda: knows(node), "it knows that after a restart, too")


async def test_garbage_in_every_frame_leaves_the_node_working(lone: tuple[Lone, Authorities]) -> None:
    node, others = lone
    for kind in FrameType:
        for payload in (b"", b"\x80", b"\xff" * 100, bytes(1000)):
            node.hear(NAMES[1], Frame(kind, payload))
    node.hear(NAMES[2], wire.block_range(1, 2**62))
    node.hear(NAMES[2], wire.wanted(2**62, b"short"))
    block, commit = others.decide()
    node.hear(NAMES[1], wire.decided(block.encode(), commit))
    await node.reach(1)


async def test_transactions_are_admitted_once_and_refused_by_name(lone: tuple[Lone, Authorities]) -> None:
    node, others = lone
    network = others.network
    assert isinstance(await node.node.admit(transfer(network, 0)), Admitted)
    assert isinstance(await node.node.admit(transfer(network, 0)), Admitted)
    assert len(node.node.mempool) == 1
    taken = await node.node.admit(transfer(network, 0, 2))
    assert isinstance(taken, PoolRefusal)
    assert taken.code is PoolCode.NONCE_TAKEN
    unknown = await node.node.admit(b"nonsense")
    assert isinstance(unknown, Refusal)
    assert unknown.code is Code.UNDECODABLE
    block, commit = others.decide(transfer(network, 0))
    node.hear(NAMES[1], wire.decided(block.encode(), commit))

    async def is_settled() -> bool:
        return len(node.node.mempool) == 0

    await until(is_settled, "the block's transaction waits no more")
    assert node.node.driver.position.header.height == 1


async def test_a_node_that_would_sign_a_second_value_signs_no_more_and_says_so(tmp_path: Path) -> None:
    network = make_network(tmp_path)
    chain_id = network.genesis.chain_id
    store = Store.open(network.directory(0) / "data" / DATABASE, chain_id)
    for height in (2, 3):
        vote = Vote(Kind.PREVOTE, height, 0, b"another block" + bytes(19))
        with store.transaction():
            store.sign(Signed(height, 0, SignedType.PREVOTE, vote.payload(chain_id), bytes(64)))
    store.close()
    async with run_alone(network) as (lone, others):
        block, commit = others.decide()
        lone.hear(NAMES[1], wire.decided(block.encode(), commit))
        await lone.reach(1)
        await lone.node.admit(transfer(network, 0))  # something to decide: at the propose timeout it votes

        async def is_alarmed() -> bool:
            return lone.node.driver.alarm is not None

        await until(is_alarmed, "the alarm")
        assert "refused to sign a second prevote at height 2, round 0" in str(lone.node.driver.alarm)
        block, commit = others.decide(transfer(network, 0))
        lone.hear(NAMES[1], wire.decided(block.encode(), commit))
        await lone.reach(2)
        stored = await lone.node.disk.read(lambda store: store.signed(2))
        assert [signed.type for signed in stored] == [SignedType.PREVOTE], "it goes on following, and signs nothing"


async def test_a_flood_of_messages_is_dropped_and_the_chain_goes_on(lone: tuple[Lone, Authorities]) -> None:
    node, others = lone
    vote = sign(Vote(Kind.PREVOTE, 1, 0, None), others.network.genesis.chain_id, 1, others.keys[1])
    for _ in range(MAX_QUEUED_JOBS + 500):
        node.hear(NAMES[1], wire.message(vote.raw))
    assert node.node.driver.dropped_jobs > 0
    block, commit = others.decide()

    async def is_taken() -> bool:
        node.hear(NAMES[2], wire.decided(block.encode(), commit))  # as a status every 400 ms brings it about
        return node.node.driver.position.header.height == 1

    await until(is_taken, "height 1")
