"""`campusgrid gateway …`: run gateway and bidding agents, check a configuration, mend a chain, say who may log in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.access.commands import audit, key_app, user_app
from gateway.errors import GatewayError
from ledger.parent import die_with_parent

app = typer.Typer(no_args_is_help=True, help="Run and look after a campus gateway.")
config_app = typer.Typer(no_args_is_help=True, help="Work on gateway.toml.")
app.add_typer(config_app, name="config")
app.add_typer(user_app, name="user")
app.add_typer(key_app, name="api-key")
app.command()(audit)

Config = Annotated[Path, typer.Option("--config", help="The TOML file.", show_default=False)]
WithParent = Annotated[
    bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
]


@app.command()
def run(config: Config, exit_with_parent: WithParent = False) -> None:
    """Run the gateway until SIGTERM."""
    from gateway import logs  # noqa: PLC0415 - a --help must not load the web framework
    from gateway.run import run as run_gateway  # noqa: PLC0415
    from gateway.settings import load_gateway  # noqa: PLC0415

    if exit_with_parent:
        die_with_parent()
    settings = load_gateway(config)
    logs.configure(settings.log)
    run_to_end(run_gateway(settings))


@app.command()
def bid(config: Config, exit_with_parent: WithParent = False) -> None:
    """Run the bidding agents until SIGTERM."""
    from gateway.bidding.run import run as run_agents  # noqa: PLC0415
    from gateway.settings import load_bidding  # noqa: PLC0415

    if exit_with_parent:
        die_with_parent()
    run_to_end(run_agents(load_bidding(config)))


@app.command()
def adopt(
    config: Config,
    meter: Annotated[str | None, typer.Argument(help="The meter's id, 16 hex digits, or its label.")] = None,
    is_all: Annotated[bool, typer.Option("--all", help="Every meter that waits in vain, as after a restore.")] = False,
    first: Annotated[
        int | None, typer.Option("--from", metavar="NUMBER", help="In a fork: the chain that begins with this reading.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Receipt a meter again whose earlier readings this gateway lost for good. The gateway must be stopped."""
    from gateway.ops.adoption import adopt as adopt_chains  # noqa: PLC0415
    from gateway.settings import load_gateway  # noqa: PLC0415

    def confirm(text: str) -> None:
        typer.echo(text)
        if not yes:
            typer.confirm("Give them up?", abort=True)

    if (meter is None) != is_all:
        raise typer.BadParameter("give the id of one meter, or --all")
    typer.echo(asyncio.run(adopt_chains(load_gateway(config), meter, confirm, first)))


@app.command()
def backup(config: Config) -> None:
    """Make an encrypted backup, while the gateway runs or not, and restore it on trial: only then does it count."""
    from gateway.access.operator import note  # noqa: PLC0415
    from gateway.ops.backup import make_backup, read_source  # noqa: PLC0415
    from gateway.settings import load_gateway  # noqa: PLC0415

    settings = load_gateway(config)
    if settings.backup is None:
        raise GatewayError(f"{config}: has no section [backup]; `campusgrid gateway config init` shows what goes there")
    made = make_backup(read_source(settings), settings.backup, time.time())
    asyncio.run(note(settings.store, "make backup", made.file, readings=made.readings, meters=made.meters))
    typer.echo(
        f"{settings.backup.folder / made.file}: {made.size_bytes} bytes, restored on trial: {made.readings} readings of"
        f" {made.meters} meters, every chain complete"
    )


@app.command("backup-key")
def make_backup_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the private key goes: not on the gateway.")],
) -> None:
    """Make the key pair of the backups: the private key to FILE, the public key, for gateway.toml, to the terminal."""
    from gateway.ops.backup import make_key  # noqa: PLC0415

    typer.echo(f'public_key = "{make_key(file)}"')


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="BACKUP", help="A file that `campusgrid gateway backup` wrote.")],
    config: Config,
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="The private key that backup-key made.")],
    is_check: Annotated[bool, typer.Option("--check", help="Only try it; change nothing.")] = False,
    may_be_older: Annotated[bool, typer.Option("--older", help="Replace a whole database that knows more.")] = False,
    keeps_access: Annotated[
        bool, typer.Option("--keep-access", help="Let passwords and API keys of the backup hold, revoked since or not.")
    ] = False,
) -> None:
    """Put a backup in the place of the database. The gateway must be stopped; the database before is kept.

    Example: campusgrid gateway restore gateway-….backup --key backup.key --config gateway.toml
    """
    from gateway.ops import restore as restoring  # noqa: PLC0415
    from gateway.ops.backup import read_source  # noqa: PLC0415
    from gateway.settings import load_gateway, read_secret  # noqa: PLC0415

    settings = load_gateway(config)
    source, private = read_source(settings), read_secret(key)
    if is_check:
        typer.echo(restoring.try_backup(file, private, source))
    else:
        done = restoring.restore(
            file, private, source, may_be_older=may_be_older, now=time.time(), keeps_access=keeps_access
        )
        typer.echo(restoring.describe(done, settings, config))


@app.command()
def install(
    config: Annotated[Path | None, typer.Option("--config", help="The gateway.toml of the gateway to run.")] = None,
    node: Annotated[Path | None, typer.Option("--node", help="The node.toml of the ledger node to run.")] = None,
    root: Annotated[Path, typer.Option(help="Write below this folder instead of into the system.")] = Path("/"),
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")] = False,
) -> None:
    """Have systemd run the gateway and its nightly backup, a ledger node, or both. Repeating it mends what differs."""
    from gateway.ops.installation import install as install_services  # noqa: PLC0415

    for line in install_services(config, node, root, is_dry=is_dry):
        typer.echo(line)


@config_app.command()
def check(
    config: Config,
    bidding: Annotated[
        Path | None, typer.Option("--bidding", metavar="FILE", help="Also the bidding.toml of this gateway's agents.")
    ] = None,
) -> None:
    """Check the file and all that it names, and show each value and where it came from; start nothing.

    Example: campusgrid gateway config check --config gateway.toml --bidding bidding.toml
    """
    from gateway.ops.configuration import check_files, describe, describe_bidding  # noqa: PLC0415
    from gateway.settings import load_bidding, load_gateway  # noqa: PLC0415

    settings = load_gateway(config)
    for line in describe(config, settings):
        typer.echo(line)
    if bidding is not None:
        for line in describe_bidding(bidding, load_bidding(bidding), settings):
            typer.echo(line)
    typer.echo(f"{config}: good; {check_files(settings)} meters enrolled")


@config_app.command("init")
def write_config(file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist.")]) -> None:
    """Write a gateway.toml with every key, what it means and its default."""
    from gateway.ops.configuration import write_template  # noqa: PLC0415

    write_template(file)
    typer.echo(f"{file}: written. Set what has no default, then: campusgrid gateway config check --config {file}")


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* in an event loop; a fault in one of its tasks ends all of them and is raised as it is."""
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the fault of *group* to tell of: one meant for the user, if there is one."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, GatewayError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
