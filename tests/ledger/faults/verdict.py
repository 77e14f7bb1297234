"""Holds what clients saw and what nodes stored to what one ledger that never fails could have done.

The chain gives the one order of all transactions, so linearizability needs no search: every operation must fit that
order, and that order must respect real time. Each check yields a text for each thing that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import attrgetter

from ledger import block
from ledger.authority import AuthoritySet
from ledger.consensus.commit import verify_commit
from ledger.consensus.evidence import Offence, check
from ledger.consensus.messages import Vote
from ledger.envelope import Kind
from tests.ledger.faults.chains import Replay, Slot, Stored, evidence_of
from tests.ledger.faults.history import History, Outcome, Read, Sight, Transfer


def judge_history(history: History, replayed: Replay) -> Iterator[str]:
    """Hold the clients' operations against the one chain."""
    yield from replayed.faults
    yield from _judge_transfers(history.transfers, replayed)
    yield from _judge_order(history.transfers, replayed)
    yield from _judge_reads(history.reads, replayed)
    yield from _judge_sights(history.sights, replayed)
    yield from _judge_sessions(history)


def _judge_transfers(transfers: Sequence[Transfer], replayed: Replay) -> Iterator[str]:
    """What was acknowledged as final stands in the chain, there and with that outcome."""
    for one in transfers:
        if one.outcome is not None and replayed.outcomes.get(one.id) != one.outcome:
            true = replayed.outcomes.get(one.id)
            yield f"transfer {one.id.hex()[:8]} was acknowledged as {one.outcome}; true is {true}"
    if strangers := replayed.outcomes.keys() - {one.id for one in transfers}:
        yield f"{len(strangers)} transactions in the chain were sent by nobody"


def _judge_order(transfers: Sequence[Transfer], replayed: Replay) -> Iterator[str]:
    """What was acknowledged before another began stands before it."""
    placed = [(one, place) for one in transfers if (place := replayed.outcomes.get(one.id)) is not None]
    newest: Outcome | None = None
    ended = sorted(
        ((one.acknowledged_s, place) for one, place in placed if one.acknowledged_s is not None),
        key=lambda pair: pair[0],
    )
    for one, place in sorted(placed, key=lambda pair: pair[0].invoked_s):
        while ended and ended[0][0] < one.invoked_s:
            newest = max((known for known in (newest, ended.pop(0)[1]) if known is not None), key=_position)
        if newest is not None and _position(place) < _position(newest):
            yield f"transfer {one.id.hex()[:8]} began after another was final, and stands before it: {place}, {newest}"


def _judge_reads(reads: Sequence[Read], replayed: Replay) -> Iterator[str]:
    """A read at a height shows exactly the state at that height."""
    for one in reads:
        if one.height > replayed.height:
            yield f"{one.node} showed height {one.height}, and the chain ends at {replayed.height}"
            continue
        true = replayed.balances[one.height][one.account], replayed.nonces[one.height][one.account]
        if true != (one.balance_aaip, one.nonce):
            yield f"{one.node} showed {one.balance_aaip}, nonce {one.nonce} at height {one.height}; true are {true}"


def _judge_sights(sights: Sequence[Sight], replayed: Replay) -> Iterator[str]:
    for one in sights:
        if one.outcome is not None and one.outcome != replayed.outcomes.get(one.id):
            yield f"{one.node} showed {one.id.hex()[:8]} as {one.outcome}; true is {replayed.outcomes.get(one.id)}"


def _judge_sessions(history: History) -> Iterator[str]:
    """Through one node time never goes back, whatever happens to its process; only new data begins anew."""
    seen: dict[tuple[str, int], list[Read | Sight]] = {}
    answers: list[Read | Sight] = [*history.reads, *history.sights]
    for one in answers:
        seen.setdefault((one.node, one.life), []).append(one)
    for (node, _), watched in seen.items():
        ended = sorted(watched, key=attrgetter("returned_s"))
        newest, done = 0, 0
        for one in sorted(watched, key=attrgetter("invoked_s")):
            while ended[done].returned_s < one.invoked_s:
                newest = max(newest, _height(ended[done]))
                done += 1
            if isinstance(one, Read) and one.height < newest:
                yield f"{node} showed height {newest}, and later {one.height}"
        yield from _judge_forgetting(node, watched)


def _judge_forgetting(node: str, watched: Sequence[Read | Sight]) -> Iterator[str]:
    final_s: dict[bytes, float] = {}
    for one in sorted(watched, key=attrgetter("returned_s")):
        if isinstance(one, Sight) and one.outcome is not None:
            final_s.setdefault(one.id, one.returned_s)
    for one in watched:
        if isinstance(one, Sight) and one.outcome is None and final_s.get(one.id, one.invoked_s) < one.invoked_s:
            yield f"{node} held {one.id.hex()[:8]} as final, and later did not know it"


def _height(one: Read | Sight) -> int:
    if isinstance(one, Read):
        return one.height
    return one.outcome.height if one.outcome is not None else 0


def _position(one: Outcome) -> tuple[int, int]:
    return one.height, one.index


def judge_chains(
    ends: Sequence[Stored], chain_id: bytes, authorities: AuthoritySet, byzantine: frozenset[str]
) -> Iterator[str]:
    """Hold the correct nodes' chains against each other: one block a height, each certified, and no false evidence."""
    ids = {one.name: [block.decode(body).id for body, _ in one.blocks] for one in ends}
    longest = max(ids.values(), key=len)
    for name, held in ids.items():
        if held != longest[: len(held)]:
            fork = next(place for place, (own, other) in enumerate(zip(held, longest, strict=False)) if own != other)
            yield f"{name} has another block at height {fork + 1}: the chain has forked"
    for one in ends:
        yield from _judge_chain(one, chain_id, authorities)
        yield from _judge_evidence(one, chain_id, authorities, byzantine)


def _judge_chain(stored: Stored, chain_id: bytes, authorities: AuthoritySet) -> Iterator[str]:
    headers = [block.decode(body).header for body, _ in stored.blocks]
    if [header.height for header in headers] != list(range(1, len(headers) + 1)):
        yield f"{stored.name} lacks blocks: it has {[header.height for header in headers]}"
    if any(after.parent != before.id for before, after in pairwise(headers)):
        yield f"{stored.name} has a block that names another parent"
    for header, (_, commit) in zip(headers, stored.blocks, strict=True):
        if commit.block_id != header.id or not verify_commit(commit, authorities, chain_id):
            yield f"{stored.name}: the certificate of block {header.height} does not hold"


def _judge_evidence(
    stored: Stored, chain_id: bytes, authorities: AuthoritySet, byzantine: frozenset[str]
) -> Iterator[str]:
    names = {member.id: member.name for member in authorities.members}
    for data in evidence_of(stored):
        offence = check(
            data, chain_id=chain_id, height=len(stored.blocks) + 1, authorities_at=lambda _: authorities, committed=()
        )
        if not isinstance(offence, Offence):
            yield f"{stored.name} holds evidence that proves nothing: {offence.value}"
        elif names[offence.authority_id] not in byzantine:
            yield f"{stored.name} holds evidence against {names[offence.authority_id]}, at {offence.slot}"


def judge_signatures(
    directories: Sequence[Stored], chain_id: bytes, authorities: AuthoritySet, byzantine: frozenset[str]
) -> Iterator[str]:
    """No correct authority ever signed two values for one slot, or sent a vote that it did not keep.

    *directories* are all that there ever were, also those that were lost.
    """
    said: dict[tuple[str, Slot], bytes] = {}
    for one in directories:
        for slot, value in one.signed.items() if one.name not in byzantine else ():
            if said.setdefault((one.name, slot), value) != value:
                yield f"{one.name} signed two values for (height, round, type) {slot}"
    for stored in directories:
        for _, commit in stored.blocks:
            slot = commit.height, commit.round, int(Kind.PRECOMMIT)
            value = Vote(Kind.PRECOMMIT, commit.height, commit.round, commit.block_id).payload(chain_id)
            for name in (authorities.members[index].name for index, _ in commit.signatures):
                if name not in byzantine and said.get((name, slot)) != value:
                    yield f"{name} keeps no precommit as {stored.name} holds of it for (height, round, type) {slot}"
