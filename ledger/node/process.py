"""The node as a process: logs, signals, API and node in one event loop, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import structlog

from ledger import logs
from ledger.api import diagnosis, server
from ledger.api.app import make_app
from ledger.api.operator import make_operator_app
from ledger.api.sockets import bind
from ledger.api.source import NodeSource
from ledger.errors import LedgerError
from ledger.liveness import Notifier, watch
from ledger.logs import LogLevels
from ledger.node import settings as node_settings
from ledger.node.service import Node
from ledger.node.settings import NodeSettings
from ledger.parent import die_with_parent

SWITCH_INTERVAL_S: Final = 0.001

log = structlog.get_logger("process")


def run(config: Path, *, exit_with_parent: bool = False, log_levels: LogLevels | None = None) -> None:
    """Run the node that *config* describes until SIGTERM or SIGINT; raises LedgerError where it cannot go on.

    *log_levels* take the place of those in the settings.
    """
    if exit_with_parent:
        die_with_parent()
    settings = node_settings.load(config)
    logs.configure(log_levels or settings.log)
    asyncio.run(_serve(settings, config))


async def _serve(settings: NodeSettings, config: Path) -> None:
    stopped, asked = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    async with AsyncExitStack() as opened:
        node = Node.open(settings)  # first: a node that runs here already holds the ports, too
        opened.push_async_callback(node.close)
        public = [opened.enter_context(bind(address)) for address in settings.api.addresses]
        spare_the_collector()
        _let_the_loop_in()
        own = opened.enter_context(bind(settings.operator))  # after the lock: the socket of a live node stays
        source, own_source = NodeSource(node), NodeSource(node, for_operator=True)
        opened.callback(source.close)
        opened.callback(own_source.close)
        app = make_app(source, settings.api)
        app.include_router(diagnosis.routes(node, source), prefix="/v1")
        servers = {
            server.make_server(app): public,
            server.make_server(make_operator_app(node, own_source)): [own],
        }
        working = asyncio.create_task(node.run())
        reloading = asyncio.create_task(_reload(node, config, asked))
        serving = [asyncio.create_task(one.serve(sockets=sockets)) for one, sockets in servers.items()]
        notifier = Notifier.from_environment()
        watching = asyncio.create_task(
            watch(notifier, {"consensus": node.driver.progress}, lambda: f"height {node.driver.height - 1}")
        )
        notifier.tell(READY=1)
        try:
            await asyncio.wait(
                [working, *serving, asyncio.create_task(stopped.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            notifier.tell(STOPPING=1)
            if working.done():
                working.result()
        finally:
            for one in servers:
                one.should_exit = True
            working.cancel()
            watching.cancel()
            reloading.cancel()
            await asyncio.gather(working, *serving, watching, reloading, return_exceptions=True)


async def _reload(node: Node, config: Path, asked: asyncio.Event) -> None:
    """Read *config* again whenever SIGHUP *asked* for it; a fault in it is logged, and the node goes on as before."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await node.reload(node_settings.load(config))
        except LedgerError as error:
            log.error("the settings are not taken over: mend them, then send SIGHUP again", reason=str(error))  # noqa: TRY400


def spare_the_collector() -> None:
    """Keep what is there for good out of Python's search for cycles, and search less often.

    A block makes tens of thousands of objects that live until it is decided, none of them in a cycle: at the usual
    thresholds the search took a third of the time of execution.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def _let_the_loop_in() -> None:
    """Have a thread that executes a block give way to the event loop sooner: by default each turn costs it 5 ms."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
