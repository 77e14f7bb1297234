"""`campusgrid ledger`: run one authority's node, and look at one."""

from __future__ import annotations

import asyncio
import json
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
    _require_url(url)
    typer.echo(json.dumps(asyncio.run(_read_status(url)), indent=2))


def _require_url(url: str) -> None:
    """Refuse what is no address of an API, before a library stumbles over it."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and url.isprintable()
        fits = fits and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter(f"{url!r} is no URL of a node's API; it reads like http://127.0.0.1:26611")


async def _read_status(url: str) -> object:
    from pydantic import TypeAdapter  # noqa: PLC0415 - as above

    from ledger.api.resources import NodeStatus  # noqa: PLC0415
    from ledger.client import LedgerClient  # noqa: PLC0415

    async with LedgerClient([url]) as client:
        return TypeAdapter(NodeStatus).dump_python(await client.status(), mode="json")
