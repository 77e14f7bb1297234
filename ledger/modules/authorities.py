"""Authorities: the set in force and how it changes, proven offences, and who missed votes.

A change is decided by Q approvals. It is executed in block h, stands as next-set hash in the header of h + 1 and is in
force at h + 2; one at a time, one authority at a time, never fewer than MIN_AUTHORITIES. An institution that is
admitted joins by itself, once it has shown that it holds its keys and followed the chain. Offences are recorded and
missed votes counted, from the blocks' own certificates alone; nothing removes an authority but a decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger import cbor
from ledger.authority import Authority, AuthoritySet
from ledger.codes import Code, Refusal
from ledger.consensus import evidence as proofs
from ledger.consensus.evidence import Offence
from ledger.errors import LedgerError
from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.approvals import decision
from ledger.modules.kinds import AccountId, Height, Label, PublicKey, Secret, Signed
from ledger.modules.module import Context, Look, Module
from ledger.state import (
    AUTHORITY_SETS,
    AuthoritySetRow,
    Head,
    LedgerState,
    Reader,
    Table,
    authorities_at,
    authority_set_key,
)  # fmt: skip
from ledger.statements import is_possession

MIN_AUTHORITIES: Final = 4
MAX_AUTHORITIES: Final = 32
MAX_CANDIDATES: Final = 4
CANDIDATE_PERIOD_MS: Final = 30 * 86_400_000
"""How long an admitted institution has to join."""
MAX_PROOF_AGE_BLOCKS: Final = 32
"""How far behind the newest block the one may be by which a candidate shows that it follows the chain."""
_DELAY_BLOCKS: Final = 2


@dataclass(frozen=True, slots=True)
class Duty:
    """How many certificates lacked an authority's precommit, and how many offences of it are proven."""

    missed_votes: int
    offences: int


@dataclass(frozen=True, slots=True)
class ProvenOffence:
    """The height of the block that recorded an offence, under authority ‖ height ‖ round ‖ kind."""

    recorded_at: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An institution that is admitted and has not joined: its future `Authority.fields()`, until when it may join.

    `answers` are (height, hash) of the newest blocks: what only a node knows that has executed the chain up to there.
    """

    member: tuple[bytes | str, ...]
    until_ms: int
    answers: tuple[tuple[int, bytes], ...]


DUTIES: Final = Table("authorities.duties", Duty)
OFFENCES: Final = Table("authorities.offences", ProvenOffence)
CANDIDATES: Final = Table("authorities.candidates", Candidate)

module = Module("authorities", tables=(AUTHORITY_SETS, DUTIES, OFFENCES, CANDIDATES))


@decision(module)
def admit(
    context: Context,
    authority: AccountId,
    account_key: PublicKey,
    name: Label,
    vote_key: PublicKey,
    cosign_key: PublicKey,
    log_key: PublicKey,
) -> Refusal | None:
    """Admit an institution as a candidate, and open its account. It becomes an authority when it calls `join`."""
    rows = list(context.state.scan(CANDIDATES))
    if len(rows) >= MAX_CANDIDATES:
        return Refusal(Code.TOO_MANY_CANDIDATES, f"{MAX_CANDIDATES} candidates wait already")
    if len(_newest(context).members) >= MAX_AUTHORITIES:
        return Refusal(Code.TOO_MANY_AUTHORITIES, f"there are {MAX_AUTHORITIES} authorities already")
    member = Authority(authority, name, vote_key, cosign_key, log_key)
    refusal = _refuse_set([*_newest(context).members, member]) or _open_account(context, authority, account_key)
    if refusal is not None:
        return refusal
    until_ms = context.time_ms + CANDIDATE_PERIOD_MS
    context.state.put(CANDIDATES, authority, Candidate(tuple(member.fields()), until_ms, ()))
    context.emit("authorities", "admitted", authority=authority, name=name)
    return None


@module.call()
def join(
    context: Context, height: Height, answer: Secret, vote_proof: Signed, cosign_proof: Signed, log_proof: Signed
) -> Refusal | None:
    """Become an authority: sent by a candidate whose node has followed the chain to block *height*.

    *answer* is `prove_synced` of that block, the proofs are `ledger.statements.sign_possession` with its three keys.
    In force two blocks later.
    """
    row = context.state.get(CANDIDATES, context.sender)
    if row is None:
        return Refusal(Code.NOT_A_CANDIDATE, f"account {context.sender.hex()} is no candidate")
    if (height, answer) not in row.answers:
        return Refusal(Code.NOT_SYNCED, f"that is not what a node knows which has executed block {height}")
    member = Authority(*row.member)  # type: ignore[arg-type]
    refusal = _refuse_keys(context, member, (vote_proof, cosign_proof, log_proof)) or _change(
        context, [*_newest(context).members, member]
    )
    if refusal is not None:
        return refusal
    accounts.grant(context.state, context.sender, Role.AUTHORITY)
    context.state.delete(CANDIDATES, context.sender)
    context.emit("authorities", "joined", authority=context.sender, from_height=context.height + _DELAY_BLOCKS)
    return None


@decision(module)
def remove(context: Context, authority: AccountId) -> Refusal | None:
    """Take an authority out of the set, two blocks later. MIN_AUTHORITIES always stay."""
    members = _newest(context).members
    if all(member.id != authority for member in members):
        return Refusal(Code.UNKNOWN_AUTHORITY, f"{authority.hex()} is no authority")
    if len(members) <= MIN_AUTHORITIES:
        return Refusal(Code.TOO_FEW_AUTHORITIES, f"{MIN_AUTHORITIES} authorities must stay; admit another one first")
    refusal = _change(context, [member for member in members if member.id != authority])
    if refusal is None:
        accounts.withdraw(context.state, authority, Role.AUTHORITY)
        context.emit("authorities", "removed", authority=authority, from_height=context.height + _DELAY_BLOCKS)
    return refusal


@decision(module)
def rotate_keys(
    context: Context,
    authority: AccountId,
    vote_key: PublicKey,
    cosign_key: PublicKey,
    log_key: PublicKey,
    vote_proof: Signed,
    cosign_proof: Signed,
    log_proof: Signed,
) -> Refusal | None:
    """Replace an authority's keys, two blocks later. The proofs are `ledger.statements.sign_possession`."""
    members = _newest(context).members
    before = next((member for member in members if member.id == authority), None)
    if before is None:
        return Refusal(Code.UNKNOWN_AUTHORITY, f"{authority.hex()} is no authority")
    after = Authority(authority, before.name, vote_key, cosign_key, log_key)
    refusal = _refuse_keys(context, after, (vote_proof, cosign_proof, log_proof)) or _change(
        context, [after if member is before else member for member in members]
    )
    if refusal is None:
        context.emit("authorities", "keys_rotated", authority=authority, from_height=context.height + _DELAY_BLOCKS)
    return refusal


@module.query()
def list_duties(look: Look) -> list[dict[str, Any]]:
    """Return for each authority of the next block how many votes it missed and how many offences of it are proven."""
    return [
        {"authority": member.id, "name": member.name, "missed_votes": duty.missed_votes, "offences": duty.offences}
        for member in authorities_at(look.state, look.height + 1).members
        for duty in (look.state.get(DUTIES, member.id) or Duty(0, 0),)
    ]


@module.query()
def list_sets(look: Look) -> list[dict[str, Any]]:
    """Return every set there was, newest first: from which height on, and its members' names and keys."""
    return [
        {
            "from_height": row.from_height,
            "members": [dict(zip(Authority.__dataclass_fields__, member, strict=True)) for member in row.members],
        }
        for _, row in look.state.scan(AUTHORITY_SETS)
    ]


@module.query()
def list_candidates(look: Look) -> list[dict[str, Any]]:
    """Return the institutions that are admitted and have not joined."""
    return [
        {"authority": key, "name": row.member[1], "until_ms": row.until_ms} for key, row in look.state.scan(CANDIDATES)
    ]


@module.metric()
def missed_votes(look: Look) -> int:
    """Certificates that lacked a precommit of an authority, over all authorities."""
    return sum(row.missed_votes for _, row in look.state.scan(DUTIES))


@module.metric()
def offences(look: Look) -> int:
    """Offences of authorities that evidence in blocks proved."""
    return sum(row.offences for _, row in look.state.scan(DUTIES))


def prove_synced(head: Head, authority: bytes) -> bytes:
    """Return what a candidate answers about the block of *head*, its node's own: nobody else can who did not follow.

    The running secret at *head* comes of every block before it and is never published.
    """
    return hashlib.sha256(cbor.encode(["synced", authority, head.header.height, head.secret])).digest()


def candidate_names(state: LedgerState) -> frozenset[str]:
    """Return the names of the institutions that were admitted and have not joined."""
    return frozenset(str(row.member[1]) for _, row in state.scan(CANDIDATES))


def choose_evidence(
    state: LedgerState, chain_id: bytes, height: int, candidates: Iterable[bytes], limit: int
) -> tuple[bytes, ...]:
    """Return the *candidates* (at most *limit*) that prove something new about the authorities of *state*, in order."""
    committed = _Committed(state)
    chosen: list[bytes] = []
    for candidate in candidates:
        offence = _check(state, candidate, chain_id, height, committed)
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


def _check(view: Reader, data: bytes, chain_id: bytes, height: int, committed: Container[Offence]) -> Offence | None:
    result = proofs.check(
        data, chain_id=chain_id, height=height, authorities_at=lambda at: authorities_at(view, at), committed=committed
    )
    return result if isinstance(result, Offence) else None


def _newest(context: Context) -> AuthoritySet:
    """Return the set that the next change starts from."""
    return authorities_at(context.state, context.height + _DELAY_BLOCKS)


def _refuse_set(members: list[Authority]) -> Refusal | None:
    try:
        AuthoritySet(tuple(sorted(members, key=lambda member: member.id)))
    except LedgerError as error:
        return Refusal(Code.BAD_AUTHORITY, str(error))
    return None


def _refuse_keys(context: Context, member: Authority, statements: tuple[bytes, bytes, bytes]) -> Refusal | None:
    keys, chain_id = (member.vote_key, member.cosign_key, member.log_key), context.genesis.chain_id
    for key, raw, purpose in zip(keys, statements, ("vote", "cosign", "log"), strict=True):
        if not is_possession(raw, chain_id, member.id, key):
            return Refusal(Code.KEY_NOT_PROVEN, f"nothing shows that authority {member.name} holds its {purpose} key")
    return None


def _change(context: Context, members: list[Authority]) -> Refusal | None:
    """Put *members* in force two blocks on."""
    newest = next((row.from_height for _, row in context.state.scan(AUTHORITY_SETS)), 0)
    if newest > context.height:
        return Refusal(Code.CHANGE_PENDING, f"another change is in force from block {newest} on; ask again then")
    refusal = _refuse_set(members)
    if refusal is None:
        ordered = sorted(members, key=lambda member: member.id)
        _put_set(context, context.height + _DELAY_BLOCKS, ordered)
    return refusal


def _put_set(context: Context, from_height: int, members: Iterable[Authority]) -> None:
    row = AuthoritySetRow(from_height, tuple(tuple(member.fields()) for member in members))
    context.state.put(AUTHORITY_SETS, authority_set_key(from_height), row)


def _open_account(context: Context, authority: bytes, account_key: bytes) -> Refusal | None:
    """Open the candidate's account; one that was an authority before keeps its own."""
    known = accounts.find(context.state, authority)
    if known is not None and known.public_key == account_key and context.state.get(CANDIDATES, authority) is None:
        return None
    return accounts.open_account(context.state, authority, account_key, Role(0))


def _begin(context: Context) -> None:
    if context.last_commit is not None:
        present = {index for index, _ in context.last_commit.signatures}
        for index, member in enumerate(authorities_at(context.state, context.height - 1).members):
            if index not in present:
                _charge(context, member.id, missed=1)
    for data in context.evidence:
        _record(context, data)
    for key, row in context.state.scan(CANDIDATES):
        _challenge(context, key, row)


def _challenge(context: Context, authority: bytes, row: Candidate) -> None:
    """Keep what a synced candidate knows of the newest blocks; forget one whose time to join is over."""
    if context.time_ms > row.until_ms:
        context.state.delete(CANDIDATES, authority)
        context.emit("authorities", "candidate_expired", authority=authority)
        return
    newest = (context.parent.header.height, prove_synced(context.parent, authority))
    answers = (*row.answers, newest)[-MAX_PROOF_AGE_BLOCKS:]
    context.state.put(CANDIDATES, authority, replace(row, answers=answers))


def _record(context: Context, data: bytes) -> None:
    offence = _check(context.state, data, context.genesis.chain_id, context.height, ())
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
    _put_set(context, 0, context.genesis.authorities.members)


def _due(look: Look) -> int | None:
    """A change that was just executed calls for the next block at once: its header announces the set."""
    newest = next((row.from_height for _, row in look.state.scan(AUTHORITY_SETS)), 0)
    return look.time_ms + 1 if newest > look.height + 1 else None


module.genesis = _genesis
module.begin = _begin
module.due = _due
