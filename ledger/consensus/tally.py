"""The messages of one height, counted, in bounded memory (LEDGER rule 8).

Of reached rounds every sender's first vote of a kind is kept. A further, different one (the sender is Byzantine) is
kept only for a value that W others already back: at most two more, and none is lost that the others' quorums contain.
Of rounds not reached only what each sender said in its highest round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.authority import AuthoritySet
from ledger.consensus.messages import Message, Proposal, Slot, Vote
from ledger.consensus.status import Held
from ledger.envelope import Kind


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message and the wall-clock time at which it came."""

    message: Message
    received_ms: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a message: taken or not, and an earlier one of the same slot that it contradicts."""

    taken: bool
    conflict: Message | None = None


_TAKEN, _HELD = Added(taken=True), Added(taken=False)
"""What nearly every message comes to, made once."""


@dataclass(slots=True)
class Ahead:
    """Messages of rounds (or a height) not reached: of each sender those of its highest round, one per slot."""

    _by_sender: dict[int, dict[Slot, Arrival]] = field(default_factory=dict)

    def add(self, arrival: Arrival) -> Added:
        """Keep the message if its sender said nothing in a higher round, nor anything else in its slot."""
        message = arrival.message
        held = self._by_sender.get(message.sender, {})
        top = _top_round(held)
        if message.statement.round < top:
            return _HELD
        if message.statement.round > top:
            held = self._by_sender[message.sender] = {}
        earlier = held.setdefault(message.statement.slot, arrival).message
        conflict = earlier if earlier.statement != message.statement else None
        if conflict is not None:
            return Added(taken=False, conflict=conflict)
        return _TAKEN if earlier is message else _HELD

    def rounds(self) -> list[int]:
        """Return the highest round of each sender, descending."""
        return sorted((_top_round(held) for held in self._by_sender.values()), reverse=True)

    def take(self, round_: int, senders: int) -> list[Arrival]:
        """Remove and return what was said for rounds up to *round_* by authorities with an index below *senders*."""
        if not self._by_sender:
            return []
        reached = [sender for sender, held in self._by_sender.items() if _top_round(held) <= round_]
        taken = [arrival for sender in sorted(reached) for arrival in self._by_sender.pop(sender).values()]
        return [arrival for arrival in taken if arrival.message.sender < senders]

    def __len__(self) -> int:
        """The number of senders."""
        return len(self._by_sender)

    def messages(self) -> Iterator[Message]:
        """Yield every message held."""
        for held in self._by_sender.values():
            for arrival in held.values():
                yield arrival.message


@dataclass(slots=True)
class Tally:
    """All messages of one height that a node holds. `round` is the round it has reached, `mine` what it said itself."""

    authorities: AuthoritySet
    own: int | None = None
    ahead: Ahead = field(default_factory=Ahead)
    round: int = 0
    mine: list[Message] = field(default_factory=list)
    prevote_quorums: list[tuple[int, bytes]] = field(default_factory=list)
    precommit_quorums: list[tuple[int, bytes]] = field(default_factory=list)
    _proposals: dict[int, Arrival] = field(default_factory=dict)
    _votes: dict[tuple[int, int], dict[bytes | None, dict[int, Message]]] = field(default_factory=dict)
    _voters: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    quorum: int = field(init=False)
    weak_quorum: int = field(init=False)

    def __post_init__(self) -> None:
        """Take Q and W from the set; every vote asks for them."""
        self.quorum, self.weak_quorum = self.authorities.quorum, self.authorities.weak_quorum

    def add(self, arrival: Arrival) -> Added:
        """Count a message of this height."""
        message = arrival.message
        if message.statement.round > self.round:
            return self.ahead.add(arrival)
        if isinstance(message.statement, Proposal):
            added = self._add_proposal(arrival)
        else:
            added = self._add_vote(message, message.statement)
        if added.taken and message.sender == self.own:
            self.mine.append(message)
        return added

    def reach(self, round_: int) -> list[Message]:
        """Go to *round_*; return the messages kept for it, or for rounds on the way, which count from now on."""
        self.round = round_
        arrivals = self.ahead.take(round_, len(self.authorities))
        return [arrival.message for arrival in arrivals if self.add(arrival).taken]

    def proposal(self, round_: int) -> Arrival | None:
        """Return the first proposal that came for *round_*."""
        return self._proposals.get(round_)

    def support(self, round_: int, kind: Kind, block_id: bytes | None) -> dict[int, Message]:
        """Return the votes for one value, by sender."""
        return self._votes.get((round_, kind), {}).get(block_id, {})

    def has_quorum(self, round_: int, kind: Kind, block_id: bytes | None) -> bool:
        """Tell whether Q distinct authorities voted for one value."""
        return len(self.support(round_, kind, block_id)) >= self.quorum

    def has_quorum_of_any(self, round_: int, kind: Kind) -> bool:
        """Tell whether Q distinct authorities voted at all."""
        return len(self._voters.get((round_, kind), ())) >= self.quorum

    def round_to_skip_to(self) -> int | None:
        """Return the highest round not reached for which W distinct senders are at it or above (L55)."""
        needed = self.weak_quorum
        return self.ahead.rounds()[needed - 1] if len(self.ahead) >= needed else None

    def holds(self, message: Message) -> bool:
        """Tell whether the same statement of the same sender is held."""
        statement = message.statement
        if statement.round > self.round:
            return any((one.sender, one.statement) == (message.sender, statement) for one in self.ahead.messages())
        if isinstance(statement, Proposal):
            held = self._proposals.get(statement.round)
            return held is not None and held.message.statement == statement
        return message.sender in self.support(statement.round, statement.kind, statement.block_id)

    def proposals(self) -> Iterator[Message]:
        """Yield the proposals of reached rounds."""
        for arrival in self._proposals.values():
            yield arrival.message

    def votes(self) -> Iterator[tuple[Held, dict[int, Message]]]:
        """Yield, for reached rounds, ((round, kind, block id or None), votes by sender)."""
        for (round_, kind), values in self._votes.items():
            for block_id, votes in values.items():
                yield (round_, kind, block_id), votes

    def __len__(self) -> int:
        """The number of messages held."""
        votes = sum(len(votes) for _, votes in self.votes())
        return len(self._proposals) + votes + sum(1 for _ in self.ahead.messages())

    def _add_proposal(self, arrival: Arrival) -> Added:
        message = arrival.message
        held = self._proposals.setdefault(message.statement.round, arrival).message
        conflict = held if held.statement != message.statement else None
        return Added(taken=held is message, conflict=conflict)

    def _add_vote(self, message: Message, vote: Vote) -> Added:
        values = self._votes.setdefault((vote.round, vote.kind), {})
        backers = values.get(vote.block_id, {})
        if message.sender in backers:
            return _HELD
        has_voted = message.sender in self._voters.get((vote.round, vote.kind), ())
        earlier = (held[message.sender] for held in values.values() if message.sender in held)
        conflict = next(earlier, None) if has_voted else None
        if conflict is not None and len(backers) < self.weak_quorum:
            return Added(taken=False, conflict=conflict)
        votes = values.setdefault(vote.block_id, {})
        votes[message.sender] = message
        self._voters.setdefault((vote.round, vote.kind), set()).add(message.sender)
        if vote.block_id is not None and len(votes) == self.quorum:
            self._note_quorum(vote.kind, vote.round, vote.block_id)
        return Added(taken=True, conflict=conflict) if conflict is not None else _TAKEN

    def _note_quorum(self, kind: Kind, round_: int, block_id: bytes) -> None:
        quorums = self.prevote_quorums if kind == Kind.PREVOTE else self.precommit_quorums
        quorums.append((round_, block_id))


def _top_round(held: dict[Slot, Arrival]) -> int:
    return next(iter(held))[1] if held else -1
