"""What a node reports of itself, and what it sends a peer whose report shows a gap (LEDGER rule 9).

Termination depends on sending to peers at the *same* position too: with one of four nodes down and each of the others
lacking one prevote, "only to those behind" would wait for ever. And it depends on passing on what *others* said in a
round that this node has left: one that told its vote to this node alone, and then fell silent or lost its memory, would
leave those behind without the quorum that this node went on with.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.consensus.effects import Step
from ledger.consensus.messages import Message, Proposal
from ledger.consensus.status import REPORTED_ROUNDS, Held, Status
from ledger.consensus.tally import Tally
from ledger.envelope import Kind


def report(height: int, step: Step, tally: Tally, valid_round: int) -> Status:
    """Return the status of a node at *step* of the tally's round."""
    oldest = tally.round - REPORTED_ROUNDS
    proposals = {one.statement.round for one in tally.proposals() if one.statement.round > oldest}
    votes = {held: set(senders) for held, senders in tally.votes() if held[0] > oldest or held[0] == valid_round}
    for message in tally.ahead.messages():
        if isinstance(message.statement, Proposal):
            proposals.add(message.statement.round)
        else:
            votes.setdefault(_held(message), set()).add(message.sender)
    listed = tuple((held, tuple(sorted(senders))) for held, senders in sorted(votes.items(), key=_order))
    return Status(height, tally.round, step, frozenset(proposals), listed)


def select_lacking(status: Status, tally: Tally, valid_round: int) -> tuple[Message, ...]:
    """Return what a peer at the same height lacks: own messages, the proposal held, the prevotes for the valid round.

    A peer in a round that this node has left also gets all votes of that round. Of rounds that the peer has not reached
    it keeps each sender's highest only, so no other is sent.
    """
    votes = dict(status.votes)
    lacking: dict[bytes, Message] = {}
    for message in _candidates(status, tally, valid_round):
        if isinstance(message.statement, Proposal):
            is_held = message.statement.round in status.proposals
        else:
            is_held = message.sender in votes.get(_held(message), ())
        if not is_held:
            lacking[message.raw] = message
    return tuple(sorted(lacking.values(), key=lambda one: (one.statement.round, one.statement.kind, one.sender)))


def _candidates(status: Status, tally: Tally, valid_round: int) -> Iterator[Message]:
    oldest = status.round - REPORTED_ROUNDS
    newest = max([message.statement.round for message in tally.mine], default=0)
    for message in tally.mine:
        if oldest < message.statement.round <= status.round or message.statement.round == newest:
            yield message
    proposal = tally.proposal(status.round)
    if proposal is not None:
        yield proposal.message
    for (round_, kind, _), votes in tally.votes():
        is_left = status.round == round_ < tally.round
        if is_left or (valid_round <= status.round and round_ == valid_round and kind == Kind.PREVOTE):
            yield from votes.values()


def _held(message: Message) -> Held:
    statement = message.statement
    return statement.round, statement.kind, statement.block_id


def _order(entry: tuple[Held, set[int]]) -> tuple[int, int, bytes]:
    (round_, kind, block_id), _ = entry
    return round_, kind, block_id or b""
