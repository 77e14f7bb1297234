"""A ledger of a single node to try things on: made in a moment, marked in its genesis, tolerating no fault."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from ledger import genesis, keys
from ledger.members import founding, institution
from ledger.node import settings

NAME: Final = "development"
ACCOUNTS: Final = ("grid", "admin")
"""Beside the institution's own account.key: whoever tries things needs the utility's key and an administrator's."""


def prepare(folder: Path, api: str) -> Path:
    """Return node.toml of the development ledger in *folder*, which is made where there is none; its API is at *api*.

    Raises FoundingError where *folder* holds something else.
    """
    config = folder / "node.toml"
    if not config.exists():
        _make(folder, api)
    elif not genesis.load(settings.load(config).genesis).development:
        raise founding.FoundingError(f"{folder} is no development ledger: run it with --config {config}")
    return config


def _make(folder: Path, api: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:  # nobody ever dials it
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    own = founding.make_institution(folder, NAME, address)
    public = [_make_account(folder, name).public_key for name in ACCOUNTS]
    rules = founding.make_genesis(NAME, [own], *public, development=True)
    founding.set_up(folder, rules, [institution.load(folder / founding.ENTRY)], api=api, joins=False)


def _make_account(folder: Path, name: str) -> keys.PrivateKey:
    return founding.make_key(folder / f"{name}.key")
