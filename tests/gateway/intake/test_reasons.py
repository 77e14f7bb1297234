"""Every reason code there is, provoked through the real broker, and told where an operator looks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from gateway.intake.refusals import RefusalCode
from tests.gateway.plant import EPOCH_S, Line, Pen, Plant, ended, wait_for

FIRST_EPOCH = 300_000_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with a running gateway, and one meter less in its roster than at its broker."""
    with ended(Plant(tmp_path_factory.mktemp("reasons") / "plant", meters=6)) as made:
        edit_roster(made, lambda meters: meters.pop())
        made.start()
        yield made


def edit_roster(plant: Plant, change: Callable[[list[dict[str, object]]], object]) -> None:
    """Write the roster anew, with its list of meters changed."""
    path = plant.folder / "roster.json"
    content = json.loads(path.read_text())
    change(content["meters"])
    path.with_suffix(".new").write_text(json.dumps(content))
    path.with_suffix(".new").replace(path)


def succeed(plant: Plant, pen: Pen, last: int, ended_by: str) -> Pen:
    """Give *pen*'s meter a new key for the numbers behind *last*, and return the pen that holds it."""
    follower = Pen(meter_id=pen.meter_id)
    change = {
        "public_key": follower.key.public_key.hex(),
        "former_keys": [{"public_key": pen.key.public_key.hex(), "last": last, "ended_by": ended_by}],
    }
    before = plant.gateway_log().count("roster read again")
    edit_roster(plant, lambda ms: next(m for m in ms if m["meter_id"] == pen.meter_id.hex()).update(change))
    wait_for(lambda: plant.gateway_log().count("roster read again") > before, "the new roster")
    return follower


class Provocations:
    """One method for each reason code, in small letters; each returns when its message is sent."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.pen, self.other, self.rotated, self.replaced, self.gapped, self.foreign = plant.pens
        self.line: Line = plant.line(self.pen.meter_id.hex())
        self.send(*[self.pen.sign(epoch=FIRST_EPOCH + place) for place in range(3)], self.pen.sign(skip=4))

    def send(self, *payloads: bytes) -> None:
        self.line.send(self.pen.topic, *payloads)

    def send_as(self, pen: Pen, *payloads: bytes) -> Line:
        line = self.plant.line(pen.meter_id.hex())
        line.send(pen.topic, *payloads)
        return line

    def malformed(self) -> None:
        self.send(b"nonsense")

    def oversized(self) -> None:
        self.send(bytes(2000))

    def bad_topic(self) -> None:
        self.plant.line(self.plant.stranger).send(f"meter/{self.plant.stranger}/reading", b"?")

    def unknown_meter(self) -> None:
        self.send_as(self.foreign, self.foreign.sign())

    def unknown_key(self) -> None:
        self.send(Pen(meter_id=self.pen.meter_id).sign())

    def wrong_meter(self) -> None:
        self.send(self.other.copy().sign())

    def bad_signature(self) -> None:
        good = self.pen.copy().sign()
        self.send(good[:-1] + bytes([good[-1] ^ 1]))

    def fork(self) -> None:
        self.send(Pen(self.pen.key, self.pen.meter_id).sign(r180=7))

    def off_chain(self) -> None:
        self.send(Pen(self.pen.key, self.pen.meter_id, sequence=5, previous=b"x" * 8).sign())

    def reset(self) -> None:
        self.send(Pen(self.pen.key, self.pen.meter_id, sequence=4).sign())

    def boundary_time(self) -> None:
        self.send(self.pen.sign(epoch=FIRST_EPOCH + 3, time_=(FIRST_EPOCH + 3) * EPOCH_S + 4))

    def epoch_twice(self) -> None:
        self.send(self.pen.sign(epoch=FIRST_EPOCH))

    def key_rotated(self) -> None:
        line = self.send_as(self.rotated, self.rotated.sign(), self.rotated.sign())
        line.newest_receipt(2, self.plant.receipt_key.public_key)
        succeed(self.plant, self.rotated, 2, "rotation")
        line.send(self.rotated.topic, self.rotated.sign())

    def meter_replaced(self) -> None:
        line = self.send_as(self.replaced, self.replaced.sign())
        line.newest_receipt(1, self.plant.receipt_key.public_key)
        line.send(self.replaced.topic, succeed(self.plant, self.replaced, 100, "replacement").sign())

    def gap(self) -> None:
        self.gapped.sign()
        self.send_as(self.gapped, self.gapped.sign())

    def replay(self) -> None:
        raw = self.pen.sign()
        self.send(raw)
        self.send(raw)

    def register_backwards(self) -> None:
        self.send(self.pen.sign(r180=900_000, time_=1_900_000_000), self.pen.sign(r180=899_999, time_=1_900_000_001))

    def impossible_step(self) -> None:
        self.send(self.pen.sign(r180=950_000, time_=1_900_000_002), self.pen.sign(r180=960_000, time_=1_900_000_060))


def test_every_reason_is_provoked_by_real_messages_and_shown_by_metrics_and_api(running: Plant) -> None:
    provocations = Provocations(running)
    wait_for(lambda: running.stored() == 4, "the good readings")
    with httpx.Client(base_url=f"http://127.0.0.1:{running.api_port}", trust_env=False) as api:
        for code in RefusalCode:
            kind = "noted" if code.is_note else "refused"
            count = f'campusgrid_gateway_{kind}_total{{reason="{code.name}"}} '
            assert count in api.get("/metrics").text
            before = value(api, count)
            getattr(provocations, code.name.lower())()
            wait_for(partial(is_above, api, count, before), f"{code.name} to be counted")

        kept = {int(code) for (code,) in running.rows(
            "SELECT refusal FROM readings UNION SELECT refusal FROM evidence UNION SELECT code FROM notes"
        )}  # fmt: skip
        uncounted = {0, RefusalCode.GAP, RefusalCode.REPLAY}
        assert kept | uncounted == {code for code in RefusalCode if code.is_signed} | {0}
        quarantined = {code for (code,) in running.rows("SELECT refusal FROM quarantine")}
        assert quarantined == {code for code in RefusalCode if not code.is_signed}
        odd = [one for one in api.get("/api/readings", params={"limit": 100}).json()["readings"] if one["notes"]]
        assert {note["name"] for one in odd for note in one["notes"]} == {"REGISTER_BACKWARDS", "IMPOSSIBLE_STEP"}
        signed = {code.name.lower() for code in RefusalCode if code.is_signed and not code.is_note}
        wait_for(lambda: signed <= {one["code"] for one in alarms(api)}, "an alarm of all that was signed and refused")
        require_cited(running, alarms(api))


def alarms(api: httpx.Client) -> list[dict[str, Any]]:
    return list(api.get("/api/alarms", params={"state": "open"}).json()["alarms"])


def require_cited(plant: Plant, raised: list[dict[str, Any]]) -> None:
    """Require that each alarm of evidence says which signed bytes it rests on, and a fork what stands against them."""
    for alarm in raised:
        cited = alarm["evidence"]
        if "evidence" in cited:
            rows = plant.rows("SELECT hex(hash), sequence FROM evidence WHERE id = ?", cited["evidence"])
            assert rows == [(cited["hash"].upper(), cited["sequence"])]
    (fork,) = [alarm for alarm in raised if alarm["code"] == "fork"]
    standing = plant.rows(
        "SELECT 1 FROM readings WHERE hex(hash) = ? AND sequence = ? AND hex(meter_id) = ?",
        fork["evidence"]["stands"].upper(), fork["evidence"]["sequence"], fork["meter_id"].upper(),
    )  # fmt: skip
    assert standing == [(1,)]
    assert "inspects the evidence" in fork["next_step"]


def is_above(api: httpx.Client, metric: str, before: float) -> bool:
    return value(api, metric) > before


def value(api: httpx.Client, metric: str) -> float:
    """Return the number behind *metric* in what Prometheus would read."""
    return next(float(line.removeprefix(metric)) for line in api.get("/metrics").text.splitlines() if metric in line)
