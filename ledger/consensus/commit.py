"""Commit certificates: Q precommits of one round for one block, as signatures alone.

The signed bytes are rebuilt from height, round and block id, so a certificate cannot hold a signature of anything else.
"""

from __future__ import annotations

from collections.abc import Iterable

from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.consensus.messages import Message, SignatureCheck, Vote, is_signed_by
from ledger.envelope import Kind


def build_commit(height: int, round_: int, block_id: bytes, precommits: Iterable[Message]) -> Commit:
    """Return the certificate of *precommits*, all of which say (height, round, block id), one per sender."""
    signatures = {message.sender: message.signature for message in precommits}
    return Commit(height, round_, block_id, tuple(sorted(signatures.items())))


def verify_commit(
    commit: Commit, authorities: AuthoritySet, chain_id: bytes, is_signed_by: SignatureCheck = is_signed_by
) -> bool:
    """Tell whether *commit* holds at least Q signatures of distinct authorities and none that is bad.

    *authorities* is the set in force at `commit.height`. Never raises, whatever the certificate holds.
    """
    indices = [index for index, _ in commit.signatures]
    if len(indices) < authorities.quorum or indices != sorted(set(indices)):
        return False
    if indices[0] < 0 or indices[-1] >= len(authorities):
        return False
    payload = Vote(Kind.PRECOMMIT, commit.height, commit.round, commit.block_id).payload(chain_id)
    return all(
        is_signed_by(authorities.members[index].vote_key, payload, signature) for index, signature in commit.signatures
    )
