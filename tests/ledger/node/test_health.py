"""How a node is: in words, as JSON, and as the metrics that the shipped alert rules speak of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

import ledger
from gateway.cli import run as run_campusgrid
from ledger.node.reporting.nils import NilReason
from ledger.node.storage.room import MIN_SPAN_S, SAMPLE_S, Room
from tests.ledger.node.network import NAMES, OTHER, Network, until

FILE = Path(ledger.__file__).parent / "node" / "alerts.yml"
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text("utf-8"))["groups"][0]["rules"]
METRIC = re.compile(r"campusgrid_\w+")
VALUES = {"job": {"campusgrid-ledger"}, "reason": {reason.value for reason in NilReason}}
LABELS = {"authority": {"missed"}, "peer": {"clock_offset", "peer_cut_offs"}}


async def test_a_transfer_shows_in_every_metric_that_it_moves(running: Network) -> None:
    async with running.client(0) as client:
        await running.account(client).call_and_wait("money", "transfer", OTHER, 1)
        health = await client.health()
    assert (health.syncing, health.signing, health.alarm) == (False, True, None)
    assert health.disk_free_bytes > 0
    assert [one.name for one in health.missed_votes] == list(NAMES)
    values = read_metrics(running.urls[0])
    assert values["campusgrid_ledger_height", ""] >= health.height > 0
    assert values["campusgrid_ledger_rounds_per_height_count", ""] >= health.height
    assert values["campusgrid_ledger_commit_seconds_count", ""] > 0
    assert values["campusgrid_ledger_sync_seconds_count", ""] > health.height  # votes, too, are made durable
    assert 0 < values["campusgrid_ledger_sync_seconds_sum", ""] < 600
    assert values["campusgrid_ledger_peers_linked", ""] == len(NAMES) - 1
    assert all(("campusgrid_ledger_missed_proposals_total", name) in values for name in NAMES)
    await until(lambda: offsets_are_small(running.urls[0]), "every peer has told its clock, which is this machine's")


async def offsets_are_small(url: str) -> bool:
    """Tell whether a node has heard every peer's clock, each within a second of its own."""
    values = read_metrics(url)
    offsets = [values.get(("campusgrid_ledger_clock_offset_seconds", name)) for name in NAMES[1:]]
    return all(offset is not None and abs(offset) < 1 for offset in offsets)


def read_metrics(url: str) -> dict[tuple[str, str], float]:
    """Return the values on a node's page by name and the value of the one label, if there is any."""
    text = httpx.get(f"{url}/v1/metrics").text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_metric_of_a_rule_is_one_of_a_running_node(running: Network) -> None:
    text = httpx.get(f"{running.urls[0]}/v1/metrics").text
    there = set(re.findall(r"^(?:# TYPE )?(campusgrid_\w+)", text, re.MULTILINE))
    used = {name for rule in RULES for name in METRIC.findall(rule["expr"])}
    assert used - there == set()
    assert len(used) > 15


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_labels_that_exist_and_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    for label, values in re.findall(r"(\w+)=~?\"([^\"]+)\"", rule["expr"]):
        assert set(values.split("|")) <= VALUES[label]
    for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
        assert any(metric in rule["expr"] for metric in LABELS[label])
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "action"}
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_status_is_read_by_people_and_by_programs(running: Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_campusgrid(["ledger", "status", "--url", running.urls[1]]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["node"] == f"MEA, authority 1 of chain {running.genesis.chain_id.hex()}"
    assert rows["state"] == "well"
    assert rows["peers"].startswith("3 of 3 linked; ERC at ")
    assert rows["GRID"] == "0.000 kWh minted, 0.000 kWh burned"
    assert rows["oracle"] == "0 requests open, 0 ended without an answer"
    assert run_campusgrid(["ledger", "status", "--url", running.urls[1], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["health"]["syncing"], told["health"]["last_clearing"]) == ("MEA", False, None)


def test_the_days_that_the_disk_lasts_follow_from_how_fast_it_fills() -> None:
    clock, free = [0.0], [100 * 86_400]
    room = Room(Path(), lambda: clock[0], lambda _: free[0])
    told = []
    for _ in range(int(MIN_SPAN_S / SAMPLE_S) + 1):
        room.note()
        room.note()  # too early: no sample
        told.append(room.days_left)
        clock[0] += SAMPLE_S
        free[0] -= int(SAMPLE_S)  # a byte a second
    assert told[:-1] == [None] * (len(told) - 1)
    assert told[-1] == pytest.approx(100, rel=0.01)
    free[0] = 101 * 86_400
    room.note()
    assert room.days_left is None
