"""What goes on in a network of real nodes while a test does something to them: transfers, backups, and who signs."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from ledger.node import settings
from ledger.node.recovery import backup
from ledger.node.settings import NodeSettings
from ledger.remote.client import AccountClient, ClientError, LedgerClient
from tests.ledger.node.network import OTHER, PATIENCE_S, Network, until


@dataclass
class Traffic:
    """Transfers, one after another, and how many were final."""

    final: int = 0
    flowing: asyncio.Task[None] | None = None

    async def flow(self, client: LedgerClient, account: AccountClient) -> None:
        while True:
            with contextlib.suppress(ClientError):  # from a node too busy to answer in the client's time
                receipt = await client.wait_final(await account.call("money", "transfer", OTHER, 1), PATIENCE_S)
                assert receipt.code == 0
                self.final += 1

    async def goes_on(self, count: int = 2) -> None:
        wanted = self.final + count

        async def has() -> bool:
            if self.flowing is not None and self.flowing.done():
                self.flowing.result()  # what ended it is what to tell
            return self.final >= wanted

        await until(has, f"{count} more transfers are final")


@contextlib.asynccontextmanager
async def traffic(network: Network, client: LedgerClient) -> AsyncIterator[Traffic]:
    made = Traffic()
    made.flowing = asyncio.create_task(made.flow(client, network.account(client)))
    try:
        yield made
        assert not made.flowing.done(), made.flowing
    finally:
        made.flowing.cancel()


def nothing(_done: int, _total: int) -> None:
    """Nobody watches."""


def settings_of(network: Network, place: int) -> NodeSettings:
    return settings.load(network.directory(place) / "node.toml")


def back_up(network: Network, place: int) -> Path:
    """Back a node up, running or not, and return the folder."""
    target = network.root / f"backup of {network.names[place]}"
    backup.make(settings_of(network, place), target, with_keys=False, progress=nothing)
    return target


def put_back(network: Network, place: int, source: Path) -> None:
    shutil.rmtree(network.directory(place) / "data")
    backup.restore(settings_of(network, place), source, nothing)


async def signs(network: Network, place: int) -> None:
    async def does() -> bool:
        return not await observes(network, place)

    await until(does, f"{network.names[place]} signs again")


async def observes(network: Network, place: int) -> bool:
    async with network.client(place) as client:
        return (await client.status()).observes
