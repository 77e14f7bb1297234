"""Ask a node over its API, and send it calls."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from ledger.commands.urls import require_url


def calls(
    module: Annotated[str | None, typer.Argument(help="One module alone, such as registry.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As GET /v1/calls and /v1/queries have it.")] = False,
) -> None:
    """Print every call and query of the ledger's modules: arguments, who may send it, what it does.

    For example: campusgrid ledger calls money
    """
    from ledger.modules import describe_calls, describe_queries  # noqa: PLC0415 - see `ledger.commands`
    from ledger.modules.manual import write_manual  # noqa: PLC0415

    calls_ = [call for call in describe_calls() if module in (None, call["module"])]
    queries = [query for query in describe_queries() if module in (None, query["module"])]
    if not calls_ and not queries:
        raise typer.BadParameter(f"there is no module {module!r}; leave it out to see all")
    typer.echo(
        json.dumps({"calls": calls_, "queries": queries}, indent=2) if as_json else write_manual(calls_, queries)
    )


def call(
    name: Annotated[str, typer.Argument(help="The call, such as money.transfer.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Each as name=value; ids and keys in hex.")] = None,
    account: Annotated[str, typer.Option(help="The sender's account id, 16 hex digits.")] = "",
    key: Annotated[Path, typer.Option(help="The file with the account's key.")] = Path("account.key"),
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")] = "",
) -> None:
    """Send a call and print its receipt as JSON once it is final; exit 1 if the ledger refuses it.

    For example: campusgrid ledger call money.issue "reference=minutes 12" to=00000000000000a1 amount_aaip=1000000
    --account 00000000000000b2 --key account.key --url http://127.0.0.1:9933
    """
    from ledger.remote import caller  # noqa: PLC0415 - see `ledger.commands`

    require_url(url)
    receipt = asyncio.run(caller.send(caller.read_call(name, arguments or []), account, key, url))
    typer.echo(json.dumps(receipt, indent=2))
    raise typer.Exit(0 if receipt["code"] == 0 else 1)


def query(
    name: Annotated[str, typer.Argument(help="The query, such as money.balance_of.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Each as name=value; ids and keys in hex.")] = None,
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:9933.")] = "",
) -> None:
    """Ask a node and print the answer as JSON; `campusgrid ledger calls` lists the queries.

    For example: campusgrid ledger query money.balance_of account=00000000000000a1 --url http://127.0.0.1:9933
    """
    require_url(url)
    module, dot, function = name.partition(".")
    pairs = [argument.partition("=") for argument in arguments or []]
    if not dot or any(not equals for _, equals, _ in pairs):
        raise typer.BadParameter("it reads like money.balance_of account=00000000000000a1")
    given = {key: value for key, _, value in pairs}
    typer.echo(json.dumps(asyncio.run(_ask(url, module, function, given)), indent=2))


async def _ask(url: str, module: str, name: str, arguments: dict[str, str]) -> object:
    from ledger.remote.client import LedgerClient  # noqa: PLC0415 - see `ledger.commands`

    async with LedgerClient([url]) as client:
        return await client.query(module, name, **arguments)
