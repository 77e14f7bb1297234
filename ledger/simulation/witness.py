"""Sees everything that happens in a run and checks what must always hold (LEDGER §3); counts which rules fired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ledger.authority import AuthoritySet
from ledger.block import NO_HASH
from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.commit import verify_commit
from ledger.consensus.evidence import Evidence, Offence, check
from ledger.consensus.height import Height, Lock
from ledger.consensus.machine import Machine
from ledger.consensus.messages import FRESH, Message, Proposal, Slot, Statement, Vote
from ledger.envelope import Kind
from ledger.simulation.application import Application, Candidate
from ledger.simulation.disk import Disk

MESSAGES_PER_SENDER_AND_ROUND = 7
"""One proposal, three values for each of two kinds of vote."""

MESSAGES_AHEAD = 3
"""What is kept of a sender's highest round that is not reached."""


class Violation(AssertionError):  # noqa: N818 - what a run shows
    """A promise that a run broke."""


class Watched(Protocol):
    """What the witness sees of a node."""

    name: str
    machine: Machine | None
    disk: Disk
    application: Application


@dataclass(frozen=True, slots=True)
class Look:
    """A node's position before an event."""

    height: int
    round: int
    step: do.Step
    locked: Lock


class Witness:
    """Watches one run. `correct` names the nodes that keep the rules."""

    def __init__(self, authorities: AuthoritySet, chain_id: bytes, correct: Iterable[str], byzantine: set[int]) -> None:
        self.coverage: Counter[str] = Counter()
        self.chain: dict[int, Candidate] = {}
        self._authorities, self._chain_id = authorities, chain_id
        self._correct, self._byzantine = frozenset(correct), byzantine
        self._said: dict[tuple[str, Slot], Statement] = {}
        self._backers: dict[Statement, set[int]] = {}
        self._values: dict[tuple[int, int], set[tuple[int, bytes]]] = {}
        self._roots: dict[int, bytes] = {}
        self._last_lock: dict[tuple[str, int], int] = {}

    def look(self, node: Watched) -> Look | None:
        """Return where *node* stands, to compare with afterwards."""
        at = node.machine.state if node.machine is not None else None
        return Look(at.number, at.round, at.step, at.locked) if at is not None else None

    def check_event(self, node: Watched, before: Look | None, event: ev.Event, asked: tuple[do.Effect, ...]) -> None:
        """Check what one event did to a node."""
        at = node.machine.state if node.machine is not None else None
        if at is None or node.name not in self._correct:
            return
        self._count(before, at, event, asked)
        if before is not None and before.height == at.number:
            self._require(at.locked.round >= before.locked.round, node, "a lock was released within a height")
        floor = self._last_lock.get((node.name, at.number), FRESH)
        self._require(at.locked.round >= floor, node, "a lock lies below a precommit that was signed")
        for effect in asked:
            if isinstance(effect, do.Cast) and effect.statement.kind == Kind.PREVOTE:
                self._check_prevote(node, effect.statement, before, at)
        if isinstance(event, ev.MessageReceived):
            bound = len(self._authorities) * (MESSAGES_PER_SENDER_AND_ROUND * (at.round + 1) + MESSAGES_AHEAD)
            self._require(len(at.tally) <= bound, node, "the tally grew beyond its bound")

    def signed(self, node: Watched, message: Message) -> None:
        """Note a signature that is about to leave *node*."""
        statement = message.statement
        if node.name in self._correct:
            said = self._said.setdefault((node.name, statement.slot), statement)
            self._require(said == statement, node, f"signed {said} and {statement}")
            if statement.kind == Kind.PRECOMMIT and statement.block_id is not None:
                key = (node.name, statement.height)
                self._last_lock[key] = max(self._last_lock.get(key, FRESH), statement.round)
        if isinstance(statement, Vote) and statement.block_id is not None:
            backers = self._backers.setdefault(statement, set())
            backers.add(message.sender)
            if len(backers) >= self._authorities.quorum:
                self._check_quorum(node, statement, statement.block_id)

    def decided(self, node: Watched, effect: do.Decide, block: Candidate) -> None:
        """Check a decision of *node*."""
        if node.name not in self._correct:
            return
        height = effect.height
        known = self.chain.setdefault(height, block)
        self._require(known.block_id == effect.block_id, node, f"height {height} was decided twice, differently")
        self._require(block.block_id == effect.commit.block_id, node, "the certificate is for another block")
        self._require(verify_commit(effect.commit, self._authorities, self._chain_id), node, "a bad certificate")
        parent = self.chain.get(height - 1)
        self._require(parent is None or parent.time_ms < block.time_ms, node, "time does not grow")
        self.coverage["decided"] += 1
        self.coverage["decided after round 1"] += effect.round > 1
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
            self._require(effect.sender in self._byzantine, node, "evidence names a correct node")
            offence = check(
                Evidence.of(effect.first, effect.second).encode(),
                chain_id=self._chain_id,
                height=effect.first.statement.height,
                authorities_at=lambda _: self._authorities,
                committed=(),
            )
            self._require(isinstance(offence, Offence), node, f"evidence does not hold: {offence}")

    def crashed(self, node: Watched) -> None:
        """Note a power cut."""
        at = node.machine.state if node.machine is not None else None
        self.coverage["crash"] += 1
        self.coverage["crash while locked"] += at is not None and at.locked.round != FRESH

    def wiped(self, node: Watched) -> None:
        """Note that *node* lost its disk: its locks are gone, what it signed must still never be contradicted."""
        self.coverage["wiped"] += 1
        self._last_lock = {key: round_ for key, round_ in self._last_lock.items() if key[0] != node.name}

    def _check_prevote(self, node: Watched, vote: Statement, before: Look | None, at: Height) -> None:
        if before is None or before.height != at.number or vote.block_id is None:
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

    def _count(self, before: Look | None, at: Height, event: ev.Event, asked: tuple[do.Effect, ...]) -> None:
        for effect in asked:
            name = type(effect).__name__
            self.coverage[name] += 1
            if isinstance(effect, do.Cast):
                self._count_cast(effect.statement, event)
        if before is None or before.height != at.number:
            self.coverage["resumed while locked"] += at.locked.round != FRESH
            self.coverage["observed"] += not at.signing
            return
        if at.round > before.round:
            self.coverage["round skip"] += not isinstance(event, ev.TimeoutFired)
            self.coverage["locked into another round"] += at.locked.round != FRESH
            self.coverage["round timeout"] += isinstance(event, ev.TimeoutFired)
        if at.locked != before.locked and before.locked.round != FRESH:
            self.coverage["relock"] += 1
            self.coverage["relock on another value"] += at.locked.block_id != before.locked.block_id
        self.coverage["decided by certificate"] += at.step is do.Step.DECIDED and isinstance(event, ev.CommitReceived)

    def _count_cast(self, statement: Statement, event: ev.Event) -> None:
        if isinstance(statement, Proposal):
            self.coverage["re-proposal"] += statement.valid_round != FRESH
            return
        cause = "timeout" if isinstance(event, ev.TimeoutFired) else "rule"
        value = "nil" if statement.block_id is None else "block"
        self.coverage[f"{statement.kind.name.lower()} {value} by {cause}"] += 1

    def _require(self, holds: bool, node: Watched, text: str) -> None:
        if not holds:
            raise Violation(f"{node.name}: {text}")
