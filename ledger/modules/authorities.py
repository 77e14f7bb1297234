"""Authorities: the set in force, proven offences, and who missed votes as the blocks' own certificates tell."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Final

from ledger.authority import AuthoritySet
from ledger.consensus import evidence as proofs
from ledger.consensus.evidence import Offence
from ledger.modules.module import Context, Module
from ledger.state import AUTHORITY_SETS, CURRENT_SET, AuthoritySetRow, LedgerState, Reader, Table


@dataclass(frozen=True, slots=True)
class Duty:
    """How many certificates lacked an authority's precommit, and how many offences of it are proven."""

    missed_votes: int
    offences: int


@dataclass(frozen=True, slots=True)
class ProvenOffence:
    """The height of the block that recorded an offence, under authority ‖ height ‖ round ‖ kind."""

    recorded_at: int


DUTIES: Final = Table("authorities.duties", Duty)
OFFENCES: Final = Table("authorities.offences", ProvenOffence)

module = Module("authorities", tables=(AUTHORITY_SETS, DUTIES, OFFENCES))


def choose_evidence(
    state: LedgerState, chain_id: bytes, height: int, candidates: Iterable[bytes], limit: int
) -> tuple[bytes, ...]:
    """Return the *candidates* (at most *limit*) that prove something new about the authorities of *state*, in order."""
    committed = _Committed(state)
    chosen: list[bytes] = []
    for candidate in candidates:
        offence = _check(candidate, chain_id, height, state.authority_set, committed)
        if offence is not None and len(chosen) < limit:
            committed.fresh.add(offence)
            chosen.append(candidate)
    return tuple(chosen)


class _Committed(Container[Offence]):
    """The offences that are recorded, and those that this block will record."""

    def __init__(self, view: Reader) -> None:
        self._view = view
        self.fresh: set[Offence] = set()

    def __contains__(self, offence: object) -> bool:
        return isinstance(offence, Offence) and (
            offence in self.fresh or self._view.get(OFFENCES, _key(offence)) is not None
        )


def _check(
    data: bytes, chain_id: bytes, height: int, authorities: AuthoritySet, committed: Container[Offence]
) -> Offence | None:
    # The set never changes yet; a set in force at an earlier height will be looked up here.
    result = proofs.check(
        data, chain_id=chain_id, height=height, authorities_at=lambda _: authorities, committed=committed
    )
    return result if isinstance(result, Offence) else None


def _begin(context: Context) -> None:
    row = context.state.get(AUTHORITY_SETS, CURRENT_SET)
    members = row.members if row else ()
    if context.last_commit is not None:
        present = {index for index, _ in context.last_commit.signatures}
        for index, member in enumerate(members):
            if index not in present:
                _charge(context, bytes(member[0]), missed=1)  # type: ignore[arg-type]
    for data in context.evidence:
        _record(context, data)


def _record(context: Context, data: bytes) -> None:
    offence = _check(data, context.genesis.chain_id, context.height, context.genesis.authorities, ())
    if offence is None:
        return
    context.state.put(OFFENCES, _key(offence), ProvenOffence(context.height))
    _charge(context, offence.authority_id, offences=1)
    height, round_, kind = offence.slot
    context.emit("authorities", "offence", authority=offence.authority_id, height=height, round=round_, kind=int(kind))


def _charge(context: Context, authority: bytes, missed: int = 0, offences: int = 0) -> None:
    before = context.state.get(DUTIES, authority) or Duty(0, 0)
    after = replace(before, missed_votes=before.missed_votes + missed, offences=before.offences + offences)
    context.state.put(DUTIES, authority, after)


def _key(offence: Offence) -> bytes:
    return offence.authority_id + b"".join(int(number).to_bytes(8, "big") for number in offence.slot)


def _genesis(context: Context) -> None:
    members = tuple(tuple(member.fields()) for member in context.genesis.authorities.members)
    context.state.put(AUTHORITY_SETS, CURRENT_SET, AuthoritySetRow(members))


module.genesis = _genesis
module.begin = _begin
