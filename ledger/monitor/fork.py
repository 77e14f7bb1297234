"""Evidence that a log has two histories: two checkpoints, both signed as the policy demands, that cannot both be true.

    {"first": signed note, "second": signed note, "path": [base64 …]}        JSON

Either both are of one size with two roots, or `path` (RFC 6962 §2.1.2, the smaller tree's node first) leads to the
larger one's root and shows that it begins otherwise than the smaller one. Nobody's word is needed to check it.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

from ledger import checkpoint, merkle
from ledger.checkpoint import Checkpoint, SignatureLine
from ledger.errors import LedgerError, MalformedError
from ledger.policy import Policy, PolicyRefusedError

MAX_EVIDENCE_BYTES: Final = 256 * 1024


class NoForkError(LedgerError):
    """What is said to prove a fork does not; the text says why."""


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the signature lines that came with it."""

    checkpoint: Checkpoint
    lines: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return checkpoint.note(self.checkpoint, self.lines)


@dataclass(frozen=True, slots=True)
class Fork:
    """Two signed checkpoints that exclude each other; `nodes` as `merkle.roots_from_path` wants them."""

    first: SignedCheckpoint
    second: SignedCheckpoint
    nodes: tuple[bytes, ...] = ()

    def dumps(self) -> str:
        """Return the evidence file's text."""
        path = [base64.b64encode(node).decode() for node in self.nodes]
        return json.dumps({"first": str(self.first), "second": str(self.second), "path": path}, indent=2) + "\n"

    @property
    def excludes(self) -> bool:
        """Whether the two cannot both be true of one append-only log."""
        first, second = self.first.checkpoint, self.second.checkpoint
        if first.origin != second.origin:
            return False
        if first.size == second.size:
            return first.root != second.root
        roots = merkle.roots_from_path(first.size, second.size, self.nodes)
        return roots is not None and roots[1] == second.root and roots[0] != first.root


def parse_note(text: str) -> SignedCheckpoint:
    """Return the signed checkpoint that *text* writes, signatures unchecked; raises MalformedError."""
    return SignedCheckpoint(*checkpoint.parse_note(text))


def loads(text: str) -> Fork:
    """Return what the evidence *text* holds, nothing checked yet; raises MalformedError."""
    try:
        document: Any = json.loads(text) if len(text) <= MAX_EVIDENCE_BYTES else None
        nodes = tuple(base64.b64decode(node, validate=True) for node in document["path"])
        return Fork(parse_note(document["first"]), parse_note(document["second"]), nodes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedError(f"this is no evidence of a fork: {error}") from error


def check(fork: Fork, first: Policy, second: Policy) -> None:
    """Raise NoForkError unless both checkpoints are signed as their policies demand, and exclude each other."""
    try:
        first.check(fork.first.checkpoint, fork.first.lines)
        second.check(fork.second.checkpoint, fork.second.lines)
    except PolicyRefusedError as error:
        raise NoForkError(f"not both checkpoints count: {error}") from error
    if not fork.excludes:
        raise NoForkError("the two checkpoints do not exclude each other")
