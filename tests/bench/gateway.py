"""How near intake through a real broker to committed rows comes to the bare speed of checking signatures."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.enrolment import Enrolment
from gateway.intake.mqtt import BrokerLink
from gateway.intake.pipeline import Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.settings import load_gateway
from gateway.store.database import Database
from gateway.store.readings import ReadingStore
from ledger.reading import VerifiedReading
from tests.bench.measure import Row, at_least
from tests.gateway.plant import EPOCH_S, Plant, ended

METERS = 20
READINGS = 20_000
BATCH = 200
INTAKE_RATIO_BAR = 0.7


def measure() -> Iterator[Row]:
    """Verify the readings bare, take the same ones in through mosquitto, verify them bare again."""
    with tempfile.TemporaryDirectory() as folder, ended(Plant(Path(folder) / "plant", METERS)) as plant:
        bare_s, intake_s = asyncio.run(_compare(plant))
    print(f"bare {READINGS / bare_s:.0f}/s, intake {READINGS / intake_s:.0f}/s")
    yield at_least("gateway.intake_ratio", round(bare_s / intake_s, 3), "intake/bare", INTAKE_RATIO_BAR)


async def _compare(plant: Plant) -> tuple[float, float]:
    """Return the seconds that bare verification (the better of two runs) and whole intake take."""
    sent = {pen.topic: [pen.sign() for _ in range(READINGS // METERS)] for pen in plant.pens}
    enrolment = Enrolment.open(load_gateway(plant.config).roster)
    verifier = Verifier(enrolment)
    try:
        before_s = await _verify_bare(verifier, sent)
        await _open_session(plant)
        await asyncio.to_thread(_publish, plant, sent)
        intake_s = await _take_in(plant, verifier, enrolment)
        return min(before_s, await _verify_bare(verifier, sent)), intake_s
    finally:
        verifier.close()


async def _verify_bare(verifier: Verifier, sent: dict[str, list[bytes]]) -> float:
    messages = [(topic, raw) for topic, raws in sent.items() for raw in raws]
    start_s = time.perf_counter()
    for place in range(0, len(messages), BATCH):
        parsed = await verifier.parse(messages[place : place + BATCH])
        verified = await verifier.verify(parsed)  # type: ignore[arg-type]
        assert all(isinstance(reading, VerifiedReading) for reading in verified)
    return time.perf_counter() - start_s


async def _open_session(plant: Plant) -> None:
    """Let the broker know the gateway, so that it queues for it."""
    link = BrokerLink(load_gateway(plant.config).broker)
    running = asyncio.create_task(link.run())
    while not link.is_connected:  # noqa: ASYNC110 - paho has no event for it
        await asyncio.sleep(0.01)
    await link.stop()
    await running


def _publish(plant: Plant, sent: dict[str, list[bytes]]) -> None:
    for pen in plant.pens:
        line = plant.line(pen.meter_id.hex())
        line.send(pen.topic, *sent[pen.topic])
        line.close()


async def _take_in(plant: Plant, verifier: Verifier, enrolment: Enrolment) -> float:
    """Return the seconds from the connection until every reading is committed."""
    database = await Database.open(plant.store)
    store = ReadingStore(database)
    link = BrokerLink(load_gateway(plant.config).broker)
    receipts = Receipts(plant.receipt_key, lambda: None, time.time)
    pipeline = Pipeline(link, verifier, store, receipts, enrolment, EPOCH_S)
    start_s = time.perf_counter()
    running = asyncio.create_task(link.run())
    intake = asyncio.create_task(pipeline.run())
    while store.counts["stored"] < READINGS:  # noqa: ASYNC110 - the counter is what is measured
        await asyncio.sleep(0.01)
    taken_s = time.perf_counter() - start_s
    link.stop_reading()
    await intake
    await link.stop()
    await running
    await database.close()
    return taken_s
