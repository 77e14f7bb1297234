"""The API over a running network: shapes, refusals, the client's nonces and fail-over, and a proof from the wire."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
import pytest_asyncio

from gateway.cli import run as run_campusgrid
from hil.ports import free_port
from ledger import checkpoint, keys, proof, transaction
from ledger.remote.client import ClientError, LedgerClient, RefusedError, ViewingKey
from ledger.transaction import Call
from ledger.trial_reading import link_to, sign_boundary
from tests.ledger.node.network import (
    ADMIN,
    EPOCH_S,
    NAMES,
    OTHER,
    USER,
    Network,
    account_key,
    until,
)  # fmt: skip
from tests.ledger.node.served import opened, served

METER = bytes.fromhex("ee00000000000001")
METER_KEY = keys.PrivateKey(b"m" * 32)


@pytest_asyncio.fixture
async def client(running: Network) -> AsyncIterator[LedgerClient]:
    async with running.client() as made:
        yield made


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/accounts/00000000000000ff", 404, "unknown_account"),
        ("/v1/meters/00000000000000ff", 404, "unknown_meter"),
        ("/v1/blocks/99999999", 404, "unknown_block"),
        ("/v1/blocks/99999999999999999999", 422, "bad_request"),
        ("/v1/blocks/-1", 422, "bad_request"),
        ("/v1/accounts/AA00000000000001", 422, "bad_request"),
        ("/v1/accounts/1", 422, "bad_request"),
        ("/v1/transactions/zz", 422, "bad_request"),
        ("/v1/epochs/4294967296", 422, "bad_request"),
        ("/v1/epochs?from=1", 422, "bad_request"),
        ("/v1/orders?account=1", 422, "bad_request"),
        ("/v1/proofs/settlements/1/ee000000000000ff", 404, "unknown_line"),
        ("/v1/proofs/fees/1/00000000000000ff", 404, "unknown_fee"),
        ("/v1/anchors/1", 422, "bad_request"),
        ("/v1/nothing", 404, "not_found"),
    ],
)
def test_every_error_is_a_problem_with_a_code(running: Network, path: str, status: int, code: str) -> None:
    answer = httpx.get(running.urls[0] + path)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "code"}
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"transaction": 1}', 400, "bad_request"),
        (b'{"transaction": "!!"}', 400, "bad_request"),
        (b'{"transaction": "AAAA", "more": 1}', 400, "bad_request"),
        (b'{"transaction": "AAAA"}', 422, "undecodable"),
        (b'{"transaction": "' + b"A" * 2**20 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_transaction_is_refused(running: Network, body: bytes, status: int, code: str) -> None:
    answer = httpx.post(running.urls[0] + "/v1/transactions", content=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chain_id": bytes(8)}, "wrong_chain"),
        ({"sender": bytes(8)}, "unknown_sender"),
        ({"valid_until": 0}, "expired"),
        ({"nonce": 2**40}, "wrong_nonce"),
        ({"key": account_key(OTHER)}, "bad_signature"),
        ({"call": Call("money", "print", ())}, "unknown_function"),
        ({"call": Call("money", "transfer", (OTHER, -1))}, "bad_arguments"),
    ],
)
async def test_a_transaction_that_cannot_be_included_is_refused_at_once(
    running: Network, client: LedgerClient, change: dict[str, object], code: str
) -> None:
    account = await client.account(USER)
    values: dict[str, object] = {
        "chain_id": running.genesis.chain_id, "sender": USER, "nonce": account.next_nonce,
        "valid_until": account.height + 100, "call": Call("money", "transfer", (OTHER, 1)), "key": account_key(USER),
    }  # fmt: skip
    with pytest.raises(RefusedError) as caught:
        await client.submit(transaction.sign(**(values | change)))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.status) == (code, 422)


async def test_amounts_are_digits_and_ids_are_hex_on_the_wire(running: Network, client: LedgerClient) -> None:
    receipt = await running.account(client).call_and_wait("money", "transfer", OTHER, 10**20)
    async with httpx.AsyncClient(base_url=running.urls[0]) as http:
        account = (await http.get(f"/v1/accounts/{OTHER.hex()}")).json()
        assert account["id"] == OTHER.hex()
        assert account["balance_aaip"].isdecimal()
        shown = (await http.get(f"/v1/transactions/{receipt.id.hex()}")).json()
        assert shown["code_name"] == "done"
        assert shown["events"][0]["values"] == {
            "sender": USER.hex(), "to": OTHER.hex(), "amount_aaip": "100000000000000000000",
        }  # fmt: skip


async def test_submitting_a_final_transaction_again_changes_nothing(running: Network, client: LedgerClient) -> None:
    account = await client.account(USER)
    call = Call("money", "transfer", (OTHER, 1))
    raw = transaction.sign(
        running.genesis.chain_id, USER, account.next_nonce, account.height + 100, call, account_key(USER)
    )
    transaction_id = await client.submit(raw)
    await client.wait_final(transaction_id)
    assert await client.submit(raw) == transaction_id
    body = {"transaction": base64.b64encode(raw).decode()}
    async with httpx.AsyncClient(base_url=running.urls[0]) as http:
        assert (await http.post("/v1/transactions", json=body)).json()["status"] == "final"
    assert (await client.account(USER)).nonce == account.next_nonce + 1


async def test_concurrent_calls_of_one_account_all_become_final(running: Network, client: LedgerClient) -> None:
    account = running.account(client)
    before = await client.account(USER)
    ids = await asyncio.gather(*(account.call("money", "transfer", OTHER, 1 + number) for number in range(40)))
    receipts = [await client.wait_final(one) for one in ids]
    assert {receipt.code for receipt in receipts} == {0}
    assert (await client.account(USER)).nonce == before.next_nonce + 40


async def test_a_refusal_costs_no_nonce_and_a_stale_nonce_is_mended(running: Network, client: LedgerClient) -> None:
    first, second = running.account(client), running.account(client)
    assert (await first.call_and_wait("money", "transfer", OTHER, 1)).code == 0
    with pytest.raises(RefusedError, match="bad_arguments"):
        await first.call("money", "transfer", OTHER)
    assert (await second.call_and_wait("money", "transfer", OTHER, 2)).code == 0
    assert (await first.call_and_wait("money", "transfer", OTHER, 3)).code == 0, "the other client used its nonce"


async def test_the_client_leaves_a_dead_node_for_the_next(running: Network) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    async with LedgerClient([dead, running.urls[1]]) as client:
        assert (await client.status()).name == NAMES[1]
    async with LedgerClient([dead]) as client:
        with pytest.raises(ClientError, match="no ledger node answered GET /v1/status"):
            await client.status()


async def test_the_client_leaves_a_server_that_is_no_ledger_node_for_the_next(running: Network) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nwhat?")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        url = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}"
        async with LedgerClient([url, running.urls[0]]) as client:
            assert (await client.status()).name == NAMES[0]


async def test_a_settlement_line_is_proven_off_line_from_what_the_api_serves(
    running: Network, client: LedgerClient, capsys: pytest.CaptureFixture[str]
) -> None:
    admin, user = running.account(client, ADMIN), running.account(client)
    first = int(time.time()) // EPOCH_S - 2
    readings = signed_readings(first)
    assigned = await admin.call_and_wait(
        "registry", "assign_meter", METER, USER, "eastron_sdm120", 10_000_000, METER_KEY.public_key, True, "east"
    )
    assert assigned.code == 0, assigned.text
    rebased = await admin.call_and_wait("registry", "rebase", METER, readings[0])
    assert rebased.code == 0, rebased.text
    assert (await client.meter(METER)).baseline is not None
    requested = await user.call_and_wait("oracle", "request_energy_data", METER, first)
    assert requested.code == 0, requested.text
    reported = await user.call_and_wait("market", "report_intervals", readings[1:])
    assert reported.code == 0, reported.text

    async def is_settled() -> bool:
        return (await client.epoch(first)).phase == "settled"

    await until(is_settled, f"epoch {first} is settled")
    (line,) = (await client.epoch(first)).lines
    assert (line.meter, line.import_wh, line.export_wh) == (METER, 5, 3)
    proven = await prove(client, first)
    assert proven.line.import_wh == 5
    assert [one.raw for one in proven.readings if one] == list(readings)
    await assert_shown_to_its_owner_alone(running, first, capsys)
    await assert_proven_to_its_sender_alone(running, rebased.id, {ADMIN})
    await assert_proven_to_its_sender_alone(running, reported.id, {USER, ADMIN})
    supply = await client.supply()
    assert supply.conserved.energy
    assert supply.conserved.money
    assert supply.conserved.grid_supply
    assert first in [epoch.epoch for epoch in await client.epochs(first, first)]


async def assert_shown_to_its_owner_alone(network: Network, epoch: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Where node.toml says nothing else: the owner and admins see what was measured, strangers and others do not."""
    async with opened(network, network.urls[0], "owners") as source, served(source) as url:
        for viewer, sees in ((None, False), (OTHER, False), (USER, True), (ADMIN, True)):
            key = None if viewer is None else ViewingKey(viewer, account_key(viewer))
            async with LedgerClient([url], key) as client:
                found, baseline = await client.epoch(epoch), (await client.meter(METER)).baseline
                assert (len(found.lines), found.hidden_lines) == ((1, 0) if sees else (0, 1))
                assert found.import_wh == 5, "the totals are everybody's"
                assert baseline is not None
                assert baseline.import_wh == (105 if sees else None)
                if sees:
                    assert (await prove(client, epoch)).line.import_wh == 5
                else:
                    with pytest.raises(RefusedError, match="not_yours"):
                        await client.proof(epoch, METER)
        epochs = ["--from", str(epoch), "--to", str(epoch), "--url", url]
        assert await asyncio.to_thread(run_campusgrid, ["bill", USER.hex(), *epochs]) == 1
        assert "give its key with --key" in capsys.readouterr().err
        file = network.root / "user.key"
        file.write_text(account_key(USER).seed.hex())
        assert await asyncio.to_thread(run_campusgrid, ["bill", USER.hex(), *epochs, "--key", str(file)]) == 0
        assert f"{epoch}," in capsys.readouterr().out


async def assert_proven_to_its_sender_alone(network: Network, measured: bytes, seen_by: set[bytes]) -> None:
    """A transaction whose events say what was measured at a meter is proven to its sender and those who see all."""
    async with opened(network, network.urls[0], "owners") as source, served(source) as url:
        for viewer in (None, USER, OTHER, ADMIN):
            key = None if viewer is None else ViewingKey(viewer, account_key(viewer))
            async with LedgerClient([url], key) as client:
                await until(partial(_has_checkpoint, client), "the reader has a checkpoint")
                if viewer in seen_by:
                    assert await client.transaction_proof(measured)
                else:
                    with pytest.raises(RefusedError, match="not_yours"):
                        await client.transaction_proof(measured)


async def _has_checkpoint(client: LedgerClient) -> bool:
    return (await client.status()).checkpoint_size > 0


def signed_readings(epoch: int) -> tuple[bytes, ...]:
    """Return the boundary readings at the start and the end of *epoch*: 5 Wh in, 3 Wh out."""
    readings: list[bytes] = []
    for step in range(2):
        linked = {"previous": link_to(readings[-1])} if readings else {}
        registers_wh = 100 + 5 * step, 50 + 3 * step
        readings.append(sign_boundary(METER_KEY, step + 1, epoch + step, EPOCH_S, registers_wh, **linked))
    return tuple(readings)


async def prove(client: LedgerClient, epoch: int) -> proof.ProvenLine:
    """Fetch the proof once it is provable, and check it with nothing but the authorities' published keys."""

    async def is_provable() -> bool:
        try:
            await client.proof(epoch, METER)
        except RefusedError as error:
            assert error.status == 409
            return False
        return True

    await until(is_provable, "the line is provable")
    vkeys = (await client.authorities()).vkeys
    return proof.verify(await client.proof(epoch, METER), [checkpoint.parse_key(vkey) for vkey in vkeys])
