"""The read-only API as a process: it follows the node's database, and ends when it cannot go on."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from ledger import logs
from ledger.api import metrics, server
from ledger.api.app import make_app
from ledger.api.readonly import ReadOnlySource
from ledger.api.sockets import bind
from ledger.node import settings as node_settings
from ledger.node.addresses import Address, split_address
from ledger.node.settings import NodeSettings, SettingsError
from ledger.parent import die_with_parent

log = structlog.get_logger("reader")


def run(config: Path, listen: str, node: str | None, *, exit_with_parent: bool = False) -> None:
    """Answer at *listen* from the database of *config*'s node, until SIGTERM or SIGINT; raises LedgerError.

    What is submitted goes to the API at *node*, or where the settings have it.
    """
    if exit_with_parent:
        die_with_parent()
    try:
        address = Address.model_validate(split_address(listen))
    except ValueError as error:
        raise SettingsError(f"--listen {listen!r} is no address: it reads like 127.0.0.1:9934") from error
    settings = node_settings.load(config)
    logs.configure(settings.log)
    asyncio.run(_serve(settings, address, node or f"http://{settings.api.http}"))


async def _serve(settings: NodeSettings, address: Address, node: str) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as opened:
        listener = opened.enter_context(bind(address))
        source = await ReadOnlySource.open(settings, node)
        opened.push_async_callback(source.close)
        app = make_app(source, settings.api)
        app.include_router(metrics.reader_routes(source), prefix="/v1")
        api = server.make_server(app)
        following = asyncio.create_task(source.follow())
        serving = asyncio.create_task(api.serve(sockets=[listener]))
        log.info("reading beside the node", name=settings.name, height=source.heads.height, node=node)
        try:
            await asyncio.wait(
                [following, serving, asyncio.create_task(stopped.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            if following.done():
                following.result()
        finally:
            api.should_exit = True
            following.cancel()
            await asyncio.gather(following, serving, return_exceptions=True)
