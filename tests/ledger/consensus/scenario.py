"""Scenario files: one node's core, driven by hand, with everything it asks for.

A line at the margin is an event, the lines indented below it are the effects that must follow, all of them, in order.
Blocks are called A, B, C; `own` casts come back as signed at once, as the shell would. After a change of the rules:

    python -m tests.ledger.consensus.scenario        writes the traces anew, to be read in the diff
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ledger.authority import Authority, AuthoritySet
from ledger.block import Commit
from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.machine import Machine
from ledger.consensus.messages import FRESH, Message, Proposal, Statement, Vote, VoteKind, sign
from ledger.consensus.status import Held, Status
from ledger.envelope import Kind
from ledger.keys import PrivateKey
from ledger.simulation.trace import describe_effect

FOLDER = Path(__file__).parents[2] / "scenarios" / "consensus"
CHAIN_ID = b"scenario"
START_MS = 1_700_000_000_000
NAMES = {hashlib.sha256(name.encode()).digest(): name for name in "ABCDEFG"}
STEPS = {step.name.lower(): step for step in do.Step}
KINDS: dict[str, VoteKind] = {"prevote": Kind.PREVOTE, "precommit": Kind.PRECOMMIT}


def key(index: int) -> PrivateKey:
    return PrivateKey(hashlib.sha256(b"scenario %d" % index).digest())


def authorities(count: int) -> AuthoritySet:
    def member(index: int) -> Authority:
        others = [hashlib.sha256(b"%d %d" % (index, number)).digest() for number in range(2)]
        return Authority(bytes(7) + bytes([index]), f"authority-{index}", key(index).public_key, *others)

    return AuthoritySet(tuple(member(index) for index in range(count)))


def block_id(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def value_of(name: str) -> bytes | None:
    return None if name == "nil" else block_id(name)


def name_of(value: bytes | None) -> str:
    return "nil" if value is None else NAMES[value]


@dataclass
class Stage:
    """One node on a stage: knows the scenario's verbs."""

    machine: Machine = field(default_factory=lambda: Machine(CHAIN_ID))
    own: int = 0
    members: AuthoritySet = field(default_factory=lambda: authorities(4))
    height: int = 1
    now_ms: int = START_MS
    signed: list[Message] = field(default_factory=list)
    recorded: list[Message] = field(default_factory=list)

    def play(self, line: str) -> list[str]:
        verb, *words = line.split()
        return [self.describe(effect) for event in getattr(self, f"_{verb}")(words) or () for effect in self.run(event)]

    def run(self, event: ev.Event) -> list[do.Effect]:
        queue, performed = deque(self.machine.handle(event, self.now_ms)), []
        while queue:
            effect = queue.popleft()
            performed.append(effect)
            if isinstance(effect, do.Record):
                self.recorded.append(effect.message)
            if isinstance(effect, do.Cast):
                message = self.sign(effect.statement, self.own)
                self.signed.append(message)
                queue.extend(self.machine.handle(ev.MessageSigned(message), self.now_ms))
        return performed

    def sign(self, statement: Statement, sender: int) -> Message:
        return sign(statement, CHAIN_ID, sender, key(sender))

    def describe(self, effect: do.Effect) -> str:
        return describe_effect(effect, name_of)

    # --- verbs: each returns the events that it stands for ---

    def _node(self, words: list[str]) -> None:
        """Node OWN of COUNT."""
        self.own, self.members = int(words[0]), authorities(int(words[2]))

    def _start(self, words: list[str]) -> list[ev.Event]:
        """Start HEIGHT [observing] [after ROUND BLOCK by SENDERS]."""
        self.height, log, commit = int(words[0]), (), None
        if "after" in words:
            commit = self._certificate(self.height - 1, words[words.index("after") + 1 :])
        signing = "observing" not in words
        return [ev.HeightStarted(self.height, self.members, self.own, signing, 0, commit, log)]

    def _restart(self, words: list[str]) -> list[ev.Event]:
        """Restart [losing COUNT]: the last casts did not become durable."""
        self.machine = Machine(CHAIN_ID)
        self.signed = self.signed[: len(self.signed) - int(words[1]) if words else None]
        log = tuple(one for one in (*self.signed, *self.recorded) if one.statement.height == self.height)
        return [ev.HeightStarted(self.height, self.members, self.own, True, 0, None, log)]

    def _work(self, words: list[str]) -> list[ev.Event]:
        return [ev.WorkAvailable(self.height)]

    def _clock(self, words: list[str]) -> None:
        """Clock MS: the node's clock goes on (or back)."""
        self.now_ms += int(words[0])

    def _timeout(self, words: list[str]) -> list[ev.Event]:
        """Timeout STEP ROUND [height HEIGHT]."""
        height = int(words[3]) if len(words) > 2 else self.height
        return [ev.TimeoutFired(do.Timer(height, int(words[1]), STEPS[words[0]]))]

    def _proposal(self, words: list[str]) -> list[ev.Event]:
        """Proposal ROUND BLOCK [valid ROUND] [height HEIGHT]."""
        options = dict(zip(words[2::2], words[3::2], strict=True))
        height, round_ = int(options.get("height", self.height)), int(words[0])
        proposal = Proposal(height, round_, int(options.get("valid", FRESH)), block_id(words[1]))
        return [ev.MessageReceived(self.sign(proposal, self.members.proposer(height, round_)))]

    def _vote(self, kind: VoteKind, words: list[str]) -> list[ev.Event]:
        """ROUND BLOCK from SENDERS [height HEIGHT]."""
        height = int(words[words.index("height") + 1]) if "height" in words else self.height
        senders = words[3 : words.index("height") if "height" in words else None]
        vote = Vote(kind, height, int(words[0]), value_of(words[1]))
        return [ev.MessageReceived(self.sign(vote, int(sender))) for sender in senders]

    def _prevote(self, words: list[str]) -> list[ev.Event]:
        return self._vote(Kind.PREVOTE, words)

    def _precommit(self, words: list[str]) -> list[ev.Event]:
        return self._vote(Kind.PRECOMMIT, words)

    def _built(self, words: list[str]) -> list[ev.Event]:
        return [ev.BlockBuilt(self.height, int(words[0]), block_id(words[1]), self.now_ms)]

    def _valid(self, words: list[str]) -> list[ev.Event]:
        """Valid BLOCK [aged MS]."""
        age_ms = int(words[2]) if len(words) > 2 else 0
        return [ev.BlockValidated(self.height, block_id(words[0]), True, self.now_ms - age_ms)]

    def _invalid(self, words: list[str]) -> list[ev.Event]:
        return [ev.BlockValidated(self.height, block_id(words[0]), False, 0)]

    def _commit(self, words: list[str]) -> list[ev.Event]:
        """Commit ROUND BLOCK by SENDERS."""
        return [ev.CommitReceived(self._certificate(self.height, words))]

    def _certificate(self, height: int, words: list[str]) -> Commit:
        round_, value = int(words[0]), block_id(words[1])
        vote = Vote(Kind.PRECOMMIT, height, round_, value)
        signatures = ((int(one), self.sign(vote, int(one)).signature) for one in words[3:])
        return Commit(height, round_, value, tuple(signatures))

    def _status(self, words: list[str]) -> list[ev.Event]:
        """Status PEER HEIGHT ROUND STEP [proposals ROUNDS] [holds KIND ROUND BLOCK of SENDERS ...]."""
        peer, height, round_, step, *rest = words
        proposals: frozenset[int] = frozenset()
        votes: list[tuple[Held, tuple[int, ...]]] = []
        for part in " ".join(rest).split(" holds "):
            kind, *values = part.removeprefix("holds ").split() or [""]
            if kind == "proposals":
                proposals = frozenset(map(int, values))
            elif kind:
                held = (int(values[0]), int(KINDS[kind]), value_of(values[1]))
                votes.append((held, tuple(map(int, values[3:]))))
        return [ev.StatusReceived(peer, Status(int(height), int(round_), STEPS[step], proposals, tuple(votes)))]


def play(text: str) -> str:
    """Return *text* with the effects that really follow."""
    stage, lines = Stage(), []
    for line in text.splitlines():
        if line.startswith("    "):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [f"    {effect}" for effect in stage.play(line)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(play(path.read_text()))
