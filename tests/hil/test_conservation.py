"""The report's own arithmetic: books that add up pass, and any figure that is off by one is found."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from hil.conservation import Books, Conservation, check
from ledger.api.resources import Conservation as NodesVerdict
from ledger.api.resources import SettlementLine, Supply
from tests.hil.books import BUYER, EPOCH, READINGS, boundary, make_books

AMOUNTS, AMOUNTS_OF_A_NODE = (
    [field.name for field in fields(kind) if field.name.endswith(("_wh", "_aaip", "_agrid"))]
    for kind in (SettlementLine, Supply)
)


def altered(books: Books, place: int, **changes: Any) -> Books:
    """Return *books* with *changes* to the line at *place*."""
    epoch = books.epochs[0]
    lines = list(epoch.lines)
    lines[place] = replace(lines[place], **changes)
    return replace(books, epochs=(replace(epoch, lines=tuple(lines)),))


def test_books_that_add_up_pass() -> None:
    assert check(make_books()) == Conservation(True, True, True, ())


@pytest.mark.parametrize("name", AMOUNTS)
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("step", [1, -1])
def test_one_unit_more_or_less_in_any_figure_is_found(name: str, place: int, step: int) -> None:
    books = make_books()
    figure = getattr(books.epochs[0].lines[place], name)
    assert check(altered(books, place, **{name: figure + step})).faults


@pytest.mark.parametrize("name", [name for name in AMOUNTS_OF_A_NODE if name not in ("locked_aaip", "owed_aaip")])
def test_one_node_with_another_total_is_found(name: str) -> None:
    books = make_books()
    odd = replace(books.supplies["MEA"], **{name: getattr(books.supplies["MEA"], name) + 1})
    found = check(replace(books, supplies={**books.supplies, "MEA": odd}))
    assert found.faults
    assert "MEA" in found.faults[0]


@pytest.mark.parametrize("law", ["energy", "money", "grid_supply"])
def test_a_node_that_denies_a_law_is_believed(law: str) -> None:
    books = make_books()
    verdict = replace(NodesVerdict(energy=True, money=True, grid_supply=True), **{law: False})
    denying = replace(books.supplies["ERC"], conserved=verdict)
    found = check(replace(books, supplies={**books.supplies, "ERC": denying}))
    assert found.laws == {"energy": True, "money": True, "grid_supply": True} | {law: False}


def test_a_user_with_another_balance_or_an_unpaid_fee_is_found() -> None:
    books = make_books()
    richer = replace(books.users[0].account, balance_aaip=books.users[0].account.balance_aaip + 1)
    assert not check(replace(books, users=(replace(books.users[0], account=richer), books.users[1]))).money
    assert not check(replace(books, users=(replace(books.users[0], orders=2), books.users[1]))).money


def test_a_line_must_rest_on_readings_that_the_gateway_stored() -> None:
    books = make_books()
    assert not check(replace(books, readings={})).energy
    other = boundary(BUYER, EPOCH + 1, 451, 0)
    swapped = {hash_: other if r.epoch == EPOCH + 1 and r.raw.startswith(BUYER) else r for hash_, r in READINGS.items()}
    assert not check(replace(books, readings=swapped)).energy
    assert not check(altered(books, 1, first_reading=None)).energy


def test_what_a_meter_that_did_not_report_bought_still_balances() -> None:
    books = make_books()
    silent = altered(books, 1, first_reading=None, last_reading=None, import_wh=0)
    epochs = (replace(silent.epochs[0], import_wh=0),)
    nodes = {
        name: replace(s, import_wh=0, grid_supplied_wh=0, grid_absorbed_wh=100) for name, s in books.supplies.items()
    }
    assert check(replace(silent, epochs=epochs, supplies=nodes)).energy
