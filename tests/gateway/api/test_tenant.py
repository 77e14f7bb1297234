"""A tenant sees the own meters, and nothing from which to learn of others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.access.keys import Scope
from gateway.access.roles import Role
from tests.gateway.api.conftest import TENANT, Guarded
from tests.gateway.plant import EPOCH_S, account, wait_for

EPOCH = 180_000_000
SENT = 12


@pytest.fixture(scope="module")
def filled(guarded: Guarded) -> Guarded:
    """The gateway with twelve readings of each meter, those of all meters mixed."""
    plant = guarded.plant
    lines = [plant.line(pen.meter_id.hex()) for pen in plant.pens]
    for number in range(SENT):
        for pen, line in zip(plant.pens, lines, strict=True):
            line.send(pen.topic, pen.sign(epoch=EPOCH + number) if number % 3 else pen.sign())
    wait_for(lambda: plant.stored() == 3 * SENT, "the readings")
    return guarded


@pytest.fixture
def tenant(filled: Guarded) -> Iterator[httpx.Client]:
    with filled.as_role(Role.TENANT) as client:
        yield client


def own(guarded: Guarded) -> str:
    return guarded.plant.pens[TENANT - 1].meter_id.hex()


def others(guarded: Guarded) -> list[str]:
    return [pen.meter_id.hex() for pen in guarded.plant.pens if pen.meter_id.hex() != own(guarded)]


def test_lists_hold_the_own_meter_alone(filled: Guarded, tenant: httpx.Client) -> None:
    meter = own(filled)
    assert [one["meter_id"] for one in tenant.get("/api/meters").json()["meters"]] == [meter]
    readings = pages(tenant, "/api/readings", "readings", limit=5)
    assert [(one["meter_id"], one["sequence"]) for one in readings] == [(meter, n) for n in range(1, SENT + 1)]
    intervals = tenant.get("/api/intervals", params={"from": EPOCH, "to": EPOCH + SENT}).json()["intervals"]
    assert {one["meter_id"] for one in intervals} == {meter}
    assert len(intervals) == 7
    rows = list(csv.DictReader(io.StringIO(tenant.get("/api/readings.csv").text)))
    assert {row["meter_id"] for row in rows} == {meter}
    assert len(rows) == SENT


def test_anothers_meter_is_answered_for_like_one_that_does_not_exist(filled: Guarded, tenant: httpx.Client) -> None:
    for path in ("/api/readings", "/api/readings.csv", "/api/intervals", "/api/intervals.csv"):
        assert tenant.get(path, params={"meter": own(filled)}).status_code == 200
        absent = tenant.get(path, params={"meter": "0" * 16})
        foreign = tenant.get(path, params={"meter": others(filled)[0]})
        assert foreign.status_code == absent.status_code == 404
        assert foreign.text.replace(others(filled)[0], "0" * 16) == absent.text
    anchors = [tenant.get(f"/api/readings/{meter}/1/anchor") for meter in ("0" * 16, others(filled)[0])]
    assert [answer.status_code for answer in anchors] == [404, 404]
    assert all("is not in the roster" in answer.json()["detail"] for answer in anchors)
    with filled.as_role(Role.AUDITOR) as auditor:
        told = auditor.get(f"/api/readings/{others(filled)[0]}/1/anchor").json()["detail"]
    assert "no anchor leads to reading 1" in told


def test_nothing_in_any_answer_counts_or_names_the_others(filled: Guarded, tenant: httpx.Client) -> None:
    status = tenant.get("/api/status").json()
    assert set(status) == {"epoch", "epoch_s", "epoch_remaining_s", "meters"}
    assert status["meters"] == 1
    for path in (
        "/api/readings?limit=3",
        "/api/meters",
        "/api/readings.csv",
        f"/api/intervals?from={EPOCH}&to={EPOCH}",
    ):
        text = tenant.get(path).text
        assert not [meter for meter in others(filled) if meter in text]
    first, second = (tenant.get("/api/readings", params={"limit": 3}).json()["next"] for _ in range(2))
    assert first != second  # sealed anew: not even equal places look alike
    assert "id" not in tenant.get("/api/readings?limit=1").json()["readings"][0]


def test_a_cursor_of_anothers_walk_opens_nothing(filled: Guarded, tenant: httpx.Client) -> None:
    with filled.as_role(Role.OPERATOR) as operator:
        of_all = operator.get("/api/readings", params={"limit": 2}).json()["next"]
        of_other = operator.get("/api/readings", params={"limit": 2, "meter": others(filled)[0]}).json()["next"]
    assert tenant.get("/api/readings", params={"after": of_all}).status_code == 422
    found = tenant.get("/api/readings", params={"after": of_other}).json()["readings"]
    assert {one["meter_id"] for one in found} <= {own(filled)}


def test_a_narrowed_key_sees_its_meters_alone_and_no_figure_about_all(filled: Guarded) -> None:
    chosen = filled.plant.pens[0].meter_id
    key = filled.add_key(Scope("one meter", Role.OPERATOR, meters=frozenset({chosen})))
    with filled.client(key) as client:
        assert [one["meter_id"] for one in client.get("/api/meters").json()["meters"]] == [chosen.hex()]
        assert client.get("/api/quarantine").status_code == client.get("/api/alarms").status_code == 403
        assert "readings" not in client.get("/api/status").json()


def test_a_tenants_stream_carries_the_own_readings_alone(filled: Guarded, tenant: httpx.Client) -> None:
    plant = filled.plant
    mine, theirs = plant.pens[TENANT - 1], plant.pens[0]
    with tenant.stream("GET", "/api/stream") as stream:
        events = parse_events(stream)
        next(events)  # the id that the stream starts with
        plant.line(theirs.meter_id.hex()).send(theirs.topic, theirs.sign(), theirs.sign())
        plant.line(mine.meter_id.hex()).send(mine.topic, mine.sign())
        name, _, content = next(event for event in events if event[0])
    assert (name, content["meter_id"], content["sequence"]) == ("reading", own(filled), mine.sequence)


def test_a_tenant_makes_keys_of_the_own_scope_alone(filled: Guarded) -> None:
    with filled.enrolled("tom", Role.TENANT, "127.0.1.1", account(TENANT)) as browser:
        made = browser.post("/api/keys", json={"name": "my app", "meters": [own(filled)]})
        assert made.status_code == 201
        with filled.client(made.json()["key"]) as client:
            assert client.get("/api/session").json()["role"] == "tenant"
            assert len(client.get("/api/meters").json()["meters"]) == 1
        assert [key["name"] for key in browser.get("/api/keys").json()["keys"]] == ["my app"]
        for body, status in (
            ({"name": "k", "role": "operator"}, 403),
            ({"name": "k", "account": account(1).hex()}, 403),
            ({"name": "k", "meters": others(filled)[:1]}, 404),
        ):
            assert browser.post("/api/keys", json=body).status_code == status
        operators = filled.keys[Role.OPERATOR].split("_")[1]
        assert browser.delete(f"/api/keys/{operators}").status_code == 404
        mine = browser.get("/api/keys").json()["keys"][0]["id"]
        assert browser.delete(f"/api/keys/{mine}").status_code == 204
        with filled.client(made.json()["key"]) as client:
            assert client.get("/api/session").status_code == 401


def test_all_pages_together_are_all_readings_once_by_time_too(filled: Guarded) -> None:
    with filled.as_role(Role.OPERATOR) as client:
        meter = others(filled)[0]
        found = pages(client, "/api/readings", "readings", limit=7)
        assert len({(one["meter_id"], one["sequence"]) for one in found}) == len(found) == filled.plant.stored()
        since = (EPOCH + 4) * EPOCH_S
        window = {"from": since, "to": since + 2 * EPOCH_S, "meter": meter, "limit": 1}
        assert [one["epoch"] for one in pages(client, "/api/readings", "readings", **window)] == [EPOCH + 4, EPOCH + 5]


def test_an_export_goes_on_behind_its_last_row(filled: Guarded) -> None:
    with filled.as_role(Role.AUDITOR) as client:
        meter = others(filled)[1]
        first = client.get("/api/readings.csv", params={"limit": 7, "meter": meter})
        assert first.headers["content-type"] == "text/csv; charset=utf-8"
        assert first.text.count("\r\n") == 8
        rows = list(csv.DictReader(io.StringIO(first.text)))
        after = {"after": rows[-1]["cursor"], "meter": meter}
        rows += csv.DictReader(io.StringIO(client.get("/api/readings.csv", params=after).text))
        assert [int(row["sequence"]) for row in rows] == list(range(1, SENT + 1))
        text = client.get("/api/intervals.csv", params={"from": EPOCH, "to": EPOCH + 3, "meter": meter}).text
        assert text.splitlines()[0] == "meter_id,epoch,epochs,start,end,import_wh,export_wh,gap,flags"
        start = (EPOCH + 2) * EPOCH_S
        assert f"{meter},{EPOCH + 2},2,{start},{start + 2 * EPOCH_S},2,0,yes," in text.splitlines()


def pages(client: httpx.Client, path: str, name: str, **query: Any) -> list[dict[str, Any]]:
    """Return what all pages of a list hold."""
    found: list[dict[str, Any]] = []
    after: dict[str, Any] = {}
    while True:
        page = client.get(path, params={**query, **after}).json()
        found += page[name]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def parse_events(stream: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Yield (name, id, content) of every event; an event without data has no name."""
    fields: dict[str, str] = {}
    for line in stream.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "retry" in fields:
            fields = {}
        else:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "null"))
            fields = {}
