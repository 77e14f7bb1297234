"""Composition of the gateway: which parts there are, who feeds whom, and in which order they start and stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.first import invite_first_admin
from gateway.api.server import ApiServer, bind
from gateway.checks.checker import Checker
from gateway.enrolment import Enrolment
from gateway.epochs.calendar import Calendar
from gateway.genesis import read_genesis
from gateway.intake.hints import Hints
from gateway.intake.mqtt import BrokerLink
from gateway.intake.pipeline import Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.ops.opening import open_memory
from gateway.ops.retention import Retention
from gateway.readings.overview import Overview
from gateway.settings import GatewaySettings, read_key
from gateway.settlement.anchors import AnchorCourier, AnchorMaker
from gateway.settlement.follower import LedgerFollower
from gateway.settlement.reporter import Reporter
from gateway.store.adoption import AdoptionStore
from gateway.store.anchors import AnchorStore
from gateway.store.checks import CheckStore
from gateway.store.database import Database
from gateway.store.outbox import OutboxStore
from gateway.store.queries import Queries
from gateway.store.readings import ReadingStore
from gateway.store.retention import RetentionStore
from ledger.liveness import Notifier, watch
from ledger.remote.client import AccountClient, LedgerClient, ViewingKey

DRAIN_S: Final = 3.0
"""How long the batch in hand may take at the end; what is not committed by then the broker still holds."""
READY_POLL_S: Final = 0.05
log = structlog.get_logger()


@dataclass(slots=True)
class Parts:
    """The running parts of one gateway."""

    database: Database
    enrolment: Enrolment
    verifier: Verifier
    link: BrokerLink
    pipeline: Pipeline
    follower: LedgerFollower
    reporter: Reporter
    maker: AnchorMaker
    courier: AnchorCourier
    client: LedgerClient
    retention: Retention
    checker: Checker
    server: ApiServer


async def run(settings: GatewaySettings, pipeline_type: type[Pipeline] = Pipeline) -> None:
    """Run the gateway until SIGTERM or SIGINT; raises GatewayError where it cannot start.

    *pipeline_type* lets a fault test put a kill between two steps of intake.
    """
    listening = bind(settings.api)
    parts = await _assemble(settings, listening, pipeline_type)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, parts.enrolment.ask)
    try:
        await _run_parts(parts, stopping)
    finally:
        parts.verifier.close()
        await parts.client.close()
        await parts.database.close()
    log.info("gateway stopped")


async def _run_parts(parts: Parts, stopping: asyncio.Event) -> None:
    notifier = Notifier.from_environment()
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.link.run())
        intake = group.create_task(parts.pipeline.run())
        serving = group.create_task(parts.server.serve())
        endless = (
            parts.follower, parts.reporter, parts.maker, parts.courier, parts.retention, parts.enrolment, parts.checker,
        )  # fmt: skip
        others = [group.create_task(part.run()) for part in endless]
        others.append(group.create_task(_stay_alive(parts, notifier)))
        log.info("gateway started", api=parts.server.url)
        await stopping.wait()
        notifier.tell(STOPPING=1)
        parts.link.stop_reading()
        await asyncio.wait([intake], timeout=DRAIN_S)
        if not intake.done():
            log.warning("stopping with messages not committed; the broker keeps them", cause=parts.pipeline.fault)
            intake.cancel()
        await parts.link.stop()
        for task in others:
            task.cancel()
        parts.server.stop()
        await serving


async def _stay_alive(parts: Parts, notifier: Notifier) -> None:
    """Tell the service manager when the gateway serves, and from then on that it gets on."""
    while not parts.server.is_serving:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(READY_POLL_S)
    notifier.tell(READY=1)
    progress = {
        "intake": parts.pipeline.progress, "reports": parts.reporter.progress, "ledger": parts.follower.progress,
        "anchors": parts.maker.progress, "anchors to the ledger": parts.courier.progress,
    }  # fmt: skip
    await watch(notifier, progress, lambda: _describe(parts))


def _describe(parts: Parts) -> str:
    """Return the line that `systemctl status` shows."""
    broker = "broker connected" if parts.link.is_connected else "broker away"
    height = f"ledger at height {parts.follower.height}" if parts.follower.height else "ledger away"
    return "; ".join([broker, height, *(fault for fault in (parts.pipeline.fault, parts.reporter.fault) if fault)])


async def _assemble(settings: GatewaySettings, listening: socket.socket, pipeline_type: type[Pipeline]) -> Parts:
    genesis = read_genesis(settings)
    enrolment = Enrolment.open(settings.roster)
    receipt_key, account_key = read_key(settings.receipt_key), read_key(settings.ledger.key)
    calendar = Calendar(settings.epoch_s)
    hints = Hints(enrolment, calendar.now)
    link = BrokerLink(settings.broker, hints.hear)
    database = await open_memory(settings)
    enrolment.database = database
    store, outbox, queries = ReadingStore(database), OutboxStore(database), Queries(database)
    verifier = Verifier(enrolment)
    follower = LedgerFollower(settings.ledger.urls, calendar, genesis.parameters.heartbeat_ms / 1000)
    gateway_id = bytes.fromhex(settings.ledger.account)
    anchors = AnchorStore(database, gateway_id)
    await anchors.load()
    maker = AnchorMaker(anchors, calendar, follower, settings.retention.raw_days)
    receipts = Receipts(receipt_key, maker.newest_beacon, time.time)
    pipeline = pipeline_type(link, verifier, store, receipts, enrolment, settings.epoch_s)
    checks = CheckStore(database)
    checker = Checker(enrolment, calendar, checks)
    client = LedgerClient(settings.ledger.urls, ViewingKey(gateway_id, account_key))
    account = AccountClient(client, genesis.chain_id, gateway_id, account_key)
    reporter = Reporter(
        client, account, outbox, settings.epoch_s, lambda: follower.agreed_time, checker.catch_up, genesis
    )
    courier = AnchorCourier(client, account, anchors, gateway_id, genesis)
    adoptions = AdoptionStore(database)
    retention = Retention(
        RetentionStore(database, store), settings.store.parent, settings.retention.raw_days, calendar.now,
        lambda: follower.time,
    )  # fmt: skip
    overview = Overview(
        enrolment,
        calendar,
        store,
        queries,
        outbox,
        adoptions,
        checks,
        hints,
        link,
        pipeline,
        follower,
        reporter,
        retention,
        anchors,
        maker,
        courier,
        settings.backup.folder if settings.backup else None,
    )
    door = await Doorkeeper.over(database)
    if settings.api.login == "required":
        await invite_first_admin(door.people, settings.api)
    server = ApiServer(overview, door, settings.api, listening)
    return Parts(
        database, enrolment, verifier, link, pipeline, follower, reporter, maker, courier, client, retention, checker,
        server,
    )  # fmt: skip
