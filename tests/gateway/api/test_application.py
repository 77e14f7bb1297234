"""The API of a running gateway."""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from starlette.exceptions import HTTPException

from gateway.access.roles import AT_THIS_MACHINE
from gateway.api import parameters
from gateway.readings.overview import Overview
from tests.gateway.plant import EPOCH_S, Plant, wait_for

EPOCH = 180_000_000


def test_the_api_tells_what_was_stored_refused_and_derived(plant: Plant) -> None:
    pen = plant.pens[0]
    meter = pen.meter_id.hex()
    plant.start()
    line = plant.line(meter)
    sent = [pen.sign(epoch=EPOCH + place, r180=100 * place * place) for place in (0, 1, 3)]
    line.send(pen.topic, *sent, pen.sign(r1670=77), b"nonsense", pen.sign(epoch=EPOCH + 4, time_=5))
    line.send(pen.topic, sent[0])
    wait_for(lambda: plant.stored() == 5, "the readings")

    with httpx.Client(base_url=f"http://127.0.0.1:{plant.api_port}", trust_env=False) as api:
        wait_for(lambda: api.get("/api/status").json()["readings"]["duplicates"] == 1, "the duplicate")
        status = api.get("/api/status").json()
        assert status["readings"] == {
            "stored": 5, "refused": 2, "duplicates": 1, "refused_by_reason": {"BOUNDARY_TIME": 1, "MALFORMED": 1},
            "noted_by_reason": {"REPLAY": 1, "IMPOSSIBLE_STEP": 2},
        }  # fmt: skip
        assert (status["meters"], status["epoch_s"], status["ledger"]["height"]) == (2, EPOCH_S, None)

        found = api.get("/api/readings", params={"meter": meter, "limit": 2}).json()
        assert [base64.b64decode(reading["envelope"]) for reading in found["readings"]] == sent[:2]
        rest = api.get("/api/readings", params={"meter": meter, "after": found["next"]}).json()
        assert [reading["reason"] for reading in rest["readings"]] == ["boundary", "periodic", "boundary"]
        assert rest["readings"][2]["refusal"]["name"] == "BOUNDARY_TIME"
        assert rest["next"] is None

        intervals = api.get("/api/intervals", params={"meter": meter, "from": EPOCH, "to": EPOCH + 3}).json()
        assert [(i["epoch"], i["epochs"], i["import_wh"], i["gap"]) for i in intervals["intervals"]] == [
            (EPOCH, 1, 100, False), (EPOCH + 1, 2, 800, True),
        ]  # fmt: skip
        inside_gap = api.get("/api/intervals", params={"meter": meter, "epoch": EPOCH + 2}).json()["intervals"]
        assert [(i["epoch"], i["epochs"]) for i in inside_gap] == [(EPOCH + 1, 2)]

        meters = {entry["meter_id"]: entry for entry in api.get("/api/meters").json()["meters"]}
        assert (meters[meter]["power_w"], meters[meter]["sequence"], meters[meter]["receipted"]) == (77, 5, 5)
        assert meters[plant.pens[1].meter_id.hex()]["sequence"] is None
        (message,) = api.get("/api/quarantine").json()["messages"]
        assert (base64.b64decode(message["message"]), message["refusal"]["name"]) == (b"nonsense", "MALFORMED")
        assert message["refusal"]["next_step"]
        metrics = api.get("/metrics").text
        assert "campusgrid_gateway_readings_stored_total 5.0" in metrics
        assert 'campusgrid_gateway_refused_total{reason="MALFORMED"} 1.0' in metrics


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/readings?meter=xyz", 422, "meter: "),
        ("/api/readings?meter=0000000000000000", 404, "is not in the roster"),
        ("/api/readings?limit=100000", 422, "limit: "),
        ("/api/readings?after=-1", 422, "after: "),
        ("/api/readings?after=99999999999999999999999", 422, "after: "),
        (
            "/api/readings?nosuch=1",
            422,
            "nosuch: is no parameter of /api/readings; choose of meter, after, limit, from",
        ),
        ("/api/readings?limit=1&Meter=0000000000000000", 422, "Meter: is no parameter"),
        ("/api/readings.csv?since=1", 422, "since: is no parameter"),
        ("/api/alarms?status=open", 422, "status: is no parameter of /api/alarms; choose of state"),
        ("/api/stream?nosuch=1", 422, "nosuch: is no parameter"),
        ("/health?verbose=1", 422, "verbose: is no parameter of /health; it has none"),
        ("/api/readings?from=9&to=3", 422, "from: 9 is after to, 3"),
        ("/api/readings.csv?from=9&to=3", 422, "from: 9 is after to, 3"),
        ("/api/intervals?from=9&to=3", 422, "must ascend"),
        ("/api/intervals?from=0&to=100000", 422, "at most 1000 epochs"),
        ("/api/nonsense?nosuch=1", 404, "there is no GET /api/nonsense"),
        ("/api/nonsense", 404, "there is no GET /api/nonsense"),
    ],
)
def test_a_bad_request_is_a_problem_that_says_what_is_wrong(
    api: httpx.Client, path: str, status: int, said: str
) -> None:
    answer = api.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_an_answer_that_would_be_too_long_is_refused() -> None:
    meters = {number.to_bytes(8): None for number in range(parameters.MAX_INTERVALS // 1000 + 1)}
    overview = cast("Overview", SimpleNamespace(roster=SimpleNamespace(meters=meters)))
    with pytest.raises(HTTPException, match="ask for one meter, or for fewer epochs"):
        parameters.choose_intervals(overview, AT_THIS_MACHINE, None, (0, 999))


def test_health_says_degraded_while_the_ledger_is_away_and_unready_without_a_broker(
    api: httpx.Client, shared_plant: Plant
) -> None:
    wait_for(lambda: api.get("/health").json()["status"] == "degraded", "the ledger's absence to be seen")
    assert api.get("/health").status_code == 200
    shared_plant.broker.stop()
    wait_for(lambda: api.get("/health").status_code == 503, "the broker's absence to be seen")
    assert "broker is not connected" in api.get("/health").json()["reasons"][0]
