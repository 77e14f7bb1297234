"""What the shell tells the core, one at a time: `Machine.handle(event, now_ms)`.

`now_ms` is the node's wall clock in Unix milliseconds at the moment the event came in; it serves the time rule for
proposals alone. Waiting is counted by the shell's monotonic clock (`effects.SetTimer`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.consensus.effects import Timer
from ledger.consensus.messages import Message
from ledger.consensus.status import Status


@dataclass(frozen=True, slots=True)
class HeightStarted:
    """Work on *height* begins, after a decision, after catching up by blocks, or after a restart.

    `authorities` is the set in force at *height*, `own` this node's index in it or None for an outsider. With
    `signing` False it observes (LEDGER rule 11): follows and decides, but casts nothing. `delay_ms` is what is left of
    the block interval. `last_commit` is the stored certificate of height - 1 (None at height 1). `log` is what was
    stored of this height before a restart: first all own messages from `sign_state` (`messages.restore`), then the
    log of inputs (`messages.decode`) in its order; empty otherwise.
    """

    height: int
    authorities: AuthoritySet
    own: int | None
    signing: bool
    delay_ms: int
    last_commit: Commit | None
    log: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkAvailable:
    """There is something to decide at *height*: a transaction, a due hook, a pending set change or a heartbeat.

    Once per height is enough; more often does no harm.
    """

    height: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message came from a peer, decoded and verified by `messages.decode`."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessageSigned:
    """The answer to `Cast`: this node's own message, already durable."""

    message: Message


@dataclass(frozen=True, slots=True)
class CommitReceived:
    """A commit certificate came (a peer saw that this node is behind); the core verifies it.

    The block itself is fetched and executed on the `ValidateBlock` that follows. Whole stretches of blocks are the
    shell's business: it applies them and hands in `HeightStarted`.
    """

    commit: Commit


@dataclass(frozen=True, slots=True)
class BlockBuilt:
    """The answer to `BuildBlock`: an executed block with its header's time, durable no later than the next `Cast`."""

    height: int
    round: int
    block_id: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class BlockValidated:
    """The answer to `ValidateBlock`: everything about the block save its timeliness, which the core decides.

    Valid means: decodes, right height, parent, set hashes and last commit, later than its parent, and executing it
    gives its header's roots. `time_ms` is its header's time (0 where invalid).
    """

    height: int
    block_id: bytes
    valid: bool
    time_ms: int


@dataclass(frozen=True, slots=True)
class TimeoutFired:
    """A timer asked for by `SetTimer` ran out."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class StatusReceived:
    """A peer (its name, as mTLS proved it) reported its position; the answer is what it lacks."""

    peer: str
    status: Status


Event = (
    HeightStarted
    | WorkAvailable
    | MessageReceived
    | MessageSigned
    | CommitReceived
    | BlockBuilt
    | BlockValidated
    | TimeoutFired
    | StatusReceived
)
