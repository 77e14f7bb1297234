"""What an institution tells the others about its node before a ledger begins, or before it joins: its entry.

    {"name": "ERC", "id": …, "vote_key": …, "cosign_key": …, "log_key": …, "account_key": …,
     "address": "ledger.erc.example:30333", "certificate": "-----BEGIN CERTIFICATE-----…"}

Everything in it is public. Ids and keys are hex; `certificate` is the one that its node shows in TLS.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ledger.authority import Authority
from ledger.errors import LedgerError
from ledger.keys import PUBLIC_KEY_BYTES
from ledger.transaction import ACCOUNT_ID_BYTES

MAX_ENTRY_BYTES: Final = 16 * 1024
_SIZES: Final = {"id": ACCOUNT_ID_BYTES} | dict.fromkeys(
    ("vote_key", "cosign_key", "log_key", "account_key"), PUBLIC_KEY_BYTES
)


class EntryError(LedgerError):
    """An entry that cannot be used: whoever sent it must make it anew."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An institution: its future authority, the key of its account, where its node listens, its TLS certificate."""

    name: str
    id: bytes
    vote_key: bytes
    cosign_key: bytes
    log_key: bytes
    account_key: bytes
    address: str
    certificate: str

    @property
    def authority(self) -> Authority:
        """The member of the set that it will be."""
        return Authority(self.id, self.name, self.vote_key, self.cosign_key, self.log_key)

    def dumps(self) -> str:
        """Return the entry as JSON text."""
        values = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(self).items()}
        return json.dumps(values, indent=2) + "\n"


def load(path: Path) -> Entry:
    """Return the entry in the JSON file *path*; raises EntryError."""
    try:
        values = json.loads(path.read_bytes()[:MAX_ENTRY_BYTES])
        read: dict[str, Any] = {name: bytes.fromhex(one) if name in _SIZES else one for name, one in values.items()}
        made = Entry(**read)
    except OSError as error:
        raise EntryError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise EntryError(
            f"{path} is no entry of an institution ({error}); `campusgrid ledger init` makes one"
        ) from error
    wrong = [name for name, size in _SIZES.items() if len(getattr(made, name)) != size]
    wrong += [name for name in ("name", "address", "certificate") if not isinstance(getattr(made, name), str)]
    if wrong:
        raise EntryError(f"{path}: {wrong[0]} is malformed; `campusgrid ledger init` makes a new entry")
    return made


def load_all(paths: Sequence[Path]) -> tuple[Entry, ...]:
    """Return the entries in the files *paths*, ascending by id; raises EntryError where two are of one name or id."""
    entries = tuple(sorted((load(path) for path in paths), key=lambda entry: entry.id))
    for attribute in ("name", "id"):
        if len({getattr(entry, attribute) for entry in entries}) != len(entries):
            raise EntryError(f"two entries share one {attribute}: give each institution's once")
    return entries
