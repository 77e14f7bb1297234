"""Rows, their root, and the overlay of a block."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor
from ledger.errors import CorruptedError, LedgerError, MalformedError
from ledger.roots import BUCKETS, FAN_OUT, Buckets, Write
from ledger.state import Head, LedgerState, Overlay, Table, decode_head
from tests.ledger.chain_kit import make_chain


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    name: str = ""
    pair: tuple[int, int] | None = None


ROWS = Table("test.rows", Row)
OTHERS = Table("test.others", Row)


@pytest.fixture
def state() -> LedgerState:
    state = make_chain().state
    state._put_all([Write(ROWS.name, bytes([n]), ROWS.encode(Row(n))) for n in (3, 1, 2)])
    return state


def slow_root(rows: dict[tuple[str, bytes], bytes]) -> bytes:
    """Compute the root without any cleverness, as the definition says."""
    buckets: list[dict[bytes, bytes]] = [{} for _ in range(BUCKETS)]
    for (table, key), value in rows.items():
        row_id = hashlib.sha256(table.encode() + b"\x00" + key).digest()
        buckets[row_id[0] * 256 + row_id[1]][row_id] = hashlib.sha256(value).digest()
    nodes = [
        hashlib.sha256(b"\x00" + b"".join(key + rows_[key] for key in sorted(rows_))).digest() for rows_ in buckets
    ]
    while len(nodes) > 1:
        groups = [nodes[start : start + FAN_OUT] for start in range(0, len(nodes), FAN_OUT)]
        nodes = [hashlib.sha256(b"\x01" + b"".join(group)).digest() for group in groups]
    return nodes[0]


def writes_of(rows: dict[tuple[str, bytes], bytes]) -> list[Write]:
    return [Write(table, key, value) for (table, key), value in rows.items()]


names = st.sampled_from(["a", "a.b", "table"])
rows_of = st.dictionaries(st.tuples(names, st.binary(max_size=3)), st.binary(max_size=4), max_size=12)


@given(rows_of, rows_of, st.randoms())
def test_the_root_depends_on_the_rows_alone(first: dict, second: dict, random: Random) -> None:
    """Whatever the order and history of writes, overwritten and deleted rows included."""
    tree = Buckets()
    tree.apply(tree.change(writes_of(second)))
    tree.apply(tree.change([Write(table, key, None) for table, key in second if (table, key) not in first]))
    shuffled = writes_of(first)
    random.shuffle(shuffled)
    for write in shuffled:
        tree.apply(tree.change([write]))
    together = Buckets()
    together.apply(together.change(writes_of(first)))
    assert tree.root == together.root


def test_the_root_is_that_of_the_definition() -> None:
    rows = {(f"table{n % 3}", bytes([n])): bytes([n, n]) for n in range(40)}
    tree = Buckets()
    empty = tree.root
    change = tree.change(writes_of(rows))
    assert tree.root == empty == slow_root({})
    tree.apply(change)
    assert tree.root == change.root == slow_root(rows)


def test_a_table_and_a_key_are_not_confused_with_others() -> None:
    tree = Buckets()
    roots = {tree.change([Write("ab", b"c", b"x")]).root, tree.change([Write("a", b"bc", b"x")]).root}
    assert len(roots) == 2


def test_rows_are_stored_as_arrays_and_read_back_equal() -> None:
    row = Row(5, "five", (1, 2))
    assert ROWS.encode(row) == cbor.encode([5, "five", [1, 2]])
    assert ROWS.decode(ROWS.encode(row)) == row
    with pytest.raises(TypeError):
        ROWS.encode(Row(0.5))  # type: ignore[arg-type]


@pytest.mark.parametrize("stored", [b"", b"\x01", cbor.encode([1]), cbor.encode([1, "", None, 4]), b"\x9f\xff"])
def test_a_damaged_row_is_a_fault_that_names_the_table(stored: bytes) -> None:
    with pytest.raises(CorruptedError, match=r"test\.rows"):
        ROWS.decode(stored)


def test_an_overlay_shows_its_own_changes_and_leaves_the_state_alone(state: LedgerState) -> None:
    overlay = Overlay(state)
    overlay.put(ROWS, b"\x02", Row(20))
    overlay.put(ROWS, b"\x00", Row(0))
    overlay.delete(ROWS, b"\x01")
    overlay.delete(ROWS, b"\x77")
    assert [row.number for _, row in overlay.scan(ROWS)] == [0, 20, 3]
    assert overlay.get(ROWS, b"\x01") is None
    assert [row.number for _, row in state.scan(ROWS)] == [1, 2, 3]
    assert overlay.writes() == (
        Write("test.rows", b"\x00", ROWS.encode(Row(0)), Row(0)),
        Write("test.rows", b"\x01", None),
        Write("test.rows", b"\x02", ROWS.encode(Row(20)), Row(20)),
    )


def test_a_rolled_back_call_leaves_nothing(state: LedgerState) -> None:
    overlay = Overlay(state)
    overlay.put(ROWS, b"\x01", Row(10))
    mark = overlay.mark()
    overlay.put(ROWS, b"\x01", Row(11))
    overlay.delete(ROWS, b"\x02")
    overlay.put(ROWS, b"\x09", Row(9))
    overlay.put(OTHERS, b"\x09", Row(9))
    overlay.roll_back(mark)
    assert [row.number for _, row in overlay.scan(ROWS)] == [10, 2, 3]
    assert [write.key for write in overlay.writes()] == [b"\x01"]
    overlay.put(ROWS, b"\x09", Row(99))
    assert [row.number for _, row in overlay.scan(ROWS)] == [10, 2, 3, 99]


def test_a_row_written_back_as_it_was_is_no_change(state: LedgerState) -> None:
    overlay = Overlay(state)
    overlay.put(ROWS, b"\x01", Row(10))
    overlay.put(ROWS, b"\x01", Row(1))
    overlay.put(ROWS, b"\x07", Row(7))
    overlay.delete(ROWS, b"\x07")
    assert overlay.writes() == ()


operations = st.lists(
    st.tuples(st.sampled_from(["put", "delete", "mark", "back"]), st.integers(0, 5), st.integers(0, 3)), max_size=40
)


@given(operations)
def test_an_overlay_behaves_like_a_copied_dictionary(steps: list) -> None:
    state = LedgerState(make_head())
    state._put_all([Write(ROWS.name, bytes([n]), ROWS.encode(Row(n))) for n in range(0, 6, 2)])
    overlay, model = Overlay(state), {bytes([n]): Row(n) for n in range(0, 6, 2)}
    saved, mark = dict(model), overlay.mark()
    for kind, place, number in steps:
        key = bytes([place])
        if kind == "put":
            overlay.put(ROWS, key, Row(number))
            model[key] = Row(number)
        elif kind == "delete":
            overlay.delete(ROWS, key)
            model.pop(key, None)
        elif kind == "mark":
            saved, mark = dict(model), overlay.mark()
        else:
            overlay.roll_back(mark)
            model = dict(saved)
        assert list(overlay.scan(ROWS)) == sorted(model.items())
    state._put_all(overlay.writes())
    assert list(state.scan(ROWS)) == sorted(model.items())


def make_head() -> Head:
    return make_chain().state.head


def test_a_state_is_restored_from_its_rows_and_head() -> None:
    chain = make_chain()
    head = decode_head(chain.state.head.encode())
    assert head == chain.state.head
    restored = LedgerState.restore(head, chain.state.rows())
    assert restored.root == chain.state.root
    chain.state = restored
    chain.must("user0", "money", "transfer", chain.people["user1"].id, 5)


def test_rows_that_were_altered_on_disk_are_found() -> None:
    chain = make_chain()
    rows = list(chain.state.rows())
    altered = [rows[0]._replace(value=b"\x81\x00"), *rows[1:]]
    for damaged in (altered, rows[1:], [*rows, Write("x", b"", b"\x80")]):
        with pytest.raises(CorruptedError, match="do not give the state root"):
            LedgerState.restore(chain.state.head, damaged)


@pytest.mark.parametrize("data", [b"", b"\x80", cbor.encode([[], 0, [], b""]), cbor.encode([1, 2, 3, 4])])
def test_a_damaged_head_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_head(data)


def test_an_execution_made_on_another_state_is_not_applied() -> None:
    chain = make_chain()
    execution = chain.block()
    before = chain.state.root
    with pytest.raises(LedgerError, match="was not executed on block"):
        chain.state.apply(execution)
    assert chain.state.root == before


def test_rows_that_share_a_bucket_may_come_in_any_order() -> None:
    """Three thousand rows in 2^16 buckets: some seventy of them share one."""
    writes = [Write("t", number.to_bytes(2, "big"), b"\x01") for number in range(3000)]
    forwards, backwards = Buckets(), Buckets()
    assert forwards.change(writes).root == backwards.change(reversed(writes)).root


def test_rows_that_share_a_bucket_are_replaced_and_deleted_each_for_itself() -> None:
    keys = [number.to_bytes(2, "big") for number in range(3000)]
    tree = Buckets()
    tree.apply(tree.change([Write("t", key, b"\x01") for key in keys]))
    tree.apply(tree.change([Write("t", key, None if key[1] % 2 else b"\x02") for key in keys if key[1] % 3]))
    rows = {("t", key): b"\x02" if key[1] % 3 else b"\x01" for key in keys if not key[1] % 3 or not key[1] % 2}
    assert tree.root == slow_root(rows)
