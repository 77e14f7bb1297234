"""When more than f are Byzantine the chain can fork; then the logs of the correct nodes together name f + 1 of them.

fork = find_fork(overrun(seed))        None where the schedule did not fork
accuse(fork.messages, fork.quorum)     the culprits' indices; a correct authority is never among them
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Final

from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.messages import Message, SignatureCheck, Slot, Statement, Vote
from ledger.envelope import Kind
from ledger.simulation.application import Candidate
from ledger.simulation.schedule import Habit, Round, Schedule
from ledger.simulation.twins import TIMING
from ledger.simulation.witness import Violation, Watched, Witness
from ledger.simulation.world import World

ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Fork:
    """Two blocks decided at one height, in *rounds*, and all that the correct nodes have heard and said by then."""

    rounds: tuple[int, int]
    quorum: int
    messages: tuple[Message, ...]


def overrun(seed: int) -> Schedule:
    """Return a schedule with one Byzantine authority more than the set bears, all of them twins, in parted rounds."""
    random = Random(f"overrun {seed}")
    count = random.choice([4, 4, 5, 7])
    bad = random.sample(range(count), (count - 1) // 3 + 1)
    return Schedule(
        seed=seed,
        count=count,
        habits={member: frozenset({Habit.TWIN}) for member in bad},
        timing=TIMING,
        faulty_ms=600,
        interval_ms=5,
        rounds=tuple(_part(random, count, bad) for _ in range(ROUNDS)),
    )


def find_fork(schedule: Schedule) -> Fork | None:
    """Run *schedule* until two correct nodes have decided different blocks; None where they never do."""
    world = World(schedule)
    byzantine = {world.membership.genesis.members[member].vote_key for member in schedule.habits}
    correct = [node.name for node in world.correct]
    witness = world.witness = _Coroner(world.chain_id, world.signatures.is_signed_by, correct, byzantine)
    heard: dict[bytes, Message] = {}

    def listen(node: Watched, event: ev.Event, _: tuple[do.Effect, ...]) -> None:
        if node.name in correct and isinstance(event, ev.MessageReceived | ev.MessageSigned):
            heard[event.message.raw] = event.message

    witness.listener = listen
    try:
        world.run()
    except Violation:
        if witness.fork is None:
            return None  # with f + 1 faulty the chain may also just stand
        return Fork(witness.fork, world.membership.genesis.quorum, tuple(heard.values()))
    return None


def accuse(messages: Iterable[Message], quorum: int) -> set[int]:
    """Return who broke the rules, by what *messages* (merged logs of one height and set) prove.

    That is who said two things in one slot, and who prevoted against the own precommit of an earlier round though
    *quorum* prevotes for the new value, in that round or later, are in no correct node's log. A correct authority has
    heard those before it let go of its lock, so they would be there.
    """
    said: dict[tuple[int, Slot], set[Statement]] = {}
    prevotes: dict[tuple[int, bytes | None], set[int]] = {}
    votes: dict[int, list[Vote]] = {}
    for message in messages:
        statement = message.statement
        said.setdefault((message.sender, statement.slot), set()).add(statement)
        if isinstance(statement, Vote):
            votes.setdefault(message.sender, []).append(statement)
            if statement.kind == Kind.PREVOTE:
                prevotes.setdefault((statement.round, statement.block_id), set()).add(message.sender)
    proven = {slot for slot, senders in prevotes.items() if len(senders) >= quorum}
    two_faced = {sender for (sender, _), statements in said.items() if len(statements) > 1}
    return two_faced | {sender for sender, own in votes.items() if _has_forgotten(own, proven)}


class _Coroner(Witness):
    """Lets the impossible happen, and notes the two rounds in which it did."""

    def __init__(
        self, chain_id: bytes, is_signed_by: SignatureCheck, correct: Iterable[str], byzantine: set[bytes]
    ) -> None:
        super().__init__(chain_id, is_signed_by, correct, byzantine)
        self.fork: tuple[int, int] | None = None
        self._first: dict[int, tuple[int, bytes]] = {}

    def decided(self, node: Watched, effect: do.Decide, block: Candidate) -> None:
        """Compare with what was decided before."""
        if node.name not in self._correct:
            return
        self.chain.setdefault(effect.height, block)
        first = self._first.setdefault(effect.height, (effect.round, effect.block_id))
        if first[1] != effect.block_id:
            self.fork = (first[0], effect.round)
            raise Violation(f"{node.name}: a fork")

    def signed(self, node: Watched, message: Message) -> None:
        """Hold nobody to anything."""

    def heard(self, node: Watched, effect: do.EvidenceFound | do.Halt) -> None:
        """Take note of nothing."""


def _part(random: Random, count: int, bad: list[int]) -> Round:
    """Return a round in which each side has one copy of every twin, and about half of the correct."""
    correct = [str(member) for member in range(count) if member not in bad]
    halves = random.sample(correct, random.randrange(len(correct) + 1))
    copies = (f"{member}{random.choice(['', chr(39)])}" for member in bad)
    return Round(random.randrange(count), frozenset({*halves, *copies}))


def _has_forgotten(own: list[Vote], proven: set[tuple[int, bytes | None]]) -> bool:
    """Tell whether somebody prevoted against the own precommit without being shown why they might."""
    for lock, vote in combinations(sorted(own, key=lambda one: (one.round, one.kind)), 2):
        is_later = lock.kind == Kind.PRECOMMIT and vote.kind == Kind.PREVOTE and lock.round < vote.round
        is_against = lock.block_id is not None and vote.block_id not in (None, lock.block_id)
        is_shown = any((round_, vote.block_id) in proven for round_ in range(lock.round, vote.round))
        if is_later and is_against and not is_shown:
            return True
    return False
