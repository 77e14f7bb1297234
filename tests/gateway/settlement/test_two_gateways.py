"""Two gateways hear the same meters: each stores every reading once, and the ledger books each interval once."""

from __future__ import annotations

import copy
import queue
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hil.ports import free_port
from ledger import envelope
from ledger.codes import Code
from ledger.keys import PrivateKey
from ledger.remote.client import LedgerClient
from tests.gateway.ledger_node import LedgerNode
from tests.gateway.plant import BOUND_S, EPOCH_S, Holder, Line, Plant, open_receipt, wait_for


async def test_each_stores_every_reading_once_the_ledger_books_once_and_a_receipt_covers_only_its_own_store(
    settling_plant: Plant, node: LedgerNode
) -> None:
    first, pens = settling_plant, settling_plant.pens
    node.start()
    with beside(first) as second:
        await node.call(node.admin, "registry", "register_gateway", second.gateway.id, second.gateway.key.public_key)
        for pen, owner in zip(pens, (node.prosumer, node.consumer), strict=True):
            await node.enrol(pen, owner)
        both = (first, second)
        for one in both:
            one.start()
        lines = [first.line(pen.meter_id.hex()) for pen in pens]
        start = int(time.time()) // EPOCH_S - 5
        for pen, line in zip(pens, lines, strict=True):
            boundary = pen.sign(epoch=start, r180=1000)
            await node.call(node.admin, "registry", "rebase", pen.meter_id, boundary)
            line.send(pen.topic, boundary, pen.sign(), *(pen.sign(epoch=start + n, r180=1000 + n) for n in (1, 2)))
        for line in lines:
            assert heads(line, both, 4) == [4, 4]

        second.kill_all()
        for pen, line in zip(pens, lines, strict=True):
            line.send(pen.topic, pen.sign(), *(pen.sign(epoch=start + n, r180=1000 + n) for n in (3, 4, 5)))
            assert heads(line, (first,), 8) == [8]
        assert second.rows("SELECT DISTINCT head FROM chains") == [(4,)]
        second.start()
        for line in lines:
            assert heads(line, (second,), 8) == [8]

        wait_for(lambda: [answers(one).total() for one in both] == [12, 12], "both outboxes to close")
        for one in both:
            assert one.rows("SELECT meter_id, count(*) FROM readings GROUP BY 1 ORDER BY 1") == [
                (meter_id, 8) for meter_id in sorted(pen.meter_id for pen in pens)
            ]
            assert set(answers(one)) <= {("done", Code.DONE), ("done", Code.READING_REPEATED)}
        booked = await accepted(node)
        assert booked == Counter({(pen.meter_id, start + n): 1 for pen in pens for n in range(1, 6)})
        done = sum(answers(one)["done", Code.DONE] for one in both)
        assert done <= booked.total()  # less where the kill came between a report and the note of it
        wait_for(lambda: all(one.rows("SELECT 1 FROM anchors WHERE state = 'done'") for one in both), "anchors of both")
        async with LedgerClient([node.url]) as client:
            assert min([(await client.anchors(one.gateway.id)).number for one in both]) > 0


@contextmanager
def beside(plant: Plant) -> Iterator[Plant]:
    """Yield a second gateway on the broker of *plant*, with keys, an account, a session and a store of its own."""
    second = copy.copy(plant)
    second.gateway, second.receipt_key, second.api_port = Holder(), PrivateKey(secrets.token_bytes(32)), free_port()
    second.config = plant.folder / "second" / "gateway.toml"
    second.store = second.config.parent / "data" / "gateway.sqlite"
    second._running, second._lines = [], {}
    second.config.parent.mkdir()
    (second.config.parent / "receipt.key").write_text(second.receipt_key.seed.hex() + "\n")
    (second.config.parent / "account.key").write_text(second.gateway.key.seed.hex() + "\n")
    text = plant.config.read_text().replace(plant.gateway.id.hex(), second.gateway.id.hex())
    text = text.replace(f"port = {plant.api_port}\n", f"port = {second.api_port}\n")
    second.config.write_text(text.replace("[broker]\n", '[broker]\nclient_id = "second"\n'))
    try:
        yield second
    finally:
        second.kill_all()


def heads(line: Line, gateways: tuple[Plant, ...], up_to: int) -> list[int]:
    """Return up to which number the receipts of each gateway go, once all go to *up_to*."""
    reached = dict.fromkeys((one.receipt_key.key_id for one in gateways), 0)
    keys = {one.receipt_key.key_id: one.receipt_key.public_key for one in gateways}
    deadline = time.monotonic() + BOUND_S
    while min(reached.values()) < up_to:
        try:
            raw = line.receipts.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"receipts go up to {reached} alone") from None
        key = envelope.parse(raw).key_id
        if key in keys:
            reached[key] = max(reached[key], open_receipt(raw, keys[key])[1])
    return list(reached.values())


def answers(plant: Plant) -> Counter[tuple[str, int]]:
    """Count what the ledger has answered for."""
    return Counter(plant.rows("SELECT state, code FROM outbox WHERE state IN ('done', 'refused')"))


async def accepted(node: LedgerNode) -> Counter[tuple[bytes, int]]:
    """Count the readings that the chain accepted in reports, by meter and epoch."""
    found: Counter[tuple[bytes, int]] = Counter()
    async with LedgerClient([node.url]) as client:
        for height in range(1, (await client.status()).height + 1):
            for transaction in (await client.block(height)).transactions:
                events = [one for one in (await client.receipt(transaction)).events if one.name == "reading"]
                found.update(
                    (bytes.fromhex(one.values["meter"]), one.values["epoch"])
                    for one in events
                    if one.values["code"] == 0
                )
    return found
