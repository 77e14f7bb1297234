"""A full or read-only disk stops the acknowledging, not the serving; clock steps change nothing that counts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.enrolment import Enrolment
from gateway.intake.pipeline import Message, Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.roster import Meter, make_roster
from gateway.store.database import Database
from gateway.store.outbox import OutboxStore
from gateway.store.readings import ReadingStore
from ledger.keys import PrivateKey
from tests.gateway.plant import EPOCH_S, Pen, Plant, open_receipt, wait_for
from tests.gateway.sink import Sink

HOUR_S = 3600


def test_a_full_disk_stops_the_acknowledging_and_not_the_serving_until_there_is_room(plant: Plant) -> None:
    pen = plant.pens[0]
    plant.store.parent.mkdir()
    small = f'mount -t tmpfs -o size=16m tmpfs "{plant.store.parent}" && exec "$@"'
    gateway = plant.start(within=["unshare", "--mount", "--map-root-user", "sh", "-c", small, "sh"])
    inside = Path(f"/proc/{gateway.process.pid}/root{plant.store.parent}")
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, pen.sign())
    line.newest_receipt(1, plant.receipt_key.public_key)
    fill(inside / "filler")

    sent = [pen.sign() for _ in range(2000)]
    line.send(pen.topic, *sent)
    wait_for(lambda: "commit failed, intake waits" in plant.gateway_log(), "the gateway to say so")
    answer = httpx.get(f"http://127.0.0.1:{plant.api_port}/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")
    assert "the database refuses to commit: database or disk is full" in str(answer.json()["reasons"])
    assert "0 MiB free; when it is full the gateway acknowledges nothing" in str(answer.json()["reasons"])
    assert httpx.get(f"http://127.0.0.1:{plant.api_port}/api/readings").status_code == 200
    assert stored(plant) < 2001
    (inside / "filler").unlink()

    line.newest_receipt(2001, plant.receipt_key.public_key)
    assert stored(plant) == 2001
    health = f"http://127.0.0.1:{plant.api_port}/health"
    wait_for(lambda: httpx.get(health).status_code == 200, "/health, which may be a second old, to be well")
    assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ro", "cannot hold the gateway's database: Read-only file system; mend that"),
        ("size=64k", "cannot be brought up to date: database or disk is full; free disk space, then start"),
    ],
)
def test_a_gateway_that_cannot_write_its_disk_does_not_start_and_says_why(
    plant: Plant, options: str, said: str
) -> None:
    plant.store.parent.mkdir()
    mounted = f'mount -t tmpfs -o {options} tmpfs "{plant.store.parent}" && exec "$@"'
    within = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounted, "sh"]
    assert plant.start(within=within, await_broker=False).wait() == 1
    assert said in plant.gateway_log()
    assert plant.gateway_log().count("\n") == 1


async def test_a_disk_that_turns_read_only_holds_intake_back_and_loses_nothing(tmp_path: Path) -> None:
    async with working(tmp_path) as (intake, database):
        await database._writer.execute("PRAGMA query_only = ON")
        await intake.sink.offer(intake.signed(3))
        while intake.pipeline.fault is None:  # noqa: ASYNC110 - what the health page reads
            await asyncio.sleep(0.01)
        assert "readonly database" in intake.pipeline.fault
        assert (intake.sink.acknowledged, intake.sink.published) == ([], [])
        await database._writer.execute("PRAGMA query_only = OFF")
        await intake.running
        assert len(intake.sink.acknowledged) == 3
        assert intake.pipeline.fault is None


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_clock_that_steps_by_an_hour_loses_doubles_and_reorders_nothing(tmp_path: Path, step_s: int) -> None:
    async with working(tmp_path) as (intake, database):
        batches = [intake.signed(3) for _ in range(4)]
        for number, batch in enumerate(batches):
            if number == 2:
                intake.clock.step_s = step_s
            copies = batches[number - 1] if number else []
            await intake.sink.offer([*batch, *copies])
            await intake.running
            intake.again()
        rows = await database.query("SELECT sequence FROM readings ORDER BY id")
        assert [row["sequence"] for row in rows] == list(range(1, 13))
        heads = [open_receipt(raw, intake.key.public_key) for _, raw in intake.sink.published]
        assert [head[1] for head in heads] == [3, 6, 9, 12]
        assert heads[-1][5] - heads[0][5] == pytest.approx(step_s, abs=5)
        owed = await OutboxStore(database).find_waiting([intake.pen.meter_id], int(intake.clock()), 100)
        assert [one.epoch for one in owed] == sorted(one.epoch for one in owed)
        assert len(owed) == 12


@dataclass(slots=True)
class Clock:
    """The real time, off by `step_s`."""

    step_s: int = 0

    def __call__(self) -> float:
        return time.time() + self.step_s


class Intake:
    """A pipeline over a real database, with the broker's part in memory."""

    def __init__(self, database: Database) -> None:
        self.pen, self.key, self.clock, self.sink = Pen(), PrivateKey(bytes(32)), Clock(), Sink()
        meter = Meter(self.pen.meter_id, self.pen.key.public_key, "p", 1, True, bytes(8), "")
        enrolment = Enrolment(Path(), make_roster([meter]))
        self.verifier = Verifier(enrolment)
        receipts = Receipts(self.key, lambda: None, self.clock)
        self.pipeline = Pipeline(self.sink, self.verifier, ReadingStore(database), receipts, enrolment, EPOCH_S)
        self.again()

    def again(self) -> None:
        """Run the pipeline, as after a restart."""
        self.running = asyncio.create_task(self.pipeline.run())

    def signed(self, number: int) -> list[Message]:
        """Return *number* boundary readings, as the broker delivers them."""
        return [Message(self.pen.topic, self.pen.sign(epoch=self.pen.sequence), 1, 1) for _ in range(number)]


@asynccontextmanager
async def working(folder: Path) -> AsyncIterator[tuple[Intake, Database]]:
    database = await Database.open(folder / "gateway.sqlite")
    intake = Intake(database)
    try:
        yield intake, database
    finally:
        intake.running.cancel()
        await asyncio.gather(intake.running, return_exceptions=True)
        intake.verifier.close()
        await database.close()


def stored(plant: Plant) -> int:
    """Return how many readings the gateway says are committed."""
    return int(httpx.get(f"http://127.0.0.1:{plant.api_port}/api/status").json()["readings"]["stored"])


def fill(path: Path) -> None:
    """Fill the file system of *path* to its last byte."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError as error:
            assert error.errno == 28
    assert os.statvfs(path).f_bavail == 0
