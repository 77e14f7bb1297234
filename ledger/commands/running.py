"""Run a node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[Path, typer.Option(help="The node's settings, node.toml.")],
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
    ] = False,
    log: Annotated[
        str | None, typer.Option(help="Log levels, such as info,market=debug; else those of node.toml.")
    ] = None,
) -> None:
    """Run one authority's node until SIGTERM or Ctrl-C.

    For example: campusgrid ledger run --config node.toml --log warning,consensus=debug
    """
    from ledger.logs import parse_levels  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import process  # noqa: PLC0415 - loads the whole node, which no --help should wait for

    try:
        levels = parse_levels(log) if log is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    process.run(config, exit_with_parent=exit_with_parent, log_levels=levels)
