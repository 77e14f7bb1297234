"""Following a running node: events by cursor, each once whatever breaks off; dry runs and blocks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from ledger import cbor, transaction
from ledger.api.events import Cursor, Filter, Page, Pruned, read_page
from ledger.api.resources import PlacedEvent
from ledger.node.recovery.memory import DATABASE
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store
from ledger.remote.client import LedgerClient, RefusedError
from ledger.remote.following import SubscriptionRefusedError
from ledger.transaction import Call
from tests.ledger.node.network import OTHER, PATIENCE_S, USER, Network, account_key
from tests.ledger.node.streams import hear, opened, say


@pytest_asyncio.fixture
async def client(lone: Network) -> AsyncIterator[LedgerClient]:
    async with LedgerClient([lone.urls[0]]) as made:
        yield made


async def transfer(network: Network, client: LedgerClient, *amounts: int) -> list[bytes]:
    """Make transfers, and return their ids once they are final."""
    account = network.account(client)
    ids = [await account.call("money", "transfer", OTHER, amount) for amount in amounts]
    for one in ids:
        assert (await client.wait_final(one)).code == 0
    return ids


async def now(client: LedgerClient) -> str:
    """Return the cursor behind everything that has happened."""
    return f"{(await client.status()).height + 1}.0"


async def test_events_come_in_order_page_by_page_each_once(lone: Network, client: LedgerClient) -> None:
    start = await now(client)
    ids = await transfer(lone, client, *range(1, 8))
    whole = await client.events(start, 1000)
    mine = [event for event in whole.events if event.name == "transferred"]
    assert [event.transaction for event in mine] == ids
    assert [event.values["amount_aaip"] for event in mine] == [str(amount) for amount in range(1, 8)]
    at = start
    paged: list[PlacedEvent] = []
    while (page := await client.events(at, 2)).events:
        assert len(page.events) <= 2
        paged += page.events
        at = page.next
    assert tuple(paged[: len(whole.events)]) == whole.events
    assert (await client.events(mine[3].cursor, 1000)).events[0] == mine[4]
    ahead = await client.events("999999999.5")
    assert (ahead.events, ahead.next) == ((), "999999999.5"), "another node may know more than this one"


async def test_filters_choose_by_module_name_and_who_is_named(lone: Network, client: LedgerClient) -> None:
    start = await now(client)
    await transfer(lone, client, 5)
    assert [one.name for one in (await client.events(start, module="money", name="transferred")).events] == [
        "transferred"
    ]
    assert (await client.events(start, account=OTHER)).events[0].values["to"] == OTHER.hex()
    assert (await client.events(start, account=b"nobody--")).events == ()
    assert (await client.events(start, module="grid")).events == ()


@pytest.mark.parametrize(
    "query", ["after=1", "after=-1.0", "after=a.b", "limit=0", "limit=1001", "account=1", "name=A"]
)
def test_a_query_for_events_that_does_not_fit_is_refused(lone: Network, query: str) -> None:
    answer = httpx.get(f"{lone.urls[0]}/v1/events?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


async def test_a_follower_hears_of_heads_events_and_receipts(lone: Network, client: LedgerClient) -> None:
    async with opened(lone) as socket:
        assert (await say(socket, id=1, subscribe="heads"))["subscribed"] == "heads"
        start = (await say(socket, id=2, subscribe="events", module="money"))["next"]
        (known,) = await transfer(lone, client, 11)
        await socket.send(json.dumps({"id": 3, "subscribe": "receipt", "transaction": known.hex()}))
        heard: dict[int, dict[str, Any]] = {}
        while not (heard.keys() >= {1, 2, 3} and "events" in heard[2] and "receipt" in heard[3]):
            answer = await hear(socket)
            if answer.get("events") != []:
                heard[answer["id"]] = answer
        assert heard[1]["head"]["height"] >= 1
        assert heard[2]["events"][0]["values"]["amount_aaip"] == "11"
        assert heard[3]["receipt"]["code_name"] == "done"
        assert Cursor(*map(int, start.split("."))) < Cursor(*map(int, heard[2]["next"].split(".")))
        assert (await say(socket, unsubscribe=2))["unsubscribed"] is True


async def test_heads_from_a_height_on_leave_none_out(lone: Network, client: LedgerClient) -> None:
    await transfer(lone, client, 1)
    newest = (await client.status()).height
    async with opened(lone) as socket:
        await say(socket, id=1, subscribe="heads", after=0)
        heights = [(await hear(socket))["head"]["height"] for _ in range(newest)]
    assert heights == list(range(1, newest + 1))


async def test_a_follower_goes_on_behind_its_cursor_and_misses_and_repeats_nothing(
    lone: Network, client: LedgerClient
) -> None:
    at, amounts = await now(client), list(range(100, 130))
    heard: list[int] = []
    sending = asyncio.ensure_future(transfer(lone, client, *amounts))
    while len(heard) < len(amounts):
        async with opened(lone) as socket:  # it breaks off after each message
            await say(socket, id=1, subscribe="events", name="transferred", after=at)
            answer = await hear(socket)
            heard += [int(event["values"]["amount_aaip"]) for event in answer["events"]]
            at = answer["next"]
    await sending
    assert heard == amounts


async def test_the_client_follows_from_node_to_node(lone: Network, client: LedgerClient) -> None:
    """A proxy that cuts every connection after some bytes stands for nodes that fail."""
    start, port = await now(client), lone.api_ports[0]

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward, outward = await asyncio.open_connection("127.0.0.1", port)
        outward.write(await reader.readuntil(b"\r\n\r\n") + await reader.read(2000))
        writer.write(await inward.readuntil(b"\r\n\r\n"))
        for _ in range(3):
            writer.write(await inward.read(700))
            await writer.drain()
        writer.close()
        outward.close()

    amounts = list(range(200, 225))
    await transfer(lone, client, *amounts)
    async with await asyncio.start_server(cut, "127.0.0.1", 0) as proxy:
        url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with LedgerClient([url, lone.urls[0]]) as follower:
            heard: list[int] = []
            async with asyncio.timeout(PATIENCE_S):
                async for event in follower.follow(start, name="transferred", account=USER):
                    heard.append(int(event.values["amount_aaip"]))
                    if len(heard) == len(amounts):
                        break
    assert heard == amounts


async def test_the_client_says_why_a_node_refuses_to_be_followed(lone: Network, client: LedgerClient) -> None:
    with pytest.raises(SubscriptionRefusedError, match="bad_request"):
        await anext(aiter(client.follow("no cursor")))


async def test_a_dry_run_says_what_would_happen_and_keeps_nothing(lone: Network, client: LedgerClient) -> None:
    before = await client.account(USER)

    def signed(call: Call, nonce: int = before.next_nonce) -> bytes:
        return transaction.sign(lone.genesis.chain_id, USER, nonce, before.height + 1000, call, account_key(USER))

    done = await client.dry_run(signed(Call("money", "transfer", (OTHER, 7))))
    assert (done.code, done.code_name, [event.name for event in done.events]) == (0, "done", ["transferred"])
    refused = await client.dry_run(signed(Call("money", "transfer", (OTHER, 10**30))))
    assert (refused.code_name, refused.events) == ("balance_too_low", ())
    with pytest.raises(RefusedError) as caught:
        await client.dry_run(signed(Call("money", "transfer", (OTHER, 7)), nonce=2**40))
    assert caught.value.code == "wrong_nonce"
    after = await client.account(USER)
    assert (after.balance_aaip, after.nonce, after.next_nonce) == (
        before.balance_aaip, before.nonce, before.next_nonce,
    )  # fmt: skip


async def test_blocks_are_found_by_height_by_id_and_in_a_row(lone: Network, client: LedgerClient) -> None:
    await transfer(lone, client, 1, 2)
    newest = await client.block((await client.status()).height)
    assert await client.block_by_id(newest.block_id) == newest
    listed = await client.heads(1)
    assert [head.height for head in listed] == list(range(1, min(100, newest.height) + 1))
    assert next(head.height for head in await client.heads(newest.height, 5)) == newest.height
    assert await client.heads(newest.height + 10**6) == ()
    with pytest.raises(RefusedError, match="unknown_block"):
        await client.block_by_id(bytes(32))


def test_what_hooks_did_stands_behind_what_transactions_did(tmp_path: Path) -> None:
    store = Store.open(tmp_path / DATABASE, b"chain-id")
    with store.transaction():
        for height in (3, 5):
            rows = [(bytes([height, place]), height, place, 0, "", events("moved", "paid")) for place in range(2)]
            store._many("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)", rows)
            store.add_hook_events(height, events("settled"))
        store.add_hook_events(4, events("cleared"))
        store._run("INSERT INTO blocks (height, block_id, body, \"commit\") VALUES (6, x'', x'', x'')", ())
    page = read_page(store, Cursor(0, 0), Filter(), 100)
    assert isinstance(page, Page)
    assert [str(at) for at, _ in page.events] == [
        "3.1",
        "3.2",
        "3.3",
        "3.4",
        "3.5",
        "4.1",
        "5.1",
        "5.2",
        "5.3",
        "5.4",
        "5.5",
    ]
    assert [event.name for _, event in page.events][:6] == ["moved", "paid", "moved", "paid", "settled", "cleared"]
    assert page.events[4][1].transaction_id is None
    assert (page.next, page.newest) == (Cursor(7, 0), 6)
    again: list[str] = []
    at = Cursor(0, 0)
    while len(again) < 11:
        part = read_page(store, at, Filter(), 4)
        assert isinstance(part, Page)
        again += [str(cursor) for cursor, _ in part.events]
        at = part.next
    assert again == [str(cursor) for cursor, _ in page.events]
    with store.transaction():
        store.delete_hook_events(1, 4)
        store.note_pruned(Kept.RECEIPTS, 4)
    assert read_page(store, Cursor(4, 1), Filter(), 4) == Pruned(Cursor(5, 0))
    assert isinstance(read_page(store, Cursor(5, 0), Filter(), 4), Page)
    store.close()


def events(*names: str) -> bytes:
    return cbor.encode([["market", name, []] for name in names])
