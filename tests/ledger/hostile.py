"""Every decoder of the ledger against hostile bytes: refused in good order, or exactly the bytes that it would write.

What takes too long, or raises anything but the error that it declares, is a violation. A case is its target and its
number, nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from ledger import (
    anchor,
    block,
    cbor,
    checkpoint,
    envelope,
    genesis,
    handover,
    proof,
    reading,
    receipt_proof,
    records,
    snapshot,
    transaction,
    trust,
)
from ledger.consensus import evidence, messages, status
from ledger.consensus.commit import verify_commit
from ledger.consensus.effects import Step
from ledger.consensus.evidence import Evidence
from ledger.consensus.messages import Proposal, Statement, Vote
from ledger.consensus.status import Status
from ledger.envelope import Kind
from ledger.errors import LedgerError, MalformedError
from ledger.node import settings
from ledger.node.network import wire
from ledger.node.network.wire import CosignatureReport, Frame, NodeReport
from ledger.node.reporting import results
from ledger.node.reporting.results import Result
from ledger.node.snapshots import wire as snapshot_wire
from ledger.node.snapshots.wire import Offer
from ledger.roots import SUBTREES
from ledger.trust import TrustRoot
from tests.ledger import proof_kit, test_receipt_proof
from tests.ledger.chain_kit import START_EPOCH, Chain, key_of, make_chain
from tests.ledger.mangling import mangle
from tests.ledger.node.network import node_toml
from tests.ledger.snapshot_kit import make_snapshot, store_chain

MAX_CASE_S = 1.0
"""Of processor time: what a frame or a request of a few kilobytes may cost at most."""
NAMES = (
    "cbor", "envelope", "reading", "transaction", "message", "evidence", "block", "header", "commit", "handover",
    "result", "status", "frame.proposal", "frame.report", "frame.wanted", "frame.candidate", "frame.range",
    "frame.decided", "frame.address", "frame.cosignature", "frame.snapshots", "frame.part_wanted",
    "frame.part", "frame.transactions", "proof", "witnessed_proof", "receipt_proof", "fee_proof",
    "note", "settlement_line", "fee",
    "receipt", "anchor", "snapshot.manifest", "snapshot.state", "snapshot.log", "genesis", "trust", "settings",
)  # fmt: skip
"""Of all targets: they stand here so that nobody who only wants to know them makes their examples."""
Again = bytes | str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder with sound examples. `read` returns the bytes that it would write for what it read, or None."""

    name: str
    sound: Sequence[bytes]
    read: Callable[[bytes], Again]


def attack(target: Target, first: int, cases: int) -> tuple[list[str], Counter[str]]:
    """Try the cases from *first* on; return what was violated, and how many were accepted and refused."""
    violations: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(first, first + cases):
        data = target.sound[number % len(target.sound)]
        if number >= first + len(target.sound):
            data = mangle(target.sound, Random(f"{target.name} {number}"))
        started_s = time.thread_time()
        outcome = _try(target, data)
        if outcome not in ("accepted", "refused"):
            violations.append(f"{target.name} case {number}: {outcome}: {data[:400].hex()}")
        if time.thread_time() - started_s > MAX_CASE_S:
            violations.append(f"{target.name} case {number}: took more than {MAX_CASE_S} s: {data[:400].hex()}")
        counts[f"{target.name}.{outcome if outcome in ('accepted', 'refused') else 'violated'}"] += 1
    return violations, counts


def _try(target: Target, data: bytes) -> str:
    try:
        again = target.read(data)
    except LedgerError:
        return "refused"
    except BaseException as error:
        return f"{type(error).__name__} {error}"
    if again is not None and (again.encode() if isinstance(again, str) else again) != data:
        return "is not canonical"
    return "accepted"


@cache
def targets() -> tuple[Target, ...]:
    """Return all targets; their examples are made once."""
    chain = _chain()
    return (*_signed(chain), *_blocks(chain), *_frames(chain), *_outsiders(chain), *_snapshots(chain), *_texts(chain))


def _chain() -> Chain:
    """A chain that has seen readings, orders and a settlement."""
    chain = make_chain()
    meter = chain.add_based_meter("user0", 0)
    chain.to_epoch(START_EPOCH + 1)
    chain.report(meter.boundary(START_EPOCH + 1, 500, 0))
    return chain


def _seal(key_id: bytes, payload: bytes, signature: bytes) -> bytes:
    return envelope.assemble(key_id, payload, signature)


def _signed(chain: Chain) -> Iterable[Target]:
    chain_id, sets = chain.genesis.chain_id, {7: chain.genesis.authorities}
    calls = [raw for one in chain.blocks for raw in one.transactions]
    readings = [value for raw in calls for value in _flat(transaction.decode(raw).call.arguments) if _is_reading(value)]
    vote = Vote(Kind.PREVOTE, 7, 2, bytes(32))
    said: list[Statement] = [
        vote,
        Vote(Kind.PRECOMMIT, 7, 0, None),
        Proposal(7, 0, -1, bytes(32)),
        Proposal(7, 3, 1, bytes(32)),
    ]
    votes = [messages.sign(one, chain_id, place, key_of(1000 + 10 * place)) for place, one in enumerate(said)]
    double = messages.sign(Vote(Kind.PREVOTE, 7, 2, None), chain_id, 0, key_of(1000))

    def read_envelope(data: bytes) -> Again:
        found = envelope.parse(data)
        return _seal(found.key_id, found.payload, found.signature)

    def read_reading(data: bytes) -> Again:
        found = reading.decode(data)
        return _seal(found.key_id, reading.encode_payload(found), data[-64:])

    def read_transaction(data: bytes) -> Again:
        chain.runtime.check_transaction(chain.state, data)
        found = transaction.decode(data)
        call = [found.call.module, found.call.function, list(found.call.arguments)]
        head = [int(Kind.TRANSACTION), found.chain_id, found.sender, found.nonce, found.valid_until]
        return _seal(found.key_id, cbor.encode([*head, *call]), data[-64:])

    def read_message(data: bytes) -> Again:
        messages.decode(data, sets, chain_id)
        found = envelope.parse(data)
        chain_named, statement = messages.read_statement(found.payload)
        return _seal(found.key_id, statement.payload(chain_named), found.signature)

    def read_evidence(data: bytes) -> Again:
        evidence.check(data, chain_id=chain_id, height=9, authorities_at=sets.get, committed=())
        return cbor.encode(cbor.decode(data))

    yield Target(
        "cbor",
        [cbor.encode([1, [b"x", None, ["y"]], 2**70, True]), *calls],
        lambda data: cbor.encode(cbor.decode(data)),
    )
    yield Target("envelope", calls, read_envelope)
    yield Target("reading", readings, read_reading)
    yield Target("transaction", calls, read_transaction)
    yield Target("message", [one.raw for one in votes], read_message)
    yield Target("evidence", [Evidence.of(votes[0], double).encode()], read_evidence)


def _blocks(chain: Chain) -> Iterable[Target]:
    commits = [one.last_commit for one in chain.blocks if one.last_commit is not None]

    def read_commit(data: bytes) -> Again:
        found = block.decode_commit(cbor.decode(data))
        verify_commit(found, chain.genesis.authorities, chain.genesis.chain_id)
        return found.encode()

    def read_handover(data: bytes) -> Again:
        found = handover.parse(data)
        return found.encode()

    made = handover.Handover(chain.blocks[-1].header, commits[-1], chain.genesis.authorities)
    result = [Result.of(bytes(32), one).encode() for one in chain.executions]
    yield Target("block", [one.encode() for one in chain.blocks], lambda data: block.decode(data).encode())
    yield Target(
        "header", [one.header.encode() for one in chain.blocks], lambda data: block.decode_header(data).encode()
    )
    yield Target("commit", [one.encode() for one in commits], read_commit)
    yield Target("handover", [made.encode()], read_handover)
    yield Target("result", result, lambda data: results.decode_result(data).encode())


def _frames(chain: Chain) -> Iterable[Target]:
    commit, body = chain.commit(), chain.blocks[-1].encode()
    assert commit is not None
    held = ((0, Kind.PREVOTE, bytes(32)), (0, 2)), ((1, Kind.PRECOMMIT, None), (1,))
    own = Status(7, 3, Step.PREVOTE, frozenset({0, 3}), held)

    def frame(name: str, sound: Frame, read: Callable[[bytes], Any], write: Callable[..., Frame]) -> Target:
        return Target(f"frame.{name}", [sound.payload], lambda data: write(read(data)).payload)

    yield Target("status", [own.encode()], lambda data: status.decode_status(data).encode())
    yield frame("proposal", wire.proposal(b"e", body), wire.read_proposal, lambda pair: wire.proposal(*pair))
    yield frame("report", wire.report(NodeReport(own, 7, 40)), wire.read_report, wire.report)
    yield frame("wanted", wire.wanted(7, bytes(32)), wire.read_wanted, lambda pair: wire.wanted(*pair))
    yield frame("candidate", wire.candidate(bytes(32), body), wire.read_candidate, lambda pair: wire.candidate(*pair))
    yield frame("range", wire.block_range(1, 9), wire.read_range, lambda pair: wire.block_range(*pair))
    yield frame("decided", wire.decided(body, commit), wire.read_decided, lambda pair: wire.decided(*pair))
    yield frame("address", wire.address("node.example", 30333), wire.read_address, lambda pair: wire.address(*pair))
    report = CosignatureReport(9, 2, bytes(76))
    yield frame("cosignature", wire.cosignature(report), wire.read_cosignature, wire.cosignature)
    passed_on = wire.transactions(chain.blocks[-1].transactions)[0]
    offer = snapshot_wire.snapshots(Offer(8, {7: bytes(32), 9: bytes(32)}))
    yield frame("snapshots", offer, snapshot_wire.read_snapshots, snapshot_wire.snapshots)
    wanted, part = snapshot_wire.part_wanted(bytes(32), 9), snapshot_wire.part(bytes(32), 9, b"part")
    yield frame("part_wanted", wanted, snapshot_wire.read_part_wanted, lambda pair: snapshot_wire.part_wanted(*pair))
    yield frame("part", part, snapshot_wire.read_part, lambda three: snapshot_wire.part(*three))
    yield Target("frame.transactions", [passed_on.payload], lambda data: cbor.encode(wire.read_transactions(data)))


def _outsiders(chain: Chain) -> Iterable[Target]:
    kit = proof_kit.make()
    note = checkpoint.note(kit.covered(), kit.cosignatures())
    receipt = test_receipt_proof.make()

    def read_proof(data: bytes) -> Again:
        again = proof.parse(data).encode()
        proof.verify(data, kit.verifiers)
        return again

    def read_witnessed(data: bytes) -> Again:
        again = proof.parse(data).encode()
        proof.verify(data, kit.verifiers, kit.policy)
        return again

    def read_receipt(data: bytes) -> Again:
        again = receipt_proof.parse(data).encode()
        receipt_proof.verify(data, test_receipt_proof.TRANSACTION, test_receipt_proof.VERIFIERS)
        return again

    def read_fee(data: bytes) -> Again:
        again = receipt_proof.parse(data).encode()
        receipt_proof.verify_fee(data, test_receipt_proof.VERIFIERS)
        return again

    def read_note(data: bytes) -> Again:
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise MalformedError("no text") from error  # as its callers do
        return checkpoint.note(*checkpoint.parse_note(text))

    def read_anchor(data: bytes) -> Again:
        return anchor.decode(data).encode()

    yield Target("proof", [kit.proof().encode()], read_proof)
    yield Target("witnessed_proof", [kit.proof(witnesses=proof_kit.WITNESSES).encode()], read_witnessed)
    yield Target("receipt_proof", [receipt], read_receipt)
    yield Target("fee_proof", [test_receipt_proof.make(said=test_receipt_proof.FEE, events=b"")], read_fee)
    yield Target("note", [note.encode()], read_note)
    yield Target(
        "settlement_line", [kit.opening.record], lambda data: records.encode(records.decode_settlement_line(data))
    )
    fee = records.encode(test_receipt_proof.FEE)
    yield Target("fee", [fee], lambda data: records.encode(records.decode_fee(data)))
    yield Target("receipt", [records.encode(one.record) for one in chain.executions[-1].receipts],
                 lambda data: records.encode(records.decode_receipt(data)))  # fmt: skip
    yield Target("anchor", [anchor.follow(bytes(8), anchor.Point(), 5, [bytes(32)]).encode()], read_anchor)


def _snapshots(chain: Chain) -> Iterable[Target]:
    folder = Path(tempfile.mkdtemp(prefix="campusgrid-hostile-"))
    store_chain(chain, folder / "ledger.sqlite").close()
    with closing(make_snapshot(folder / "ledger.sqlite", folder / "one.snapshot")) as file:
        manifest = file.manifest
        state = [(number, file.part(number) or b"") for number in range(SUBTREES)]
        log = file.part(SUBTREES) or b""
    number, rows = max(state, key=lambda part: len(part[1]))

    def read_manifest(data: bytes) -> Again:
        found = snapshot.parse(data)
        again = found.encode()
        snapshot.check(found, chain.genesis.chain_id, chain.genesis.authorities)
        return again

    def read_part(data: bytes) -> Again:
        snapshot.read_state_part(manifest, number, data)
        return rows  # none other has its hash

    def read_log(data: bytes) -> Again:
        return b"".join(snapshot.read_log_part(manifest, SUBTREES, data))

    yield Target("snapshot.manifest", [manifest.encode()], read_manifest)
    yield Target("snapshot.state", [rows], read_part)
    yield Target("snapshot.log", [log], read_log)


def _texts(chain: Chain) -> Iterable[Target]:
    folder = Path(tempfile.mkdtemp(prefix="campusgrid-hostile-"))

    def read_genesis(data: bytes) -> Again:
        file = folder / "genesis.json"
        file.write_bytes(data)
        genesis.load(file)
        return None

    def read_settings(data: bytes) -> Again:
        file = folder / "node.toml"
        file.write_bytes(data)
        settings.load(file)
        return None

    yield Target("genesis", [genesis.dumps(chain.genesis).encode()], read_genesis)
    root = TrustRoot(chain.genesis.chain_id, chain.genesis.authorities)

    def read_trust(data: bytes) -> Again:
        file = folder / "trust.json"
        file.write_bytes(data)
        trust.load(file)
        return None

    yield Target("trust", [trust.dumps(root).encode()], read_trust)
    yield Target("settings", [node_toml(0, list(range(4000, 4008))).encode()], read_settings)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        yield from _flat(value) if isinstance(value, list | tuple) else (value,)


def _is_reading(value: Any) -> bool:
    try:
        return isinstance(value, bytes) and reading.decode(value) is not None
    except LedgerError:
        return False
