"""What the core asks of the shell: data, performed in the order given.

The shell performs the effects of one `Machine.handle` call one after the other, before it hands the next event in;
slow ones (`BuildBlock`, `ValidateBlock`) it only starts, and answers with an event later.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum

from ledger.block import Commit
from ledger.consensus.messages import Message, Statement


class Step(IntEnum):
    """Where a node stands within a height; also what a timer is for."""

    NEW = 0
    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3
    DECIDED = 4


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer is data: fired for a position that is past, it does nothing. `step` NEW is the wait before round 0."""

    height: int
    round: int
    step: Step


@dataclass(frozen=True, slots=True)
class Record:
    """Append `message.raw` to the log of inputs of its height. It need not be on disk before the next `Cast`.

    At the next `HeightStarted` of that height (after a restart) the log comes back in `HeightStarted.log`.
    The log of a height is deleted once a block of that height is durably stored.
    """

    message: Message


@dataclass(frozen=True, slots=True)
class Cast:
    """Sign *statement* and send it to every peer: the one effect that leaves a promise behind.

    In this order:
    1. look up `sign_state` by `statement.slot`: the same payload is stored -> take its signature; a different one ->
       send nothing, hand in no `MessageSigned`, stop the signer for good and say so; none -> sign;
    2. commit the new row, *every `Record` so far* and the blocks built or found valid in one durable transaction;
    3. `handle(MessageSigned(message))` before any other event; its effects queue up behind those still to be performed;
    4. send the message to all peers; with a proposal goes the block.
    """

    statement: Statement


@dataclass(frozen=True, slots=True)
class BuildBlock:
    """This node proposes *round*: build a block on the state after height - 1 and answer with `BlockBuilt`.

    The shell first waits until its own clock is past the parent's time; it need not answer if that takes longer than
    the round. *last_commit* goes into the block as it is (None at height 1): Q or more precommits, late ones too.
    """

    height: int
    round: int
    last_commit: Commit | None


@dataclass(frozen=True, slots=True)
class ValidateBlock:
    """Get the block (from the proposal's frame, the store, or by asking peers again and again), check and execute it.

    Answer with `BlockValidated`. Asked once per block id and height; what is still unknown when the height is left is
    dropped. The shell keeps the result of the execution, `Decide` will want it. A valid block is durable no later than
    the next `Cast`: what Q nodes locked must survive a loss of power at all of them.
    """

    height: int
    block_id: bytes


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Hand in `TimeoutFired(timer)` after *delay_ms* of monotonic time. Timers are never cancelled, only outlived."""

    timer: Timer
    delay_ms: int


@dataclass(frozen=True, slots=True)
class SendTo:
    """Send *messages*, in order, to the peer whose status showed that it lacks them.

    A proposal among them goes without its block: the peer asks for what it lacks.
    """

    peer: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class SendDecided:
    """Send the peer the block of the decided *height* with its commit certificate, from the store."""

    peer: str
    height: int


@dataclass(frozen=True, slots=True)
class Decide:
    """*block_id* is final at *height*. It was validated before; *commit* proves it.

    Store block, commit and state changes durably, then hand in `HeightStarted` for height + 1.
    """

    height: int
    round: int
    block_id: bytes
    commit: Commit


@dataclass(frozen=True, slots=True)
class EvidenceFound:
    """Authority *sender* signed both messages for one slot. At most one per sender and height.

    Keep it (`evidence.Evidence.of(first, second)`) for the next block that this node builds, and tell the operators.
    """

    sender: int
    first: Message
    second: Message


class HaltReason(Enum):
    """Why the core stopped signing."""

    INVALID_BLOCK_COMMITTED = "invalid_block_committed"
    OWN_KEY_USED_ELSEWHERE = "own_key_used_elsewhere"


@dataclass(frozen=True, slots=True)
class Halt:
    """Raise the alarm. The core signs nothing from here on, until the process is started anew by an operator.

    INVALID_BLOCK_COMMITTED: Q authorities precommitted a block that this node finds invalid (`block_id`). The core is
    stopped altogether; the shell goes on serving what lies below *height* and keeps block, commit and log of inputs.
    OWN_KEY_USED_ELSEWHERE: a message with this authority's signature came that this node does not remember: its stored
    state is old, or its key runs twice. The core goes on as an observer.
    """

    reason: HaltReason
    height: int
    block_id: bytes | None


Effect = Record | Cast | BuildBlock | ValidateBlock | SetTimer | SendTo | SendDecided | Decide | EvidenceFound | Halt
