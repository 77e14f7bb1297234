"""Enrolment on a real ledger of four nodes: complete, repeatable, and clear where the ledger refuses."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from hil.ports import free_ports
from hil.readiness import json_from, until
from hil.resources.process import ChildProcess
from ledger.genesis import Role
from ledger.remote.client import AccountClient, LedgerClient
from provisioning import enrolment, keys, layout, settings
from provisioning.campus import AAIP_PER_AIP, Campus
from provisioning.enrolment import Enrolment
from provisioning.errors import EnrolmentError
from provisioning.plan import PlannedParameters
from tests.provisioning.plans import small_plan

START_S = 60.0
COMMAND = Path(sys.executable).with_name("campusgrid")
FAST = PlannedParameters(epoch_s=10, block_interval_ms=100, heartbeat_ms=1000)


@pytest.fixture
async def campus(tmp_path: Path, mosquitto_passwd: Path) -> AsyncIterator[Campus]:
    """Lay a campus out and run its four ledger nodes."""
    made = layout.lay_out(tmp_path / "campus", small_plan(parameters=FAST), mosquitto_passwd)
    nodes = make_nodes(made, tmp_path)
    try:
        for node in nodes:
            node.start()
        async with httpx.AsyncClient(trust_env=False) as http:
            for url in settings.ledger_urls(made.plan):
                await until(f"{url} to be up", partial(json_from, http, f"{url}/v1/status"), START_S, nodes)
        yield made
    finally:
        await asyncio.gather(*(node.stop(5.0) for node in nodes))


@pytest.fixture
async def client(campus: Campus) -> AsyncIterator[LedgerClient]:
    async with LedgerClient(settings.ledger_urls(campus.plan)) as opened:
        yield opened


def make_nodes(campus: Campus, folder: Path) -> list[ChildProcess]:
    return [
        ChildProcess(name, [COMMAND, "ledger", "run", "--config", campus.folder / f"authorities/{name}/node.toml"], log)
        for name, log in ((name, folder / f"{name}.log") for name in campus.plan.authorities)
    ]


def invent_keys(campus: Campus) -> dict[bytes, bytes]:
    return {meter.meter_id: bytes([place + 1]) * 32 for place, meter in enumerate(campus.meters)}


async def test_an_enrolment_waits_for_nodes_that_only_start(tmp_path: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(tmp_path / "campus", small_plan(parameters=FAST), mosquitto_passwd)
    nodes = make_nodes(made, tmp_path)
    told: list[str] = []

    def start(text: str) -> None:
        told.append(text)
        for node in nodes:
            node.start()

    try:
        async with LedgerClient(settings.ledger_urls(made.plan)) as opened:
            await enrolment.wait_for_ledger(opened, start)
            assert len(await Enrolment(made, opened).register_accounts()) == 1 + 2 * 3
    finally:
        await asyncio.gather(*(node.stop(5.0) for node in nodes))
    assert told == ["no ledger node answers yet; waiting up to 60 s for one"]


async def test_an_enrolment_without_any_node_ends_with_how_to_start_one() -> None:
    async with LedgerClient([f"http://127.0.0.1:{free_ports(1)[0]}"]) as opened:
        with pytest.raises(
            EnrolmentError, match=r"no ledger node answered .*; start the ledger nodes .campusgrid ledger"
        ):
            await enrolment.wait_for_ledger(opened, print, patience_s=0.1)


async def test_a_campus_is_enrolled_once_however_often_it_is_asked(campus: Campus, client: LedgerClient) -> None:
    for repeated in (False, True):
        enrolled = Enrolment(campus, client)
        receipts = await enrolled.register_accounts() + await enrolled.assign_meters(invent_keys(campus))
        assert len(receipts) == (0 if repeated else 1 + 2 * 3 + 3)
    for user in campus.users:
        account = await client.account(user.account)
        assert account.balance_aaip == user.plan.balance_aip * AAIP_PER_AIP
        assert account.roles == ("user",)
    assert (await client.account(campus.gateway_account)).roles == ("gateway",)
    meters = {meter.meter_id: meter for meter in await client.meters()}
    assert {i: meter.public_key for i, meter in meters.items()} == invent_keys(campus)
    assert all(meters[meter.meter_id].owner == meter.account for meter in campus.meters)


async def test_an_enrolment_that_broke_off_is_completed(campus: Campus, client: LedgerClient) -> None:
    admin_id = next(account.id for account in campus.genesis.accounts if Role.ADMIN in account.roles)
    admin = AccountClient(client, campus.genesis.chain_id, admin_id, keys.read(campus.folder / "admin.key"))
    user = campus.users[0]
    key = keys.read(campus.folder / "users" / f"{user.account.hex()}.key").public_key
    await admin.call_and_wait("registry", "register_user", user.account, key, user.plan.kind, enrolment.SITE)
    receipts = await Enrolment(campus, client).register_accounts()
    assert len(receipts) == 1 + 2 + 3
    account = await client.account(user.account)
    assert (account.roles, account.balance_aaip) == (("user",), user.plan.balance_aip * AAIP_PER_AIP)


async def test_what_the_ledger_refuses_is_told_with_its_reason(campus: Campus, client: LedgerClient) -> None:
    enrolled = Enrolment(campus, client)
    with pytest.raises(EnrolmentError, match="'PV' has no key yet \\(3 missing\\)"):
        await enrolled.assign_meters({})
    await enrolled.register_accounts()
    one_key_for_all = {meter.meter_id: bytes(32) for meter in campus.meters}
    with pytest.raises(EnrolmentError, match="the ledger refused the meter 'oven'"):
        await enrolled.assign_meters(one_key_for_all)
    with pytest.raises(EnrolmentError, match="the ledger refused the baseline of meter"):
        await enrolled.rebase_meters({campus.meters[0].meter_id: b"no reading"})
