"""Hints of meters are shown while they hold, and whatever else comes on their topics harms nobody."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.enrolment import Enrolment
from gateway.intake.hints import MAX_HINT_BYTES, SAFE_FORGOTTEN_S, HintKind, Hints, read_hint, read_topic
from tests.gateway.intake.test_verification import PEN, ROSTER
from tests.gateway.plant import Plant, wait_for


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"lost", HintKind.LOST),
        (b"safe storage: the flash cannot be read; replace the meter", HintKind.SAFE),
        (b"update 7 12", HintKind.UPDATE),
        (b"update 7 rolled-back boots", HintKind.UPDATE),
        (b"safe whatever: x", None),
        (b"lost again", None),
        (b"safe key: \x1b[2J", None),
        (b"safe key: " + b"x" * MAX_HINT_BYTES, None),
        (b"", None),
    ],
)
def test_only_what_the_protocol_knows_is_a_hint(payload: bytes, kind: HintKind | None) -> None:
    hint = read_hint(payload, 5)
    assert (hint and hint.kind) == kind


@given(st.text(max_size=40), st.binary(max_size=200))
def test_no_topic_and_no_payload_does_harm_and_what_is_kept_is_bounded(topic: str, payload: bytes) -> None:
    hints = Hints(Enrolment(Path(), ROSTER), time.time)
    for where in (topic, f"meter/{topic}/status", f"meter/{PEN.meter_id.hex()}/status"):
        for _ in range(3):
            hints.hear(where, payload)
    assert len(hints.of(PEN.meter_id, 0, 0)) <= len(HintKind)
    assert set(hints._newest) <= {PEN.meter_id}
    assert read_topic(topic + "/status/") is None


def test_a_hint_holds_until_the_meter_shows_the_contrary() -> None:
    clock = [1000.0]
    hints = Hints(Enrolment(Path(), ROSTER), lambda: clock[0])
    topic = f"meter/{PEN.meter_id.hex()}/status"
    for payload in (b"lost", b"safe key: damaged", b"update 2 trial"):
        hints.hear(topic, payload)
    assert {hint.kind for hint in hints.of(PEN.meter_id, 1000, 1000)} == set(HintKind)
    backlog = hints.of(PEN.meter_id, 1001, 900)
    assert {hint.kind for hint in backlog} == {HintKind.SAFE, HintKind.UPDATE}
    assert {hint.kind for hint in hints.of(PEN.meter_id, 1001, 1001)} == {HintKind.UPDATE}
    clock[0] += SAFE_FORGOTTEN_S
    assert {hint.kind for hint in hints.of(PEN.meter_id, 0, 0)} == {HintKind.LOST, HintKind.UPDATE}


def is_told(api: httpx.Client, text: str) -> bool:
    return text in str(api.get("/health").json()["reasons"])


def shown_hints(api: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    """Return the hints of each meter by its label."""
    return {meter["label"]: meter["hints"] for meter in api.get("/api/meters").json()["meters"]}


def test_hints_over_a_real_broker_are_shown_as_unsigned_and_health_names_the_meter(plant: Plant) -> None:
    pen, other = plant.pens
    plant.start()
    line, second = plant.line(pen.meter_id.hex()), plant.line(other.meter_id.hex())
    with httpx.Client(base_url=f"http://127.0.0.1:{plant.api_port}", trust_env=False) as api:
        line.send(f"meter/{pen.meter_id.hex()}/status", b"safe key: the key is damaged", b"update 3 confirmed")
        second.send(f"meter/{other.meter_id.hex()}/status", b"lost", b"\xff" * 500)
        wait_for(lambda: "campusgrid_gateway_hints_dropped_total 1.0" in api.get("/metrics").text, "the count")
        for named in ("safe mode", "meter Room 1", "meter Room 2"):
            wait_for(partial(is_told, api, named), f"/health, which may be a second old, to say {named}")
        wait_for(lambda: all(shown_hints(api).values()), "the list, which may be half a second old, to show them")
        shown = shown_hints(api)
        assert [(hint["text"], hint["signed"]) for hint in shown["Room 1"]] == [
            ("safe key: the key is damaged", False), ("update 3 confirmed", False),
        ]  # fmt: skip
        heard = shown["Room 2"][0]["heard_at"]
        wait_for(lambda: time.time() > heard + 1, "a second to pass")
        second.send(other.topic, other.sign())
        second.newest_receipt(1, plant.receipt_key.public_key)
        wait_for(lambda: not is_told(api, "Room 2"), "the meter to be back")
        assert plant.rows("SELECT count(*) FROM quarantine") == [(0,)]
