"""Back a node up, restore it, and check its database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ledger.commands.bars import bar

Config = Annotated[Path, typer.Option(help="The node's settings, node.toml.")]


def backup(
    target: Annotated[Path, typer.Argument(help="The folder to make; it must not exist.")],
    config: Config,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Put the node's key files in, too: whoever has them can sign.")
    ] = False,
) -> None:
    """Copy a node's data into a folder, while the node runs or not; the folder vouches for itself by checksums.

    For example: campusgrid ledger backup /backups/erc-monday --config node.toml
    """
    from ledger.node import settings  # noqa: PLC0415
    from ledger.node.recovery import backup as backups  # noqa: PLC0415 - see `ledger.commands`

    read = settings.load(config)
    with bar("copying") as show:
        made = backups.make(read, target, with_keys=with_keys, progress=lambda *at: show("copying", *at))
    typer.echo(f"{target}: {made.name} as of block {made.height} ({made.block_id[:16]}…), {len(made.files)} files")


def restore(source: Annotated[Path, typer.Argument(help="A folder that `backup` made.")], config: Config) -> None:
    """Restore a node's data from a backup; data that is there already is never overwritten.

    The node then follows the chain and signs nothing until it knows that it contradicts nothing that it signed after
    the backup. Where too many nodes were restored at once for that, see `campusgrid ledger authority resume`.

    For example: campusgrid ledger restore /backups/erc-monday --config node.toml
    """
    from ledger.node import settings  # noqa: PLC0415
    from ledger.node.recovery import backup as backups  # noqa: PLC0415 - see `ledger.commands`

    with bar("checking") as show:
        found = backups.restore(settings.load(config), source, lambda *at: show("checking", *at))
    typer.echo(f"restored {found.name} as of block {found.height}; start the node: it catches up before it signs")


def verify_db(
    config: Config,
    full: Annotated[bool, typer.Option("--full", help="Execute all blocks anew, from the genesis on.")] = False,
) -> None:
    """Check a node's database, while the node runs or not: every block and certificate, state root, log root; exit 1.

    For example: campusgrid ledger verify-db --config node.toml --full
    """
    from ledger import genesis  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import settings  # noqa: PLC0415
    from ledger.node.recovery.memory import DATABASE  # noqa: PLC0415
    from ledger.node.storage import verifying  # noqa: PLC0415

    read = settings.load(config)
    with bar("file") as show:
        report = verifying.verify(read.data_dir / DATABASE, genesis.load(read.genesis), show, full=full)
    for fault in report.faults:
        typer.echo(fault, err=True)
    if report.faults:
        typer.echo(
            f"move {read.data_dir} away, restore the newest backup (`campusgrid ledger restore`) or start without data,"
            " and the node copies from the others what it lacks",
            err=True,
        )
        raise typer.Exit(1)
    executed = f", {report.executed} of them executed anew" if full else ""
    typer.echo(f"sound: {report.blocks} blocks up to {report.height}{executed}, {report.leaves} leaves of the log")
