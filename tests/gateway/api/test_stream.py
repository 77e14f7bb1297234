"""The live stream: what is committed comes, in order, once, also after a break; and nobody keeps more than one page."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from gateway.access.keys import Scope
from gateway.access.roles import Role
from gateway.api.stream import MAX_STREAMS_OF_ONE
from tests.gateway.api.conftest import Guarded
from tests.gateway.api.test_tenant import parse_events
from tests.gateway.plant import BOUND_S, Plant, wait_for
from tests.gateway.test_run import run

EPOCH = 180_000_000


@pytest.fixture
def operator(guarded: Guarded) -> Iterator[httpx.Client]:
    with guarded.client(guarded.add_key(Scope("stream", Role.OPERATOR))) as client:
        client.timeout = httpx.Timeout(BOUND_S)
        yield client


def test_readings_and_their_intervals_come_as_they_are_committed(guarded: Guarded, operator: httpx.Client) -> None:
    plant, pen = guarded.plant, guarded.plant.pens[0]
    line = plant.line(pen.meter_id.hex())
    with operator.stream("GET", "/api/stream") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = parse_events(stream)
        next(events)
        line.send(pen.topic, pen.sign(epoch=EPOCH, r180=5000), pen.sign(epoch=EPOCH + 1, r180=5300), pen.sign())
        found: list[tuple[str, str, Any]] = []
        while [name for name, _, _ in found].count("reading") < 3:
            found.append(next(events))
    readings = [content["sequence"] for name, _, content in found if name == "reading"]
    assert readings == [1, 2, 3]
    intervals = [content for name, _, content in found if name == "interval"]
    # both of its readings bring it along, where they are stored by the time the first one is told
    assert {(one["epoch"], one["import_wh"], one["gap"]) for one in intervals} == {(EPOCH, 300, False)}


def test_who_comes_back_with_the_last_id_misses_nothing_and_gets_nothing_twice(
    guarded: Guarded, operator: httpx.Client
) -> None:
    plant, pen = guarded.plant, guarded.plant.pens[1]
    line = plant.line(pen.meter_id.hex())
    with operator.stream("GET", "/api/stream") as stream:
        events = parse_events(stream)
        next(events)
        line.send(pen.topic, pen.sign())
        _, last_id, _ = next(event for event in events if event[0] == "reading")
    line.send(pen.topic, *[pen.sign() for _ in range(5)])
    wait_for(lambda: plant.stored() >= 9, "the readings while nobody listened")
    for way in ({"headers": {"Last-Event-ID": last_id}}, {"params": {"after": last_id}}):
        with operator.stream("GET", "/api/stream", **way) as stream:  # type: ignore[arg-type]
            readings = (content for name, _, content in parse_events(stream) if name == "reading")
            assert [next(readings)["sequence"] for _ in range(5)] == [2, 3, 4, 5, 6]


def test_a_fault_comes_when_it_begins_to_those_who_may_see_it(guarded: Guarded, operator: httpx.Client) -> None:
    with operator.stream("GET", "/api/stream") as stream:
        content = next(content for name, _, content in parse_events(stream) if name == "fault")
    assert (content["active"], content["area"]) == (True, "ledger")
    assert content["text"] == operator.get("/api/faults").json()["faults"][0]["text"]
    with guarded.as_role(Role.TENANT) as tenant, tenant.stream("GET", "/api/stream") as stream:
        assert next(parse_events(stream))[0] == ""


def test_an_alarm_comes_when_it_is_raised_when_it_is_acknowledged_and_when_it_is_closed(
    guarded: Guarded, operator: httpx.Client
) -> None:
    plant, pen = guarded.plant, guarded.plant.pens[2]
    line = plant.line(pen.meter_id.hex())
    with (
        guarded.client(guarded.add_key(Scope("seer", Role.OPERATOR, is_read_only=False))) as seer,
        operator.stream("GET", "/api/stream") as stream,
    ):
        alarms = (
            content
            for name, _, content in parse_events(stream)
            if name == "alarm" and content["meter_id"] == pen.meter_id.hex()
        )
        line.send(pen.topic, pen.sign(epoch=EPOCH, r180=0), pen.sign(epoch=EPOCH + 1, r180=500))
        alarm = next(alarms)
        assert (alarm["code"], alarm["state"]) == ("rated_power", "open")
        assert seer.post(f"/api/alarms/{alarm['id']}/acknowledge").status_code == 200
        assert next(alarms)["state"] == "acknowledged"
        line.send(pen.topic, pen.sign(epoch=EPOCH + 2, r180=500))
        closed = next(alarms)
        assert (closed["state"], closed["id"]) == ("closed", alarm["id"])


@pytest.mark.parametrize("cursor", ["1", "AAAA", "é", "A" * 128, "A" * 200])
def test_an_id_that_is_none_is_refused(operator: httpx.Client, cursor: str) -> None:
    answer = operator.get("/api/stream", headers=[(b"Last-Event-ID", cursor.encode())])
    assert answer.status_code == 422
    assert operator.get("/api/readings", params={"after": cursor}).status_code == 422


def test_one_key_has_a_bounded_number_of_streams_and_each_end_frees_one(
    guarded: Guarded, operator: httpx.Client
) -> None:
    with ExitStack() as opened:
        streams = [opened.enter_context(operator.stream("GET", "/api/stream")) for _ in range(MAX_STREAMS_OF_ONE)]
        listened = [parse_events(stream) for stream in streams]
        assert all(next(events) for events in listened)
        assert operator.get("/api/stream").status_code == 429

    def again() -> bool:
        with operator.stream("GET", "/api/stream") as stream:
            return stream.status_code == 200

    wait_for(again, "a free place")


def test_a_stream_ends_soon_after_its_key_is_revoked(guarded: Guarded) -> None:
    key = guarded.add_key(Scope("short", Role.OPERATOR))
    with guarded.client(key) as client:
        client.timeout = httpx.Timeout(BOUND_S)
        with client.stream("GET", "/api/stream") as stream:
            events = parse_events(stream)
            next(events)
            done = run("api-key", "revoke", key.split("_")[1], "--config", str(guarded.plant.config))
            assert done.returncode == 0, done.stderr
            assert all(event is not None for event in events)  # to its end
        assert client.get("/api/stream").status_code == 401


def test_a_client_that_takes_nothing_holds_up_nobody_and_costs_no_memory(guarded: Guarded) -> None:
    plant, pen = guarded.plant, guarded.plant.pens[2]
    key = guarded.add_key(Scope("stalled", Role.OPERATOR))
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        stalled.connect(("127.0.0.1", plant.api_port))
        stalled.sendall(f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        line = plant.line(pen.meter_id.hex())
        before = plant.stored()
        line.send(pen.topic, *[pen.sign() for _ in range(2000)])
        wait_for(lambda: plant.stored() == before + 2000, "all readings")
        with guarded.as_role(Role.OPERATOR) as client:
            assert client.get("/api/status").status_code == 200


def test_a_gateway_with_open_streams_stops_at_once(plant: Plant) -> None:
    gateway = plant.start()
    base = f"http://127.0.0.1:{plant.api_port}"
    with httpx.stream("GET", f"{base}/api/stream", timeout=BOUND_S, trust_env=False) as stream:
        events = parse_events(stream)
        next(events)
        assert gateway.stop() == 0
        assert list(events) is not None
    assert "Cancel" not in plant.gateway_log(), "the server waited for the stream until its patience was over"
