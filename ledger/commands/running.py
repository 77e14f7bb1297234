"""Run a node."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer


def run(
    config: Annotated[Path | None, typer.Option(help="The node's settings, node.toml.")] = None,
    dev: Annotated[bool, typer.Option("--dev", help="Run a ledger of one node, to try things on.")] = False,
    folder: Annotated[Path | None, typer.Option(help="With --dev: keep the ledger here, and go on with it.")] = None,
    api: Annotated[str, typer.Option(help="With --dev: where the API listens.")] = "127.0.0.1:9933",
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
    ] = False,
    log: Annotated[
        str | None, typer.Option(help="Log levels, such as info,market=debug; else those of node.toml.")
    ] = None,
) -> None:
    """Run one authority's node until SIGTERM or Ctrl-C.

    For example: campusgrid ledger run --config node.toml --log warning,consensus=debug

    or, for a ledger that is gone when it ends: campusgrid ledger run --dev
    """
    from ledger.logs import parse_levels  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import process  # noqa: PLC0415 - loads the whole node, which no --help should wait for

    if dev == (config is not None) or (folder is not None and not dev):
        raise typer.BadParameter("give --config node.toml, or --dev with or without --folder")
    try:
        levels = parse_levels(log) if log is not None else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with ExitStack() as opened:
        if config is None:
            from ledger.members import development  # noqa: PLC0415 - see `ledger.commands`

            home = folder or Path(opened.enter_context(TemporaryDirectory(prefix="campusgrid-dev-")))
            config = development.prepare(home, api)
            typer.echo(f"a ledger to try things on, not fault-tolerant; keys of its accounts are in {home}", err=True)
        process.run(config, exit_with_parent=exit_with_parent, log_levels=levels)
