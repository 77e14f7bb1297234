"""Sees everything that happens in a run and checks what must always hold; counts which rules fired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from ledger.authority import AuthoritySet
from ledger.block import NO_HASH
from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.commit import verify_commit
from ledger.consensus.evidence import Evidence, Offence, check
from ledger.consensus.height import Height
from ledger.consensus.machine import Machine
from ledger.consensus.messages import FRESH, Message, Proposal, SignatureCheck, Slot, Statement, Vote
from ledger.envelope import Kind
from ledger.simulation.application import Application, Candidate
from ledger.simulation.coverage import Look, count_event
from ledger.simulation.disk import Disk

MESSAGES_PER_SENDER_AND_ROUND = 7
"""One proposal, three values for each of two kinds of vote."""

MESSAGES_AHEAD = 3
"""What is kept of a sender's highest round that is not reached."""

MAX_TIME_AHEAD_MS = 30_000
"""No decided block's time is further than this from the true time: a wrong clock, and the drift the core allows."""


_AFTER_MESSAGES = (do.Decide, do.SetTimer)
"""What comes of messages only, and seldom enough to count them."""


class Violation(AssertionError):  # noqa: N818 - what a run shows
    """A promise that a run broke."""


class Watched(Protocol):
    """What the witness sees of a node."""

    name: str
    machine: Machine | None
    disk: Disk
    application: Application

    def clock_ms(self) -> int:
        """Return its wall clock."""


Listener = Callable[[Watched, ev.Event, tuple[do.Effect, ...]], None]
"""Whoever wants to hear of every event."""


class Witness:
    """Watches one run. `correct` names the nodes that keep the rules, `byzantine` the vote keys of the others."""

    def __init__(
        self, chain_id: bytes, is_signed_by: SignatureCheck, correct: Iterable[str], byzantine: set[bytes]
    ) -> None:
        self.coverage: Counter[str] = Counter()
        self.chain: dict[int, Candidate] = {}
        self.max_round = 0
        self.listener: Listener | None = None
        self._chain_id, self._is_signed_by = chain_id, is_signed_by
        self._correct, self._byzantine = frozenset(correct), byzantine
        self._sets: dict[int, AuthoritySet] = {}
        self._said: dict[tuple[str, Slot], Statement] = {}
        self._backers: dict[Statement, set[int]] = {}
        self._values: dict[tuple[int, int], set[tuple[int, bytes]]] = {}
        self._roots: dict[int, bytes] = {}
        self._last_lock: dict[tuple[str, int], int] = {}

    def look(self, node: Watched) -> Look | None:
        """Return where *node* stands, to compare with afterwards."""
        at = node.machine.state if node.machine is not None and node.name in self._correct else None
        return Look(at.number, at.tally.round, at.step, at.locked) if at is not None else None

    def check_event(self, node: Watched, before: Look | None, event: ev.Event, asked: tuple[do.Effect, ...]) -> None:
        """Check what one event did to a node."""
        if self.listener is not None:
            self.listener(node, event, asked)
        at = node.machine.state if node.machine is not None else None
        if at is None or node.name not in self._correct:
            return
        if isinstance(event, ev.HeightStarted):
            known = self._sets.setdefault(event.height, event.authorities)
            self._require(known == event.authorities, node, f"nodes differ on the set of height {event.height}")
        round_ = at.tally.round
        self.max_round = max(self.max_round, round_)
        if asked or before is None or before.round != round_ or before.height != at.number:
            count_event(self.coverage, before, at, event, asked)
        if before is None or before.height != at.number or before.locked is not at.locked:
            self._check_lock(node, before, at)
        for effect in asked:
            if isinstance(effect, do.Cast):
                self._check_prevote(node, effect.statement, before, at)
            elif isinstance(effect, _AFTER_MESSAGES):
                bound = len(at.authorities) * (MESSAGES_PER_SENDER_AND_ROUND * (round_ + 1) + MESSAGES_AHEAD)
                self._require(len(at.tally) <= bound, node, "the tally grew beyond its bound")

    def signed(self, node: Watched, message: Message) -> None:
        """Note a signature that is about to leave *node*."""
        statement = message.statement
        if node.name in self._correct:
            said = self._said.setdefault((node.name, statement.slot), statement)
            if said != statement:
                raise Violation(f"{node.name}: signed {said} and {statement}")
            if statement.kind == Kind.PRECOMMIT and statement.block_id is not None:
                key = (node.name, statement.height)
                self._last_lock[key] = max(self._last_lock.get(key, FRESH), statement.round)
        authorities = self._sets.get(statement.height)
        if isinstance(statement, Vote) and statement.block_id is not None and authorities is not None:
            backers = self._backers.setdefault(statement, set())
            backers.add(message.sender)
            if len(backers) >= authorities.quorum:
                self._check_quorum(node, statement, statement.block_id)

    def decided(self, node: Watched, effect: do.Decide, block: Candidate) -> None:
        """Check a decision of *node*."""
        if node.name not in self._correct:
            return
        height, authorities = effect.height, self._sets[effect.height]
        is_first = height not in self.chain  # who decides it after the others may have been away for as long as may be
        known = self.chain.setdefault(height, block)
        self._require(known.block_id == effect.block_id, node, f"height {height} was decided twice, differently")
        self._require(block.block_id == effect.commit.block_id, node, "the certificate is for another block")
        holds = verify_commit(effect.commit, authorities, self._chain_id, self._is_signed_by)
        self._require(holds, node, "a bad certificate")
        self._require(node.application.is_valid(height, block.raw), node, "decided an invalid block")
        is_timely = abs(block.time_ms - node.clock_ms()) < MAX_TIME_AHEAD_MS + self.max_round * 10_000
        self._require(is_timely or not is_first, node, "the block's time is far from the true time")
        parent = self.chain.get(height - 1)
        self._require(parent is None or parent.time_ms < block.time_ms, node, "time does not grow")
        self.coverage["decided"] += 1
        self.coverage["decided after round 1"] += effect.round > 1
        self.coverage["decided under a changed set"] += authorities != self._sets.get(1, authorities)
        at = node.machine.state if node.machine is not None else None
        self.coverage["late decide"] += at is not None and effect.round < at.round

    def applied(self, node: Watched) -> None:
        """Check the state root of *node* against the others'."""
        if node.name in self._correct:
            root = self._roots.setdefault(node.disk.height, node.application.root)
            self._require(root == node.application.root, node, "state roots differ")
            self._require(root != NO_HASH, node, "there is no state root")

    def heard(self, node: Watched, effect: do.EvidenceFound | do.Halt) -> None:
        """Check an accusation or an alarm."""
        if node.name not in self._correct:
            return
        self._require(not isinstance(effect, do.Halt), node, f"stopped: {effect}")
        if isinstance(effect, do.EvidenceFound):
            self.coverage["evidence"] += 1
            height = effect.first.statement.height
            authorities = self._sets.get(height) or node.application.authorities(height)
            culprit = authorities.members[effect.sender].vote_key
            self._require(culprit in self._byzantine, node, "evidence names a correct node")
            offence = check(
                Evidence.of(effect.first, effect.second).encode(),
                chain_id=self._chain_id,
                height=height,
                authorities_at=lambda _: authorities,
                committed=(),
                is_signed_by=self._is_signed_by,
            )
            self._require(isinstance(offence, Offence), node, f"evidence does not hold: {offence}")

    def crashed(self, node: Watched) -> None:
        """Note a power cut."""
        at = node.machine.state if node.machine is not None else None
        self.coverage["crash"] += 1
        self.coverage["crash while locked"] += at is not None and at.locked.round != FRESH

    def forgot(self, node: Watched) -> None:
        """Note that *node* lost its disk: its locks are gone, what it signed must still never be contradicted."""
        self.coverage["lost its disk"] += 1
        self._last_lock = {key: round_ for key, round_ in self._last_lock.items() if key[0] != node.name}

    def _check_lock(self, node: Watched, before: Look | None, at: Height) -> None:
        if before is not None and before.height == at.number:
            self._require(at.locked.round >= before.locked.round, node, "a lock was released within a height")
        floor = self._last_lock.get((node.name, at.number), FRESH)
        self._require(at.locked.round >= floor, node, "a lock lies below a precommit that was signed")

    def _check_prevote(self, node: Watched, vote: Statement, before: Look | None, at: Height) -> None:
        if vote.kind != Kind.PREVOTE or vote.block_id is None or before is None or before.height != at.number:
            return
        locked = before.locked
        if locked.round == FRESH or locked.block_id == vote.block_id:
            return
        proposal = at.tally.proposal(vote.round)
        statement = proposal.message.statement if proposal is not None else None
        valid_round = statement.valid_round if isinstance(statement, Proposal) else FRESH
        is_free = valid_round >= locked.round and at.tally.has_quorum(valid_round, Kind.PREVOTE, vote.block_id)
        self._require(is_free, node, "a prevote against the lock without newer prevotes")
        self.coverage["prevote against a lock"] += 1

    def _check_quorum(self, node: Watched, vote: Vote, block_id: bytes) -> None:
        """Hold prevote quorums of one round, and precommit quorums of one height, to one value."""
        quorums = self._values.setdefault((vote.height, vote.kind), set())
        quorums.add((vote.round, block_id))
        rivals = {value for round_, value in quorums if round_ == vote.round or vote.kind == Kind.PRECOMMIT}
        self._require(len(rivals) == 1, node, f"quorums for two values at height {vote.height}")

    def _require(self, holds: bool, node: Watched, text: str) -> None:
        if not holds:
            raise Violation(f"{node.name}: {text}")
