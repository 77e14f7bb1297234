"""Composition of the gateway: which parts there are, who feeds whom, and in which order they start and stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from gateway.api.server import ApiServer, bind
from gateway.checks.checker import Checker
from gateway.enrolment import Enrolment
from gateway.epochs.calendar import Calendar
from gateway.errors import SettingsError
from gateway.intake.hints import Hints
from gateway.intake.mqtt import BrokerLink, make_tls_context
from gateway.intake.pipeline import Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.readings.overview import Overview
from gateway.roster import read_roster
from gateway.settings import GatewaySettings, read_key
from gateway.settlement.follower import LedgerFollower
from gateway.settlement.reporter import Reporter
from gateway.store.adoption import AdoptionStore
from gateway.store.checks import CheckStore
from gateway.store.database import Database
from gateway.store.outbox import OutboxStore
from gateway.store.queries import Queries
from gateway.store.readings import ReadingStore
from ledger import genesis as genesis_file
from ledger.client import AccountClient, LedgerClient
from ledger.errors import LedgerError
from ledger.genesis import Genesis

DRAIN_S: Final = 3.0
"""How long the batch in hand may take at the end; what is not committed by then the broker still holds."""
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
        await parts.database.close()
    log.info("gateway stopped")


async def _run_parts(parts: Parts, stopping: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(parts.link.run())
        intake = group.create_task(parts.pipeline.run())
        followers = (parts.follower, parts.reporter, parts.enrolment, parts.checker)
        others = [group.create_task(part.run()) for part in followers]
        serving = group.create_task(parts.server.serve())
        log.info("gateway started", api=parts.server.url)
        if not parts.server.is_local:
            log.warning("anybody who reaches this address sees all readings", next_step="put a login in front of it")
        await stopping.wait()
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


def check_files(settings: GatewaySettings) -> int:
    """Read every file that *settings* name and return the number of enrolled meters; raises SettingsError."""
    read_genesis(settings)
    read_key(settings.receipt_key)
    read_key(settings.ledger.key)
    settings.broker.read_password()
    make_tls_context(settings.broker)
    return len(read_roster(settings.roster))


async def _assemble(settings: GatewaySettings, listening: socket.socket, pipeline_type: type[Pipeline]) -> Parts:
    genesis = read_genesis(settings)
    enrolment = Enrolment.open(settings.roster)
    receipt_key, account_key = read_key(settings.receipt_key), read_key(settings.ledger.key)
    calendar = Calendar(settings.epoch_s)
    hints = Hints(enrolment, calendar.now)
    link = BrokerLink(settings.broker, hints.hear)
    database = await Database.open(settings.store)
    store, outbox, queries = ReadingStore(database), OutboxStore(database), Queries(database)
    verifier = Verifier(enrolment)
    follower = LedgerFollower(settings.ledger.urls, calendar)
    receipts = Receipts(receipt_key, follower.newest_beacon, time.time)
    pipeline = pipeline_type(link, verifier, store, receipts, enrolment, settings.epoch_s)
    checks = CheckStore(database)
    checker = Checker(enrolment, calendar, checks)
    client = LedgerClient(settings.ledger.urls)
    account = AccountClient(client, genesis.chain_id, bytes.fromhex(settings.ledger.account), account_key)
    reporter = Reporter(client, account, outbox, calendar, checker.catch_up, genesis)
    adoptions = AdoptionStore(database)
    overview = Overview(
        enrolment, calendar, store, queries, outbox, adoptions, checks, hints, link, pipeline, follower, reporter
    )
    server = ApiServer(overview, listening)
    return Parts(database, enrolment, verifier, link, pipeline, follower, reporter, checker, server)


def read_genesis(settings: GatewaySettings) -> Genesis:
    """Return the ledger's genesis; raises SettingsError if it is unusable or its epochs are not the gateway's."""
    genesis = load_genesis(settings.ledger.genesis)
    if genesis.parameters.epoch_s != settings.epoch_s:
        raise SettingsError(
            f"epoch_s is {settings.epoch_s} but the ledger's genesis has {genesis.parameters.epoch_s}; make them equal"
        )
    return genesis


def load_genesis(path: Path) -> Genesis:
    """Return the genesis in the file at *path*; raises SettingsError."""
    try:
        return genesis_file.load(path)
    except (LedgerError, OSError) as error:
        raise SettingsError(f"{path}: {error}") from error
