"""What this node signed, and what led to it: one value for one (height, round, type), for ever."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from ledger.consensus import signing
from ledger.consensus.signing import Signature
from ledger.node.storage.database import Database


class SignedType(IntEnum):
    """What kinds of messages the rule "one value for one (height, round, type)" covers."""

    PROPOSAL = 32
    PREVOTE = 33
    PRECOMMIT = 34
    COSIGNATURE = 64


@dataclass(frozen=True, slots=True)
class Signed:
    """A message this node signed: `value` is what must never change for its (height, round, type)."""

    height: int
    round: int
    type: SignedType
    value: bytes
    message: bytes


class SignState(Database):
    """The tables `sign_state`, `inputs`, `candidates` and `evidence`."""

    def sign(self, signed: Signed) -> bytes:
        """Record *signed* and return the message to send: the stored one where this value was signed before.

        Raises DoubleSigningError where *another* value was signed for the same height, round and type.
        """
        key = (signed.height, signed.round, int(signed.type))
        row = self._one("SELECT value, message FROM sign_state WHERE height = ? AND round = ? AND type = ?", key)
        stored = Signature(*row) if row is not None else None
        what = f"{signed.type.name.lower()} at height {signed.height}, round {signed.round}"
        chosen = signing.choose(stored, Signature(signed.value, signed.message), what)
        if stored is None:
            self._run("INSERT INTO sign_state VALUES (?, ?, ?, ?, ?)", (*key, chosen.value, chosen.message))
        return chosen.message

    def signed(self, height: int) -> list[Signed]:
        """Return what this node signed at *height*, ascending by round and type."""
        rows = self._all(
            "SELECT round, type, value, message FROM sign_state WHERE height = ? ORDER BY round, type", (height,)
        )
        return [Signed(height, round_, SignedType(type_), value, message) for round_, type_, value, message in rows]

    def has_signed(self) -> bool:
        """Tell whether this database holds anything that was signed."""
        return self._one("SELECT 1 FROM sign_state LIMIT 1", ()) is not None

    def newest_signed(self) -> int:
        """Return the greatest height at which anything was signed, 0 where nothing was."""
        row = self._one("SELECT max(height) FROM sign_state", ())
        return row[0] or 0 if row else 0

    def add_input(self, height: int, data: bytes) -> None:
        """Append one input of the consensus core at *height*."""
        self._run("INSERT INTO inputs (height, data) VALUES (?, ?)", (height, data))

    def inputs(self, height: int) -> list[bytes]:
        """Return the core's inputs at *height*, in order."""
        return [row[0] for row in self._all("SELECT data FROM inputs WHERE height = ? ORDER BY number", (height,))]

    def add_candidate(self, height: int, block_id: bytes, body: bytes) -> None:
        """Keep a block that this node proposes or votes for; it is needed again after a restart."""
        self._run("INSERT OR IGNORE INTO candidates VALUES (?, ?, ?)", (block_id, height, body))

    def candidates(self, height: int) -> dict[bytes, bytes]:
        """Return the encoded blocks of *height* by their ids."""
        return dict(self._all("SELECT block_id, body FROM candidates WHERE height = ?", (height,)))

    def forget_inputs(self, height: int) -> None:
        """Forget inputs and candidates up to *height*, which is decided."""
        self._run("DELETE FROM inputs WHERE height <= ?", (height,))
        self._run("DELETE FROM candidates WHERE height <= ?", (height,))

    def add_evidence(self, evidence: bytes) -> None:
        """Keep evidence that no block holds yet."""
        self._run("INSERT OR IGNORE INTO evidence VALUES (?)", (evidence,))

    def evidence(self) -> list[bytes]:
        """Return the evidence that waits for a block."""
        return [row[0] for row in self._all("SELECT data FROM evidence ORDER BY data", ())]

    def delete_evidence(self, settled: Iterable[bytes]) -> None:
        """Forget evidence that has nothing more to prove."""
        self._many("DELETE FROM evidence WHERE data = ?", ((one,) for one in settled))
