"""A trade on four running nodes, explained and billed by the commands, every line proven."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli import run as run_campusgrid
from ledger import checkpoint, keys, proof, receipt_proof
from ledger.records import LineFlag
from ledger.remote.client import LedgerClient
from ledger.trial_reading import link_to, sign_boundary
from tests.ledger.node.network import ADMIN, NAMES, OTHER, PARAMETERS, USER, Network, make_network, until

EPOCH_S = 4
SELLER_METER, BUYER_METER = b"\xee" * 7 + b"\xb1", b"\xee" * 7 + b"\xb2"
IMPOSSIBLE_WH = 50_000
"""10 MW yield 11 kWh in an epoch."""
KEYS = {SELLER_METER: keys.PrivateKey(b"s" * 32), BUYER_METER: keys.PrivateKey(b"b" * 32)}


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Network]:
    """Four nodes with short epochs whose deadline plays no part."""
    made = make_network(tmp_path / "campus", replace(PARAMETERS, epoch_s=EPOCH_S, settle_deadline_s=3600))
    try:
        for place in range(len(NAMES)):
            made.start(place)
        asyncio.run(made.ready())
        yield made
    finally:
        made.end()


def boundaries(meter: bytes, first: int, last: int, export_wh: int, import_wh: int) -> list[bytes]:
    """Return the readings at the boundaries *first* to *last*; only the last interval measures anything."""
    readings: list[bytes] = []
    for epoch in range(first, last + 1):
        moved = epoch == last
        linked = {"previous": link_to(readings[-1])} if readings else {}
        registers_wh = 100 + moved * import_wh, 50 + moved * export_wh
        readings.append(sign_boundary(KEYS[meter], epoch - first + 1, epoch, EPOCH_S, registers_wh, **linked))
    return readings


async def trade(network: Network) -> tuple[int, bytes, bytes]:
    """Sell 1000 Wh at 3 AIP/kWh and buy 600 at 4; the seller delivers 500, and rolls the rest of the sale over once.

    Return the epoch and the orders' ids.
    """
    async with network.client() as client:
        admin, seller, buyer = (network.account(client, account) for account in (ADMIN, USER, OTHER))
        base = int(time.time()) // EPOCH_S
        for meter, owner in ((SELLER_METER, USER), (BUYER_METER, OTHER)):
            done = await admin.call_and_wait(
                "registry",
                "assign_meter",
                meter,
                owner,
                "eastron_sdm120",
                10_000_000,
                KEYS[meter].public_key,
                True,
                "east",
            )
            assert done.code == 0, done.text
            done = await admin.call_and_wait("registry", "rebase", meter, boundaries(meter, base, base, 0, 0)[0])
            assert done.code == 0, done.text
        epoch = int(time.time()) // EPOCH_S + 3
        sold, bought = await asyncio.gather(  # at once: the gate closes as the epoch begins
            seller.call_and_wait("market", "create_sell_order", SELLER_METER, epoch, 3_000_000, 1000),
            buyer.call_and_wait("market", "create_buy_order", BUYER_METER, epoch, 4_000_000, 600),
        )
        rolls = await seller.call_and_wait("market", "roll_over", sold.id[:8], epoch + 1)
        assert (sold.code, bought.code, rolls.code) == (0, 0, 0), (sold.text, bought.text, rolls.text)
        await until(lambda: is_in_phase(client, epoch, "cleared"), "the book is cleared")
        await until(lambda: is_past(client, epoch), "the epoch is over")
        for who, readings in (
            (seller, boundaries(SELLER_METER, base, epoch + 1, 500, 0)),
            (buyer, boundaries(BUYER_METER, base, epoch + 1, 0, 700)),
        ):
            done = await who.call_and_wait("market", "report_intervals", readings[1:])
            assert done.code == 0, done.text
        await until(lambda: is_in_phase(client, epoch, "settled"), "the epoch is settled")
        return epoch, sold.id[:8], bought.id[:8]


async def is_in_phase(client: LedgerClient, epoch: int, phase: str) -> bool:
    return (await client.epoch(epoch)).phase == phase


async def is_past(client: LedgerClient, epoch: int) -> bool:
    return time.time() > (epoch + 1) * EPOCH_S + 1


def check_verified(folder: Path, data: bytes, network: Network) -> None:
    """Have `campusgrid verify` take a proof, with the authorities' keys as a node lists them."""
    file, listed = folder / "proof", folder / "authorities.vkeys"
    file.write_bytes(data)
    listed.write_text("\n".join(asyncio.run(read_keys(network))))
    assert run_campusgrid(["verify", str(file), "--authorities", str(listed)]) == 0


def test_a_trade_is_explained_and_billed_with_proofs_that_hold(
    market: Network, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    epoch, sold, bought = asyncio.run(trade(market))
    url = ["--url", market.urls[0]]
    assert run_campusgrid(["market", "explain", sold.hex(), *url]) == 0
    text = capsys.readouterr().out
    assert "600 Wh were left for 1000 Wh of 1 order(s)" in text
    assert "It got 600 of 1000 Wh." in text
    assert "the book gives the same" in text
    assert "sold 600 Wh and it delivered 500 Wh. For 100 Wh the grid account stood in" in text
    assert run_campusgrid(["market", "explain", bought.hex(), *url]) == 0
    assert "filled whole" in capsys.readouterr().out
    assert run_campusgrid(["market", "explain", "00" * 8, *url]) == 1
    assert "holds no order" in capsys.readouterr().err

    span = ["--from", str(epoch), "--to", str(epoch)]
    assert run_campusgrid(["bill", OTHER.hex(), *span, *url]) == 0
    line, total = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (line["import_wh"], line["bought_wh"], line["received_wh"]) == ("700", "600", "500")
    assert (
        total["net_aaip"] == line["net_aaip"] == str(-(600 * 3_000_000 + 100 * PARAMETERS.retail_uaip_per_kwh) * 10**9)
    )
    verifiers = checkpoint.parse_keys("\n".join(asyncio.run(read_keys(market))))
    assert proof.verify(base64.b64decode(line["proof"]), verifiers).line.import_wh == 700
    assert run_campusgrid(["bill", USER.hex(), *span, *url, "--format", "json"]) == 0
    own, rolled = json.loads(capsys.readouterr().out)["lines"]
    assert (own["sold_wh"], own["delivered_wh"]) == (600, 500)
    assert (rolled["kind"], rolled["epoch"], rolled["transaction"]) == ("order fee", epoch, None)
    fee_of_block = receipt_proof.verify_fee(base64.b64decode(rolled["proof"]), verifiers)
    assert (fee_of_block.account, fee_of_block.height, fee_of_block.epoch) == (USER, rolled["height"], epoch + 1)
    check_verified(tmp_path, base64.b64decode(rolled["proof"]), market)
    assert f"account {USER.hex()} paid {PARAMETERS.order_fee_aaip} aAIP" in capsys.readouterr().out
    assert proof.verify(own["proof"].encode(), verifiers).line.account == USER

    assert run_campusgrid(["bill", USER.hex(), "--from", str(epoch - 10), "--to", str(epoch - 1), *url]) == 0
    *_, fee, total = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (fee["kind"], fee["meter"]) == ("order fee", SELLER_METER.hex())
    assert fee["fee_aaip"] == total["fee_aaip"] == str(PARAMETERS.order_fee_aaip)
    assert fee["net_aaip"] == str(-PARAMETERS.order_fee_aaip)
    proven = receipt_proof.verify(base64.b64decode(fee["proof"]), bytes.fromhex(fee["transaction"]), verifiers)
    assert proven.record.transaction_id[:8] == sold

    asyncio.run(hold_and_release(market, epoch + 1))
    assert run_campusgrid(["bill", USER.hex(), "--from", str(epoch + 1), "--to", str(epoch + 1), *url]) == 0
    held, released, total = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (held["export_wh"], released["export_wh"], total["export_wh"]) == (
        "0",
        str(IMPOSSIBLE_WH),
        str(IMPOSSIBLE_WH),
    )
    opened = [proof.verify(base64.b64decode(line["proof"]), verifiers).line.flags for line in (held, released)]
    assert opened == [LineFlag.HELD, LineFlag.GAP | LineFlag.RELEASED]


async def hold_and_release(network: Network, epoch: int) -> None:
    """Report more for *epoch* than the seller's meter can have exported, and have it released: a meter's two lines."""
    async with network.client() as client:
        admin, seller, buyer = (network.account(client, account) for account in (ADMIN, USER, OTHER))
        await until(lambda: is_past(client, epoch), "the epoch is over")
        for who, meter, registers in (
            (seller, SELLER_METER, (100, 550 + IMPOSSIBLE_WH)),
            (buyer, BUYER_METER, (800, 50)),
        ):
            last = sign_boundary(KEYS[meter], 2**20, epoch + 1, EPOCH_S, registers)
            done = await who.call_and_wait("market", "report_intervals", [last])
            assert done.code == 0, done.text
        await until(lambda: is_in_phase(client, epoch, "settled"), "the epoch is settled")
        authority = network.account(client, network.genesis.authorities.members[0].id)
        for who in (admin, authority):
            done = await who.call_and_wait("market", "release_energy", SELLER_METER, epoch)
            assert done.code == 0, done.text


async def read_keys(network: Network) -> tuple[str, ...]:
    async with network.client() as client:
        return (await client.authorities()).vkeys
