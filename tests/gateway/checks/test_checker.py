"""Findings through a real broker and gateway: flags on intervals, alarms that open, are seen, and end by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.access.audit import Actor
from gateway.access.keys import Keys, Scope
from gateway.access.roles import Role
from gateway.checks.alarms import AlarmCode
from gateway.store.database import Database
from ledger import reading
from tests.gateway.intake.test_reasons import edit_roster
from tests.gateway.plant import EPOCH_S, Pen, Plant, ended, wait_for

MIDNIGHT = int(datetime(2026, 3, 20, 0, 0, tzinfo=UTC).timestamp()) // EPOCH_S
NOON = MIDNIGHT + 12 * 3600 // EPOCH_S


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with a PV meter at Greenwich, a feeder with two meters behind it, and three plain ones."""
    with ended(Plant(tmp_path_factory.mktemp("checks") / "plant", meters=7, login="required")) as made:

        def describe(meters: list[dict[str, object]]) -> None:
            meters[0]["pv_site"] = {"latitude": 51.48, "longitude": 0.0}
            meters[2]["feeder"] = meters[3]["feeder"] = meters[1]["meter_id"]

        edit_roster(made, describe)
        made.start()
        yield made


@pytest.fixture
def api(running: Plant) -> Iterator[httpx.Client]:
    key = asyncio.run(add_key(running, Scope("checks", Role.OPERATOR, is_read_only=False)))
    with httpx.Client(
        base_url=f"http://127.0.0.1:{running.api_port}", headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ) as client:
        yield client


async def add_key(plant: Plant, scope: Scope) -> str:
    """Return a new API key of the gateway."""
    database = await Database.open_beside(plant.store)
    try:
        return await Keys(database).add(scope, None, Actor("test", ""))
    finally:
        await database.close()


def measure(plant: Plant, pen: Pen, start: int, *registers: tuple[int, int], power_w: int | None = None) -> list[bytes]:
    """Send boundary readings from epoch *start* on with (import, export), and between them stated powers."""
    sent = []
    for place, (imported, exported) in enumerate(registers):
        sent.append(pen.sign(epoch=start + place, r180=imported, r280=exported))
        if power_w is not None and place + 1 < len(registers):
            within = [(start + place) * EPOCH_S + second for second in (1, 2, 3)]
            sent += [pen.sign(time_=time_, r180=imported, r280=exported, r1670=power_w) for time_ in within]
    line = plant.line(pen.meter_id.hex())
    line.send(pen.topic, *sent)
    line.close()  # a second line of one meter and this one would push each other out of the broker
    return sent


def find(api: httpx.Client, pen: Pen, code: AlarmCode, state: str, findings: int = 1) -> Callable[[], Any]:
    """Return a question for the meter's alarm of *code* in *state* that tells of so many findings."""

    def ask() -> Any:
        alarms = api.get("/api/alarms", params={"state": state, "limit": 1000}).json()["alarms"]
        wanted = (pen.meter_id.hex(), code)
        found = (alarm for alarm in alarms if (alarm["meter_id"], alarm["code"]) == wanted)
        return next((alarm for alarm in found if alarm["findings"] >= findings), None)

    return ask


def test_generation_at_night_is_flagged_alarmed_with_evidence_seen_and_closed_by_a_good_night(
    running: Plant, api: httpx.Client
) -> None:
    pen = running.pens[0]
    sent = measure(running, pen, MIDNIGHT, (0, 0), (0, 12), (0, 25))
    alarm = wait_for(find(api, pen, AlarmCode.NIGHT_GENERATION, "open", 2), "the alarm of both intervals")

    assert (alarm["findings"], alarm["epoch"]) == (2, MIDNIGHT + 1)
    assert alarm["evidence"]["export_wh"] == 13
    assert float(alarm["evidence"]["sun_elevation"]) < -30
    assert [cited["hash"] for cited in alarm["evidence"]["readings"]] == [
        reading.decode(raw).hash.hex() for raw in sent[1:]
    ]
    query: dict[str, str | int] = {"meter": pen.meter_id.hex(), "from": MIDNIGHT, "to": MIDNIGHT + 1}
    intervals = api.get("/api/intervals", params=query).json()["intervals"]
    assert [(one["export_wh"], one["flags"]) for one in intervals] == [
        (12, ["night_generation"]), (13, ["night_generation"]),
    ]  # fmt: skip
    metric = 'campusgrid_gateway_alarms{code="night_generation",state="open"} 1.0'
    assert metric in api.get("/metrics").text

    assert api.post(f"/api/alarms/{alarm['id']}/acknowledge").json()["state"] == "acknowledged"
    assert api.post("/api/alarms/999999/acknowledge").status_code == 404
    logged = running.rows("SELECT who, action, subject FROM audit WHERE action = 'acknowledge alarm'")
    assert [(action, subject) for _, action, subject in logged] == [("acknowledge alarm", str(alarm["id"]))]
    assert find(api, pen, AlarmCode.NIGHT_GENERATION, "open")() is None
    measure(running, pen, MIDNIGHT + 3, (0, 25), (0, 25))
    wait_for(find(api, pen, AlarmCode.NIGHT_GENERATION, "closed"), "the alarm to end by itself")
    assert metric not in api.get("/metrics").text


def test_a_feeder_that_does_not_add_up_is_found_whichever_reading_comes_last(running: Plant, api: httpx.Client) -> None:
    feeder, first, second = running.pens[1:4]
    measure(running, feeder, NOON, (0, 0), (24, 0), (24 + 18, 0))
    measure(running, first, NOON, (0, 0), (12, 0), (21, 0))
    measure(running, second, NOON, (0, 0), (12, 0), (21, 0))
    assert find(api, feeder, AlarmCode.FEEDER_BALANCE, "open")() is None
    measure(running, feeder, NOON + 3, (42 + 15, 0), (42 + 30, 0))
    measure(running, first, NOON + 3, (21 + 25, 0), (21 + 50, 0))
    measure(running, second, NOON + 3, (21 + 25, 0), (21 + 50, 0))
    alarm = wait_for(find(api, feeder, AlarmCode.FEEDER_BALANCE, "open"), "the alarm")
    assert (alarm["evidence"]["through_wh"], alarm["evidence"]["sum_wh"]) == (15, 50)


def test_a_standstill_an_impossible_step_and_a_repeated_value_each_raise_their_alarm(
    running: Plant, api: httpx.Client
) -> None:
    still, jumping = running.pens[4:6]
    measure(running, still, NOON, (5, 0), (5, 0), power_w=15_000)
    measure(running, jumping, NOON, (0, 0), (500, 0))
    wait_for(find(api, still, AlarmCode.STANDSTILL, "open"), "the standstill")
    wait_for(find(api, jumping, AlarmCode.RATED_POWER, "open"), "the step")
    roof = running.pens[0]
    measure(running, roof, NOON, *[(0, 100 + 13 * place) for place in range(5)])
    alarm = wait_for(find(api, roof, AlarmCode.REPEATED_VALUE, "open"), "the repeats")
    assert (alarm["evidence"]["repeats"], alarm["evidence"]["export_wh"]) == (4, 13)


def test_an_alarm_of_what_was_signed_stands_until_somebody_closes_it_and_comes_again_with_new_evidence(
    running: Plant, api: httpx.Client
) -> None:
    pen = running.pens[3]
    twin = pen.copy()
    measure(running, pen, NOON - 5, (0, 0), (1, 0), (2, 0))
    measure(running, twin, NOON - 5, (0, 5))
    alarm = wait_for(find(api, pen, AlarmCode.FORK, "open"), "the fork")
    measure(running, pen, NOON - 2, (3, 0), (4, 0))
    assert api.post(f"/api/alarms/{alarm['id']}/close").json() == {"id": alarm["id"], "state": "closed"}
    assert find(api, pen, AlarmCode.FORK, "closed")() is not None
    assert api.post(f"/api/alarms/{alarm['id']}/close").status_code == 404
    measure(running, twin, NOON - 4, (0, 5))
    assert wait_for(find(api, pen, AlarmCode.FORK, "open"), "the next fork")["id"] > alarm["id"]


def test_what_closes_itself_is_closed_by_nobody(running: Plant, api: httpx.Client) -> None:
    pen = running.pens[5]
    measure(running, pen, NOON + 10, (600, 0), (5_000, 0))
    alarm = wait_for(find(api, pen, AlarmCode.RATED_POWER, "open"), "the step")
    assert api.post(f"/api/alarms/{alarm['id']}/close").status_code == 404


def test_a_late_boundary_is_checked_on_both_its_sides(running: Plant, api: httpx.Client) -> None:
    pen = running.pens[6]
    line = running.line(pen.meter_id.hex())
    first, late, last = (pen.sign(epoch=NOON + place, r180=wh) for place, wh in enumerate((0, 40, 45)))
    line.send(pen.topic, first, last)
    wait_for(lambda: len(running.rows("SELECT * FROM readings WHERE meter_id = ?", pen.meter_id)) == 2, "two readings")
    assert find(api, pen, AlarmCode.RATED_POWER, "open")() is None
    line.send(pen.topic, late)
    wait_for(lambda: running.rows("SELECT epoch FROM flags WHERE meter_id = ?", pen.meter_id) == [(NOON,)], "the flag")
