"""How near intake through a real broker to committed rows comes to the bare speed of checking signatures."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from gateway.enrolment import Enrolment
from gateway.intake.mqtt import BrokerLink
from gateway.intake.pipeline import MAX_BATCH_MESSAGES, Message, Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.settings import BrokerSettings, load_gateway
from gateway.store.database import Database
from gateway.store.readings import ReadingStore
from ledger.reading import VerifiedReading
from tests.bench.measure import Row, at_least
from tests.gateway.plant import EPOCH_S, Plant, ended

METERS = 20
READINGS = 4_000
ROUNDS = 7
BATCHES = (200, MAX_BATCH_MESSAGES)
INTAKE_RATIO_BAR = 0.7


def measure() -> Iterator[Row]:
    """Verify readings bare, take the same ones in through mosquitto, verify them bare again; by turns, for each batch.

    A round's ratio is of neighbours in time, and the median round counts: the machine's other work meets all of them.
    """
    ratios = []
    with tempfile.TemporaryDirectory() as folder, ended(Plant(Path(folder) / "plant", METERS)) as plant:
        for batch in BATCHES:
            rounds = asyncio.run(_compare(plant, batch))
            ratios.append(median(one.ratio for one in rounds))
            rates = ", ".join(f"{READINGS / one.intake_s:.0f}/{READINGS / one.bare_s:.0f}" for one in rounds)
            print(f"batches of {batch}: ratio {ratios[-1]:.3f}; readings/s intake/bare by round: {rates}")
    unit = f"intake/bare, less of batches of {' and '.join(map(str, BATCHES))}"
    yield at_least("gateway.intake_ratio", round(min(ratios), 3), unit, INTAKE_RATIO_BAR)


@dataclass(frozen=True, slots=True)
class _Round:
    bare_s: float
    intake_s: float

    @property
    def ratio(self) -> float:
        return self.bare_s / self.intake_s


class _BatchingLink(BrokerLink):
    """Hands out batches of one size at most."""

    def __init__(self, settings: BrokerSettings, batch: int) -> None:
        super().__init__(settings)
        self._batch = batch

    async def take(self, limit: int) -> list[Message]:
        return await super().take(min(limit, self._batch))


async def _compare(plant: Plant, batch: int) -> list[_Round]:
    rounds = []
    enrolment = Enrolment.open(load_gateway(plant.config).roster)
    verifier = Verifier(enrolment)
    try:
        await _open_session(plant)
        for _ in range(ROUNDS):
            sent = {pen.topic: [pen.sign() for _ in range(READINGS // METERS)] for pen in plant.pens}
            await asyncio.to_thread(_publish, plant, sent)
            before_s = await _verify_bare(verifier, sent, batch)
            intake_s = await _take_in(plant, verifier, enrolment, batch)
            rounds.append(_Round((before_s + await _verify_bare(verifier, sent, batch)) / 2, intake_s))
    finally:
        verifier.close()
    return rounds


async def _verify_bare(verifier: Verifier, sent: dict[str, list[bytes]], batch: int) -> float:
    """Return the seconds that decoding and verifying take: what intake spends on them too, with the same threads."""
    messages = [(topic, raw) for topic, raws in sent.items() for raw in raws]
    start_s = time.perf_counter()
    for place in range(0, len(messages), batch):
        parsed = await verifier.parse(messages[place : place + batch])
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


async def _take_in(plant: Plant, verifier: Verifier, enrolment: Enrolment, batch: int) -> float:
    """Return the seconds from the first message that comes until every reading is committed."""
    database = await Database.open(plant.store)
    store = ReadingStore(database)
    link = _BatchingLink(load_gateway(plant.config).broker, batch)
    receipts = Receipts(plant.receipt_key, lambda: None, time.time)
    pipeline = Pipeline(link, verifier, store, receipts, enrolment, EPOCH_S)
    running = asyncio.create_task(link.run())
    intake = asyncio.create_task(pipeline.run())
    while not link.in_flight:  # noqa: ASYNC110 - the link has no event for it
        await asyncio.sleep(0.001)
    start_s = time.perf_counter()
    while any(pipeline.chain_of(pen.meter_id).head < pen.sequence for pen in plant.pens):
        await store.committed.wait()
    taken_s = time.perf_counter() - start_s
    link.stop_reading()
    await intake
    await link.stop()
    await running
    await database.close()
    return taken_s
