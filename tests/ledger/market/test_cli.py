"""`campusgrid market clear`: the form of the output, and every kind of file that is not in the form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import run as run_campusgrid
from ledger.market.cli import MAX_FILE_BYTES
from tests.ledger.market.books import CASES, CASES_FILE

BUY = {"id": "B", "user": "u", "side": "buy", "price": 7, "qty": 5, "seq": 1}
SELL = {"id": "S", "user": "v", "side": "sell", "price": 4, "qty": 3, "seq": 2}


@dataclass(frozen=True, slots=True)
class Result:
    """How the command ended and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `campusgrid market clear` in this process."""

    def run_clear(*arguments: str | Path) -> Result:
        exit_code = run_campusgrid(["market", "clear", *map(str, arguments)])
        captured = capsys.readouterr()
        return Result(exit_code, captured.out, captured.err)

    return run_clear


@pytest.fixture
def clear_text(run: Run, tmp_path: Path) -> Run:
    """Clear a file of this text."""

    def write_and_run(text: str | bytes) -> Result:
        file = tmp_path / "book.json"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return run(file)

    return write_and_run


def assert_refused(result: Result, *said: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("campusgrid: ")
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 500
    assert all(text in result.stderr for text in said), result.stderr


def change(order: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"id": "x", "orders": [{**order, **fields}, SELL]})


@pytest.mark.parametrize(("rule", "key"), [("pro-rata", "pro_rata_lr"), ("price-time", "price_time")])
def test_the_shared_file_prints_one_line_a_case(run: Run, rule: str, key: str) -> None:
    result = run(CASES_FILE, "--rule", rule, "--self-trade", "allow")
    assert result.exit_code == 0
    printed = [json.loads(line) for line in result.stdout.splitlines()]
    assert [case["id"] for case in printed] == [case["id"] for case in CASES]
    for case, expected in zip(printed, (case["expect"] for case in CASES), strict=True):
        if case["rejected"]:
            assert case["id"] == "sum-over-int64"
            continue
        assert case["fills"] == expected[key]
        assert all(case[name] == expected[name] for name in ("matched_wh", "price_interval", "welfare"))


def test_one_case_prints_all_its_fields_and_nothing_else(clear_text: Run) -> None:
    result = clear_text(json.dumps({"id": "x", "note": 1.5, "orders": [BUY, {**SELL, "note": None}]}))
    assert json.loads(result.stdout) == {
        "id": "x",
        "matched_wh": 3,
        "price_interval": [7, 7],
        "price": 7,
        "fills": {"B": 3, "S": 3},
        "rejected": [],
        "welfare": 9,
    }


def test_by_default_the_rule_is_pro_rata_and_self_trade_is_prevented(clear_text: Run) -> None:
    twin = {**BUY, "id": "B2", "seq": 3}
    own = {**SELL, "id": "S2", "user": "u", "seq": 4}
    result = clear_text(json.dumps({"id": "x", "orders": [BUY, SELL, twin, own]}))
    printed = json.loads(result.stdout)
    assert printed["fills"] == {"B": 2, "S": 3, "B2": 1, "S2": 0}
    assert printed["rejected"] == [{"id": "S2", "reason": "self-trade"}]


def test_a_book_in_which_nothing_trades_has_no_price(clear_text: Run) -> None:
    printed = json.loads(clear_text(json.dumps({"orders": [BUY]})).stdout)
    assert (printed["price"], printed["price_interval"], printed["matched_wh"]) == (None, None, 0)


@pytest.mark.parametrize("key", ["price", "qty", "seq"])
@pytest.mark.parametrize("value", [1.0, -1, True, None, "1", [1], float("nan"), float("inf"), -(10**4000)])
def test_numbers_must_be_natural(clear_text: Run, key: str, value: Any) -> None:
    assert_refused(clear_text(change(BUY, **{key: value})))


@pytest.mark.parametrize("key", ["id", "user", "side"])
@pytest.mark.parametrize("value", [1, None, ["buy"], {}, True])
def test_names_must_be_strings(clear_text: Run, key: str, value: Any) -> None:
    assert_refused(clear_text(change(BUY, **{key: value})), "order 1", key)


@pytest.mark.parametrize("key", list(BUY))
def test_every_field_of_an_order_is_needed(clear_text: Run, key: str) -> None:
    order = {name: value for name, value in BUY.items() if name != key}
    assert_refused(clear_text(json.dumps({"id": "x", "orders": [SELL, order]})), '"x"', "order 2", key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        b"\xff\xfe\xff",
        "[]",
        "null",
        "{}",
        '{"orders": {}}',
        '{"cases": {}}',
        '{"cases": [1]}',
        '{"cases": [{"id": "x"}]}',
        '{"id": 5, "orders": []}',
        '{"orders": [7]}',
        '{"orders": [], "orders": []}',
        "[" * 100_000,
        '{"orders": [' + "9" * 5_000 + "]}",
        '{"orders": []} trailing',
        change(BUY, side="hold\nnow" * 99),
        change(BUY, id="S"),
        change(BUY, seq=2),
        change(BUY, id="S" * 9_999, seq=2),
    ],
)
def test_a_file_not_in_the_form_is_refused_in_one_line(clear_text: Run, text: str | bytes) -> None:
    assert_refused(clear_text(text), "book.json")


def test_nothing_is_printed_when_a_later_case_is_bad(clear_text: Run) -> None:
    assert_refused(clear_text(json.dumps({"cases": [{"id": "good", "orders": [BUY, SELL]}, {"id": "bad"}]})), "bad")


def test_a_file_that_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    assert_refused(run(tmp_path / "absent.json"), "absent.json", "No such file")
    assert_refused(run(tmp_path), "directory")


def test_a_file_beyond_the_size_limit_is_not_parsed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "huge.json"
    with file.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    assert_refused(run(file), "larger than")


def test_unknown_options_are_refused(run: Run) -> None:
    assert_refused(run(CASES_FILE, "--rule", "auction"), "auction")
    assert_refused(run(CASES_FILE, "--self-trade", "maybe"), "maybe")
    assert_refused(run())
