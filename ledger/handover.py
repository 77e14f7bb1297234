"""Hand-over certificates: how somebody who trusts a chain's first authorities comes to trust those of today.

A change of the set is executed in block h, announced by the header of h + 1 (`next_set_hash`) and in force at h + 2.
Its certificate is that header, Q precommits of the set before for it, and the members of the set after. A node keeps
every one for ever; walking them from genesis needs neither blocks nor a node that one believes.

    file         [1, chain id, [certificate …]]                                     one canonical encoding
    certificate  [header fields, [height, round, block id, [[place, signature] …]], [authority fields …]]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ledger import block, cbor, checkpoint
from ledger.authority import Authority, AuthoritySet
from ledger.block import Commit, Header
from ledger.checkpoint import SignatureType, VerifierKey
from ledger.consensus.commit import verify_commit
from ledger.errors import LedgerError, MalformedError

MAX_FILE_BYTES: Final = 16 * 2**20
_VERSION: Final = 1


class HandoverRefusedError(LedgerError):
    """Hand-over certificates that do not lead from the set that is trusted; the text says which one fails, and why."""


@dataclass(frozen=True, slots=True)
class Handover:
    """One change: the header that announces it, exactly Q precommits for that header, the set in force thereafter."""

    header: Header
    commit: Commit
    authorities: AuthoritySet

    @property
    def height(self) -> int:
        """The height of the header that announces the change; `authorities` are in force from the next height on."""
        return self.header.height

    def encode(self) -> bytes:
        """Return the certificate's canonical bytes."""
        return cbor.encode(self.fields())

    def fields(self) -> list[cbor.Value]:
        """Return the certificate as nested arrays."""
        members = [member.fields() for member in self.authorities.members]
        return [self.header.fields(), self.commit.fields(), members]


@dataclass(frozen=True, slots=True)
class Era:
    """A set and where it begins: it votes from `first_height` on, and cosigns logs of `first_size` leaves and more."""

    first_height: int
    first_size: int
    authorities: AuthoritySet


@dataclass(frozen=True, slots=True)
class Eras:
    """All sets that a chain had, oldest first, every step between them checked."""

    chain_id: bytes
    eras: tuple[Era, ...]

    @property
    def newest(self) -> AuthoritySet:
        """The set after the last change that is known here."""
        return self.eras[-1].authorities

    def at_height(self, height: int) -> AuthoritySet:
        """Return the set that votes at *height* (from 1)."""
        return next(era.authorities for era in reversed(self.eras) if era.first_height <= height)

    def verifiers(self, size: int) -> list[VerifierKey]:
        """Return who may sign the checkpoint of *size* leaves: its own era's cosigners, and every era's log keys.

        A log signature tells who served a checkpoint, later perhaps, and counts for nothing: so any era's may.
        """
        origin = checkpoint.origin(self.chain_id)
        own = next(era.authorities for era in reversed(self.eras) if era.first_size <= size)
        keys = {era.authorities: checkpoint.verifier_keys(era.authorities, origin) for era in self.eras}
        logs = [key for found in keys.values() for key in found if key.type is SignatureType.LOG]
        cosigners = [key for key in keys[own] if key.type is SignatureType.COSIGNATURE]
        return [*dict.fromkeys(logs), *cosigners]


def certify(header: Header, commit: Commit, before: AuthoritySet, after: AuthoritySet) -> Handover | None:
    """Return the certificate of the change that decided *header* announces, None where it announces none.

    *before* is the set in force at its height, which *commit* is of, *after* the one at the next.
    """
    if header.set_hash == header.next_set_hash:
        return None
    return Handover(header, replace(commit, signatures=commit.signatures[: before.quorum]), after)


def walk(chain_id: bytes, first: AuthoritySet, handovers: Iterable[Handover]) -> Eras:
    """Return the eras that *handovers* lead through from *first*, all signatures checked; raises HandoverRefusedError.

    Whatever they hold is refused unless each one is certified by the set before it, without a gap.
    """
    eras = [Era(1, 0, first)]
    for number, handover in enumerate(handovers, 1):
        fault = _find_fault(chain_id, eras[-1], handover)
        if fault is not None:
            raise HandoverRefusedError(f"hand-over {number}, announced by block {handover.height}: {fault}")
        eras.append(Era(handover.height + 1, handover.header.log_size, handover.authorities))
    return Eras(chain_id, tuple(eras))


def encode_all(chain_id: bytes, handovers: Sequence[bytes]) -> bytes:
    """Return the file of encoded *handovers*, oldest first."""
    return cbor.encode([_VERSION, chain_id, [cbor.decode_own(one) for one in handovers]])


def parse_all(data: bytes, chain_id: bytes) -> tuple[Handover, ...]:
    """Return what the file *data* of the chain holds, nothing checked yet; raises MalformedError."""
    if len(data) > MAX_FILE_BYTES:
        raise MalformedError(f"hand-over certificates have at most {MAX_FILE_BYTES} bytes, not {len(data)}")
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 3 or values[0] != _VERSION or type(values[0]) is not int:
        raise MalformedError("this is no file of hand-over certificates, version 1")
    if values[1] != chain_id or type(values[2]) is not list:
        raise MalformedError("the hand-over certificates are another chain's")
    return tuple(map(_decode, values[2]))


def parse(data: bytes) -> Handover:
    """Return the certificate that *data* canonically encodes, nothing checked yet; raises MalformedError."""
    return _decode(cbor.decode(data))


def _find_fault(chain_id: bytes, era: Era, handover: Handover) -> str | None:
    header, commit, before = handover.header, handover.commit, era.authorities
    if header.chain_id != chain_id:
        return "the header is another chain's"
    if header.height < era.first_height or header.log_size <= era.first_size:
        return "it does not come after the one before"
    if header.set_hash != before.hash:
        return "the set before it is not the one that is trusted there"
    if header.next_set_hash == header.set_hash or header.next_set_hash != handover.authorities.hash:
        return "the header does not announce these members"
    if (commit.height, commit.block_id) != (header.height, header.id):
        return "the precommits are for another block"
    if len(commit.signatures) != before.quorum:
        return f"exactly {before.quorum} of {len(before)} precommits are needed, not {len(commit.signatures)}"
    if not verify_commit(commit, before, chain_id):
        return "a precommit's signature does not verify"
    return None


def _decode(values: cbor.Value) -> Handover:
    if type(values) is not list or len(values) != 3 or type(values[2]) is not list:
        raise MalformedError("a hand-over has a header, a commit certificate and members")
    header, commit, members = values
    if any(type(member) is not list or [type(one) for one in member] != _MEMBER for member in members):
        raise MalformedError("a hand-over's members are id, name and three keys each")
    try:
        authorities = AuthoritySet(tuple(Authority(*member) for member in members))
    except LedgerError as error:
        raise MalformedError(f"a hand-over's members are no set: {error}") from error
    return Handover(block.decode_header(cbor.encode(header)), block.decode_commit(commit), authorities)


_MEMBER: Final[list[type]] = [bytes, str, bytes, bytes, bytes]
