"""A bill's span and its two forms; `node/test_bill_of_node.py` reads one from running nodes."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gateway.cli import run as run_campusgrid
from ledger.bill import MAX_BILLED_EPOCHS, Bill, BillError, read_bounds, write_csv, write_json

DAY = 86_400 // 900


def make_line(epoch: int, cost_aaip: int) -> dict[str, Any]:
    numbers = dict.fromkeys(
        ("export_wh", "bought_wh", "sold_wh", "received_wh", "delivered_wh", "market_income_aaip", "market_cost_aaip"),
        0,
    )
    return {
        "kind": "settlement", "epoch": epoch, "start": "2026-11-01T00:00:00Z", "meter": "ee" * 8, "import_wh": 7,
        **numbers,
        "price_uaip_per_kwh": None, "grid_income_aaip": 0, "grid_cost_aaip": cost_aaip, "penalty_aaip": 0,
        "fee_aaip": 0, "net_aaip": -cost_aaip, "flags": 0, "height": None, "transaction": None,
        "proof": "c2sp.org/tlog-proof@v1\n",
    }  # fmt: skip


def test_days_are_whole_and_both_included() -> None:
    first, last = read_bounds("2026-11-01", "2026-11-02", 900)
    assert (first, last - first + 1) == (1_793_491_200 // 900, 2 * DAY)
    assert read_bounds("17", "17", 900) == (17, 17)


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-11-02", "2026-11-01", "exchange them"),
        ("yesterday", "2026-11-01", "neither a day"),
        ("2026-02-30", "2026-11-01", "neither a day"),
        ("-1", "5", "neither a day"),
        ("0001-01-01", "9999-12-31", "neither a day"),
        ("0", str(MAX_BILLED_EPOCHS), "write several"),
    ],
)
def test_a_span_that_cannot_be_billed_is_refused_with_what_to_do(first: str, last: str, text: str) -> None:
    with pytest.raises(BillError, match=text):
        read_bounds(first, last, 900)


def test_totals_add_up_and_amounts_stay_exact_in_both_forms() -> None:
    made = Bill("aa" * 8, 1, 2, (make_line(1, 10**18 + 1), make_line(2, 2)))
    rows = list(csv.DictReader(io.StringIO(write_csv(made))))
    assert [row["epoch"] for row in rows] == ["1", "2", "total"]
    assert (rows[-1]["grid_cost_aaip"], rows[-1]["net_aaip"]) == (str(10**18 + 3), str(-(10**18) - 3))
    document = json.loads(write_json(made))
    assert document["totals"]["net_aaip"] == str(-(10**18) - 3)
    assert document["totals"]["import_wh"] == 14
    assert document["lines"][0]["proof"] == "c2sp.org/tlog-proof@v1\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["bill", "AA", "--from", "1", "--to", "2", "--url", "http://127.0.0.1:1"],
        ["bill", "aa" * 8, "--from", "1", "--to", "2", "--url", "node"],
        ["market", "explain", "xyz", "--url", "http://127.0.0.1:1"],
        ["market", "explain", "aa" * 8, "--url", "node"],
    ],
)
def test_bad_arguments_are_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_campusgrid(arguments) == 2
    assert "--help` explains" in capsys.readouterr().err
