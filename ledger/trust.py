"""What an outsider must know of a chain before it believes anything: its id and its first authorities.

A genesis file says it, and says more than an outsider should know: its secret opens salts. So the authorities give
away the trust file instead, `{"chain_id": …, "authorities": [as in genesis.json]}`; either one will do here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger import genesis, handover
from ledger.authority import AuthoritySet
from ledger.errors import LedgerError, MalformedError
from ledger.handover import Eras, HandoverRefusedError
from ledger.transaction import CHAIN_ID_BYTES

MAX_TRUST_BYTES: Final = 64 * 1024


class TrustFileError(LedgerError):
    """A file that tells no chain and authorities; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """A chain's id (8 bytes) and the authorities that it began with."""

    chain_id: bytes
    authorities: AuthoritySet


def load(path: Path) -> TrustRoot:
    """Return what the trust file or the genesis file *path* says; raises TrustFileError or GenesisError."""
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_TRUST_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        raise TrustFileError(f"{path}: cannot be read ({error}); name a trust file or a genesis.json") from error
    if '"chain_id"' in text:
        return _parse(path, text)
    rules = genesis.load(path)
    return TrustRoot(rules.chain_id, rules.authorities)


def dumps(root: TrustRoot) -> str:
    """Return the trust file's text."""
    members = [genesis.authority_json(member) for member in root.authorities.members]
    return json.dumps({"chain_id": root.chain_id.hex(), "authorities": members}, indent=2) + "\n"


def load_eras(path: Path, handovers: Path | None) -> Eras:
    """Return the sets that the certificates in file *handovers* lead to from the trust or genesis file *path*.

    Without such a file it is the first set alone. Raises TrustFileError, GenesisError or HandoverRefusedError.
    """
    root = load(path)
    if handovers is None:
        return handover.walk(root.chain_id, root.authorities, ())
    try:
        with handovers.open("rb") as stream:
            data = stream.read(handover.MAX_FILE_BYTES + 1)
        return handover.walk(root.chain_id, root.authorities, handover.parse_all(data, root.chain_id))
    except OSError as error:
        raise TrustFileError(f"cannot read {handovers}: {error.strerror}; any node's /v1/handovers gives it") from error
    except (MalformedError, HandoverRefusedError) as error:
        raise HandoverRefusedError(f"{handovers} is refused: {error}") from error


def _parse(path: Path, text: str) -> TrustRoot:
    try:
        document: Any = json.loads(text)
        chain_id = bytes.fromhex(document["chain_id"])
        authorities = genesis.parse_authorities(document["authorities"], "authorities")
    except (ValueError, KeyError, TypeError, RecursionError, LedgerError) as error:
        raise TrustFileError(f"{path}: is no trust file ({error}); ask an authority for it") from error
    if len(chain_id) != CHAIN_ID_BYTES or set(document) != {"chain_id", "authorities"}:
        raise TrustFileError(f"{path}: a trust file has a chain_id of 16 hex digits, authorities and nothing else")
    return TrustRoot(chain_id, authorities)
