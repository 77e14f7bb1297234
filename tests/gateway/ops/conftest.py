from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from nacl.public import PrivateKey as OpeningKey

from gateway.intake.refusals import Refusal
from gateway.intake.sequence import Chain
from gateway.ops.backup import Source
from gateway.roster import Meter, make_roster
from gateway.settings import BackupSettings
from gateway.store.database import Database
from gateway.store.readings import Admission, Batch, ReadingStore
from ledger import reading
from ledger.keys import PrivateKey
from ledger.reading import VerifiedReading
from tests.gateway.plant import Pen


@dataclass(slots=True)
class Archive:
    """A gateway's database with readings that two meters really signed, and where its backups go."""

    folder: Path
    pens: list[Pen] = field(default_factory=lambda: [Pen(time=int(time.time()) - 1000) for _ in range(2)])
    key: PrivateKey = field(default_factory=lambda: PrivateKey(secrets.token_bytes(32)))
    opening: OpeningKey = field(default_factory=OpeningKey.generate)
    chain: bytes = field(default_factory=lambda: secrets.token_bytes(8))

    @property
    def source(self) -> Source:
        return Source(
            self.folder / "data" / "gateway.sqlite", self.chain, make_roster(map(_enrol, self.pens)), self.key
        )

    @property
    def settings(self) -> BackupSettings:
        return BackupSettings(folder=self.folder / "backups", public_key=bytes(self.opening.public_key).hex(), keep=2)

    def fill(self, each: int) -> None:
        """Store *each* more readings of every meter, in the order of its chain."""
        asyncio.run(self.store(self.sign(each)))

    def sign(self, each: int) -> list[tuple[Pen, bytes]]:
        """Return *each* more readings of every meter, which are not stored."""
        return [(pen, pen.sign()) for _ in range(each) for pen in self.pens]

    async def store(self, taken: Iterable[tuple[Pen, bytes]]) -> None:
        """Store readings that meters signed."""
        decoded = [(pen.meter_id, reading.decode(raw)) for pen, raw in taken]
        await self._commit(
            Batch(readings=[Admission(VerifiedReading(meter_id, one), one.hash, None) for meter_id, one in decoded])
        )

    async def quarantine(self, refused: list[Refusal]) -> None:
        """Put messages into the quarantine that nobody signed."""
        await self._commit(Batch(quarantine=refused))

    async def _commit(self, batch: Batch) -> None:
        database = await Database.open(self.source.store)
        try:
            store = ReadingStore(database)
            chains: dict[bytes, Chain] = await store.load()
            await store.commit(batch, chains, int(time.time()))
        finally:
            await database.close()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A database of two meters with 50 readings each."""
    made = Archive(tmp_path)
    made.fill(50)
    return made


def _enrol(pen: Pen) -> Meter:
    return Meter(pen.meter_id, pen.key.public_key, "eastron_sdm120", 10_000, True, bytes(8), "Room")
