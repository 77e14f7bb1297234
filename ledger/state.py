"""The ledger's state: named tables of rows, one root over all of them, and a block's changes laid over it.

A row is a frozen dataclass, or a named tuple where many are made, of integers, texts, bytes, booleans, None and tuples
of those; it is stored as the canonical CBOR array of its fields. Everything here is deterministic: rows are walked in
the order of their keys.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from heapq import merge
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from ledger import block, cbor
from ledger.authority import Authority, AuthoritySet
from ledger.errors import CorruptedError, LedgerError, MalformedError
from ledger.merkle import Frontier
from ledger.roots import Buckets, RootChange, Write

Row = TypeVar("Row")
_Absent = Any
_UNSET: Final = object()
MAX_DECODED_ROWS: Final = 8_192
"""How many rows of a table are kept decoded: those in use are read again and again, until they change."""


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A table's name (`module.noun`) and the class of its rows."""

    name: str
    row: type[Row]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's fields, in the order in which they are stored."""
        names: tuple[str, ...] | None = getattr(self.row, "_fields", None)
        return names or tuple(column.name for column in fields(self.row))  # type: ignore[arg-type]

    @cached_property
    def _values(self) -> Callable[[Row], tuple[cbor.Value, ...]]:
        """What reads a row's fields, in the order in which they are stored."""
        if issubclass(self.row, tuple):
            return lambda row: row  # type: ignore[return-value]
        names = self.columns
        if len(names) > 1:
            return attrgetter(*names)
        return lambda row: tuple(getattr(row, name) for name in names)

    def encode(self, row: Row) -> bytes:
        """Return the stored form of *row*."""
        return cbor.encode_array(self._values(row))

    def decode(self, value: bytes) -> Row:
        """Return the row stored as *value*; raises CorruptedError where it is no row of this table."""
        try:
            values = cbor.decode_own(value)  # the state root vouches for it
        except MalformedError as error:
            raise CorruptedError(f"a row of table {self.name} is damaged ({error}); restore or synchronise") from error
        if type(values) is not list or len(values) != len(self.columns):
            raise CorruptedError(f"a row of table {self.name} has not {len(self.columns)} columns; synchronise anew")
        return self.row(*[_freeze(item) if type(item) is list else item for item in values])


class Reader(Protocol):
    """What reads rows: the state itself, or a block's overlay on it."""

    def get(self, table: Table[Row], key: bytes) -> Row | None:
        """Return the row under *key*, or None."""

    def scan(self, table: Table[Row], prefix: bytes = b"") -> Iterator[tuple[bytes, Row]]:
        """Yield (key, row) of the rows whose keys start with *prefix*, in the order of their keys."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain stands: the last block's header, the log's frontier after it, the running secret for salts."""

    header: block.Header
    frontier: Frontier
    secret: bytes

    def encode(self) -> bytes:
        """Return the canonical bytes that a node stores beside the rows."""
        log = [self.frontier.size, list(self.frontier.peaks)]
        return cbor.encode([self.header.fields(), *log, self.secret])


def decode_head(data: bytes) -> Head:
    """Return the head that *data* encodes; raises MalformedError."""
    values = cbor.decode(data)
    if type(values) is not list or len(values) != 4 or type(values[2]) is not list:
        raise MalformedError("a stored head has a header, a log size, peaks and a secret")
    header, size, peaks, secret = values
    return Head(block.decode_header(cbor.encode(header)), Frontier(size, tuple(peaks)), secret)


class Transition(Protocol):
    """What leads from one state to the next; `ledger.runtime.Execution` is one."""

    @property
    def head(self) -> Head:
        """The head after the block."""

    @property
    def writes(self) -> tuple[Write, ...]:
        """The changed rows."""

    @property
    def change(self) -> RootChange:
        """What they make of the root's tree."""


@dataclass(frozen=True, slots=True)
class AuthoritySetRow:
    """A set in force from a height on, as `Authority.fields()` of its members. Kept for ever: evidence looks back."""

    from_height: int
    members: tuple[tuple[bytes | str, ...], ...]


AUTHORITY_SETS: Final = Table("authorities.sets", AuthoritySetRow)


def authority_set_key(from_height: int) -> bytes:
    """Return the key of the set in force from *from_height* on: the newest comes first."""
    return (2**64 - 1 - from_height).to_bytes(8, "big")


def authorities_at(view: Reader, height: int) -> AuthoritySet:
    """Return the authorities in force at *height*, which a state knows up to two heights ahead of its own."""
    for _, row in view.scan(AUTHORITY_SETS):
        if row.from_height <= height:
            return AuthoritySet(tuple(Authority(*member) for member in row.members))  # type: ignore[arg-type]
    raise CorruptedError(f"the state names no authorities of height {height}; restore it or synchronise anew")


class LedgerState:
    """The rows after a block, their root, and the head. Only `apply` changes it; readers see one block at a time."""

    def __init__(self, head: Head) -> None:
        """Make a state without rows at *head*."""
        self.head = head
        self._tables: dict[str, _Rows] = {}
        self._buckets = Buckets()

    @property
    def header(self) -> block.Header:
        """The header of the last block applied (height 0: the genesis header)."""
        return self.head.header

    @property
    def frontier(self) -> Frontier:
        """The log after that block."""
        return self.head.frontier

    @property
    def secret(self) -> bytes:
        """The running secret after that block; never published."""
        return self.head.secret

    @property
    def root(self) -> bytes:
        """The state root over all rows."""
        return self._buckets.root

    @property
    def authority_set(self) -> AuthoritySet:
        """The authorities in force at the next height."""
        return authorities_at(self, self.header.height + 1)

    def get(self, table: Table[Row], key: bytes) -> Row | None:
        """Return the row of *table* under *key*, or None."""
        rows = self._tables.get(table.name)
        return None if rows is None else rows.get(table, key)

    def scan(self, table: Table[Row], prefix: bytes = b"") -> Iterator[tuple[bytes, Row]]:
        """Yield (key, row) of *table*'s rows whose keys start with *prefix*, in the order of their keys."""
        for key in self.keys(table.name, prefix):
            yield key, table.decode(self._tables[table.name].values[key])

    def value(self, table: str, key: bytes) -> bytes | None:
        """Return the stored form of a row, or None."""
        rows = self._tables.get(table)
        return None if rows is None else rows.values.get(key)

    def table(self, name: str) -> _Rows:
        """Return the stored rows of the table *name*; none where it is not here."""
        return self._tables.get(name) or _Rows()

    def keys(self, table: str, prefix: bytes = b"") -> list[bytes]:
        """Return the keys of *table* that start with *prefix*, ascending."""
        rows = self._tables.get(table)
        return [] if rows is None else rows.range(prefix)

    def rows(self) -> Iterator[Write]:
        """Yield every row, ascending by table and key, to be stored or checked."""
        for table in sorted(self._tables):
            for key in self._tables[table].range(b""):
                yield Write(table, key, self._tables[table].values[key])

    def change(self, writes: Iterable[Write]) -> RootChange:
        """Return what *writes* would make of the root."""
        return self._buckets.change(writes)

    def apply(self, transition: Transition) -> None:
        """Go to the next block; raises LedgerError, and changes nothing, where it was executed on another state."""
        header = transition.head.header
        if header.parent != self.header.id or header.state_root != transition.change.root:
            raise LedgerError(
                f"block {header.height} was not executed on block {self.header.height}; execute it on this state"
            )
        self._put_all(transition.writes)
        self._buckets.apply(transition.change)
        self.head = transition.head

    @classmethod
    def restore(cls, head: Head, rows: Iterable[Write]) -> LedgerState:
        """Return the state that holds *rows*; raises CorruptedError where their root is not that of *head*."""
        state = cls(head)
        writes = tuple(rows)
        state._put_all(writes)
        state._buckets.apply(state._buckets.change(writes))
        if state.root != head.header.state_root:
            raise CorruptedError(
                f"the stored rows do not give the state root of block {head.header.height}; "
                "restore a backup or synchronise anew"
            )
        return state

    def _put_all(self, writes: Iterable[Write]) -> None:
        for write in writes:
            rows = self._tables.get(write.table)
            if rows is None:
                rows = self._tables[write.table] = _Rows()
            rows.put(write)


class Overlay:
    """Rows as a block in execution sees them: what it changed, else the state below. Refused calls are rolled back."""

    def __init__(self, base: LedgerState) -> None:
        """Lay an empty overlay over *base*, which stays as it is."""
        self._base = base
        self._layers: dict[str, _Layer] = {}
        self._journal: list[tuple[_Layer, bytes, Any]] = []

    def get(self, table: Table[Row], key: bytes) -> Row | None:
        """Return the row of *table* under *key*, or None."""
        layer = self._layers.get(table.name) or self._lay(table)
        row = layer.rows.get(key, _UNSET)
        if row is _UNSET:
            row = layer.rows[key] = layer.below.get(table, key)
        return row  # type: ignore[no-any-return]

    def scan(self, table: Table[Row], prefix: bytes = b"") -> Iterator[tuple[bytes, Row]]:
        """Yield (key, row) of the rows whose keys start with *prefix*, in order; writes meanwhile do not disturb it."""
        keys = self._base.keys(table.name, prefix)
        layer = self._layers.get(table.name)
        added = layer.added_in_order(prefix) if layer is not None else None
        for key in merge(keys, added) if added else keys:
            row = self.get(table, key)
            if row is not None:
                yield key, row

    def put(self, table: Table[Row], key: bytes, row: Row) -> None:
        """Set the row of *table* under *key*."""
        layer = self._layers.get(table.name) or self._lay(table)
        self._journal.append((layer, key, layer.rows.get(key, _UNSET)))
        layer.put(key, row)

    def delete(self, table: Table[Row], key: bytes) -> None:
        """Remove the row of *table* under *key*; nothing happens where there is none."""
        before = self.get(table, key)
        if before is not None:
            layer = self._layers[table.name]
            self._journal.append((layer, key, before))
            layer.put(key, None)

    def mark(self) -> int:
        """Return a point that `roll_back` can return to."""
        return len(self._journal)

    def roll_back(self, mark: int) -> None:
        """Undo every change since *mark*."""
        while len(self._journal) > mark:
            layer, key, row = self._journal.pop()
            layer.restore(key, row)

    def writes(self) -> tuple[Write, ...]:
        """Return the rows that differ from the state below, ascending by table and key."""
        return tuple(write for _, layer in sorted(self._layers.items()) for write in layer.writes())

    def _lay(self, table: Table[Any]) -> _Layer:
        layer = self._layers[table.name] = _Layer(table, self._base.table(table.name))
        return layer


class _Layer:
    """One table in an overlay: the rows that were read or changed (None: deleted), and those of the state below."""

    def __init__(self, table: Table[Any], below: _Rows) -> None:
        self.below = below
        self.rows: dict[bytes, Any] = {}
        self._table = table
        self._touched: set[bytes] = set()
        self._added: list[bytes] = []

    def put(self, key: bytes, row: Any) -> None:
        """Set a row, or delete it."""
        self.rows[key] = row
        if key not in self._touched:
            self._touched.add(key)
            if key not in self.below.values:
                self._added.append(key)

    def restore(self, key: bytes, row: Any) -> None:
        """Make a row what it was, also if it had not been read."""
        if row is _UNSET:
            del self.rows[key]
        else:
            self.rows[key] = row

    def added_in_order(self, prefix: bytes) -> list[bytes]:
        """Return the keys that start with *prefix* and are not in the state below; of some the row is gone again."""
        self._added.sort()  # most often it is in order already, which costs one look at each
        return _range(self._added, prefix)

    def writes(self) -> Iterator[Write]:
        """Yield what differs from the state below, in the order of the keys."""
        name, encode, stored = self._table.name, self._table.encode, self.below.values
        for key in sorted(self._touched):
            row = self.rows.get(key, _UNSET)
            if row is _UNSET:  # rolled back
                continue
            value = None if row is None else encode(row)
            if value != stored.get(key):
                yield Write(name, key, value, row)


class _Rows:
    """A table's stored rows, with their keys in order once somebody scans them, and the rows decoded of late."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._ordered: list[bytes] | None = None
        self._decoded: dict[bytes, Any] = {}

    def get(self, table: Table[Row], key: bytes) -> Row | None:
        row = self._decoded.get(key)
        if row is None and (value := self.values.get(key)) is not None:
            if len(self._decoded) >= MAX_DECODED_ROWS:
                self._decoded.clear()
            row = self._decoded[key] = table.decode(value)
        return row

    def put(self, write: Write) -> None:
        """Set or delete a row; one that is in use stays decoded, as its block left it."""
        key, value = write.key, write.value
        if self._decoded.pop(key, None) is not None and write.row is not None:
            self._decoded[key] = write.row
        is_new = key not in self.values
        if value is None:
            if not is_new:
                del self.values[key]
                self._forget(key)
            return
        self.values[key] = value
        if is_new and self._ordered is not None:
            insort(self._ordered, key)

    def range(self, prefix: bytes) -> list[bytes]:
        if self._ordered is None:
            self._ordered = sorted(self.values)
        return _range(self._ordered, prefix)

    def _forget(self, key: bytes) -> None:
        if self._ordered is not None:
            del self._ordered[bisect_left(self._ordered, key)]


def _range(ordered: list[bytes], prefix: bytes) -> list[bytes]:
    """Return the keys of *ordered* that start with *prefix*."""
    after = _successor(prefix)
    return ordered[bisect_left(ordered, prefix) : len(ordered) if after is None else bisect_left(ordered, after)]


def _successor(prefix: bytes) -> bytes | None:
    """Return the first key after all that start with *prefix*; None where none comes after them."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else None


def _freeze(value: cbor.Value) -> cbor.Value:
    return tuple(_freeze(item) for item in value) if type(value) is list else value
