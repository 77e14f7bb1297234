"""`campusgrid ledger`: run one authority's node, and look at one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """Run and inspect a ledger node."""


@app.command()
def run(
    config: Annotated[Path, typer.Option(help="The node's settings, node.toml.")],
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
    ] = False,
) -> None:
    """Run one authority's node until SIGTERM or Ctrl-C."""
    from ledger.node import process  # noqa: PLC0415 - loads the whole node, which no --help should wait for

    process.run(config, exit_with_parent=exit_with_parent)


@app.command()
def status(url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:26611.")]) -> None:
    """Print a node's status as JSON."""
    require_url(url)
    typer.echo(json.dumps(asyncio.run(_read_status(url)), indent=2))


@app.command()
def simulate(
    seeds: Annotated[int, typer.Option(min=1, max=10**9, help="How many schedules.")] = 1_000,
    start: Annotated[int, typer.Option(min=0, max=2**62, help="The first seed.")] = 0,
    nodes: Annotated[int | None, typer.Option(min=4, max=7, help="Authorities at genesis; else the seed says.")] = None,
    profile: Annotated[str, typer.Option(help="swarm, twins, twins3, membership, crash or runtime.")] = "swarm",
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; else one for each core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    replay: Annotated[int | None, typer.Option(min=0, max=2**62, help="Print this seed's run, event by event.")] = None,
    step: Annotated[bool, typer.Option("--step", help="With --replay: wait for Enter after each event.")] = False,
) -> None:
    """Run whole ledgers under faults in a deterministic simulation; exit 1 if a promise breaks or too little happened.

    Each seed is a schedule of faults: partitions, losses, crashes, wrong clocks, Byzantine authorities. For example:

        campusgrid ledger simulate --seeds 2000 --json

        campusgrid ledger simulate --profile twins --seeds 4096

        campusgrid ledger simulate --replay 17 --step
    """
    from ledger.simulation import command  # noqa: PLC0415 - as above
    from ledger.simulation.profiles import PROFILES  # noqa: PLC0415

    if profile not in PROFILES:
        raise typer.BadParameter(f"there is no profile {profile!r}: give one of {', '.join(PROFILES)}")
    if profile.startswith("twins") and nodes not in (None, 4):
        raise typer.BadParameter("the twins' schedules are enumerated for four authorities: leave --nodes out")
    if replay is not None:
        request = command.Request(profile, range(replay, replay + 1), nodes, 1)
        raise typer.Exit(command.play(request, sys.stdout, command.wait_for_enter if step else None))
    request = command.Request(profile, range(start, start + seeds), nodes, workers or os.cpu_count() or 1)
    raise typer.Exit(command.simulate(request, sys.stdout, sys.stderr, as_json=as_json))


@app.command()
def calls(
    module: Annotated[str | None, typer.Argument(help="One module alone, such as registry.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As GET /v1/calls and /v1/queries have it.")] = False,
) -> None:
    """Print every call and query of the ledger's modules: arguments, who may send it, what it does.

    For example: campusgrid ledger calls money
    """
    from ledger.modules import describe_calls, describe_queries  # noqa: PLC0415 - as above
    from ledger.modules.manual import write_manual  # noqa: PLC0415

    calls_ = [call for call in describe_calls() if module in (None, call["module"])]
    queries = [query for query in describe_queries() if module in (None, query["module"])]
    if not calls_ and not queries:
        raise typer.BadParameter(f"there is no module {module!r}; leave it out to see all")
    typer.echo(
        json.dumps({"calls": calls_, "queries": queries}, indent=2) if as_json else write_manual(calls_, queries)
    )


@app.command()
def call(
    name: Annotated[str, typer.Argument(help="The call, such as money.transfer.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Each as name=value; ids and keys in hex.")] = None,
    account: Annotated[str, typer.Option(help="The sender's account id, 16 hex digits.")] = "",
    key: Annotated[Path, typer.Option(help="The file with the account's key.")] = Path("account.key"),
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:26611.")] = "",
) -> None:
    """Send a call and print its receipt as JSON once it is final; exit 1 if the ledger refuses it.

    For example: campusgrid ledger call money.issue "reference=minutes 12" to=00000000000000a1 amount_aaip=1000000
    --account 00000000000000b2 --key account.key --url http://127.0.0.1:26611
    """
    from ledger import caller  # noqa: PLC0415 - as above

    require_url(url)
    receipt = asyncio.run(caller.send(caller.read_call(name, arguments or []), account, key, url))
    typer.echo(json.dumps(receipt, indent=2))
    raise typer.Exit(0 if receipt["code"] == 0 else 1)


@app.command()
def query(
    name: Annotated[str, typer.Argument(help="The query, such as money.balance_of.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Each as name=value; ids and keys in hex.")] = None,
    url: Annotated[str, typer.Option(help="The node's API, such as http://127.0.0.1:26611.")] = "",
) -> None:
    """Ask a node and print the answer as JSON; `campusgrid ledger calls` lists the queries.

    For example: campusgrid ledger query money.balance_of account=00000000000000a1 --url http://127.0.0.1:26611
    """
    require_url(url)
    module, dot, function = name.partition(".")
    pairs = [argument.partition("=") for argument in arguments or []]
    if not dot or any(not equals for _, equals, _ in pairs):
        raise typer.BadParameter("it reads like money.balance_of account=00000000000000a1")
    given = {key: value for key, _, value in pairs}
    typer.echo(json.dumps(asyncio.run(_ask(url, module, function, given)), indent=2))


def require_url(url: str) -> None:
    """Refuse what is no address of an API, before a library stumbles over it."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and url.isprintable()
        fits = fits and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter(f"{url!r} is no URL of a node's API; it reads like http://127.0.0.1:26611")


async def _ask(url: str, module: str, name: str, arguments: dict[str, str]) -> object:
    from ledger.client import LedgerClient  # noqa: PLC0415 - as above

    async with LedgerClient([url]) as client:
        return await client.query(module, name, **arguments)


async def _read_status(url: str) -> object:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    from ledger.api.resources import NodeStatus  # noqa: PLC0415
    from ledger.client import LedgerClient  # noqa: PLC0415

    async with LedgerClient([url]) as client:
        return TypeAdapter(NodeStatus).dump_python(await client.status(), mode="json")
