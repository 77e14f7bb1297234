"""What nodes computed for a block, so that two that disagree can be compared (LEDGER rule 14).

A node that computes something else than the proposer keeps what it computed, and asks him for his. The two results are
told apart by `ledger.difference`; nothing here decides anything.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from ledger import cbor
from ledger.block import HASH_BYTES
from ledger.errors import MalformedError
from ledger.execution import Execution
from ledger.roots import RootChange, Write

KEPT_DECIDED: Final = 8
KEPT_REFUSED: Final = 8
KEPT_ANSWERS: Final = 64
MAX_RESULT_BYTES: Final = 8 * 2**20
"""What a frame carries of one; a longer one is not sent, but can be had from the other node's API."""


@dataclass(frozen=True, slots=True)
class ReceiptResult:
    """What became of a transaction: its id, result code, why it was refused, the hash of its events."""

    transaction_id: bytes
    code: int
    text: str
    effects_hash: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What one node computed for a block: roots, and all that they cover. `leaves` are the log's leaf data in order."""

    block_id: bytes
    height: int
    state_root: bytes
    log_size: int
    log_root: bytes
    receipts: tuple[ReceiptResult, ...]
    records: tuple[bytes, ...]
    leaves: tuple[bytes, ...]
    rows: tuple[Write, ...]

    @classmethod
    def of(cls, block_id: bytes, execution: Execution) -> Result:
        """Return the result of *execution* for the block that was proposed as *block_id*."""
        header = execution.header
        return cls(
            block_id, header.height, header.state_root, header.log_size, header.log_root,
            tuple(
                ReceiptResult(one.record.transaction_id, one.record.code, one.text, one.record.effects_hash)
                for one in execution.receipts
            ),
            tuple(one.data for one in execution.records), execution.leaves, execution.writes,
        )  # fmt: skip

    def encode(self) -> bytes:
        """Return the canonical bytes that a peer gets."""
        receipts = [[one.transaction_id, one.code, one.text, one.effects_hash] for one in self.receipts]
        rows = [[row.table, row.key, row.value] for row in self.rows]
        roots = [self.block_id, self.height, self.state_root, self.log_size, self.log_root]
        return cbor.encode([*roots, receipts, list(self.records), list(self.leaves), rows])


def decode_result(data: bytes) -> Result:
    """Return the result that *data* encodes; raises MalformedError."""
    values = cbor.decode(data)
    kinds = (bytes, int, bytes, int, bytes, list, list, list, list)
    if type(values) is not list or not _fits(values, kinds) or len(values[0]) != HASH_BYTES:
        raise MalformedError("a block's result has an id, a height, roots, receipts, records, leaves and rows")
    block_id, height, state_root, log_size, log_root, receipts, records, leaves, rows = values
    if not all(type(one) is list and _fits(one, (bytes, int, str, bytes)) for one in receipts):
        raise MalformedError("a result's receipt is malformed")
    if not all(type(one) is list and _fits(one, (str, bytes, bytes | None)) for one in rows):
        raise MalformedError("a result's row is malformed")
    if not all(type(one) is bytes for one in (*records, *leaves)):
        raise MalformedError("a result's record or leaf is malformed")
    return Result(
        block_id, height, state_root, log_size, log_root, tuple(ReceiptResult(*one) for one in receipts),
        tuple(records), tuple(leaves), tuple(Write(*one) for one in rows),
    )  # fmt: skip


def _fits(values: list[cbor.Value], kinds: tuple[object, ...]) -> bool:
    return len(values) == len(kinds) and all(
        isinstance(value, kind) and type(value) is not bool  # type: ignore[arg-type]
        for value, kind in zip(values, kinds, strict=True)
    )


@dataclass(slots=True)
class Refused:
    """A block whose result is another one here: the own result, who proposed it, and what he computed, once it came."""

    reason: str
    own: Result
    proposer: str
    theirs: Result | None = None


class Results:
    """One node's memory of results; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._decided: OrderedDict[bytes, Execution] = OrderedDict()
        self._refused: OrderedDict[bytes, Refused] = OrderedDict()
        self._answered: deque[tuple[str, bytes]] = deque(maxlen=KEPT_ANSWERS)

    def keep_decided(self, block_id: bytes, execution: Execution) -> None:
        """Keep what a decided block gave, but for the state's tree, which nobody compares."""
        self._decided[block_id] = replace(execution, change=RootChange(execution.change.root, {}, ()))
        if len(self._decided) > KEPT_DECIDED:
            self._decided.popitem(last=False)

    def keep_refused(self, block_id: bytes, refused: Refused) -> None:
        """Keep what this node computed for a block that says otherwise."""
        self._refused[block_id] = refused
        if len(self._refused) > KEPT_REFUSED:
            self._refused.popitem(last=False)

    def take(self, peer: str, result: Result) -> None:
        """Keep what the proposer of a refused block computed; anything else was not asked for."""
        refused = self._refused.get(result.block_id)
        if refused is not None and refused.proposer == peer and refused.theirs is None:
            refused.theirs = result

    def is_first_answer(self, peer: str, block_id: bytes) -> bool:
        """Tell whether *peer* has not asked for this block's result before: encoding one costs more than asking."""
        if (peer, block_id) in self._answered:
            return False
        self._answered.append((peer, block_id))
        return True

    def find_decided(self, block_id: bytes) -> Execution | None:
        """Return what a block that was decided of late gave."""
        return self._decided.get(block_id)

    def decided(self, height: int) -> Iterator[tuple[bytes, Execution]]:
        """Yield id and execution of the block decided at *height*, if it is still kept."""
        return (pair for pair in self._decided.items() if pair[1].header.height == height)

    def refused(self, height: int) -> Iterator[Refused]:
        """Yield the refused blocks of *height*."""
        return (one for one in self._refused.values() if one.own.height == height)
