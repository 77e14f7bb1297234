"""A ledger's log as files, for whoever is to check it when no node answers any more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.commands.bars import bar


def archive(
    folder: Annotated[Path, typer.Argument(help="The folder to make, or to bring up to date.")],
    config: Annotated[Path, typer.Option(help="The node's settings, node.toml.")] = Path("node.toml"),
) -> None:
    """Write the log as a folder that any web server can serve: tiles, entries, headers, hand-overs and a checkpoint.

    The node may run meanwhile. Run again, it writes what is new; cut short, it goes on. Nothing in it is secret, and
    whoever serves it need not be believed. For example:

        campusgrid ledger archive /srv/ledger --config node.toml

        python -m http.server --directory /srv/ledger 8000

        campusgrid ledger watch --url http://127.0.0.1:8000 --trust trust.json --memory seen
    """
    from ledger.node import archive as archives  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import settings  # noqa: PLC0415

    with bar("opening") as show:
        done = archives.export(settings.load(config), folder, show)
    typer.echo(f"{folder}: {done.size} leaves of the log, {done.height} blocks; {done.written} files written")
    if done.missing:
        typer.echo(
            f"{done.missing} bundles of entries or headers are not at this node, which joined later: run this for"
            " the same folder at another authority's, too",
            err=True,
        )
