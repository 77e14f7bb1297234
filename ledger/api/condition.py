"""What the API tells operators of a node's condition, once for both ends, as `ledger.api.resources` does for clients.

Ages and times are milliseconds; what a node cannot know (a peer that it never heard) is None.
"""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from ledger.api.resources import Amount, Hex

MISSING = "missing"
NIL = "nil"


@dataclass(frozen=True, slots=True)
class AuthorityCondition:
    """One authority as the answering node sees it: where it stands, when it was last heard, what it said.

    `prevote` and `precommit` are its votes of the answering node's round: "missing", "nil" or the block's id in hex.
    `lacks_prevotes` and `lacks_precommits` name those whose votes of *its* round it does not hold, by its own report,
    once it has come to that step itself.
    `clock_offset_ms` is how far its clock is ahead of the answering node's, less the way of the fastest report.
    """

    name: str
    is_self: bool
    connected: bool
    height: int | None
    round: int | None
    step: str | None
    report_age_ms: int | None
    message_age_ms: int | None
    clock_offset_ms: int | None
    prevote: str
    precommit: str
    lacks_prevotes: tuple[str, ...]
    lacks_precommits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NilVote:
    """A vote for nil that the answering node cast: a "prevote" or "precommit", why (`reason` is a word), in words."""

    height: int
    round: int
    kind: str
    time_ms: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Where a node's consensus stands: the height in progress and all that may keep it from being decided.

    `index` is None for a node that is no authority. It signs from height `signs_from` on (None: from when it
    knows that it contradicts nothing that it forgot), and no more after an `alarm`.
    `has_work` tells whether there is anything to decide. `height_age_ms` counts from the first round, 0 before it.
    """

    chain_id: Hex
    name: str
    index: int | None
    height: int
    round: int
    step: str
    proposer: str
    quorum: int
    signs_from: int | None
    alarm: str | None
    has_work: bool
    mempool: int
    height_age_ms: int
    round_age_ms: int | None
    authorities: tuple[AuthorityCondition, ...]
    nils: tuple[NilVote, ...]


@dataclass(frozen=True, slots=True)
class LastClearing:
    """The newest epoch whose book had orders and is cleared; the price is None where nothing traded."""

    epoch: int
    orders: int
    matched_wh: int
    price_uaip_per_kwh: int | None


@dataclass(frozen=True, slots=True)
class MissedVotes:
    """How many certificates in the blocks so far lacked an authority's precommit."""

    name: str
    missed_votes: int


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a node and its chain are well. `lag_blocks` is how far it is behind what enough peers say they have.

    `oracle_late` counts the requests that nobody answered in time. `disk_days_left` is None while the disk does not
    fill up, or it is not known yet how fast.
    """

    height: int
    syncing: bool
    lag_blocks: int
    signing: bool
    alarm: str | None
    last_clearing: LastClearing | None
    oracle_open: int
    oracle_late: int
    grid_minted_agrid: Amount
    grid_burned_agrid: Amount
    missed_votes: tuple[MissedVotes, ...]
    disk_free_bytes: int
    disk_days_left: float | None
