"""What keeps a ledger from deciding its next block, judged from what one or more of its nodes tell of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.api.condition import AuthorityCondition, Condition, NilVote

SILENT_MS: Final = 5_000
"""A peer that reports 2.5 times a second and was not heard for so long takes no part."""
SLOW_MS: Final = 5_000
"""A height in progress for longer is held up; round 0 alone may wait for 2 s."""
CLOCK_MS: Final = 500
"""The precision that proposers' times are judged by (`ledger.consensus.timing`)."""
LAG_BLOCKS: Final = 2
_WHAT_TO_DO: Final = {
    "invalid_block": "run `campusgrid ledger diff-block {height}` with the URLs of that node and of the proposer",
    "untimely": "set the clocks by a time server (chronyc tracking), those first whose offset stands out above",
    "locked": "nothing: a later round proposes the locked block; find out why the earlier rounds failed",
    "no_block": "look at the network between the proposers and this node: blocks take too long on their way",
    "not_executed": "look at the load of this node: blocks take longer to execute than a round lasts",
    "unsupported": "look at the links above: votes of earlier rounds do not reach this node",
    "no_proposal": "look at the proposers named above: their nodes do not propose, or are not heard here",
    "unusable_quorum": "run `campusgrid ledger diff-block {height}` with the URLs of this node and of another",
    "no_quorum": "look at the authorities whose prevotes are missing above",
    "nil_quorum": "ask the others too (give their --url): their prevotes were nil",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """The verdict: whether the ledger is held up, by what, and what to do."""

    is_stuck: bool
    text: str
    next_step: str


def find_cause(conditions: Sequence[Condition]) -> Cause:
    """Return what holds the first of *conditions* up; the others, of its peers, add why they voted nil.

    At least one is given, all of one chain.
    """
    own = conditions[0]
    return (
        _find_alarm(conditions)
        or _find_lag(own)
        or _find_absence(conditions)
        or _find_rest(own)
        or _find_nils(conditions)
        or _find_delay(own)
    )


def takes_part(one: AuthorityCondition) -> bool:
    """Tell whether an authority is there, as far as the answering node hears it."""
    return one.is_self or (one.report_age_ms is not None and one.report_age_ms <= SILENT_MS)


def _find_alarm(conditions: Sequence[Condition]) -> Cause | None:
    """The asked node's own alarm; another's counts where it leaves too few, which `_find_absence` tells."""
    own = conditions[0]
    if own.alarm is None:
        return None
    return Cause(True, f"{own.name} signs no more: {own.alarm}", "do what the alarm says, then start the node again")


def _find_lag(own: Condition) -> Cause | None:
    heights = sorted(
        (one.height for one in own.authorities if one.height is not None and not one.is_self), reverse=True
    )
    weak = len(own.authorities) - own.quorum + 1
    if len(heights) < weak or heights[weak - 1] < own.height + LAG_BLOCKS:
        return None
    text = f"{own.name} works on height {own.height} while others are at {heights[weak - 1]}: it copies blocks"
    return Cause(True, text, "wait; if its height does not rise, read its log: no peer may have sent good blocks")


def _find_absence(conditions: Sequence[Condition]) -> Cause | None:
    own = conditions[0]
    idle = {one.name: _why_unable(one) for one in conditions if _why_unable(one)}
    absent = {one.name: _tell_absence(one) for one in own.authorities if not takes_part(one)} | {
        name: why for name, why in idle.items() if any(member.name == name for member in own.authorities)
    }
    present = len(own.authorities) - len(absent)
    if present >= own.quorum:
        return None
    listed = ", ".join(f"{name} ({why})" for name, why in absent.items())
    text = f"{present} of {len(own.authorities)} authorities take part, {own.quorum} are needed: {listed}"
    return Cause(True, text, "start those nodes, or mend the network to them; wiping data never helps")


def _why_unable(one: Condition) -> str:
    if one.alarm is not None:
        return f"signs no more: {one.alarm}"
    if one.signs_from is None:
        return "observes until a quorum of the others tells it what it may have signed and forgot"
    return f"observes until height {one.signs_from}" if one.height < one.signs_from else ""


def _tell_absence(one: AuthorityCondition) -> str:
    if one.report_age_ms is None:
        return "never heard"
    return f"silent for {one.report_age_ms / 1000:.0f} s"


def _find_rest(own: Condition) -> Cause | None:
    if own.has_work:
        return None
    return Cause(False, "nothing waits to be decided", "nothing: the next transaction or due work makes a block")


def _find_nils(conditions: Sequence[Condition]) -> Cause | None:
    own = conditions[0]
    nils = [(one.name, nil) for one in conditions for nil in one.nils if nil.height == own.height]
    prevotes = [(name, nil) for name, nil in nils if nil.kind == "prevote"]
    chosen = prevotes or nils
    if not chosen or (own.height_age_ms < SLOW_MS and own.round == 0):
        return None
    # the reason that came most often, the newest example of it
    reason = Counter(nil.reason for _, nil in chosen).most_common(1)[0][0]
    name, nil = max((one for one in chosen if one[1].reason == reason), key=lambda one: one[1].round)
    next_step = _WHAT_TO_DO[reason].format(height=own.height)
    return Cause(True, f"round {own.round}: {_tell_nil(name, nil)}{_tell_clocks(own, reason)}", next_step)


def _tell_nil(name: str, nil: NilVote) -> str:
    return f"{name}'s {nil.kind} of round {nil.round} was nil because {nil.text}"


def _tell_clocks(own: Condition, reason: str) -> str:
    off = [one for one in own.authorities if reason == "untimely" and abs(one.clock_offset_ms or 0) > CLOCK_MS]
    listed = ", ".join(f"{one.name} {one.clock_offset_ms:+d} ms" for one in off)
    return f"; clocks that differ from {own.name}'s: {listed}" if listed else ""


def _find_delay(own: Condition) -> Cause:
    age_s = own.height_age_ms / 1000
    text = f"height {own.height} has been in progress for {age_s:.1f} s, in round {own.round} ({own.step})"
    if own.height_age_ms < SLOW_MS:
        return Cause(False, text, "nothing: it is being decided")
    return Cause(True, text, "ask again with --url of every authority, and compare the votes that each lacks")
