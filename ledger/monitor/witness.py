"""A witness of a log: remembers the newest checkpoint it has seen and takes only one that continues it.

The watcher (`campusgrid ledger watch`) and the service of c2sp.org/tlog-witness decide by the same rules here; what is
taken is on the disk before anybody hears of it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledger import merkle
from ledger.checkpoint import Checkpoint
from ledger.errors import MalformedError
from ledger.monitor.fork import Fork, SignedCheckpoint, parse_note

MAX_REQUEST_BYTES: Final = 128 * 1024
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")


class Verdict(Enum):
    """What a signed checkpoint is to a witness that remembers an older one."""

    NEWER = "it continues what is remembered"
    SAME = "it is what is remembered"
    UNPROVEN = "the proof does not lead from what is remembered to it"
    FORK = "it excludes what is remembered"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to cosign: the size that the log thinks is remembered, a proof from there, the checkpoint."""

    old_size: int
    path: tuple[bytes, ...]
    signed: SignedCheckpoint


def judge(remembered: Checkpoint | None, offered: Checkpoint, path: tuple[bytes, ...]) -> Verdict:
    """Return what *offered*, signed as it must be and no smaller than the remembered one, is to that."""
    if remembered is None or remembered.size == 0:
        return Verdict.UNPROVEN if path else Verdict.NEWER
    if remembered.size == offered.size:
        if remembered.root != offered.root:
            return Verdict.FORK
        return Verdict.UNPROVEN if path else Verdict.SAME
    is_good = merkle.is_consistent(remembered.size, remembered.root, offered.size, offered.root, path)
    return Verdict.NEWER if is_good else Verdict.UNPROVEN


def find_fork(remembered: SignedCheckpoint, offered: SignedCheckpoint, nodes: tuple[bytes, ...]) -> Fork | None:
    """Return the evidence that two signed checkpoints exclude each other, None where *nodes* do not show it."""
    ordered = sorted((remembered, offered), key=lambda one: one.checkpoint.size)
    fork = Fork(ordered[0], ordered[1], nodes)
    return fork if fork.excludes else None


def parse_submission(body: bytes) -> Submission:
    """Return what the body of an add-checkpoint request asks; raises MalformedError."""
    try:
        text = body.decode() if len(body) <= MAX_REQUEST_BYTES else ""
    except UnicodeDecodeError as error:
        raise MalformedError("a request to cosign is UTF-8 text") from error
    head, separator, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    match = _OLD.fullmatch(first)
    if match is None or not separator or len(lines) > merkle.MAX_PATH:
        raise MalformedError("a request reads: old SIZE, at most 63 lines of hashes, an empty line, a checkpoint")
    return Submission(int(match[1]), tuple(map(_hash, lines)), parse_note(note))


def write_submission(old_size: int, path: tuple[bytes, ...], signed: SignedCheckpoint) -> bytes:
    """Return the body of an add-checkpoint request."""
    hashes = "".join(f"{base64.b64encode(node).decode()}\n" for node in path)
    return f"old {old_size}\n{hashes}\n{signed}".encode()


def _hash(line: str) -> bytes:
    try:
        node = base64.b64decode(line, validate=True)
    except ValueError as error:
        raise MalformedError("a line of the consistency proof is no base64") from error
    if len(node) != merkle.HASH_BYTES or base64.b64encode(node).decode() != line:
        raise MalformedError("a line of the consistency proof is no hash of 32 bytes")
    return node
