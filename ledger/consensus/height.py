"""The state of one height, and how it is rebuilt after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.consensus.effects import Step, Timer
from ledger.consensus.messages import FRESH, Message, Vote
from ledger.consensus.tally import Arrival, Tally
from ledger.envelope import Kind


@dataclass(frozen=True, slots=True)
class Lock:
    """A value and the round whose prevotes support it; round FRESH: none."""

    round: int = FRESH
    block_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the shell found out about a block."""

    valid: bool
    time_ms: int


@dataclass(slots=True)
class Height:
    """Everything about the height in progress; a new height starts from the defaults (L54)."""

    number: int
    authorities: AuthoritySet
    own: int | None
    signing: bool
    tally: Tally
    last_commit: Commit | None
    step: Step = Step.NEW
    locked: Lock = Lock()
    valid: Lock = Lock()
    is_due: bool = False
    is_wanted: bool = False
    verdicts: dict[bytes, Verdict | None] = field(default_factory=dict)
    timers: set[Timer] = field(default_factory=set)
    accused: set[tuple[int, int]] = field(default_factory=set)
    commit: Commit | None = None

    @property
    def round(self) -> int:
        """The round in progress; 0 also while it is not started yet."""
        return self.tally.round

    @property
    def is_proposer(self) -> bool:
        """Whether this node proposes the round in progress."""
        return self.signing and self.own == self.authorities.proposer(self.number, self.round)

    def restore(self, log: tuple[Message, ...], now_ms: int) -> None:
        """Rebuild the position from stored messages of this height (LEDGER rule 10).

        The lock is the last non-nil precommit: the two are made in one step (L36), so none needs a record of its own.
        """
        own = [message.statement for message in log if message.sender == self.own]
        if own:
            self.tally.round, kind = max((statement.round, statement.kind) for statement in own)
            self.step = {Kind.PROPOSAL: Step.PROPOSE, Kind.PREVOTE: Step.PREVOTE, Kind.PRECOMMIT: Step.PRECOMMIT}[kind]
        for statement in own:
            is_lock = statement.kind == Kind.PRECOMMIT and statement.block_id is not None
            if is_lock and statement.round > self.locked.round:
                self.locked = self.valid = Lock(statement.round, statement.block_id)
        for message in log:
            self.tally.add(Arrival(message, now_ms))

    def add_late_precommit(self, message: Message) -> None:
        """Put a precommit of the last height into its certificate, if it belongs there: LEDGER rule 15 counts them."""
        commit = self.last_commit
        if commit is None or message.statement != Vote(Kind.PRECOMMIT, commit.height, commit.round, commit.block_id):
            return
        signatures = {message.sender: message.signature, **dict(commit.signatures)}
        self.last_commit = replace(commit, signatures=tuple(sorted(signatures.items())))

    def add_late_precommits(self, before: Height) -> None:
        """Put in what came for the last height between its decision and now."""
        commit = self.last_commit
        if commit is not None and commit.height == before.number:
            for message in before.tally.support(commit.round, Kind.PRECOMMIT, commit.block_id).values():
                self.add_late_precommit(message)
