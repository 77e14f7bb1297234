"""What a campus directory holds, who may read it, and that its readers accept it."""

from __future__ import annotations

import json
import ssl
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.api.server import make_tls_context
from gateway.settings import load_bidding, load_gateway, read_key
from ledger import checkpoint, genesis
from ledger.genesis import Role
from ledger.node import settings as node_settings
from ledger.node.signers import identity
from provisioning import campus, keys, layout, roster
from provisioning.campus import AAIP_PER_AIP, Campus
from provisioning.errors import DirectoryError, EnrolmentError
from provisioning.plan import AUTHORITIES
from tests.provisioning.plans import small_plan

PUBLIC = {
    *("ca.crt", "authorities.vkeys", "node.toml", "tls.crt", "gateway.toml", "bidding.toml", "mosquitto.conf"),
    "server.crt",
}


@pytest.fixture
def made(tmp_path: Path, mosquitto_passwd: Path) -> Campus:
    return layout.lay_out(tmp_path / "campus", small_plan(), mosquitto_passwd)


def test_only_the_owner_may_read_what_is_secret(made: Campus) -> None:
    for path in [made.folder, *made.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        else:
            assert mode == (0o644 if path.name in PUBLIC else 0o600), path
    assert not list(made.folder.rglob(".*")), "a draft was left behind"


def test_every_key_is_its_own(made: Campus) -> None:
    found = [keys.read(path).public_key for path in made.folder.rglob("*.key") if b"PRIVATE" not in path.read_bytes()]
    assert len(found) == len(set(found)) == 4 * 4 + 2 + 2 + 3  # authorities; gateway; users; admin, grid, campus


def test_the_nodes_read_their_settings_and_know_each_other(made: Campus) -> None:
    for name in AUTHORITIES:
        read = node_settings.load(made.folder / "authorities" / name / "node.toml")
        assert {peer.name for peer in read.peers} == set(AUTHORITIES) - {name}
        assert genesis.load(read.genesis) == made.genesis
        member = next(member for member in made.genesis.authorities.members if member.name == name)
        held = identity.load(read).key_sets[0]
        assert held.public == (member.vote_key, member.cosign_key, member.log_key)
        assert read.data_dir.is_dir()


def test_the_gateway_and_the_agents_read_their_settings(made: Campus) -> None:
    read = load_gateway(made.folder / "gateway" / "gateway.toml")
    assert read.ledger.account == made.gateway_account.hex()
    assert read_key(read.receipt_key) != read_key(read.ledger.key)
    assert len(read.broker.read_password()) > 16
    bidding = load_bidding(made.folder / "gateway" / "bidding.toml")
    assert {user.account for user in bidding.users} == {user.account.hex() for user in made.users}
    owned = {meter.meter_id: meter.can_export for user in bidding.users for meter in user.meters}
    assert owned == {meter.meter_id.hex(): meter.plan.can_export for meter in made.meters}
    assert all(read_key(user.key_file).public_key for user in bidding.users)


def test_a_campus_whose_index_names_no_profile_is_refused_in_one_line(made: Campus) -> None:
    index = made.folder / campus.INDEX_NAME
    index.write_text(index.read_text().replace("eastron_sdm120", "nosuch", 1))
    with pytest.raises(DirectoryError, match=r"campus.json: meters.0.profile: 'nosuch' is no meter profile") as refused:
        campus.load(made.folder)
    assert "\n" not in str(refused.value)


def test_each_meter_has_its_own_id_password_and_folder(made: Campus) -> None:
    configs = [json.loads(meter.config(made.folder).read_text()) for meter in made.meters]
    assert len({config["meter_id"] for config in configs}) == len({c["broker"]["password"] for c in configs}) == 3
    receipt_key = keys.read(made.folder / "gateway" / "receipt.key").public_key.hex()
    for meter, config in zip(made.meters, configs, strict=True):
        assert config["broker"]["user"] == config["meter_id"] == meter.meter_id.hex()
        assert config["gateway_keys"] == [receipt_key]
        assert config["line"] == {"path": meter.plan.line.path, "baud": 2400, "parity": "none", "stop_bits": 1}
        assert (meter.config(made.folder).parent / config["data_dir"]).is_dir()
        assert config["broker"]["password"] not in (made.folder / "broker" / "passwords").read_text()


def test_every_meter_keeps_the_time_as_the_plan_says(tmp_path: Path, mosquitto_passwd: Path) -> None:
    servers = ("ntp.campus", "192.0.2.1:1123", "[2001:db8::1]")
    for number, named in enumerate([(), servers]):
        made = layout.lay_out(tmp_path / str(number), small_plan(time_servers=named), mosquitto_passwd)
        for meter in made.meters:
            assert json.loads(meter.config(made.folder).read_text())["time_servers"] == list(named)


def test_a_gateway_that_others_reach_has_a_login_and_a_certificate(tmp_path: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(tmp_path / "campus", small_plan(host="192.0.2.1"), mosquitto_passwd)
    api = load_gateway(made.folder / "gateway" / "gateway.toml").api
    assert (api.login, api.base_url.startswith("https://192.0.2.1:")) == ("required", True)
    assert make_tls_context(api) is not None
    bidding = load_bidding(made.folder / "gateway" / "bidding.toml")
    assert (bidding.gateway, bidding.gateway_ca) == (api.base_url.rstrip("/"), made.folder / "ca.crt")
    assert bidding.gateway_key_file == made.folder / "gateway" / "bidding.apikey"


def test_a_login_can_be_left_out_on_this_machine_alone(tmp_path: Path, mosquitto_passwd: Path) -> None:
    made = layout.lay_out(tmp_path / "campus", small_plan(gateway_login="none"), mosquitto_passwd)
    assert load_gateway(made.folder / "gateway" / "gateway.toml").api.login == "none"
    assert load_bidding(made.folder / "gateway" / "bidding.toml").gateway_key_file is None
    with pytest.raises(ValidationError, match="needs a loopback host"):
        small_plan(gateway_login="none", host="192.0.2.1")


def test_genesis_has_the_money_of_the_plan_and_four_authorities(made: Campus) -> None:
    by_role = {role: account for account in made.genesis.accounts for role in Role if role in account.roles}
    assert by_role[Role.ADMIN].balance_aaip == 150 * AAIP_PER_AIP
    assert by_role[Role.GRID].id == made.genesis.grid_account
    assert sorted(member.name for member in made.genesis.authorities.members) == sorted(AUTHORITIES)
    decide = {account.id for account in made.genesis.accounts if account.roles == Role.AUTHORITY}
    assert decide == {member.id for member in made.genesis.authorities.members}
    listed = checkpoint.parse_keys((made.folder / "authorities.vkeys").read_text())
    assert listed == checkpoint.verifier_keys(made.genesis.authorities, checkpoint.origin(made.genesis.chain_id))


def test_the_servers_certificates_hold_for_loopback_and_nothing_else(made: Campus) -> None:
    context = ssl.create_default_context(cafile=str(made.folder / "ca.crt"))
    assert context.cert_store_stats()["x509_ca"] == 1
    for name in ("authorities/ERC/tls", "broker/server"):
        context.load_cert_chain(made.folder / f"{name}.crt", made.folder / f"{name}.key")
        text = ssl._ssl._test_decode_cert(str(made.folder / f"{name}.crt"))  # type: ignore[attr-defined]
        assert ("DNS", "localhost") in text["subjectAltName"]
        assert ("IP Address", "127.0.0.1") in text["subjectAltName"]


def test_a_campus_is_found_again_as_it_was_laid_out(made: Campus) -> None:
    assert campus.load(made.folder) == made


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"plan": 1}', "\x00"])
def test_a_folder_that_is_no_campus_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "campus.json").write_text(content)
    with pytest.raises(DirectoryError) as refused:
        campus.load(tmp_path)
    assert "campus.json" in str(refused.value)


def test_a_campus_is_never_laid_out_over_another(made: Campus, mosquitto_passwd: Path) -> None:
    before = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    with pytest.raises(DirectoryError, match="not empty"):
        layout.lay_out(made.folder, made.plan, mosquitto_passwd)
    assert before == {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}


def test_the_roster_takes_the_keys_that_the_meters_made(made: Campus) -> None:
    public_keys = {meter.meter_id: bytes([place]) * 32 for place, meter in enumerate(made.meters)}
    with pytest.raises(EnrolmentError, match="'PV' \\(3 missing\\)"):
        roster.write(made, {})
    roster.write(made, public_keys)
    assert roster.read_keys(made) == public_keys
    content = json.loads((made.folder / "roster.json").read_text())
    assert {user["name"] for user in content["users"]} == {"roof", "bakery"}
    from gateway.roster import read_roster

    assert {meter.meter_id: meter.public_key for meter in read_roster(made.folder / "roster.json")} == public_keys
