"""Where two nodes' results for one block differ: rows, receipts, records and leaves, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from ledger import records
from ledger.api.block_result import HIDDEN_TABLES, BlockResult
from ledger.codes import Code
from ledger.errors import CorruptedError, MalformedError
from ledger.modules import MODULES
from ledger.state import Table

_TABLES: dict[str, Table[Any]] = {table.name: table for module in MODULES for table in module.tables}


def compare(one: BlockResult, other: BlockResult) -> Iterator[str]:
    """Yield what differs, the cause before what follows from it: receipts, rows, records, leaves, roots."""
    yield from _compare_receipts(one, other)
    yield from _compare_rows(one, other)
    yield from _compare_lists("record", one, other, one.records, other.records)
    yield from _compare_lists("leaf", one, other, one.leaves, other.leaves)
    for name in ("state_root", "log_size", "log_root"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            yield f"{name.replace('_', ' ')}: {one.source} {_show(mine)}, {other.source} {_show(theirs)}"


def _compare_receipts(one: BlockResult, other: BlockResult) -> Iterator[str]:
    for place, (mine, theirs) in enumerate(zip_longest(one.receipts, other.receipts)):
        if mine is None or theirs is None:
            holder = other if mine is None else one
            yield f"receipt {place}: only {holder.source} has it"
            continue
        name = f"receipt {place} (transaction {mine.transaction_id.hex()[:16]})"
        if mine.transaction_id != theirs.transaction_id:
            yield f"{name}: another transaction at {other.source}, {theirs.transaction_id.hex()[:16]}"
        elif mine.code != theirs.code:
            told = _code(mine.code, mine.text), _code(theirs.code, theirs.text)
            yield f"{name}: {one.source} {told[0]}, {other.source} {told[1]}"
        elif mine.effects_hash != theirs.effects_hash:
            yield f"{name}: same result, but other events"


def _compare_rows(one: BlockResult, other: BlockResult) -> Iterator[str]:
    mine = {(row.table, row.key): row.value for row in one.rows}
    theirs = {(row.table, row.key): row.value for row in other.rows}
    for table, key in sorted(mine.keys() | theirs.keys()):
        place = (table, key)
        if place in mine and place in theirs and mine[place] == theirs[place]:
            continue
        name = f"row {table} {key.hex()}"
        if place in mine and place in theirs:
            yield from _compare_columns(name, table, (one.source, mine[place]), (other.source, theirs[place]))
        else:
            holder, value = (one.source, mine[place]) if place in mine else (other.source, theirs[place])
            yield f"{name}: changed at {holder} alone, to {_show_row(table, value)}"


def _compare_columns(name: str, table: str, one: tuple[str, bytes | None], other: tuple[str, bytes | None]
                     ) -> Iterator[str]:  # fmt: skip
    mine, theirs = _decode(table, one[1]), _decode(table, other[1])
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for column, value in mine.items():
            if value != theirs[column]:
                yield f"{name}: {column}: {one[0]} {_show(value)}, {other[0]} {_show(theirs[column])}"
    else:
        yield f"{name}: {one[0]} {_show_row(table, one[1])}, {other[0]} {_show_row(table, other[1])}"


def _compare_lists(what: str, one: BlockResult, other: BlockResult, mine: tuple[bytes, ...], theirs: tuple[bytes, ...]
                   ) -> Iterator[str]:  # fmt: skip
    for place, (left, right) in enumerate(zip_longest(mine, theirs)):
        if left != right:
            yield f"{what} {place}: {one.source} {_name_record(what, left)}, {other.source} {_name_record(what, right)}"


def _name_record(what: str, data: bytes | None) -> str:
    if data is None:
        return "has none"
    if what == "record":
        try:
            return f"{records.kind_of(data).name.lower()} {data.hex()}"
        except (MalformedError, ValueError):
            return data.hex()
    return data.hex()[:64]


def _decode(table: str, value: bytes | None) -> dict[str, Any] | None:
    """Return a row's columns, or None where it is deleted, hidden or unknown here."""
    known = _TABLES.get(table)
    if value is None or known is None or table in HIDDEN_TABLES:
        return None
    try:
        row = known.decode(value)
    except CorruptedError:
        return None
    return {column: getattr(row, column) for column in known.columns}


def _show_row(table: str, value: bytes | None) -> str:
    columns = _decode(table, value)
    if columns is None:
        return "deleted" if value is None else value.hex()
    return ", ".join(f"{column} {_show(item)}" for column, item in columns.items())


def _show(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _code(code: int, text: str) -> str:
    name = Code(code).name.lower() if code in Code._value2member_map_ else str(code)
    return f"{name} ({text})" if text else name
