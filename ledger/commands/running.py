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
) -> None:
    """Run one authority's node until SIGTERM or Ctrl-C."""
    from ledger.node import process  # noqa: PLC0415 - loads the whole node, which no --help should wait for

    process.run(config, exit_with_parent=exit_with_parent)
