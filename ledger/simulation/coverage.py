"""Which rules fired: a run in which nothing was locked, skipped or decided proves nothing."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from ledger.consensus import effects as do
from ledger.consensus import events as ev
from ledger.consensus.height import Height, Lock
from ledger.consensus.messages import FRESH, Proposal, Statement

RULES: Final = frozenset(
    {
        "BuildBlock", "Cast", "Decide", "EvidenceFound", "Record", "SendDecided", "SendTo", "SetTimer", "ValidateBlock",
        "crash", "crash while locked", "resumed while locked", "lost its disk", "observed",
        "decided", "decided after round 1", "decided by certificate", "decided under a changed set", "late decide",
        "locked into another round", "relock", "relock on another value", "prevote against a lock",
        "round skip", "round timeout", "re-proposal", "evidence",
        "prevote block by rule", "prevote nil by rule", "prevote nil by timeout",
        "precommit block by rule", "precommit nil by rule", "precommit nil by timeout",
    }
)  # fmt: skip
"""What a batch of swarm schedules must have seen."""

RARE: Final = {
    "observed": 200,
    "lost its disk": 200,
    "resumed while locked": 200,
    "relock on another value": 1_000,
    "prevote against a lock": 1_500,
    "decided under a changed set": 1_500,
}
"""Rules that only a batch of so many schedules can be held to."""
MIN_HEIGHTS: Final = 1.2
"""So many heights decided for each schedule of a swarm."""
TWIN_RULES: Final = frozenset(
    {
        "decided", "decided after round 1", "decided by certificate", "evidence", "late decide", "re-proposal",
        "locked into another round", "relock", "relock on another value", "round skip", "round timeout",
    }
)  # fmt: skip


class Look(NamedTuple):
    """A node's position before an event."""

    height: int
    round: int
    step: do.Step
    locked: Lock


def count_event(
    coverage: Counter[str], before: Look | None, at: Height, event: ev.Event, asked: tuple[do.Effect, ...]
) -> None:
    """Count what *event* did to a node that stood at *before* and stands *at*."""
    for effect in asked:
        coverage[type(effect).__name__] += 1
        if isinstance(effect, do.Cast):
            _count_cast(coverage, effect.statement, event)
    if before is None or before.height != at.number:
        coverage["resumed while locked"] += at.locked.round != FRESH
        coverage["observed"] += not at.signing
        return
    if at.round > before.round:
        is_timeout = isinstance(event, ev.TimeoutFired)
        coverage["round timeout" if is_timeout else "round skip"] += 1
        coverage["locked into another round"] += at.locked.round != FRESH
    if at.locked is not before.locked and before.locked.round != FRESH:
        coverage["relock"] += 1
        coverage["relock on another value"] += at.locked.block_id != before.locked.block_id
    coverage["decided by certificate"] += at.step is do.Step.DECIDED and isinstance(event, ev.CommitReceived)


def _count_cast(coverage: Counter[str], statement: Statement, event: ev.Event) -> None:
    if isinstance(statement, Proposal):
        coverage["re-proposal"] += statement.valid_round != FRESH
        return
    cause = "timeout" if isinstance(event, ev.TimeoutFired) else "rule"
    value = "nil" if statement.block_id is None else "block"
    coverage[f"{statement.kind.name.lower()} {value} by {cause}"] += 1
