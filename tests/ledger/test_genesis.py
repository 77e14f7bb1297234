"""Genesis: one JSON form, nothing unknown or missing in it, and one chain id for one content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ledger.genesis import Genesis, GenesisError, Parameters, Role, dump, dumps, load, loads
from tests.ledger.chain_kit import id_of, key_of, make_genesis


@pytest.fixture
def genesis() -> Genesis:
    return make_genesis()[0]


@pytest.fixture
def document(genesis: Genesis) -> dict:
    return json.loads(dumps(genesis))


def test_a_genesis_written_and_read_again_is_the_same(genesis: Genesis, tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    dump(genesis, path)
    assert load(path) == genesis
    assert load(path).chain_id == genesis.chain_id


def test_the_chain_id_depends_on_the_content_and_not_on_its_form(genesis: Genesis, document: dict) -> None:
    document["accounts"].reverse()
    assert loads(json.dumps(document, indent=7)).chain_id == genesis.chain_id
    document["parameters"]["epoch_s"] = 901
    assert loads(json.dumps(document)).chain_id != genesis.chain_id


def test_the_chain_id_is_pinned(genesis: Genesis) -> None:
    assert genesis.chain_id.hex() == "e0058196fe5044eb"


def set_in(document: dict, path: str, value: object) -> None:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = document
    for part in parents:
        place = place[part]
    place[last] = value


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("extra", 1, "unknown key 'extra'"),
        ("parameters.extra", 1, "genesis.parameters has the unknown key 'extra'"),
        ("name", "", "name has 1 to 64"),
        ("name", 5, "genesis.name is not a string"),
        ("time_ms", 1.0, "time_ms is not an integer"),
        ("time_ms", True, "time_ms is not an integer"),
        ("time_ms", -1, "time_ms is a Unix time"),
        ("secret", "00", "secret is not 64 lower-case hex"),
        ("secret", "AB" * 32, "secret is not 64 lower-case hex"),
        ("authorities", {}, "authorities is not a list"),
        ("authorities", [], "not empty"),
        ("authorities.1.id", id_of(100).hex(), "ascend by id"),
        ("authorities.1.name", "ERC", "share one name"),
        ("authorities.1.name", "", "authority name ''"),
        ("authorities.1.name", "M EA", "authority name 'M EA'"),
        ("authorities.1.name", "M+EA", "authority name 'M\\+EA'"),
        ("authorities.1.name", "../MEA", "authority name '../MEA'"),
        ("authorities.1.name", "MEA\n", "authority name"),
        ("authorities.1.vote_key", key_of(1000).public_key.hex(), "share one vote key"),
        ("authorities.1.vote_key", key_of(1001).public_key.hex(), "serves two purposes"),
        ("name", "\ud800", "cannot be shown"),
        ("parameters", [], "parameters is not a JSON object"),
        ("parameters.epoch_s", 0, "epoch_s is 0"),
        ("parameters.epoch_s", "900", "epoch_s is not an integer"),
        ("parameters.order_fee_aaip", 1, "order_fee_aaip is not an amount"),
        ("parameters.clearing_rule", "lottery", "clearing_rule is 'lottery'"),
        ("parameters.feed_in_uaip_per_kwh", 5_000_000, "tariffs do not ascend"),
        ("parameters.min_order_wh", 10**9 + 1, "min_order_wh is 1000000001"),
        ("parameters.max_order_wh", 99, "min_order_wh is above max_order_wh"),
        ("grid_account", id_of(77).hex(), "the grid account alone has role grid"),
        ("accounts.0.roles", [], "the grid account alone has role grid"),
        ("accounts.1.roles", ["grid"], "the grid account alone has role grid"),
        ("accounts.1.roles", ["king"], "'king' is no role"),
        ("accounts.1.roles", "admin", "is not a list of roles"),
        ("accounts.1.roles", [["admin"]], "is no role"),
        ("accounts.8.roles", ["authority"], "is no authority"),
        ("accounts.1.id", id_of(1).hex(), "is there twice"),
        ("accounts.1.public_key", key_of(1).public_key.hex(), "shares its key"),
        ("accounts.1.balance_aaip", 5, "is not an amount"),
        ("accounts.1.balance_aaip", "-5", "is not an amount"),
        ("accounts.1.balance_aaip", "05", "is not an amount"),
        ("accounts.1.balance_aaip", "٣", "is not an amount"),
        ("accounts.1.balance_aaip", "9" * 39, "exceed"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(document: dict, path: str, value: object, text: str) -> None:
    set_in(document, path, value)
    with pytest.raises(GenesisError, match=text):
        loads(json.dumps(document))


@pytest.mark.parametrize("name", ["name", "secret", "parameters", "accounts", "grid_account"])
def test_a_missing_key_is_refused_by_name(document: dict, name: str) -> None:
    del document[name]
    with pytest.raises(GenesisError, match=f"lacks the key '{name}'"):
        loads(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", '{"a": 1, "a": 2}', "[" * 100_000, "1" * 5000])
def test_text_that_is_no_genesis_is_refused(text: str) -> None:
    with pytest.raises(GenesisError):
        loads(text)


def test_a_key_given_twice_is_refused(genesis: Genesis) -> None:
    text = dumps(genesis).replace('"epoch_s": 900', '"epoch_s": 900, "epoch_s": 1')
    with pytest.raises(GenesisError, match="'epoch_s' is there twice"):
        loads(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenesisError, match=r"none\.json: cannot be read"):
        load(tmp_path / "none.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(GenesisError, match="binary: is not UTF-8"):
        load(tmp_path / "binary")
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(GenesisError, match=r"wrong\.json: genesis lacks"):
        load(tmp_path / "wrong.json")


def test_parameters_and_roles_have_the_defaults_of_a_campus() -> None:
    parameters = Parameters()
    assert (parameters.epoch_s, parameters.settle_deadline_s, parameters.settle_deadline_blocks) == (900, 21_600, 100)
    assert [role.name for role in Role] == [
        "USER", "ADMIN", "GATEWAY", "AUTHORITY", "GRID", "OPERATOR", "MARKET_MAKER", "AGENT",
    ]  # fmt: skip
