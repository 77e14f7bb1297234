"""Make an institution's keys, the genesis of a new chain, and a node's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Entries = Annotated[list[Path], typer.Argument(help="The entry.json of every institution, the own one included.")]

keys = typer.Typer(no_args_is_help=True, help="Make key files, and show their public keys.")


def init(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    name: Annotated[str, typer.Option(help="The institution's short name, such as ERC.")],
    address: Annotated[str, typer.Option(help="Where its node listens for the others, host:port.")],
) -> None:
    """Make an institution's keys and TLS certificate, and entry.json for the others; the first step to a ledger.

    Nothing in entry.json is secret, but it must reach the others unaltered. For example:

        campusgrid ledger init erc --name ERC --address ledger.erc.example:30333
    """
    from ledger.members import founding  # noqa: PLC0415 - see `ledger.commands`

    entry = founding.make_institution(folder, name, _require_address(address))
    typer.echo(f"{folder / founding.ENTRY}: give it to the other institutions; the *.key files stay here")
    typer.echo(f"account {entry.id.hex()} is {name}'s; its key is {folder / 'account.key'}")
    typer.echo("next, with all institutions' entries: `campusgrid ledger genesis` (one of you), then `begin` (each)")


def make_genesis(
    entries: Entries,
    name: Annotated[str, typer.Option(help="The chain's name.")],
    grid_key: Annotated[str, typer.Option(help="The public key of the utility's account, from `ledger keys make`.")],
    admin_key: Annotated[str, typer.Option(help="The public key of the administrator's account.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("genesis.json"),
) -> None:
    """Make the genesis of a new chain from all institutions' entries; one of them does, and gives it to the others.

    It holds a secret: the salts of the log come of it. All compare the chain id, by telephone say, before they begin.
    Its parameters and accounts may be edited until then. For example:

        campusgrid ledger genesis erc.json mea.json pea.json egat.json --name campus --grid-key … --admin-key …
    """
    from ledger import genesis  # noqa: PLC0415 - see `ledger.commands`
    from ledger.members import founding, institution  # noqa: PLC0415

    grid, admin = _read_public_key(grid_key), _read_public_key(admin_key)
    rules = founding.make_genesis(name, institution.load_all(entries), grid, admin)
    founding.write(out, genesis.dumps(rules))
    typer.echo(f"{out}: chain {rules.chain_id.hex()}")
    for account in rules.accounts:
        typer.echo(f"account {account.id.hex()} is {founding.describe_account(rules, account)}")
    typer.echo(f"next: give {out} to the other institutions alone; then each: `campusgrid ledger begin`")


def begin(
    folder: Annotated[Path | None, typer.Argument(help="The institution's folder, from `init`.")] = None,
    entries: Annotated[list[Path] | None, typer.Argument(help="The entry.json of every institution.")] = None,
    genesis_file: Annotated[Path, typer.Option("--genesis", help="The chain's genesis.json.")] = Path("genesis.json"),
    api: Annotated[str, typer.Option(help="Where the node's API listens.")] = "127.0.0.1:9933",
    joins: Annotated[bool, typer.Option("--joins", help="The chain runs already: copy it before signing.")] = False,
    config: Annotated[Path | None, typer.Option(help="In place of all else: an existing node.toml.")] = None,
) -> None:
    """Complete an institution's folder for its node, the last step: node.toml, the others' certificates, its data.

    It says that the node never ran on this chain. A node whose data was lost must not be told so: it starts without
    data, copies the chain and signs when that is safe. For example:

        campusgrid ledger begin erc erc.json mea.json pea.json egat.json --genesis genesis.json
    """
    from ledger import genesis  # noqa: PLC0415 - see `ledger.commands`
    from ledger.members import founding, institution  # noqa: PLC0415
    from ledger.node import settings  # noqa: PLC0415
    from ledger.node.recovery import memory  # noqa: PLC0415

    if (config is None) == (folder is None or not entries):
        raise typer.BadParameter("give the folder and all entries, or --config node.toml alone")
    if config is not None:
        read = settings.load(config)
        memory.begin(read.data_dir, genesis.load(read.genesis).chain_id)
    elif folder is not None and entries:
        rules, known = genesis.load(genesis_file), institution.load_all(entries)
        config = founding.set_up(folder, rules, known, api=_require_address(api), joins=joins)
        typer.echo(f"chain {rules.chain_id.hex()}: compare it with the others")
    typer.echo(f"start the node with: campusgrid ledger run --config {config}")


@keys.command("make")
def make_keys(
    files: Annotated[list[Path], typer.Argument(help="The files to make.")],
) -> None:
    """Make keys in new files, for their owner's eyes alone, and print the public ones; no file is overwritten.

    For example: campusgrid ledger keys make next-vote.key next-cosign.key next-log.key
    """
    from ledger.members import founding  # noqa: PLC0415 - see `ledger.commands`

    for file in files:
        typer.echo(f"{founding.make_key(file).public_key.hex()}  {file}")


@keys.command("show")
def show_keys(files: Annotated[list[Path], typer.Argument(help="Key files.")]) -> None:
    """Print the public keys of key files; never what is secret.

    For example: campusgrid ledger keys show account.key
    """
    from ledger.node.settings import read_key  # noqa: PLC0415 - see `ledger.commands`

    for file in files:
        typer.echo(f"{read_key(file).public_key.hex()}  {file}")


def _require_address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    fits = colon and host and port.isdecimal() and 0 < int(port) < 2**16 and text.isascii() and '"' not in text
    if not fits or not text.isprintable():
        raise typer.BadParameter(f"{text!r} is no address; it reads like ledger.erc.example:30333")
    return text


def _read_public_key(text: str) -> bytes:
    from ledger.keys import PUBLIC_KEY_BYTES  # noqa: PLC0415 - see `ledger.commands`

    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise typer.BadParameter(f"{text!r} is no public key; `campusgrid ledger keys show` prints one")
    return key
