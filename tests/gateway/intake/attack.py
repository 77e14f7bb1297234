"""Hostile frames through the real intake (verifier, pipeline, SQLite), with the broker's part in memory."""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from gateway.enrolment import Enrolment
from gateway.intake.pipeline import MAX_BATCH_MESSAGES, Message, Pipeline
from gateway.intake.receipts import Receipts
from gateway.intake.verification import Verifier
from gateway.store.database import Database
from gateway.store.readings import ReadingStore
from ledger.keys import PrivateKey
from tests.gateway.intake.frames_verdict import count_reasons, judge, judge_intervals
from tests.gateway.intake.hostile_frames import Frame, Hostility
from tests.gateway.plant import EPOCH_S, open_receipt
from tests.gateway.sink import Sink

STALL_S = 120
"""No part of an attack may take longer, on however busy a machine."""
RESTARTS = 2
RECEIPT_KEY = PrivateKey(bytes(range(32)))


def attack(seed: int, frames: int) -> tuple[list[str], Counter[str]]:
    """Send *frames* made from *seed* in batches of any size, with restarts; return what was violated, and counts."""
    hostility = Hostility.by(seed)
    sent = list(itertools.islice(hostility.stream(), frames))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "gateway.sqlite"
        try:
            violations = asyncio.run(_send(store, hostility, sent))
        except TimeoutError:
            return [f"intake stalls: no end within {STALL_S} s"], Counter()
        except Exception:
            return [f"intake crashed: {traceback.format_exc()}"], Counter()
        violations += [*judge(store, hostility, sent), *judge_intervals(store, hostility)]
        return violations, count_reasons(store)


async def _send(store: Path, hostility: Hostility, sent: list[Frame]) -> list[str]:
    messages = [Message(topic, payload, number, 1) for number, (topic, payload) in enumerate(sent, start=1)]
    sizes = random.Random(len(sent)).choices((1, 7, 100, MAX_BATCH_MESSAGES), k=len(sent))
    sink, waiting = Sink(), iter(messages)
    batches = list(itertools.takewhile(bool, (list(itertools.islice(waiting, size)) for size in sizes)))
    share = -(-len(batches) // (RESTARTS + 1))
    for part in range(0, len(batches), share):
        async with asyncio.timeout(STALL_S):
            await _run_once(store, hostility, sink, batches[part : part + share])
    return _judge_answers(sink, messages)


async def _run_once(store: Path, hostility: Hostility, sink: Sink, batches: list[list[Message]]) -> None:
    database = await Database.open(store)
    enrolment = Enrolment(Path(), hostility.roster)
    verifier = Verifier(enrolment)
    receipts = Receipts(RECEIPT_KEY, lambda: None, lambda: 1_800_000_000.0)
    try:
        await sink.offer(*batches)
        await Pipeline(sink, verifier, ReadingStore(database), receipts, enrolment, EPOCH_S).run()
    finally:
        verifier.close()
        await database.close()


def _judge_answers(sink: Sink, messages: list[Message]) -> list[str]:
    """Every message has its PUBACK, once and in order; every receipt is signed and never goes back."""
    violations = [] if sink.acknowledged == messages else ["not every message was acknowledged once"]
    newest: dict[str, int] = {}
    for topic, raw in sink.published:
        meter_id, number, *_ = open_receipt(raw, RECEIPT_KEY.public_key)
        if topic != f"meter/{meter_id.hex()}/receipt" or number < newest.get(topic, 0):
            violations.append(f"a receipt of meter {meter_id.hex()} went to {topic} or back to {number}")
        newest[topic] = number
    return violations
