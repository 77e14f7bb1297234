"""`campusgrid market`: clear order books from a file with the ledger's own engine; explain what became of an order.

A file holds one case, `{"id": …, "orders": [{"id", "user", "side", "price", "qty", "seq"}, …]}`, or a list of cases
under `cases`; other keys are ignored. Prices are µAIP per kWh, quantities Wh.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer

from ledger.errors import LedgerError
from ledger.market.book import BookError, Clearing, Order, Rule, SelfTrade, Side, sort_by_sequence

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_MAX_SHOWN_CHARACTERS: Final = 40
_KIND_NAMES: Final = {str: "a string", int: "an integer", list: "a list", dict: "an object"}
_Kind = TypeVar("_Kind", str, int, list[Any], dict[str, Any])

app = typer.Typer(no_args_is_help=True)


class CaseFileError(LedgerError):
    """A file that is not of the form; its text, one line, names the file and the place in it."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Case:
    """One book of a file; `case_id` is None where the file gives none."""

    case_id: str | None
    orders: tuple[Order[str], ...]


@app.callback()
def market() -> None:
    """Clear order books, explain fills."""


@app.command("clear")
def clear_file(
    file: Annotated[Path, typer.Argument(help="JSON file with one case, or a list of them under `cases`.")],
    rule: Annotated[Rule, typer.Option(help="How orders at the marginal price share what is left.")] = Rule.PRO_RATA,
    self_trade: Annotated[
        SelfTrade, typer.Option(help="Reject an order that crosses an earlier one of its user, or let both stand.")
    ] = SelfTrade.PREVENT,
) -> None:
    """Clear each case of FILE at one price and print the result, one JSON object a line."""
    cases = read_cases(file)
    from ledger.market.clearing import clear  # noqa: PLC0415 - loads numba, which no --help should wait for

    for case in cases:
        typer.echo(json.dumps(describe(case, clear(case.orders, rule=rule, self_trade=self_trade))))


@app.command("explain")
def explain_order(
    order: Annotated[
        str, typer.Argument(metavar="ORDER", help="The order's id (16 hex digits) or its transaction's (64).")
    ],
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")],
) -> None:
    """Say in plain words why an order was filled, in part, or not at all, from what the ledger holds.

    For example: campusgrid market explain 5f3a9c0d11223344 --url http://127.0.0.1:9933
    """
    if not re.fullmatch("[0-9a-f]{16}|[0-9a-f]{64}", order):
        raise typer.BadParameter(
            f"{_show(order)} is no id: give 16 (order) or 64 (transaction) hex digits in lower case"
        )
    from ledger import explain  # noqa: PLC0415 - loads httpx, which no --help should wait for
    from ledger.commands.urls import require_url  # noqa: PLC0415 - as above

    require_url(url)
    typer.echo("\n".join(asyncio.run(explain.explain_order(url, order))))


def describe(case: Case, cleared: Clearing[str]) -> dict[str, Any]:
    """Return what is printed of a cleared case, as JSON values."""
    return {
        "id": case.case_id,
        "matched_wh": cleared.matched_wh,
        "price_interval": cleared.price_interval,
        "price": cleared.price_uaip_per_kwh,
        "fills": dict(cleared.fills_wh),
        "rejected": [{"id": rejection.order_id, "reason": rejection.reason} for rejection in cleared.rejected],
        "welfare": cleared.welfare,
    }


def read_cases(file: Path) -> list[Case]:
    """Return the cases in *file*; raises CaseFileError for anything that is not exactly of the form."""
    document = _load(file)
    try:
        root = _expect(document, dict, "the file")
        items = _field(root, "cases", list, "the file") if "cases" in root else [root]
        return [_parse_case(item, number) for number, item in enumerate(items, start=1)]
    except CaseFileError as error:
        raise CaseFileError(f"{_show_path(file)}: {error}") from error


def _load(file: Path) -> object:
    shown = _show_path(file)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CaseFileError(f"cannot read {shown}: {error.strerror}; name a readable file") from error
    if len(raw) > MAX_FILE_BYTES:
        raise CaseFileError(f"{shown} is larger than {MAX_FILE_BYTES} bytes; split its cases over several files")
    try:
        return json.loads(raw, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CaseFileError(f"{shown} is not valid JSON: {error}") from error


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("an object names a key twice")
    return keys


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _parse_case(item: object, number: int) -> Case:
    where = f"case {number}"
    case = _expect(item, dict, where)
    case_id = _field(case, "id", str, where) if "id" in case else None
    if case_id is not None:
        where = f"case {_show(case_id)}"
    entries = _field(case, "orders", list, where)
    orders = [_parse_order(entry, f"{where}, order {place}") for place, entry in enumerate(entries, start=1)]
    _check_unique(orders, where)
    return Case(case_id, tuple(orders))


def _check_unique(orders: Sequence[Order[str]], where: str) -> None:
    try:
        sort_by_sequence(orders)
    except BookError as error:
        raise CaseFileError(f"{where}: {error}") from error


def _parse_order(item: object, where: str) -> Order[str]:
    entry = _expect(item, dict, where)
    return Order(
        order_id=_field(entry, "id", str, where),
        user=_field(entry, "user", str, where),
        side=_parse_side(_field(entry, "side", str, where), where),
        price_uaip_per_kwh=_natural(entry, "price", where),
        quantity_wh=_natural(entry, "qty", where),
        sequence=_natural(entry, "seq", where),
    )


def _parse_side(value: str, where: str) -> Side:
    if value not in set(Side):
        raise CaseFileError(f"{where}: side is {_show(value)}; write buy or sell")
    return Side(value)


def _natural(entry: dict[str, Any], key: str, where: str) -> int:
    value = _field(entry, key, int, where)
    if value < 0:
        raise CaseFileError(f"{where}: {key} is {_show(value)}; it must not be negative")
    return value


def _field(entry: dict[str, Any], key: str, kind: type[_Kind], where: str) -> _Kind:
    if key not in entry:
        raise CaseFileError(f"{where} has no {key!r}; add it")
    return _expect(entry[key], kind, f"{key!r} of {where}")


def _expect(value: object, kind: type[_Kind], what: str) -> _Kind:
    """Return *value* if it is of *kind*; true and false are no integers."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CaseFileError(f"{what} must be {_KIND_NAMES[kind]}, not {_show(value)}")
    return value


def _show_path(file: Path) -> str:
    return json.dumps(str(file))  # on one line whatever it holds


def _show(value: object) -> str:
    """Return *value* as JSON on one line, shortened: what stands in a file may be of any length."""
    if isinstance(value, list | dict):
        return _KIND_NAMES[type(value)]
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[:_MAX_SHOWN_CHARACTERS] + "..."
