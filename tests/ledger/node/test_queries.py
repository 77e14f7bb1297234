"""What the modules declare, asked of running nodes: queries, and the manual of calls."""

from __future__ import annotations

import json

import httpx
import pytest

from gateway.cli import run as run_campusgrid
from ledger.client import LedgerClient, RefusedError
from tests.ledger.node.network import ADMIN, USER, Network


async def test_amounts_are_digits_ids_are_hex_and_the_rest_is_json(running: Network) -> None:
    async with LedgerClient(running.urls) as client:
        account = await client.account(USER)
        assert await client.query("money", "balance_of", account=USER) == str(account.balance_aaip)
        assert await client.query("registry", "is_user_verified", account=USER) is True
        assert await client.query("registry", "is_user_verified", account=ADMIN) is False
        assert (await client.query("governance", "list_parameters"))["parameters"]["order_fee_aaip"].isdecimal()
        assert [row["missed_votes"] >= 0 for row in await client.query("authorities", "list_duties")] == [True] * 4


def test_every_declared_query_takes_the_arguments_that_the_manual_lists(running: Network) -> None:
    listed = httpx.get(running.urls[0] + "/v1/queries").json()["queries"]
    values = {"8 bytes": "00" * 8}
    for query in listed:
        arguments = {one["name"]: values[one["kind"]] for one in query["arguments"]}
        answer = httpx.get(running.urls[0] + f"/v1/queries/{query['module']}/{query['name']}", params=arguments)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"height", "result"}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nothing/balance_of?account=00", 404, "unknown_module"),
        ("money/nothing", 404, "unknown_function"),
        ("money/balance_of", 422, "bad_arguments"),
        ("money/balance_of?account=xyz", 422, "bad_arguments"),
        ("money/balance_of?account=0000", 422, "bad_arguments"),
        ("money/balance_of?account=0000000000000001&account=0000000000000001", 422, "bad_arguments"),
        ("money/balance_of?account=0000000000000001&more=1", 422, "bad_arguments"),
        ("money/name?account=0000000000000001", 422, "bad_arguments"),
    ],
)
def test_a_query_that_does_not_exist_or_fit_is_refused(running: Network, path: str, status: int, code: str) -> None:
    answer = httpx.get(running.urls[0] + "/v1/queries/" + path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_query_by_the_client_that_does_not_fit_says_what_it_takes(running: Network) -> None:
    async with LedgerClient(running.urls) as client:
        with pytest.raises(RefusedError, match=r"money\.allowance takes exactly: owner, spender"):
            await client.query("money", "allowance", owner=USER)


def test_the_command_asks_a_node_and_prints_the_manual(running: Network, capsys: pytest.CaptureFixture[str]) -> None:
    account = f"account={USER.hex()}"
    assert run_campusgrid(["ledger", "query", "registry.is_user_verified", account, "--url", running.urls[0]]) == 0
    assert json.loads(capsys.readouterr().out) is True
    assert run_campusgrid(["ledger", "calls", "money", "--json"]) == 0
    manual = json.loads(capsys.readouterr().out)
    assert httpx.get(running.urls[0] + "/v1/calls").json()["calls"] != manual["calls"]
    assert {call["module"] for call in manual["calls"] + manual["queries"]} == {"money"}
    assert run_campusgrid(["ledger", "calls"]) == 0
    assert "call registry.register_user\n    for accounts with the role admin\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["calls", "nothing"],
        ["query", "money.balance_of", "account"],
        ["query", "balance_of", "account=00"],
        ["query", "money.balance_of", "account=00", "--url", "nowhere"],
    ],
)
def test_the_command_refuses_what_does_not_fit_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = [] if "--url" in arguments or arguments[0] == "calls" else ["--url", "http://127.0.0.1:9"]
    assert run_campusgrid(["ledger", *arguments, *url]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
