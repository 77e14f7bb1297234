"""What keeps a node from deciding: its consensus and its peers, looked at from inside. Runs in the event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ledger.api.condition import MISSING, NIL, AuthorityCondition, Condition, NilVote
from ledger.authority import AuthoritySet
from ledger.consensus.effects import Step
from ledger.consensus.status import Status
from ledger.envelope import Kind
from ledger.node.service import Node


def describe_condition(node: Node) -> Condition:
    """Return the condition of *node* right now."""
    driver, at, observer = node.driver, node.machine.state, node.observer
    authorities, round_ = driver.position.authorities, at.round if at else 0
    now_s = time.monotonic()
    return Condition(
        chain_id=node.genesis.chain_id,
        name=node.identity.name,
        index=driver.place,
        height=driver.height,
        round=round_,
        step=at.step.name.lower() if at else "idle",
        proposer=authorities.members[authorities.proposer(driver.height, round_)].name,
        quorum=authorities.quorum,
        signs_from=node.rejoining.signs_from,
        alarm=driver.alarm or driver.key_fault,
        has_work=driver.has_work() or (at is not None and at.step is not Step.NEW),
        mempool=len(node.mempool),
        height_age_ms=0 if observer.round_since_s is None else _to_ms(now_s - observer.height_since_s),
        round_age_ms=None if observer.round_since_s is None else _to_ms(now_s - observer.round_since_s),
        authorities=tuple(_describe_authority(node, place, now_s) for place in range(len(authorities))),
        nils=tuple(
            NilVote(nil.height, nil.round, nil.kind.name.lower(), nil.time_ms, nil.reason.value, nil.text)
            for nil in observer.nils
        ),
    )


def _describe_authority(node: Node, place: int, now_s: float) -> AuthorityCondition:
    authorities, own = node.driver.position.authorities, node.machine.status()
    name = authorities.members[place].name
    is_self = place == node.driver.place
    heard, peer = node.observer.reports.get(name), node.peers.by_name.get(name)
    status = own if is_self else heard.report.status if heard is not None else None
    message_at_s = node.observer.message_at_s.get(name)
    is_comparable = status is not None and status.height == node.driver.height
    return AuthorityCondition(
        name=name,
        is_self=is_self,
        connected=is_self or (peer is not None and peer.linked),
        height=node.driver.height if is_self else heard.report.height if heard is not None else None,
        round=status.round if status is not None else None,
        step=status.step.name.lower() if status is not None else None,
        report_age_ms=_to_ms(now_s - heard.at_s) if heard is not None and not is_self else None,
        message_age_ms=_to_ms(now_s - message_at_s) if message_at_s is not None else None,
        clock_offset_ms=heard.clock_offset_ms if heard is not None and not is_self else None,
        prevote=find_vote(own, Kind.PREVOTE, place),
        precommit=find_vote(own, Kind.PRECOMMIT, place),
        lacks_prevotes=tuple(list_lacking(status, Kind.PREVOTE, authorities)) if is_comparable else (),
        lacks_precommits=tuple(list_lacking(status, Kind.PRECOMMIT, authorities)) if is_comparable else (),
    )


def find_vote(status: Status | None, kind: Kind, place: int) -> str:
    """Return the vote of the authority at *place* in the round of *status*."""
    for (round_, vote_kind, block_id), senders in status.votes if status is not None else ():
        if status is not None and (round_, vote_kind) == (status.round, kind) and place in senders:
            return NIL if block_id is None else block_id.hex()
    return MISSING


def list_lacking(status: Status | None, kind: Kind, authorities: AuthoritySet) -> Iterator[str]:
    """Yield who has no vote of *kind* in the round of *status*, by name; nobody before the node itself votes so."""
    if status is None or status.step < (Step.PREVOTE if kind == Kind.PREVOTE else Step.PRECOMMIT):
        return
    for place, member in enumerate(authorities.members):
        if find_vote(status, kind, place) == MISSING:
            yield member.name


def _to_ms(seconds: float) -> int:
    return round(seconds * 1000)
