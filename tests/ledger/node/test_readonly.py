"""The read-only API beside a node: the same answers from another process, and nothing that happens to it matters."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cli import run as run_campusgrid
from hil.ports import free_port
from ledger.api import stream
from ledger.api.readonly import ReadOnlySource
from ledger.errors import CorruptedError
from ledger.node.storage.store import StoreError
from ledger.remote.client import ClientError, LedgerClient
from ledger.state import LedgerState
from tests.ledger.node.network import CAMPUSGRID, OTHER, PATIENCE_S, USER, Network, answers, make_network, until
from tests.ledger.node.served import opened, served


@dataclass
class Reader:
    """A running `campusgrid ledger serve`."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def reader(lone: Network, tmp_path: Path) -> Iterator[Reader]:
    port = free_port()
    with (tmp_path / "reader.log").open("wb") as log:
        process = subprocess.Popen(
            [CAMPUSGRID, "ledger", "serve", "--config", lone.directory(0) / "node.toml",
             "--listen", f"127.0.0.1:{port}", "--exit-with-parent"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    yield Reader(f"http://127.0.0.1:{port}", process)
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait(PATIENCE_S)


async def test_a_reader_answers_as_its_node_takes_submissions_and_dies_unnoticed(
    lone: Network, reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    async with LedgerClient([reader.url]) as reading, LedgerClient([lone.urls[0]]) as node:
        await until(lambda: answers(reading), "the reader answers", 60)
        account = lone.account(reading)
        receipts = [await account.call_and_wait("money", "transfer", OTHER, amount) for amount in (1, 2, 3)]
        assert [receipt.code for receipt in receipts] == [0, 0, 0]
        height = receipts[-1].height
        assert height is not None
        await assert_same_answers(node, reading, height)

        async def has_caught_up() -> bool:
            return "campusgrid_ledger_reader_lag_blocks 0.0" in await reading.metrics()

        await until(has_caught_up, "the reader is where its node is")
        assert 'campusgrid_ledger_missed_votes_total{authority="ERC"}' in await reading.metrics()
        heard = await heard_of(reading, receipts[0].height or 0)
        assert heard == ["1", "2", "3"]
        assert await asyncio.to_thread(run_campusgrid, ["ledger", "status", "--url", reader.url]) == 0
        assert "a copy beside the node answers" in capsys.readouterr().out

        reader.process.send_signal(signal.SIGKILL)
        reader.process.wait(PATIENCE_S)
        after = await lone.account(node).call_and_wait("money", "transfer", OTHER, 4)
        assert after.code == 0
        assert (await node.status()).alarm is None
        with pytest.raises(ClientError):
            await reading.status()


async def assert_same_answers(node: LedgerClient, reading: LedgerClient, height: int) -> None:
    assert await reading.block(height) == await node.block(height)
    assert await reading.heads(1, 5) == await node.heads(1, 5)
    assert await reading.authorities() == await node.authorities()
    assert await reading.parameters() == await node.parameters()
    assert await reading.calls() == await node.calls()
    assert await reading.orders() == await node.orders()
    assert await reading.meters() == await node.meters()
    assert (await reading.account(USER)).balance_aaip == (await node.account(USER)).balance_aaip
    status, own = await reading.status(), await node.status()
    assert (status.name, status.index, status.step) == (own.name, own.index, "reading")
    assert (await node.block(status.height)).state_root == status.state_root

    async def is_provable() -> bool:
        return (await reading.status()).checkpoint_size > 0

    await until(is_provable, "the reader has a checkpoint")
    assert (await reading.checkpoint()).splitlines()[0] == (await node.checkpoint()).splitlines()[0]
    async with httpx.AsyncClient() as http:
        shown, its = [(await http.get(f"{one.node}/openapi.json")).json() for one in (reading, node)]
    assert shown["paths"].items() <= its["paths"].items()


async def heard_of(client: LedgerClient, height: int) -> list[str]:
    """Return the amounts of the first three transfers from *height* on, followed over the WebSocket."""
    heard: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in client.follow(f"{height}.0", name="transferred"):
            heard.append(event.values["amount_aaip"])
            if len(heard) == 3:
                break
    return heard


async def test_a_reader_whose_node_is_away_reads_on_and_says_where_to_submit(lone: Network) -> None:
    async with opened(lone, f"http://127.0.0.1:{free_port()}") as source, served(source) as url:
        async with LedgerClient([url]) as client:
            assert (await client.account(USER)).balance_aaip > 0
        async with httpx.AsyncClient(base_url=url) as http:
            for path, body in (("", {"transaction": "AAAA"}), ("/bulk", {"transactions": ["AAAA"]})):
                answer = await http.post(f"/v1/transactions{path}", json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "node_unreachable")
                assert "submit to another authority's" in answer.json()["detail"]
                assert answer.headers["retry-after"] == "5"


async def test_a_client_that_reads_nothing_is_closed_with_a_code_that_says_so(
    lone: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heads again and again: more than the sockets' buffers hold."""
    monkeypatch.setattr(stream, "SEND_TIMEOUT_S", 0.3)
    async with opened(lone, lone.urls[0]) as source, served(source) as url:
        async with connect(
            f"ws{url[4:]}/v1/stream", proxy=None, max_queue=1, compression=None, ping_interval=None
        ) as socket:
            source.heads.height = 10**6
            monkeypatch.setattr(stream.Heads, "advance", endless)
            await socket.send(json.dumps({"id": 1, "subscribe": "heads"}))
            for count in (1, 0):  # it follows, and is given up while nothing was read
                await until(partial(has_followers, source, count), f"{count} client that follows")
            received = 0
            with pytest.raises(ConnectionClosed) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        received += len(await socket.recv())
        assert received > 0
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == stream.CLOSE_TOO_SLOW
        assert "go on from your cursor" in caught.value.rcvd.reason


async def has_followers(source: ReadOnlySource, count: int) -> bool:
    return len(source.heads._followers) == count


async def endless(_: stream.Heads) -> dict[str, Any]:
    return {"head": "x" * 50_000}


async def test_a_reader_that_computes_something_else_ends_and_says_what_to_do(
    lone: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(lone, lone.urls[0]) as source, LedgerClient([lone.urls[0]]) as node:
        secret = LedgerState.secret.fget  # type: ignore[attr-defined]
        monkeypatch.setattr(LedgerState, "secret", property(lambda state: bytes(32) if secret(state) else b""))
        assert (await lone.account(node).call_and_wait("money", "transfer", OTHER, 1)).code == 0
        with pytest.raises(CorruptedError, match="gives another result here than at the node"):
            await asyncio.wait_for(source.follow(), PATIENCE_S)


async def test_a_reader_whose_database_was_replaced_ends(lone: Network, tmp_path: Path) -> None:
    async with opened(lone, lone.urls[0]) as source:
        source._path = tmp_path / "ledger.sqlite"
        with pytest.raises(StoreError, match="was removed or replaced: start this anew"):
            await source.follow()
        source._path.write_bytes(b"")
        with pytest.raises(StoreError, match="was removed or replaced: start this anew"):
            await source.follow()


async def test_a_reader_far_behind_reads_the_rows_anew(lone: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.api.readonly.MAX_REPEATED_BLOCKS", 0)
    async with opened(lone, lone.urls[0]) as source, LedgerClient([lone.urls[0]]) as node:
        receipt = await lone.account(node).call_and_wait("money", "transfer", OTHER, 1)
        following = asyncio.create_task(source.follow())

        async def is_there() -> bool:
            return source.heads.height >= (receipt.height or 0)

        await until(is_there, "the reader is where its node is")
        following.cancel()
        state = await source.ledger.run(lambda chain: chain.state)
        assert state.header.state_root == (await node.block(state.header.height)).state_root


async def test_a_reader_before_its_node_says_that_the_node_comes_first(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="start the node first"):
        async with opened(make_network(tmp_path), "http://127.0.0.1:1"):
            pass


def test_what_the_command_cannot_use_is_one_clear_line(lone: Network, capsys: pytest.CaptureFixture[str]) -> None:
    from gateway.cli import run as run_campusgrid

    config = str(lone.directory(0) / "node.toml")
    assert run_campusgrid(["ledger", "serve", "--config", config, "--listen", "nowhere"]) == 1
    assert "it reads like 127.0.0.1:9934" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", port := free_port())):
        assert run_campusgrid(["ledger", "serve", "--config", config, "--listen", f"127.0.0.1:{port}"]) == 1
    assert f"cannot serve the API on 127.0.0.1:{port}" in capsys.readouterr().err
