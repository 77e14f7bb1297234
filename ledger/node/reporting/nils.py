"""Why this node voted nil, read off its position right after the vote: nothing in the core has to remember it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ledger.consensus.height import Height
from ledger.consensus.messages import FRESH, Proposal, Vote
from ledger.consensus.tally import Arrival
from ledger.envelope import Kind

NO_REASON: Final = "the reason was not kept"


class NilReason(StrEnum):
    """Why a vote was nil. The first seven are of prevotes, the others of precommits."""

    NO_PROPOSAL = "no_proposal"
    NO_BLOCK = "no_block"
    NOT_EXECUTED = "not_executed"
    INVALID_BLOCK = "invalid_block"
    LOCKED = "locked"
    UNSUPPORTED = "unsupported"
    UNTIMELY = "untimely"
    NIL_QUORUM = "nil_quorum"
    UNUSABLE_QUORUM = "unusable_quorum"
    NO_QUORUM = "no_quorum"


@dataclass(frozen=True, slots=True)
class Nil:
    """A nil vote of this node: for which slot, when (Unix ms), and why, in plain words."""

    height: int
    round: int
    kind: Kind
    time_ms: int
    reason: NilReason
    text: str


def explain(at: Height, vote: Vote, time_ms: int, faults: Mapping[bytes, str], missing: Container[bytes]) -> Nil:
    """Return why *vote*, a nil of the height *at*, was cast.

    *faults* are the reasons why blocks are invalid, by block id; *missing* the ids of blocks that have not come.
    """
    find = _explain_prevote if vote.kind == Kind.PREVOTE else _explain_precommit
    return Nil(vote.height, vote.round, Kind(vote.kind), time_ms, *find(at, vote.round, faults, missing))


def _explain_prevote(
    at: Height, round_: int, faults: Mapping[bytes, str], missing: Container[bytes]
) -> tuple[NilReason, str]:
    proposer = at.authorities.members[at.authorities.proposer(at.number, round_)].name
    arrival = at.tally.proposal(round_)
    proposal = arrival.message.statement if arrival is not None else None
    if arrival is None or not isinstance(proposal, Proposal):
        return NilReason.NO_PROPOSAL, f"no proposal of {proposer} came in time"
    block_id, verdict = proposal.block_id, at.verdicts.get(proposal.block_id)
    block = f"block {block_id.hex()[:16]} of {proposer}"
    if verdict is None and block_id in missing:
        return NilReason.NO_BLOCK, f"{block} was proposed but did not come in time"
    supported = proposal.valid_round == FRESH or at.tally.has_quorum(proposal.valid_round, Kind.PREVOTE, block_id)
    if verdict is not None and not verdict.valid:
        return NilReason.INVALID_BLOCK, f"{block} is invalid here: {faults.get(block_id, NO_REASON)}"
    if not supported:
        needed = f"the prevotes of round {proposal.valid_round} on which it rests"
        return NilReason.UNSUPPORTED, f"{block} was proposed again, but {needed} did not come in time"
    if verdict is None:
        return NilReason.NOT_EXECUTED, f"{block} was still being executed when the time was up"
    if proposal.valid_round < at.locked.round < round_ and at.locked.block_id != block_id:
        return NilReason.LOCKED, f"{block}: this node is locked on another block since round {at.locked.round}"
    return NilReason.UNTIMELY, f"{block} {_tell_delay(arrival, verdict.time_ms)}"


def _tell_delay(arrival: Arrival, time_ms: int) -> str:
    delay_ms = arrival.received_ms - time_ms
    if delay_ms < 0:
        return f"bears a time {-delay_ms} ms ahead of this node's clock"
    return f"came {delay_ms} ms after the time that it bears, by this node's clock"


def _explain_precommit(
    at: Height, round_: int, faults: Mapping[bytes, str], missing: Container[bytes]
) -> tuple[NilReason, str]:
    tally = at.tally
    if tally.has_quorum(round_, Kind.PREVOTE, None):
        return NilReason.NIL_QUORUM, f"{len(tally.support(round_, Kind.PREVOTE, None))} authorities prevoted nil"
    for _, block_id in (one for one in tally.prevote_quorums if one[0] == round_):
        verdict, block = at.verdicts.get(block_id), f"block {block_id.hex()[:16]}, for which a quorum prevoted"
        if verdict is not None:
            return NilReason.UNUSABLE_QUORUM, f"{block}, is invalid here: {faults.get(block_id, NO_REASON)}"
        state = "has not come" if block_id in missing else "was still being executed"
        return NilReason.UNUSABLE_QUORUM, f"{block}, {state} when the time was up"
    return NilReason.NO_QUORUM, f"no value has {at.authorities.quorum} prevotes: {_tell_votes(at, round_)}"


def _tell_votes(at: Height, round_: int) -> str:
    said: Counter[str] = Counter()
    voters: set[int] = set()
    for (vote_round, kind, block_id), votes in at.tally.votes():
        if (vote_round, kind) == (round_, Kind.PREVOTE):
            said["nil" if block_id is None else f"block {block_id.hex()[:16]}"] += len(votes)
            voters.update(votes)
    silent = [member.name for place, member in enumerate(at.authorities.members) if place not in voters]
    parts = [f"{count} for {value}" for value, count in sorted(said.items())]
    return ", ".join(parts + ([f"none came from {', '.join(silent)}"] if silent else []))
