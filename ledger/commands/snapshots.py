"""Snapshots as files, and pruning a node that does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

Config = Annotated[Path, typer.Option(help="The node's settings, node.toml.")]
Days = Annotated[int | None, typer.Option(min=0, max=10**6, help="Instead of what node.toml says.")]


@app.callback()
def snapshot() -> None:
    """A node's whole state as one file, for an institution that is to join or has lost its data."""


@app.command("export")
def export_snapshot(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    config: Config = Path("node.toml"),
    wait: Annotated[
        float,
        typer.Option(min=0, max=86_400, help="Seconds to wait for a block with a transaction, where one is needed."),
    ] = 60.0,
) -> None:
    """Write a snapshot of the newest block to a file; the node may run meanwhile.

    A block without a transaction has none: then the newest one that the node made by itself is written, or, where it
    made none yet, the next block with a transaction is waited for.

    The file holds all accounts and what salts receipts: hand it to authorities alone. For example:

        campusgrid ledger snapshot export ledger.snapshot --config node.toml
    """
    from ledger.node.snapshots import commands as snapshot_commands  # noqa: PLC0415 - see `ledger.commands`

    manifest = snapshot_commands.export(config, file, wait, lambda text: typer.echo(text, err=True))
    typer.echo(
        f"snapshot of block {manifest.height}, {manifest.header.id.hex()}: {file.stat().st_size} bytes in {file}"
    )


@app.command("import")
def import_snapshot(
    file: Annotated[Path, typer.Argument(help="A snapshot that `export` wrote.")],
    config: Config = Path("node.toml"),
) -> None:
    """Put a snapshot into a node without data, which then goes on by blocks; every part is checked.

    One institution alone gave the file: compare the block's id that is printed with another's. For example:

        campusgrid ledger snapshot import ledger.snapshot --config node.toml
    """
    from ledger.node.snapshots import commands as snapshot_commands  # noqa: PLC0415 - see `ledger.commands`

    manifest = snapshot_commands.put_into(config, file)
    typer.echo(f"the node stands at block {manifest.height}, {manifest.header.id.hex()}")
    typer.echo("compare that id with another institution's, then start the node with `joins = true` in node.toml")


def prune(
    config: Config = Path("node.toml"),
    bodies_days: Days = None,
    receipts_days: Days = None,
    index_days: Days = None,
) -> None:
    """Give up what is older than [keep] in node.toml says, and make the database small; the node must not run.

    A running node prunes by itself; this is for the first time, or to make room at once. For example:

        campusgrid ledger prune --config node.toml --bodies-days 30
    """
    from ledger.node.snapshots import commands as snapshot_commands  # noqa: PLC0415 - see `ledger.commands`

    days = {"bodies_days": bodies_days, "receipts_days": receipts_days, "index_days": index_days}
    done = snapshot_commands.prune(config, {name: value for name, value in days.items() if value is not None})
    for kept, height in done.up_to.items():
        gone = f"gone up to block {height}" if height else "nothing is gone"
        typer.echo(f"{kept}: {gone}; {done.why_no_more[kept]}")
    typer.echo(f"{done.bytes_before} bytes before, {done.bytes_after} now")
