"""A meter changes hands: each owner sees what it measured in their own time, and nothing of the other's."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway.access.keys import Scope
from gateway.access.roles import Role
from tests.gateway.api.conftest import Guarded
from tests.gateway.api.test_tenant import pages, parse_events
from tests.gateway.plant import BOUND_S, EPOCH_S, Plant, account, ended, wait_for

EPOCH = 360_000_000
GIVEN_AT = (EPOCH + 3) * EPOCH_S + 2
"""Within an epoch, whose interval therefore shows both owners' use."""
OLD, NEW = account(1), account(2)


@dataclass(frozen=True, slots=True)
class Handed:
    """A gateway whose meter of `OLD` is `NEW`'s since `GIVEN_AT`; it sent numbers 1 to 8 before, 9 to 16 after."""

    guarded: Guarded
    keys: dict[bytes, str]
    start: str
    """A cursor from before the first reading."""

    @contextmanager
    def tenant(self, owner: bytes) -> Iterator[httpx.Client]:
        """Return a client of the tenant *owner*."""
        with self.guarded.client(self.keys[owner]) as client:
            yield client

    @property
    def meter(self) -> str:
        """The id of the meter that changed hands."""
        return self.guarded.plant.pens[0].meter_id.hex()


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handed]:
    """The gateway before the new owner's first reading."""
    with ended(Plant(tmp_path_factory.mktemp("handed") / "plant", meters=2, login="required")) as plant:
        process, guarded = plant.start(), Guarded(plant, {})
        keys = {owner: guarded.add_key(Scope(owner.hex(), Role.TENANT, owner)) for owner in (OLD, NEW)}
        with guarded.client(keys[OLD]) as client, client.stream("GET", "/api/stream") as stream:
            handed = Handed(guarded, keys, next(parse_events(stream))[1])
        send(plant, [EPOCH, EPOCH + 1, EPOCH + 2, EPOCH + 3])
        path = plant.folder / "roster.json"
        content = json.loads(path.read_text())
        content["meters"][0] |= {"account": NEW.hex(), "former_owners": [{"account": OLD.hex(), "until": GIVEN_AT}]}
        path.write_text(json.dumps(content))
        process.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "roster read again" in plant.gateway_log(), "the new roster")
        with handed.tenant(NEW) as client:
            listed = {one["meter_id"]: one for one in client.get("/api/meters").json()["meters"]}
        assert set(listed) == {one.meter_id.hex() for one in plant.pens}
        told = listed[handed.meter]
        for name in ("sequence", "time", "import_wh", "export_wh", "power_w", "watermark_epoch", "estimate"):
            assert told[name] is None, name
        send(plant, [EPOCH + 4, EPOCH + 5, EPOCH + 6, EPOCH + 7])
        assert plant.pens[0].sequence == 16
        with closing(sqlite3.connect(plant.store, timeout=BOUND_S)) as connection, connection:
            connection.execute(  # the anchor that the gateway would make if there were a ledger here
                "INSERT INTO anchors (number, time, first, last, count, root, previous, hash)"
                " SELECT 1, 1, min(id), max(id), 16, zeroblob(32), zeroblob(32), zeroblob(32) FROM readings"
            )
        yield handed


def send(plant: Plant, epochs: list[int]) -> None:
    """Send a boundary reading of each epoch, and one a second behind it."""
    pen, before = plant.pens[0], plant.stored()
    sent = [
        raw for epoch in epochs for raw in (pen.sign(epoch=epoch), pen.sign(time_=epoch * EPOCH_S + 1))
    ]  # fmt: skip
    plant.line(pen.meter_id.hex()).send(pen.topic, *sent)
    wait_for(lambda: plant.stored() == before + len(sent), "the readings")


@pytest.mark.parametrize(("owner", "numbers"), [(OLD, range(1, 9)), (NEW, range(9, 17))])
def test_each_owner_sees_the_readings_of_the_own_time_in_list_and_file(
    handed: Handed, owner: bytes, numbers: range
) -> None:
    with handed.tenant(owner) as client:
        for more in ({}, {"meter": handed.meter}):
            found = pages(client, "/api/readings", "readings", limit=3, **more)
            assert [one["sequence"] for one in found] == list(numbers)
            rows = csv.DictReader(io.StringIO(client.get("/api/readings.csv", params=more).text))
            assert [int(row["sequence"]) for row in rows] == list(numbers)


@pytest.mark.parametrize(("owner", "epochs"), [(OLD, [0, 1, 2]), (NEW, [4, 5, 6])])
def test_each_owner_sees_the_intervals_of_the_own_time_and_nobody_that_of_the_change(
    handed: Handed, owner: bytes, epochs: list[int]
) -> None:
    span = {"from": EPOCH, "to": EPOCH + 8}
    with handed.tenant(owner) as client:
        for more in (span, span | {"meter": handed.meter}):
            found = client.get("/api/intervals", params=more).json()["intervals"]
            assert [one["epoch"] - EPOCH for one in found] == epochs
            rows = csv.DictReader(io.StringIO(client.get("/api/intervals.csv", params=more).text))
            assert [int(row["epoch"]) - EPOCH for row in rows] == epochs


def test_the_meter_is_listed_for_its_present_owner_alone(handed: Handed) -> None:
    with handed.tenant(OLD) as old, handed.tenant(NEW) as new:
        assert old.get("/api/meters").json()["meters"] == []
        assert old.get("/api/status").json()["meters"] == 0

        def told() -> tuple[object, ...]:
            (meter,) = (one for one in new.get("/api/meters").json()["meters"] if one["meter_id"] == handed.meter)
            return meter["sequence"], meter["power_w"], meter["watermark_epoch"]

        wait_for(lambda: told() == (16, 42, EPOCH + 7), "the list, which may be a second old")


@pytest.mark.parametrize(("owner", "own", "others"), [(OLD, 1, 16), (NEW, 16, 1)])
def test_an_anchor_of_anothers_time_is_answered_for_like_one_of_a_reading_that_is_not_there(
    handed: Handed, owner: bytes, own: int, others: int
) -> None:
    with handed.tenant(owner) as client:
        mine, foreign, absent = (client.get(f"/api/readings/{handed.meter}/{n}/anchor") for n in (own, others, 999))
    assert (mine.status_code, foreign.status_code, absent.status_code) == (200, 404, 404)
    assert foreign.text.replace(f"reading {others} ", "reading 999 ") == absent.text


@pytest.mark.parametrize(
    ("owner", "numbers", "epochs"), [(OLD, range(1, 9), {0, 1, 2}), (NEW, range(9, 17), {4, 5, 6})]
)
def test_a_stream_from_before_on_carries_the_readings_and_intervals_of_the_own_time_alone(
    handed: Handed, owner: bytes, numbers: range, epochs: set[int]
) -> None:
    with handed.tenant(owner) as client, client.stream("GET", "/api/stream", params={"after": handed.start}) as stream:
        told = list(events_up_to(stream, numbers[-1]))
    assert [content["sequence"] for name, content in told if name == "reading"] == list(numbers)
    assert {content["epoch"] - EPOCH for name, content in told if name == "interval"} == epochs


def test_a_late_reading_of_the_old_owners_time_goes_to_the_old_owner_alone(handed: Handed) -> None:
    pen = handed.guarded.plant.pens[0]
    with (
        handed.tenant(OLD) as old,
        handed.tenant(NEW) as new,
        old.stream("GET", "/api/stream") as past,
        new.stream("GET", "/api/stream") as present,
    ):
        events = [parse_events(past), parse_events(present)]
        for one in events:
            next(one)  # the id that the stream starts with
        late, later = pen.sign(time_=GIVEN_AT - 1), pen.sign(time_=GIVEN_AT)
        handed.guarded.plant.line(pen.meter_id.hex()).send(pen.topic, late, later)
        told = [next(content for name, _, content in one if name == "reading")["sequence"] for one in events]
    assert told == [17, 18]


def events_up_to(stream: httpx.Response, sequence: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and content of the events up to the reading with number *sequence*."""
    for name, _, content in parse_events(stream):
        if name:
            yield name, content
        if name == "reading" and content["sequence"] == sequence:
            return
