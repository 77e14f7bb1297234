"""What two results of one block are told apart by, and how many a node keeps."""

from __future__ import annotations

from dataclasses import replace

from ledger.api.block_result import BlockResult, RowResult
from ledger.api.results import show_result
from ledger.codes import Code
from ledger.difference import compare
from ledger.modules import money
from ledger.modules.authorities import CANDIDATES
from ledger.node.reporting.results import KEPT_DECIDED, KEPT_REFUSED, Refused, Result, Results
from ledger.roots import Write
from tests.ledger.chain_kit import make_chain


def make_result() -> Result:
    """Return the result of a block with a refused and a good transfer."""
    chain = make_chain()
    other = chain.people["user1"].id
    raws = [chain.sign("user0", "money", "transfer", other, amount) for amount in (5, 10**30)]
    execution = chain.block(*raws)
    return Result.of(execution.header.id, execution)


def show(result: Result, source: str) -> BlockResult:
    return show_result(result, source, "refused", "", "MEA")


def differ(result: Result, **changes: object) -> list[str]:
    return list(compare(show(result, "ERC"), show(replace(result, **changes), "MEA")))  # type: ignore[arg-type]


def test_equal_results_do_not_differ_and_each_part_that_does_is_named() -> None:
    result = make_result()
    first, second = result.receipts
    assert differ(result) == []
    (line,) = differ(result, receipts=(first, replace(second, code=0, text="")))
    assert "receipt 1 (transaction " in line
    assert line.endswith("MEA done")
    assert f": ERC {Code(second.code).name.lower()} ({second.text}), " in line
    (line,) = differ(result, receipts=(first,))
    assert line == "receipt 1: only ERC has it"
    (line,) = differ(result, leaves=(*result.leaves[:-1], b"x"))
    assert line.startswith(f"leaf {len(result.leaves) - 1}: ERC ")
    (line,) = differ(result, records=(b"x",))
    assert line.startswith("record 0: ERC has none, MEA ")
    (line,) = differ(result, log_size=9)
    assert line == f"log size: ERC {result.log_size}, MEA 9"


def test_rows_differ_by_column_and_strange_ones_are_shown_as_they_are() -> None:
    result = make_result()
    place, row = next((n, row) for n, row in enumerate(result.rows) if row.table == money.HOLDINGS.name)
    assert row.value is not None
    holding = money.HOLDINGS.decode(row.value)
    richer = money.HOLDINGS.encode(replace(holding, balance_aaip=7))
    for value, words in (
        (richer, f": balance_aaip: ERC {holding.balance_aaip}, MEA 7"),
        (None, ", MEA deleted"),
        (b"\xff", ", MEA ff"),
    ):
        rows = [*result.rows]
        rows[place] = Write(row.table, row.key, value)
        (line,) = differ(result, rows=tuple(rows))
        assert line.startswith(f"row money.holdings {row.key.hex()}: ")
        assert line.endswith(words)
    (line,) = differ(result, rows=(*result.rows, Write("nothing.known", b"k", b"v")))
    assert line == "row nothing.known 6b: changed at MEA alone, to 76"


def test_what_only_nodes_know_is_shown_as_a_hash() -> None:
    secret = Write(CANDIDATES.name, b"k", b"the answer of a candidate")
    shown = show(replace(make_result(), rows=(secret, Write(CANDIDATES.name, b"l", None))), "ERC")
    assert b"answer" not in (shown.rows[0].value or b"")
    assert shown.rows[1] == RowResult(CANDIDATES.name, b"l", None)


def test_a_node_keeps_the_newest_results_and_takes_none_that_it_did_not_ask_for() -> None:
    results, own = Results(), make_result()
    for number in range(KEPT_REFUSED + 3):
        block_id = bytes([number]) * 32
        results.keep_refused(block_id, Refused("reason", replace(own, block_id=block_id), "MEA"))
    kept = list(results.refused(own.height))
    assert [one.own.block_id[0] for one in kept] == list(range(3, KEPT_REFUSED + 3))
    theirs = replace(own, block_id=kept[0].own.block_id)
    for peer, result in (("PEA", theirs), ("MEA", own), ("MEA", theirs), ("MEA", replace(theirs, log_size=1))):
        results.take(peer, result)
    assert [one.theirs for one in results.refused(own.height)] == [theirs] + [None] * (KEPT_REFUSED - 1)
    chain = make_chain()
    for number in range(KEPT_DECIDED + 2):
        results.keep_decided(bytes([number]) * 32, chain.block())
    assert [len(list(results.decided(height))) for height in range(2, KEPT_DECIDED + 4)] == [0, 0] + [1] * KEPT_DECIDED
