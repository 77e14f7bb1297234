"""A node whose runtime computes something else: it votes nil, keeps its result, and `diff-block` shows what differs."""

from __future__ import annotations

import asyncio
import json
import signal
from functools import partial

import pytest

from gateway.cli import run as run_campusgrid
from tests.ledger.node.altered import WRONG_TRANSFERS, start_altered
from tests.ledger.node.network import NAMES, OTHER, USER, Network, until

PAUSED, ALTERED = 1, 3
"""While the one is paused, nothing is decided before the other has voted."""


async def test_what_an_altered_node_computes_otherwise_is_shown_row_by_row(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in range(ALTERED):
        network.start(place)
    start_altered(network, ALTERED, WRONG_TRANSFERS)
    await network.ready()
    await network.linked()
    async with network.client(0) as client:
        network.processes[PAUSED].send_signal(signal.SIGSTOP)
        sent = await network.account(client).call("money", "transfer", OTHER, 5)
        await until(partial(votes_nil, network), "the altered node votes nil, and says why")
        network.processes[PAUSED].send_signal(signal.SIGCONT)
        receipt = await client.wait_final(sent)
        height = receipt.height
        assert height is not None
        (decided,) = [one for one in await client.results(height) if one.verdict == "decided"]
    altered, proposer = NAMES[ALTERED], decided.proposer
    async with network.client(ALTERED) as client:

        async def has_both() -> bool:
            found = [one for one in await client.results(height) if one.block_id == decided.block_id]
            return {one.source for one in found} == {altered, proposer}

        async def is_alarmed() -> bool:
            return "invalid_block_committed" in str((await client.status()).alarm)

        await until(has_both, "the altered node has its own result and the proposer's")
        await until(is_alarmed, "the altered node has heard that the block is decided")
    assert await asyncio.to_thread(run_campusgrid, diff(height, network.urls[ALTERED])) == 1
    lines = capsys.readouterr().out.splitlines()
    title = f"block {decided.block_id.hex()[:16]} of {proposer} at height {height}: {altered} and {proposer} differ"
    assert title in lines
    lines = lines[lines.index(title) :]
    assert f"  receipt 0 (transaction {receipt.id.hex()[:16]}): same result, but other events" in lines
    for account, more in ((USER, -1), (OTHER, 1)):
        (line,) = [line for line in lines if f"row money.holdings {account.hex()}: balance_aaip: " in line]
        mine, theirs = (int(part.split()[-1]) for part in line.split(", "))
        assert mine == theirs + more
    assert any(line.startswith("  state root: ") for line in lines)
    async with network.client(0) as client:  # without the altered one, which signs and proposes no more
        later = (await network.account(client).call_and_wait("money", "transfer", OTHER, 5)).height
    assert later is not None
    await network.reach(later, 0, 1)
    assert await asyncio.to_thread(run_campusgrid, [*diff(later, *network.urls[:2]), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(one["nodes"], one["differences"]) for one in told] == [([NAMES[0], NAMES[1]], [])]
    assert await asyncio.to_thread(run_campusgrid, diff(height + 90, network.urls[0])) == 1
    assert "give --url of two nodes" in capsys.readouterr().err


async def votes_nil(network: Network) -> bool:
    async with network.client(ALTERED) as client:
        nils = (await client.condition()).nils
    return any("wrong_result: execution gives another state_root, log_root" in nil.text for nil in nils)


def diff(height: int, *urls: str) -> list[str]:
    return ["ledger", "diff-block", str(height), *(word for url in urls for word in ("--url", url))]
