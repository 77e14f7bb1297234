"""Clients that take too much, send nonsense, or show passes that do not hold: refused, and the node goes on."""

from __future__ import annotations

import asyncio
import json
import os
import time
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as some
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ledger import cbor, viewing_pass
from ledger.api import diagnosis, limits, stream
from ledger.api.access import Viewer, holds_measured
from ledger.api.problems import install
from ledger.errors import MalformedError
from tests.ledger.node.network import OTHER, PATIENCE_S, USER, Network, account_key, until
from tests.ledger.node.served import opened as opened_reader
from tests.ledger.node.served import served
from tests.ledger.node.streams import hear, opened, say


async def test_a_connection_has_so_many_subscriptions_and_each_its_own_id(lone: Network) -> None:
    async with opened(lone) as socket:
        for number in range(stream.MAX_SUBSCRIPTIONS):
            assert "error" not in await say(socket, id=number, subscribe="events", after="999999.0")
        assert (await say(socket, id=1, subscribe="heads"))["error"]["code"] == "id_taken"
        assert (await say(socket, id=99, subscribe="heads"))["error"]["code"] == "too_many_subscriptions"
        await say(socket, unsubscribe=1)
        assert "error" not in await say(socket, id=99, subscribe="heads")


async def test_an_address_has_so_many_connections(lone: Network) -> None:
    sockets = [
        await connect(f"ws{lone.urls[0][4:]}/v1/stream", proxy=None) for _ in range(stream.MAX_STREAMS_PER_ADDRESS)
    ]
    try:
        async with opened(lone) as one_more:
            with pytest.raises(ConnectionClosed) as caught:
                await asyncio.wait_for(one_more.recv(), PATIENCE_S)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == stream.CLOSE_TOO_MANY
    finally:
        for socket in sockets:
            await socket.close()

    async def is_free() -> bool:
        async with opened(lone) as socket:
            return "subscribed" in await say(socket, id=1, subscribe="heads")

    await until(is_free, "connections that were closed are free again")


async def test_a_web_page_of_elsewhere_cannot_open_a_stream(lone: Network) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(lone, origin="https://evil.example"):
            pass
    assert caught.value.response.status_code == 403


MESSAGES: list[bytes | str] = [
    b"\xff\x00", "", "[]", "null", "{", "[" * 8000, '{"subscribe": "heads"}', '{"id": -1, "subscribe": "heads"}',
    '{"id": 1, "subscribe": "all"}', '{"id": 1, "subscribe": "events", "after": "1"}', '{"id": 1e400}',
    '{"id": 1, "subscribe": "receipt", "transaction": "zz"}', '{"id": 1, "subscribe": "heads", "more": 1}',
    '{"unsubscribe": "1"}', '{"id": 1, "subscribe": "events", "account": "\\ud800"}',
]  # fmt: skip


async def test_messages_that_say_nothing_are_answered_and_at_last_the_client_is_sent_away(lone: Network) -> None:
    for message in MESSAGES:
        async with opened(lone) as socket:
            await socket.send(message)
            assert (await hear(socket))["error"]["code"] == "bad_request", message
    async with opened(lone) as socket:
        for _ in range(stream.MAX_FAULTS + 1):
            await socket.send("nonsense")
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await hear(socket)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == stream.CLOSE_NOT_UNDERSTOOD


async def test_frames_that_are_no_websocket_end_the_connection_and_nothing_else(lone: Network) -> None:
    async with opened(lone) as before:
        for garbage in (
            b"\xff" + os.urandom(2000),  # reserved bits and a reserved kind; all at random may begin like a frame
            b"\x81\xff" + b"\xff" * 8,
            b"\x8f\x80\0\0\0\0",
            b"\x81\xfe\xff\xff" + bytes(4),
        ):
            async with opened(lone) as socket:
                socket.transport.write(garbage)
                with pytest.raises(ConnectionClosed):  # a head that announces 64 KB is refused before they come
                    await asyncio.wait_for(socket.recv(), PATIENCE_S)
        assert (await say(before, id=1, subscribe="heads"))["subscribed"] == "heads"


words = some.text(max_size=20) | some.sampled_from(["subscribe", "id", "after", "heads", "events", "receipt", "0.0"])
values = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**70), 2**70) | some.floats() | words,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(words, inner, max_size=5),
    max_leaves=8,
)


@given(value=values)
@settings(max_examples=100, deadline=None)
def test_no_command_raises_anything_but_a_refusal(value: object) -> None:
    text = json.dumps(value)
    try:
        command = stream._COMMAND.validate_json(text)
    except ValidationError:
        return
    assert isinstance(command, stream.FollowHeads | stream.FollowEvents | stream.AwaitReceipt | stream.Unsubscribe)


async def test_a_body_that_does_not_come_is_not_waited_for(lone: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_TIMEOUT_S", 0.2)
    async with opened_reader(lone, lone.urls[0]) as source, served(source) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /v1/transactions HTTP/1.1\r\nhost: node\r\ncontent-length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_S)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_too_slow"' in answer


async def test_a_client_that_goes_in_the_midst_of_its_body_is_no_fault_of_the_node(lone: Network) -> None:
    address = httpx.URL(lone.urls[0])
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"POST /v1/transactions HTTP/1.1\r\nHost: node\r\nContent-Length: 500\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with lone.client(0) as client:
        await client.status()
    assert "Traceback" not in lone.log(0)


async def test_rows_of_a_block_are_not_for_strangers() -> None:
    node: Any = None  # it is not even asked
    source: Any = SimpleNamespace(shows_intervals=False)
    app = FastAPI()
    install(app)
    app.include_router(diagnosis.routes(node, source), prefix="/v1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as http:
        answer = await http.get("/v1/blocks/1/results")
    assert (answer.status_code, answer.json()["code"]) == (403, "not_yours")


async def test_every_operation_is_documented_with_its_errors_and_its_body(lone: Network) -> None:
    async with httpx.AsyncClient(base_url=lone.urls[0]) as http:
        document = (await http.get("/openapi.json")).json()
    operations = [(path, method, one) for path, ways in document["paths"].items() for method, one in ways.items()]
    assert len(operations) > 25
    for path, method, operation in operations:
        assert "application/problem+json" in operation["responses"]["default"]["content"], path
        assert ("requestBody" in operation) == (method == "post"), path
        answer = operation["responses"].get("200") or operation["responses"]["202"]
        assert answer["content"], path


async def test_hostile_paths_queries_and_bodies_are_refused_never_a_fault_of_the_node(lone: Network) -> None:
    """Whatever comes, the answer is below 500, an error is a problem, and the node goes on."""
    filled = ["/v1/blocks/{}", "/v1/accounts/{}", "/v1/meters/{}", "/v1/epochs/{}", "/v1/transactions/{}",
              "/v1/queries/{}/{}", "/v1/proofs/settlements/{}/{}", "/v1/blocks/by-id/{}"]  # fmt: skip
    bad = [
        "",
        "%00",
        "..%2f..",
        "%ff%fe",
        "0" * 16,
        "f" * 64,
        "-0",
        "1e9",
        "١",
        "9" * 30,
        "'; DROP TABLE blocks;--",
        "{}",
    ]
    async with httpx.AsyncClient(base_url=lone.urls[0], timeout=PATIENCE_S) as http:
        seen = 0
        paths = [path for path in (await http.get("/openapi.json")).json()["paths"] if "{" not in path]
        for path in [*paths, *(form.format(value, value) for form in filled for value in bad)]:
            for method, query in (
                ("GET", ""),
                ("GET", "?after=%00&from=-1&to=x&limit=1e3&epoch=1&epoch=2"),
                ("POST", ""),
            ):
                answer = await http.request(method, path + query, content=b"\xff{" if method == "POST" else None)
                assert answer.status_code < 500, (method, path, answer.text)
                if answer.status_code >= 400:
                    assert set(answer.json()) == {"type", "title", "status", "detail", "code"}, (method, path)
                seen += 1
    assert seen > 250


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain_id": bytes(8)}, "of another chain"),
        ({"until_s": 1}, "must end within"),
        ({"until_s": 2**60}, "must end within"),
        ({"account": b"nobody--"}, "did not sign it"),
        ({"key": account_key(OTHER)}, "did not sign it"),
    ],
)
async def test_a_pass_that_does_not_hold_is_refused_over_http_and_websocket(
    lone: Network, change: dict[str, Any], reason: str
) -> None:
    values: dict[str, Any] = {"chain_id": lone.genesis.chain_id, "account": USER, "until_s": int(time.time()) + 60}
    header = viewing_pass.write(**(values | {"key": account_key(USER)} | change))
    async with opened_reader(lone, lone.urls[0], "owners") as source, served(source) as url:
        async with httpx.AsyncClient(base_url=url) as http:
            answer = await http.get("/v1/meters", headers={"authorization": header})
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_pass")
            assert reason in answer.json()["detail"]
        async with connect(
            f"ws{url[4:]}/v1/stream", proxy=None, additional_headers={"authorization": header}
        ) as socket:
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == stream.CLOSE_BAD_PASS


@pytest.mark.parametrize("header", ["", "Pass", "Pass ", "Bearer x", "Pass ====", "Pass AAAA", "Pass " + "A" * 9000])
def test_what_is_no_pass_is_one_clear_refusal(header: str) -> None:
    with pytest.raises(MalformedError):
        viewing_pass.read(header)


def test_what_was_measured_is_left_out_of_events_for_strangers() -> None:
    values = {"meter": b"m" * 8, "epoch": 1, "import_wh": 5, "export_wh": 3}
    assert Viewer().shown(values) == Viewer(b"m" * 8).shown(values) == {"meter": b"m" * 8, "epoch": 1}
    assert Viewer(sees_all=True).shown(values) == values
    totals = {"epoch": 1, "import_wh": 5}
    assert Viewer().shown(totals) == totals, "no single meter's"
    rebased = [["registry", "rebased", [["meter", b"m" * 8], ["import_before_wh", 5]]]]
    assert holds_measured(cbor.encode(rebased))
    assert not holds_measured(cbor.encode([["market", "reading", [["meter", b"m" * 8], ["code", 0]]]]))


def test_what_the_oracle_answers_for_a_meter_is_for_whoever_asked() -> None:
    event: dict[str, Any] = {"request": b"r" * 8, "result": [5, 3]}
    assert Viewer().shown(event) == {"request": b"r" * 8}
    answer = {"requester": USER, "meter": b"m" * 8, "result": [5, 3]}
    assert Viewer().answered(answer)["result"] is Viewer(OTHER).answered(answer)["result"] is None
    assert Viewer(USER).answered(answer) == Viewer(sees_all=True).answered(answer) == answer
    for public in ({"requester": USER, "topic": "feeder", "result": [7]}, {"result": None}, None, "12"):
        assert Viewer().answered(public) is public
    assert Viewer().shown({"request": b"r" * 8, "result": [7]})["result"] == [7]
