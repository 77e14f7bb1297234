"""A run in words, event by event: what reached which node, and what it did about it. Blocks are called A, B, C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from string import ascii_uppercase
from typing import Final

from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.messages import FRESH, Message, Proposal, Statement
from ledger.simulation.schedule import Schedule
from ledger.simulation.witness import Violation, Watched
from ledger.simulation.world import World

NameOf = Callable[[bytes | None], str]
Outcome = do.SendTo | do.SendDecided | do.Decide | do.EvidenceFound | do.Halt
QUIET: Final = (do.Record, do.SetTimer, do.SendTo)
"""Effects that a trace of a whole network does not mention: they follow from what was received."""


def replay(schedule: Schedule, make_world: Callable[[Schedule], World] = World) -> Iterator[str]:
    """Yield the lines of a run; the last one says how it ended."""
    world, lines = make_world(schedule), []
    names = Names()

    def listen(node: Watched, event: ev.Event, asked: tuple[do.Effect, ...]) -> None:
        line = _line(world.timeline.now_ms, node, event, asked, names)
        if line is not None:
            lines.append(line)

    world.witness.listener = listen
    try:
        world.run()
    except Violation as violation:
        lines.append(f"{world.timeline.now_ms:>7} ms  VIOLATION  {violation}")
    else:
        lines.append(f"{world.timeline.now_ms:>7} ms  all is well: {max(world.witness.chain)} heights decided")
    yield from lines


class Names:
    """Gives blocks the names A to Z, then A1, B1 …, in the order in which they are spoken of."""

    def __init__(self) -> None:
        self._free = (letter + (str(number) if number else "") for number in count() for letter in ascii_uppercase)
        self._known: dict[bytes, str] = {}

    def __call__(self, block_id: bytes | None) -> str:
        """Return the name of a block; nil is nil."""
        if block_id is None:
            return "nil"
        if block_id not in self._known:
            self._known[block_id] = next(self._free)
        return self._known[block_id]


def describe_statement(statement: Statement, name_of: NameOf) -> str:
    """Return *statement* in words: `prevote 1 A`, `proposal 2 B valid 0`."""
    if isinstance(statement, Proposal):
        valid = "" if statement.valid_round == FRESH else f" valid {statement.valid_round}"
        return f"proposal {statement.round} {name_of(statement.block_id)}{valid}"
    return f"{statement.kind.name.lower()} {statement.round} {name_of(statement.block_id)}"


def describe_effect(effect: do.Effect, name_of: NameOf) -> str:
    """Return *effect* in words."""
    match effect:
        case do.Record(message):
            return f"record {_describe_message(message, name_of)}"
        case do.Cast(statement):
            return f"cast {describe_statement(statement, name_of)}"
        case do.BuildBlock(_, round_, commit):
            signers = "" if commit is None else f" after {' '.join(str(index) for index, _ in commit.signatures)}"
            return f"build {round_}{signers}"
        case do.ValidateBlock(_, value):
            return f"validate {name_of(value)}"
        case do.SetTimer(timer, delay_ms):
            return f"timer {timer.step.name.lower()} {timer.round} {delay_ms} ms"
        case _:
            return _describe_outcome(effect, name_of)


def describe_event(event: ev.Event, name_of: NameOf) -> str:
    """Return *event* in words."""
    match event:
        case ev.HeightStarted(height):
            return f"start {height}" + ("" if event.signing else " observing") + (" anew" if event.log else "")
        case ev.MessageReceived(message):
            return _describe_message(message, name_of)
        case ev.MessageSigned(message):
            return f"own {describe_statement(message.statement, name_of)}"
        case ev.CommitReceived(commit):
            return f"commit {commit.round} {name_of(commit.block_id)}"
        case ev.BlockBuilt(_, round_, value):
            return f"built {round_} {name_of(value)}"
        case ev.BlockValidated(_, value, valid):
            return f"{'valid' if valid else 'invalid'} {name_of(value)}"
        case ev.TimeoutFired(timer):
            return f"timeout {timer.step.name.lower()} {timer.round}"
        case ev.StatusReceived(peer, status):
            return f"status {peer} {status.height} {status.round} {status.step.name.lower()}"
        case ev.WorkAvailable():
            return "work"


def _line(now_ms: int, node: Watched, event: ev.Event, asked: tuple[do.Effect, ...], names: Names) -> str | None:
    told = [describe_effect(effect, names) for effect in asked if not isinstance(effect, QUIET)]
    at = node.machine.state if node.machine is not None else None
    if at is None or (not told and isinstance(event, ev.StatusReceived | ev.TimeoutFired | ev.WorkAvailable)):
        return None
    lock = "" if at.locked.round == FRESH else f" locked {at.locked.round} {names(at.locked.block_id)}"
    place = f"{at.number}/{at.round} {at.step.name.lower()}{lock}"
    reaction = f"  →  {'; '.join(told)}" if told else ""
    return f"{now_ms:>7} ms  {node.name:<2}  {describe_event(event, names):<34} [{place}]{reaction}"


def _describe_outcome(effect: Outcome, name_of: NameOf) -> str:
    match effect:
        case do.SendTo(peer, messages):
            return f"send to {peer}: " + ", ".join(_describe_message(one, name_of) for one in messages)
        case do.SendDecided(peer, height):
            return f"send block {height} to {peer}"
        case do.Decide(_, round_, value, commit):
            return f"decide {round_} {name_of(value)} by {' '.join(str(index) for index, _ in commit.signatures)}"
        case do.EvidenceFound(sender, first, second):
            said = ", ".join(describe_statement(one.statement, name_of) for one in (first, second))
            return f"evidence against {sender}: {said}"
        case do.Halt(reason):
            return f"halt {reason.value}"


def _describe_message(message: Message, name_of: NameOf) -> str:
    return f"{describe_statement(message.statement, name_of)} of {message.sender}"
