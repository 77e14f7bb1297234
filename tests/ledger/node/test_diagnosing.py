"""`campusgrid ledger why-stuck`: on a ledger that is well, that lacks authorities, and whose clocks disagree."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from gateway.cli import run as run_campusgrid
from tests.ledger.node.altered import clock_ahead, start_altered
from tests.ledger.node.network import NAMES, OTHER, Network, until

AHEAD_MS = 8_000


def ask(*urls: str) -> list[str]:
    return ["ledger", "why-stuck", *(word for url in urls for word in ("--url", url))]


async def test_a_ledger_that_is_well_is_not_held_up(running: Network, capsys: pytest.CaptureFixture[str]) -> None:
    async with running.client(0) as client:
        await running.account(client).call_and_wait("money", "transfer", OTHER, 1)

        async def is_at_rest() -> bool:
            condition = await client.condition()
            offsets_ms = [one.clock_offset_ms for one in condition.authorities if not one.is_self]
            return not condition.has_work and all(one is not None and abs(one) < 1_000 for one in offsets_ms)

        await until(is_at_rest, "nothing is left to decide, and every clock is this machine's")
    assert await asyncio.to_thread(run_campusgrid, [*ask(running.urls[0]), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"]["text"] == "nothing waits to be decided"
    (condition,) = told["conditions"]
    assert [one["name"] for one in condition["authorities"]] == list(NAMES)
    others = [one for one in condition["authorities"] if not one["is_self"]]
    assert all(one["connected"] and one["report_age_ms"] < 10_000 for one in others)
    assert all(abs(one["clock_offset_ms"]) < 1_000 for one in others), others


async def test_too_few_authorities_and_wrong_clocks_are_named(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    network.start(0)
    network.start(1)
    await network.ready(0, 1)
    async with network.client(0) as client:
        await network.account(client).call("money", "transfer", OTHER, 1)
        assert await asyncio.to_thread(run_campusgrid, ask(network.urls[0], network.urls[3])) == 1
        text = capsys.readouterr().out
        assert "of 4 authorities take part, 3 are needed: " in text
        assert "PEA (never heard), EGAT (never heard)" in text
        assert f"{network.urls[3]} did not answer" in text

        async def is_said_to_wait() -> bool:
            assert await asyncio.to_thread(run_campusgrid, ["ledger", "status", "--url", network.urls[0]]) == 0
            return "transactions wait, and the newest block is old" in capsys.readouterr().out

        await until(is_said_to_wait, "status no longer says that all is well")

        start_altered(network, 2, clock_ahead(AHEAD_MS))
        await network.ready(2)
        await until(partial(shows_untimely, network), "each says why it did not take the other's block")
        assert await asyncio.to_thread(run_campusgrid, ask(network.urls[0], network.urls[2])) == 1
    text = capsys.readouterr().out
    assert "ms ahead of this node's clock" in text
    assert "ms after the time that it bears, by this node's clock" in text
    (offset,) = [line.split()[-2] for line in text.splitlines() if line.startswith("held up")]
    assert abs(int(offset) - AHEAD_MS) < 500
    assert "set the clocks by a time server" in text
    assert (await network.height(0)) == 0


async def shows_untimely(network: Network) -> bool:
    for place in (0, 2):
        async with network.client(place) as client:
            nils = (await client.condition()).nils
            if not any(nil.reason == "untimely" and nil.kind == "prevote" for nil in nils):
                return False
    return True
