"""`campusgrid bill`: what an account's meters measured, traded and cost, each line with the proof that bears it out."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ledger.billed_fees import Fee, read_fees
from ledger.errors import LedgerError

MAX_BILLED_EPOCHS: Final = 100_000
"""Nearly three years of quarter-hours."""
EPOCHS_PER_REQUEST: Final = 500
PROOF_WAIT_S: Final = 30.0
_COLUMNS: Final = (
    "kind", "epoch", "start", "meter", "import_wh", "export_wh", "bought_wh", "sold_wh", "received_wh", "delivered_wh",
    "price_uaip_per_kwh", "market_income_aaip", "market_cost_aaip", "grid_income_aaip", "grid_cost_aaip",
    "penalty_aaip", "fee_aaip", "net_aaip", "flags", "height", "transaction", "proof",
)  # fmt: skip
_SUMMED: Final = tuple(name for name in _COLUMNS if name.endswith(("_wh", "_aaip")))


class BillError(LedgerError):
    """A bill that cannot be written; the text says what to do next."""


class Format(StrEnum):
    """How a bill is written."""

    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Bill:
    """An account's settlement lines and then its fees, first to last each; amounts are aAIP.

    `net_aaip` is what the account gained. A line's `proof` is text for a settlement, bytes for a fee. Without
    `has_all_fees` the node had given up what tells some of the span's fees.
    """

    account: str
    first_epoch: int
    last_epoch: int
    lines: tuple[dict[str, Any], ...]
    has_all_fees: bool = True

    def totals(self) -> dict[str, int]:
        """Return the sum of every energy and amount."""
        return {name: sum(line[name] for line in self.lines) for name in _SUMMED}


def bill(
    user: Annotated[str, typer.Argument(metavar="USER", help="The account's id, 16 hex digits.")],
    first: Annotated[str, typer.Option("--from", help="The first day (2026-11-01, UTC) or epoch.")],
    last: Annotated[str, typer.Option("--to", help="The last day or epoch, included.")],
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")],
    key: Annotated[Path | None, typer.Option(help="The account's key file: nodes show lines to their account.")] = None,
    form: Annotated[Format, typer.Option("--format", help="csv, with a line of totals, or json.")] = Format.CSV,
) -> None:
    """Print an account's bill: a line for each meter and settled epoch, and for each fee paid, each with its proof.

    The proof (base64 in CSV, for fees in JSON too) is the file that `campusgrid verify` checks off-line; a line whose
    proof does not open to it is refused. Amounts are aAIP (10^-18 AIP), exact. A fee stands with the epoch in which it
    was paid; that of an order which rolled over is no transaction's, but its block's.

        campusgrid bill 00000000000000a1 --from 2026-11-01 --to 2026-11-30 --url http://127.0.0.1:9933

        campusgrid bill 00000000000000a1 --from 1999200 --to 1999295 --format json --url http://127.0.0.1:9933
    """
    if not re.fullmatch("[0-9a-f]{16}", user):
        raise typer.BadParameter(f"{user!r} is no account: give 16 hex digits in lower case")
    from ledger.commands.urls import require_url  # noqa: PLC0415 - one part's command line loads without the other's

    require_url(url)
    made = asyncio.run(_read_bill(url, user, first, last, key))
    typer.echo(write_csv(made) if form is Format.CSV else write_json(made), nl=False)
    if not made.has_all_fees:
        typer.echo("fees are missing: this node has pruned blocks of the span; ask one that keeps them", err=True)


def read_bounds(first: str, last: str, epoch_s: int) -> tuple[int, int]:
    """Return the first and last epoch of a span of days or epochs, both included; raises BillError."""
    start, end = _read_moment(first, epoch_s, 0), _read_moment(last, epoch_s, 1)
    if end < start:
        raise BillError(f"--to {last} lies before --from {first}; exchange them")
    if end - start >= MAX_BILLED_EPOCHS:
        raise BillError(f"a bill has at most {MAX_BILLED_EPOCHS} epochs, not {end - start + 1}; write several")
    return start, end


def write_csv(made: Bill) -> str:
    """Return the bill as CSV: a head, the lines, and a line of totals whose `epoch` says so."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in made.lines:
        proof = line["proof"].encode() if isinstance(line["proof"], str) else line["proof"]
        writer.writerow(line | {"proof": _base64(proof)})
    writer.writerow({"epoch": "total"} | made.totals())
    return stream.getvalue()


def write_json(made: Bill) -> str:
    """Return the bill as one JSON object; amounts are strings of digits, as in the API."""
    return json.dumps(
        {
            "account": made.account,
            "first_epoch": made.first_epoch,
            "last_epoch": made.last_epoch,
            "has_all_fees": made.has_all_fees,
            "totals": _with_digits(made.totals()),
            "lines": [_with_digits(line) for line in made.lines],
        },
        indent=2,
    ) + "\n"  # fmt: skip


def _with_digits(values: dict[str, Any]) -> dict[str, Any]:
    shown = {name: str(value) if name.endswith("_aaip") else value for name, value in values.items()}
    return {name: _base64(value) if isinstance(value, bytes) else value for name, value in shown.items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read_moment(text: str, epoch_s: int, days_on: int) -> int:
    """Return the epoch that *text* names; for a day, its first, or with *days_on* 1 its last."""
    if re.fullmatch("[0-9]{1,12}", text):
        return int(text)
    try:
        day = datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=days_on)
    except (ValueError, OverflowError) as error:
        raise BillError(f"{text!r} is neither a day, such as 2026-11-01, nor the number of an epoch") from error
    return -(-int(day.timestamp()) // epoch_s) - days_on


async def _read_bill(url: str, user: str, first: str, last: str, key: Path | None) -> Bill:
    from ledger.node.settings import read_key  # noqa: PLC0415 - as above
    from ledger.remote.client import LedgerClient, ViewingKey  # noqa: PLC0415 - loads httpx, which no --help should wait for

    viewer = None if key is None else ViewingKey(bytes.fromhex(user), read_key(key))
    async with LedgerClient([url], viewer) as client:
        epoch_s = int((await client.parameters())["epoch_s"])
        start, end = read_bounds(first, last, epoch_s)
        await client.account(bytes.fromhex(user))
        lines: list[tuple[Any, int]] = []
        for number in range(start, end + 1, EPOCHS_PER_REQUEST):
            for epoch in await client.epochs(number, min(end, number + EPOCHS_PER_REQUEST - 1)):
                if epoch.hidden_lines and viewer is None:
                    raise BillError(f"{url} shows settlement lines to their account alone: give its key with --key")
                lines += [(line, which) for line, which in _number(epoch.lines) if line.account.hex() == user]
        fees = await read_fees(client, user, start * epoch_s * 1000, (end + 1) * epoch_s * 1000)
        _require_each_once(fees.known)
        billed = [_bill_line(line, epoch_s, await _fetch_proof(client, line, which)) for line, which in lines]
        billed += [_fee_line(fee, epoch_s, await _fetch_fee_proof(client, fee)) for fee in fees.known]
    return Bill(user, start, end, tuple(billed), fees.are_all)


def _number(lines: Iterable[Any]) -> list[tuple[Any, int]]:
    """Return an epoch's lines, each with its number among those of its meter: what came late has one of its own."""
    seen: Counter[bytes] = Counter()
    numbered = []
    for line in lines:
        numbered.append((line, seen[line.meter]))
        seen[line.meter] += 1
    return numbered


async def _fetch_proof(client: Any, line: Any, which: int) -> str:
    """Return the proof file of *line*, which must open to this very line; waits for a checkpoint that covers it."""
    from ledger import proof, records  # noqa: PLC0415 - as above

    raw = await _wait_for(lambda: client.proof(line.epoch, line.meter, which))
    opened = records.decode_settlement_line(proof.parse(raw).opening.record)
    differing = [one.name for one in fields(opened) if getattr(opened, one.name) != getattr(line, one.name)]
    if differing:
        what = f"{', '.join(differing)} of epoch {line.epoch}, meter {line.meter.hex()}"
        raise BillError(f"the node's proof says otherwise than its line about {what}; ask another node")
    return raw.decode()


def _require_each_once(fees: Iterable[Fee]) -> None:
    """Raise BillError where a fee stands twice: both lines would have a proof that holds."""
    billed = [(fee.transaction or fee.order, fee.kind) for fee in fees]
    if len(set(billed)) < len(billed):
        raise BillError("the node bills one fee twice; ask another node")


async def _fetch_fee_proof(client: Any, fee: Fee) -> bytes:
    """Return the proof that says *fee*: of its transaction's receipt, or of what the block took by itself."""
    from ledger import receipt_proof, records  # noqa: PLC0415 - as above

    transaction = fee.transaction
    if transaction is None:
        raw = await _wait_for(lambda: client.fee_proof(fee.height, bytes.fromhex(fee.order)))
        is_told = fee.is_told_by(records.decode_fee(receipt_proof.parse(raw).record))
    else:
        raw = await _wait_for(lambda: client.transaction_proof(transaction))
        opened = receipt_proof.parse(raw)
        is_told = fee.stands_in(records.decode_receipt(opened.record), opened.events)
    if not is_told:
        raise BillError(f"the proof of the {fee.kind} in block {fee.height} does not say it; ask another node")
    return raw


async def _wait_for(fetch: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return what *fetch* does once a checkpoint covers it."""
    from ledger.remote.client import RefusedError  # noqa: PLC0415 - as above

    deadline = asyncio.get_running_loop().time() + PROOF_WAIT_S
    while True:
        try:
            return await fetch()
        except RefusedError as error:
            if error.code != "not_provable_yet" or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.5)


def _fee_line(fee: Fee, epoch_s: int, proof: bytes) -> dict[str, Any]:
    made = {
        "kind": fee.kind,
        "epoch": fee.time_ms // 1000 // epoch_s,
        "start": _show_time(fee.time_ms // 1000),
        "meter": fee.meter,
        "price_uaip_per_kwh": None,
        "fee_aaip": fee.fee_aaip,
        "net_aaip": -fee.fee_aaip,
        "height": fee.height,
        "transaction": fee.transaction.hex() if fee.transaction else None,
        "proof": proof,
    }
    return {name: made.get(name, 0) for name in _COLUMNS}


def _show_time(time_s: int) -> str:
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _bill_line(line: Any, epoch_s: int, proof_text: str) -> dict[str, Any]:
    made = {
        "kind": "settlement",
        "start": _show_time(line.epoch * epoch_s),
        "fee_aaip": 0,
        "height": None,
        "transaction": None,
        "meter": line.meter.hex(),
        "net_aaip": line.market_income_aaip + line.grid_income_aaip
        - line.market_cost_aaip - line.grid_cost_aaip - line.penalty_aaip,
        "proof": proof_text,
    }  # fmt: skip
    return {name: made[name] if name in made else getattr(line, name) for name in _COLUMNS}
