"""Show what an authority's keys are, wherever they are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ledger.node.signers.identity import KeySet

ID_BYTES = 8


def node_keys(
    config: Annotated[Path, typer.Option(help="The node's settings, node.toml.")],
    authority: Annotated[
        str, typer.Option(help="The authority's id, 16 hex digits: prove to it that the keys are held here.")
    ] = "",
) -> None:
    """Show a node's public keys, as a genesis file has them; from files and from tokens (HSM) alike.

    With --authority, the proofs that `authorities.join` and `authorities.rotate_keys` want. For example:

        campusgrid ledger keys node --config node.toml --authority 0101010101010101
    """
    from ledger import genesis  # noqa: PLC0415 - see `ledger.commands`
    from ledger.node import settings  # noqa: PLC0415
    from ledger.node.signers import identity  # noqa: PLC0415

    read = settings.load(config)
    holder = identity.load(read)
    chain_id = genesis.load(read.genesis).chain_id if authority else b""
    shown = [_describe(held, chain_id, _id(authority)) for held in holder.key_sets]
    names = ("keys", "next_keys")
    typer.echo(json.dumps({"name": holder.name} | dict(zip(names, shown, strict=False)), indent=2))


def _describe(held: KeySet, chain_id: bytes, authority: bytes) -> dict[str, str]:
    from ledger.statements import sign_possession  # noqa: PLC0415

    named = {"vote": held.vote, "cosign": held.cosign, "log": held.log}
    found = {f"{use}_key": key.public_key.hex() for use, key in named.items()}
    if authority:
        found |= {f"{use}_proof": sign_possession(chain_id, authority, key).hex() for use, key in named.items()}
    return found


def _id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if text and len(found) != ID_BYTES:
        raise typer.BadParameter("--authority is an id of 16 hex digits, as `authorities.list_sets` shows it")
    return found
