"""`campusgrid gateway user|api-key|audit` beside a running gateway, and what each write leaves in the audit log."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterator
from functools import partial

import httpx
import pytest

from gateway import cli
from gateway.access.roles import Role
from tests.gateway.api.test_gate import require_login
from tests.gateway.plant import Plant, account, ended
from tests.gateway.test_run import run

PASSWORD = "correct horse battery"
COMMANDS = (
    *("user add", "user list", "user disable", "user enable", "user role", "user reset-link"),
    *("api-key add", "api-key list", "api-key revoke", "audit"),
)


@pytest.fixture(scope="module")
def shared_plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant for all tests that change nothing in it; its gateway does not run."""
    with ended(Plant(tmp_path_factory.mktemp("commands") / "plant", meters=1)) as made:
        yield made


def test_people_and_keys_are_managed_while_the_gateway_runs_and_every_write_is_logged(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    require_login(plant)
    plant.start()
    command = partial(printed, capsys, plant)
    with httpx.Client(base_url=f"http://127.0.0.1:{plant.api_port}", trust_env=False) as client:
        link = run("user", "add", "Olga", "--role", "operator", "--config", str(plant.config)).stdout.strip()
        assert client.post(link, data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
        assert client.get("/api/session").json()["name"] == "olga"
        assert re.search(r"^olga +operator +active", command("user", "list"), re.MULTILINE)
        command("user", "disable", "olga")
        assert client.get("/api/session").status_code == 401
        command("user", "enable", "olga")
        again = command("user", "reset-link", "olga").strip()
        assert again != link
        assert client.get(again).status_code == 200
        meter = plant.pens[0].meter_id.hex()
        key = command(
            "api-key", "add", "billing", "--role", "tenant", "--account", account(1).hex(), "--meter", meter
        ).strip()
        headers = {"Authorization": f"Bearer {key}"}
        assert [one["meter_id"] for one in client.get("/api/meters", headers=headers).json()["meters"]] == [meter]
        (listed,) = json.loads(command("api-key", "list", "--json"))
        assert [listed[name] for name in ("name", "role", "may", "state")] == ["billing", "tenant", "read", "valid"]
        assert listed["id"] in key
        command("api-key", "revoke", listed["id"])
        assert client.get("/api/meters", headers=headers).status_code == 401
    log = json.loads(command("audit", "--json"))
    assert [row["did"] for row in reversed(log)] == [
        "make first link", "add person", "choose password", "log in", "disable person", "enable person", "renew link",
        "add key", "revoke key",
    ]  # fmt: skip
    added = next(row for row in log if row["did"] == "add person")
    assert (added["who"].split()[:2], added["from"], added["to"]) == (["uid", str(os.getuid())], "command line", "olga")
    assert next(row for row in log if row["did"] == "log in")["from"] == "127.0.0.1"
    everything = json.dumps(log) + repr(plant.rows("SELECT * FROM people")) + repr(plant.rows("SELECT * FROM api_keys"))
    for secret in (PASSWORD, key.split("_", 2)[2], link.split("_", 2)[2]):
        assert secret not in everything


def test_the_audit_log_is_verified_and_a_forged_row_is_named(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    command = partial(printed, capsys, plant)
    command("user", "add", "anna", "--role", "auditor")  # before the first start, too
    head = command("audit", "--verify").splitlines()[-1]
    command("api-key", "add", "prometheus", "--role", "metrics")
    assert "2 rows, whole" in command("audit", "--since", head)
    with sqlite3.connect(plant.store) as connection:
        connection.executescript("DROP TRIGGER audit_keeps_text; UPDATE audit SET who = 'nobody' WHERE id = 1")
    code, _, complaint = typed(capsys, plant, "audit", "--verify")
    assert code == 1
    assert complaint == "FAIL  row 1 is not what was written: its hash does not fit its content\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["user", "add", "anna", "--role", "king"],
            "choose one of facility, operator, admin, tenant, auditor\n",
        ),
        (["user", "add", "anna", "--role", "metrics"], "metrics is a role for API keys"),
        (["user", "add", "anna", "--role", "tenant"], "a tenant needs the account that owns the meters (--account)"),
        (["user", "add", "anna", "--role", "tenant", "--account", "77" * 8], "is not in"),
        (["user", "disable", "nobody"], "there is nobody called 'nobody'; campusgrid gateway user list"),
        (["user", "reset-link", "nobody"], "there is nobody called 'nobody'"),
        (["api-key", "add", "k", "--role", "operator", "--meter", "kitchen"], "--meter 'kitchen' is not in"),
        (["api-key", "add", "k", "--role", "operator", "--days", "0"], "holds for 1 to 1826 days, not 0"),
        (["api-key", "revoke", "000000000000"], "there is no key '000000000000'; campusgrid gateway api-key list"),
        (["audit", "--since", "x"], "--since 'x' is no head"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    shared_plant: Plant, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, _, complaint = typed(capsys, shared_plant, *arguments)
    assert code == 1
    assert complaint.count("\n") == 1
    assert said in complaint


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["gateway", *name.split(), "--help"]) == 0
    assert f"Example: campusgrid gateway {name}" in " ".join(capsys.readouterr().out.split())


def test_the_help_of_a_role_names_every_role_that_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["gateway", "api-key", "add", "--help"])
    text = capsys.readouterr().out
    assert [role for role in Role if role not in text] == []


def printed(capsys: pytest.CaptureFixture[str], plant: Plant, *arguments: str) -> str:
    """Return what `campusgrid gateway` with *arguments* printed."""
    code, text, complaint = typed(capsys, plant, *arguments)
    assert code == 0, complaint
    return text


def typed(capsys: pytest.CaptureFixture[str], plant: Plant, *arguments: str) -> tuple[int, str, str]:
    """Return the exit code of the command line in this process, which is not the gateway's, and what it printed."""
    capsys.readouterr()
    code = cli.run(["gateway", *arguments, "--config", str(plant.config)])
    return code, *capsys.readouterr()
