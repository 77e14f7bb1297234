"""The fixed order of intake: verify → commit → PUBACK → receipt. Killed between any two, nothing is lost or doubled.

Before the commit the broker still holds the message; before the receipt the meter still holds the reading. What comes
again is found by (meter, sequence) and dropped when its bytes are the same.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from gateway.enrolment import Enrolment
from gateway.intake.receipts import Receipts
from gateway.intake.refusals import Refusal, RefusalCode
from gateway.intake.sequence import Chain, Link, find_fault, judge_key, place
from gateway.intake.steps import Registers, judge_step, registers_of
from gateway.intake.verification import Parsed, Verifier
from gateway.store.readings import Admission, Batch, ReadingStore
from ledger.liveness import Progress
from ledger.reading import VerifiedReading

MAX_BATCH_MESSAGES: Final = 500
"""Small enough that checking one batch and committing the one before overlap, large enough to share an fsync."""
COMMIT_RETRY_S: Final = 1.0
_EMPTY: Final = Chain()
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the broker delivered it; `mid` and `connection` say what to acknowledge, and where."""

    topic: str
    payload: bytes
    mid: int
    connection: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a batch of messages is: verified readings, what nobody is proven to have signed, meters of duplicates."""

    verified: list[VerifiedReading]
    refused: list[Refusal]
    duplicates: list[bytes]


class Uplink(Protocol):
    """What the pipeline needs of the broker."""

    async def take(self, limit: int) -> list[Message]:
        """Wait for messages and return up to *limit* of them; an empty list means that no more will come."""
        ...

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Send PUBACK for *messages*."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Send *payload* to *topic* with QoS 1."""
        ...


class Pipeline:
    """Takes batches from the broker until there are no more. `fault` is what keeps it from committing, if anything."""

    def __init__(
        self,
        uplink: Uplink,
        verifier: Verifier,
        store: ReadingStore,
        receipts: Receipts,
        enrolment: Enrolment,
        epoch_s: int,
    ) -> None:
        self._uplink = uplink
        self._enrolment = enrolment
        self._verifier = verifier
        self._store = store
        self._receipts = receipts
        self._epoch_s = epoch_s
        self._chains: dict[bytes, Chain] = {}
        self._newest: dict[bytes, Registers] = {}
        self.fault: str | None = None
        self.progress = Progress()

    async def run(self) -> None:
        """Process messages until the uplink ends; what was taken is finished first.

        While one batch is committed the signatures of the next are checked; batches are finished in their order.
        """
        self._chains = await self._store.load()
        async with asyncio.TaskGroup() as group:
            finishing: asyncio.Task[None] | None = None
            while messages := await self._uplink.take(MAX_BATCH_MESSAGES):
                with self.progress.working():
                    checked = await self.check(messages)
                    if finishing is not None:
                        await finishing
                finishing = group.create_task(self.finish(messages, checked))

    async def check(self, messages: Sequence[Message]) -> Checked:
        """Return what *messages* are, in themselves: whoever sent them is proven or they are refused."""
        parsed = await self._verifier.parse([(message.topic, message.payload) for message in messages])
        fresh, known = await self._drop_duplicates([claim for claim in parsed if isinstance(claim, Parsed)])
        verified = await self._verifier.verify(fresh)
        refused = [item for item in (*parsed, *verified) if isinstance(item, Refusal)]
        return Checked([item for item in verified if isinstance(item, VerifiedReading)], refused, known)

    async def finish(self, messages: Sequence[Message], checked: Checked) -> None:
        """Do everything that is owed for *messages*, in the one safe order."""
        with self.progress.working():
            batch = Batch(quarantine=checked.refused, duplicates=checked.duplicates)
            await self._place(checked.verified, batch)
            await self._note_steps(batch)
            await self.commit(batch)
            self.acknowledge(messages)
            self.issue_receipts(await self._store.restores.release(batch.meters))

    def chain_of(self, meter_id: bytes) -> Chain:
        """Return how far the hash chain of a meter is complete."""
        return self._chains.get(meter_id, _EMPTY)

    async def commit(self, batch: Batch) -> None:
        """Put *batch* on the disk, trying for as long as the disk refuses; nothing is acknowledged meanwhile."""
        while True:
            try:
                self._chains |= await self._store.commit(batch, self._chains, int(self._receipts.now()))
            except sqlite3.OperationalError as error:
                if self.fault is None:
                    log.warning(
                        "commit failed, intake waits", cause=str(error), next_step="campusgrid doctor prints it"
                    )
                self.fault = f"the database refuses to commit: {error}"
                self.progress.beat()  # a full disk is no reason to start again
                await asyncio.sleep(COMMIT_RETRY_S)
            else:
                self.fault = None
                return

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Let the broker forget *messages*: they are on the disk, or refused for good."""
        self._uplink.acknowledge(messages)

    def issue_receipts(self, meters: Iterable[bytes]) -> None:
        """Let *meters* forget what is complete: one receipt for each."""
        for meter_id in meters:
            receipt = self._receipts.make(meter_id, self.chain_of(meter_id))
            if receipt is not None:
                self._uplink.publish(f"meter/{meter_id.hex()}/receipt", receipt)

    async def _drop_duplicates(self, claims: list[Parsed]) -> tuple[list[Parsed], list[bytes]]:
        """Return what must be verified, and the meters of the others: copies of what is stored, byte for byte."""
        known = {
            (claim.meter_id, claim.reading.sequence)
            for claim in claims
            if claim.reading.sequence <= self.chain_of(claim.meter_id).highest
        }
        if not known:
            return claims, []
        stored = set((await self._store.find_hashes(sorted(known))).values())
        hashes = [claim.reading.hash for claim in claims if (claim.meter_id, claim.reading.sequence) in known]
        stored |= await self._store.find_evidence([digest for digest in hashes if digest not in stored])
        fresh = [claim for claim in claims if claim.reading.hash not in stored]
        return fresh, [claim.meter_id for claim in claims if claim.reading.hash in stored]

    async def _place(self, good: Sequence[VerifiedReading], batch: Batch) -> None:
        """Sort *good* into *batch*, each against what is stored and what came before it in the same batch."""
        numbers = [(item.meter_id, item.reading.sequence) for item in good]
        hashes = await self._store.find_hashes(
            [number for number in numbers if number[1] <= self.chain_of(number[0]).highest]
        )
        epochs = [(item.meter_id, item.reading.epoch) for item in good if item.reading.epoch is not None]
        boundaries = await self._store.find_boundaries(epochs)
        for item in good:
            self._place_one(item, hashes, boundaries, batch)

    def _place_one(
        self,
        item: VerifiedReading,
        hashes: dict[tuple[bytes, int], bytes],
        boundaries: set[tuple[bytes, int]],
        batch: Batch,
    ) -> None:
        reading = item.reading
        digest = reading.hash
        number = (item.meter_id, reading.sequence)
        if hashes.get(number) == digest or (number not in hashes and self._store.is_gone(item.meter_id, reading)):
            batch.duplicates.append(item.meter_id)
            return
        conflict = judge_key(self._enrolment.roster.keys.get(reading.key_id), reading.sequence) or place(
            self.chain_of(item.meter_id), Link(reading.sequence, digest, reading.previous), hashes.get(number)
        )
        if conflict is not None:
            batch.evidence.append(Admission(item, digest, conflict))
            return
        hashes[number] = digest
        fault = find_fault(reading, self._epoch_s)
        if fault is None and reading.epoch is not None:
            boundary = (item.meter_id, reading.epoch)
            fault = RefusalCode.EPOCH_TWICE if boundary in boundaries else None
            boundaries.add(boundary)
        batch.readings.append(Admission(item, digest, fault))

    async def _note_steps(self, batch: Batch) -> None:
        """Note in *batch* which readings' registers stand oddly to those of the number before, stored or in it."""
        firsts: dict[bytes, int] = {}
        for admission in batch.readings:
            meter_id, number = admission.verified.meter_id, admission.verified.reading.sequence
            firsts[meter_id] = min(number, firsts.get(meter_id, number))
        before = await self._find_registers_below(firsts)
        meters = self._enrolment.roster.meters
        for admission in sorted(batch.readings, key=lambda one: one.verified.reading.sequence):
            meter_id, after = admission.verified.meter_id, registers_of(admission.verified.reading)
            if after is None or meter_id not in meters:
                continue
            odd = judge_step(before[meter_id], after, meters[meter_id].rated_power_w) if meter_id in before else None
            if odd is not None:
                batch.notes.append((admission, odd))
            before[meter_id] = after
        for meter_id, registers in before.items():
            newest = self._newest.get(meter_id)
            if newest is None or registers.sequence > newest.sequence:
                self._newest[meter_id] = registers

    async def _find_registers_below(self, firsts: dict[bytes, int]) -> dict[bytes, Registers]:
        """Return, by meter, the registers of the newest number known below the one in *firsts*.

        A reading mostly follows the newest one, which is remembered; only what comes out of order is looked up.
        """
        found = {
            meter_id: self._newest[meter_id]
            for meter_id, number in firsts.items()
            if meter_id in self._newest and self._newest[meter_id].sequence < number
        }
        others = [item for item in firsts.items() if item[0] not in found and self.chain_of(item[0]).highest]
        return found | (await self._store.find_registers_below(others) if others else {})
