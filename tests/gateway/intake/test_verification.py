"""The border: whatever bytes come, the answer is a verified reading or a refusal with a listed reason."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.enrolment import Enrolment
from gateway.intake.refusals import Refusal, RefusalCode
from gateway.intake.verification import Parsed, Verifier, parse, verify
from gateway.roster import Meter, make_roster
from ledger.reading import VerifiedReading
from tests.gateway.plant import Pen

PEN, OTHER = Pen(), Pen()
ROSTER = make_roster(
    Meter(pen.meter_id, pen.key.public_key, "eastron_sdm120", 10_000, True, bytes(8), "") for pen in (PEN, OTHER)
)
GOOD = PEN.sign(epoch=7)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4), st.integers(-20, 20))
def test_a_mutated_frame_is_refused_with_a_listed_reason(changes: list[tuple[int, int]], length_change: int) -> None:
    frame = bytearray(GOOD)
    for place, value in changes:
        frame[place % len(frame)] = value
    mutated = bytes(frame[:length_change] if length_change < 0 else frame + bytes(length_change))
    claim = parse(ROSTER, PEN.topic, mutated)
    result = verify(claim) if isinstance(claim, Parsed) else claim
    if mutated == GOOD:
        assert isinstance(result, VerifiedReading)
    else:
        assert isinstance(result, Refusal)
        assert not result.code.is_signed
        assert result.raw == mutated


@given(st.text(max_size=40))
def test_a_topic_that_is_not_a_meters_is_refused(topic: str) -> None:
    for candidate in (topic, f"meter/{topic}/reading", PEN.topic.upper(), PEN.topic + "/"):
        result = parse(ROSTER, candidate, GOOD)
        assert isinstance(result, Refusal)
        assert result.code is RefusalCode.BAD_TOPIC


def test_a_meter_that_is_not_enrolled_is_unknown() -> None:
    result = parse(ROSTER, Pen().topic, GOOD)
    assert isinstance(result, Refusal)
    assert result.code is RefusalCode.UNKNOWN_METER


async def test_a_large_batch_keeps_its_order_and_each_message_its_own_verdict() -> None:
    pen = PEN.copy()
    order = random.Random(3)
    messages = [(pen.topic, order.choice([pen.sign(), b"bad", OTHER.copy().sign()])) for _ in range(1000)]
    verifier = Verifier(Enrolment(Path(), ROSTER))
    try:
        parsed = await verifier.parse(messages)
        claims = [claim for claim in parsed if isinstance(claim, Parsed)]
        verified = await verifier.verify(claims)
    finally:
        verifier.close()
    in_order = [item.reading.raw if isinstance(item, Parsed) else item.raw for item in parsed]
    assert in_order == [raw for _, raw in messages]
    good = [item.reading.raw for item in verified if isinstance(item, VerifiedReading)]
    assert good == [claim.reading.raw for claim in claims]
    refused = {item.raw: item.code for item in parsed if isinstance(item, Refusal)}
    assert set(refused.values()) == {RefusalCode.MALFORMED, RefusalCode.WRONG_METER}
