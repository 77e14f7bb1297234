"""From bytes to `VerifiedReading`: the border where untrusted data becomes typed, in batches over all cores.

libsodium releases the interpreter's lock, so the signature checks of a batch run in parallel.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.enrolment import Enrolment
from gateway.intake.refusals import Refusal, RefusalCode
from gateway.roster import MeterKey, Roster
from ledger import reading as readings
from ledger.errors import MalformedError
from ledger.reading import Reading, VerifiedReading

CHUNK_MESSAGES: Final = 64
"""How many messages one thread takes at a time."""
_TOPIC_PREFIX: Final = "meter/"
_TOPIC_SUFFIX: Final = "/reading"
_TOPIC_LENGTH: Final = len(_TOPIC_PREFIX) + 16 + len(_TOPIC_SUFFIX)
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A well-formed reading on its meter's own topic, naming `key`, a key of that meter; *not checked yet*."""

    key: MeterKey
    reading: Reading
    topic: str

    @property
    def meter_id(self) -> bytes:
        """The meter that it claims to come from."""
        return self.key.meter_id


class Verifier:
    """Parses and checks messages against the roster in force, with one thread per core."""

    def __init__(self, enrolment: Enrolment) -> None:
        self._enrolment = enrolment
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="verify")

    async def parse(self, messages: Sequence[tuple[str, bytes]]) -> list[Parsed | Refusal]:
        """Return, for each (topic, payload), what it claims to be or why it cannot be a reading."""
        roster = self._enrolment.roster
        return await self._spread(lambda message: parse(roster, *message), messages)

    async def verify(self, parsed: Sequence[Parsed]) -> list[VerifiedReading | Refusal]:
        """Return each reading as verified, or refused for its signature."""
        return await self._spread(verify, parsed)

    def close(self) -> None:
        """Stop the threads; work in hand is finished."""
        self._pool.shutdown()

    async def _spread(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        def do_chunk(start: int) -> list[R]:
            return [work(item) for item in items[start : start + CHUNK_MESSAGES]]

        loop = asyncio.get_running_loop()
        starts = range(0, len(items), CHUNK_MESSAGES)
        results = await asyncio.gather(*(loop.run_in_executor(self._pool, do_chunk, start) for start in starts))
        return [result for part in results for result in part]


def parse(roster: Roster, topic: str, payload: bytes) -> Parsed | Refusal:
    """Return the reading that *payload* claims to be, or the reason why it cannot be one of *topic*'s meter."""
    meter_id = _read_topic(topic)
    if meter_id is None:
        return Refusal(RefusalCode.BAD_TOPIC, topic, payload)
    if meter_id not in roster.meters:
        return Refusal(RefusalCode.UNKNOWN_METER, topic, payload)
    if len(payload) > readings.MAX_READING_BYTES:
        return Refusal(RefusalCode.OVERSIZED, topic, payload)
    try:
        claim = readings.decode(payload)
    except MalformedError:
        return Refusal(RefusalCode.MALFORMED, topic, payload)
    key = roster.keys.get(claim.key_id)
    if key is None:
        return Refusal(RefusalCode.UNKNOWN_KEY, topic, payload)
    if key.meter_id != meter_id:
        return Refusal(RefusalCode.WRONG_METER, topic, payload)
    return Parsed(key, claim, topic)


def verify(parsed: Parsed) -> VerifiedReading | Refusal:
    """Return *parsed* as verified if its meter's key signed it."""
    if parsed.reading.is_signed_by(parsed.key.public_key):
        return VerifiedReading(parsed.meter_id, parsed.reading)
    return Refusal(RefusalCode.BAD_SIGNATURE, parsed.topic, parsed.reading.raw)


def _read_topic(topic: str) -> bytes | None:
    if len(topic) != _TOPIC_LENGTH or not topic.startswith(_TOPIC_PREFIX) or not topic.endswith(_TOPIC_SUFFIX):
        return None
    digits = topic[len(_TOPIC_PREFIX) : -len(_TOPIC_SUFFIX)]
    try:
        meter_id = bytes.fromhex(digits)
    except ValueError:
        return None
    return meter_id if meter_id.hex() == digits else None
