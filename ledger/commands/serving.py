"""Serve a node's data from a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.commands.urls import require_url


def serve(
    config: Annotated[Path, typer.Option(help="The node's settings, node.toml.")],
    listen: Annotated[str, typer.Option(help="Where to answer, host:port.")] = "127.0.0.1:9934",
    node: Annotated[str, typer.Option(help="Where to pass submissions on; else the API that node.toml names.")] = "",
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
    ] = False,
) -> None:
    """Answer the API beside a running node, from its database, in a process that holds no vote: reads cost it nothing.

    What is submitted is passed on to the node. Heavy readers and the public belong here. For example:

        campusgrid ledger serve --config node.toml --listen 0.0.0.0:9934
    """
    from ledger.node import reader  # noqa: PLC0415 - see `ledger.commands`

    if node:
        require_url(node)
    reader.run(config, listen, node or None, exit_with_parent=exit_with_parent)
