"""What the modules declare, asked of running nodes: queries, and the manual of calls."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.cli import run as run_campusgrid
from ledger.remote.client import LedgerClient, RefusedError
from tests.ledger.node.network import ADMIN, USER, Network, account_key


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
    values = {"8 bytes": "00" * 8, "an integer from 0 to 4294967295": "7"}
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


def test_the_modules_metrics_are_read_as_prometheus_reads_them(running: Network) -> None:
    answer = httpx.get(running.urls[0] + "/v1/metrics")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert [sample.value for sample in families["campusgrid_registry_verified_users"].samples] == [2]
    assert set(families) >= {"campusgrid_oracle_requests_open", "campusgrid_authorities_missed_votes"}
    assert all(family.documentation for family in families.values())


def test_an_institution_takes_part_in_a_decision_from_the_command_line(
    running: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member = running.genesis.authorities.members[0]
    key = tmp_path / "account.key"
    key.write_text(account_key(member.id).seed.hex())
    options = ["--account", member.id.hex(), "--key", str(key), "--url", running.urls[0]]
    issue = ["ledger", "call", "money.issue", "reference=minutes 12", f"to={USER.hex()}", "amount_aaip=5"]
    assert run_campusgrid([*issue, *options]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert [(event["name"], event["values"]["approvals"]) for event in receipt["events"]] == [("approved", 1)]
    assert run_campusgrid([*issue, *options]) == 1
    assert json.loads(capsys.readouterr().out)["code_name"] == "already_approved"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["money.print"], "module money has no call 'print'; `campusgrid ledger calls` lists them"),
        (["money.transfer", "to=00"], "money.transfer takes exactly: to=…, amount_aaip=…"),
        (["money.transfer", f"to={'0' * 16}", "amount_aaip=1.5"], "amount_aaip is an integer from 1 to"),
        (["money.transfer", "to=00", "amount_aaip=1"], "money.transfer: to is not 8 bytes"),
        (["market.keep_surplus", f"meter={'0' * 16}", "is_kept=maybe"], "is_kept is true or false, not 'maybe'"),
        (["market.keep_surplus", f"meter={'0' * 16}", "is_kept=true"], "give the sender's account with --account"),
    ],
)
def test_a_call_that_is_written_wrongly_is_refused_before_it_is_sent(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_campusgrid(["ledger", "call", *arguments, "--url", "http://127.0.0.1:9"]) == 1
    assert text in capsys.readouterr().err


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


def test_an_argument_that_is_none_is_named_with_what_it_takes(running: Network) -> None:
    answer = httpx.get(running.urls[0] + "/v1/queries/money/balance_of", params={"account": "zz"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_arguments")
    assert answer.json()["detail"] == "account is 8 bytes, not 'zz'"
