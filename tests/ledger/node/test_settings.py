"""node.toml: read strictly, and every fault is one line that names it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.checkpoint import SignatureType, VerifierKey
from ledger.node import settings
from ledger.node.service import Node
from ledger.node.settings import SettingsError
from ledger.node.signers import identity
from ledger.node.signers.identity import Identity, Seat
from tests.ledger.chain_kit import key_of
from tests.ledger.node.network import NAMES, Network, make_network

WITNESSES = (("one.example", 1), ("two.example", 2), ("three.example", 1))


@pytest.fixture
def made(tmp_path: Path) -> Network:
    return make_network(tmp_path)


def file(made: Network) -> Path:
    return made.directory(0) / "node.toml"


def test_relative_paths_start_at_the_settings_file(made: Network) -> None:
    read = settings.load(file(made))
    assert read.genesis.resolve() == made.root / "genesis.json"
    assert {path.parent for path in read.keys.files} == {made.directory(0)}
    assert [peer.name for peer in read.peers] == list(NAMES[1:])


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('name = "ERC"', 'name = "ERC"\nnam = 1', "nam: Extra inputs are not permitted"),
        ('name = "ERC"', "", "name: Field required"),
        ('listen = "127.0.0.1:', 'listen = "127.0.0.1-', "listen: an address is written host:port"),
        ("port = ", "port = 7", "api.port"),
        ('name = "ERC"', "name = ", "cannot read the settings"),
        ('name = "ERC"', 'name = "ERC"\nlog = "markt=debug"', "log: nothing logs as 'markt': the parts are "),
    ],
)
def test_a_fault_in_the_file_is_one_line(made: Network, before: str, after: str, fault: str) -> None:
    file(made).write_text(file(made).read_text().replace(before, after))
    with pytest.raises(SettingsError) as caught:
        settings.load(file(made))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml.*`campusgrid ledger init`"):
        settings.load(tmp_path / "nowhere.toml")


def test_a_key_of_somebody_else_is_refused_before_anything_is_signed(made: Network) -> None:
    (made.directory(0) / "vote.key").write_text("11" * 32)
    with pytest.raises(SettingsError, match="keys of ERC are not those in the genesis file"):
        Node.open(settings.load(file(made)))


def test_a_damaged_key_file_is_named_and_its_content_never_shown(made: Network) -> None:
    (made.directory(0) / "vote.key").write_text("topsecret")
    with pytest.raises(SettingsError, match=r"vote\.key") as caught:
        Node.open(settings.load(file(made)))
    assert "topsecret" not in str(caught.value)


def test_a_peer_left_out_is_named(made: Network) -> None:
    file(made).write_text(file(made).read_text().rpartition("[[peers]]")[0])
    with pytest.raises(SettingsError, match="EGAT, MEA, PEA"):
        Node.open(settings.load(file(made)))


def test_a_peer_named_twice_is_refused(made: Network) -> None:
    peer = file(made).read_text().rpartition("[[peers]]")
    file(made).write_text("".join([*peer, *peer[1:]]))
    with pytest.raises(SettingsError, match="peers must name each other authority once"):
        Node.open(settings.load(file(made)))


def test_a_witness_whose_key_stands_there_twice_is_refused(made: Network) -> None:
    """Whatever its names and URLs: its cosignature would count twice."""
    text = file(made).read_text()
    keys = [VerifierKey(name, SignatureType.COSIGNATURE, key_of(number).public_key) for name, number in WITNESSES]
    entries = [f'[[witnesses]]\nurl = "http://{key.name}/"\nkey = "{key}"\n' for key in keys]
    file(made).write_text("\n".join([text, *entries[:2]]))
    assert [one.key for one in settings.load(file(made)).witnesses] == keys[:2]
    file(made).write_text("\n".join([text, *entries]))
    with pytest.raises(SettingsError, match=r"witnesses: the key of three\.example stands here twice"):
        settings.load(file(made))


def test_a_name_that_is_not_in_the_genesis_is_refused_unless_the_node_joins(made: Network) -> None:
    text = file(made).read_text().replace('name = "ERC"', 'name = "EPPO"', 1)
    file(made).write_text(text)
    with pytest.raises(SettingsError, match=r"EPPO is no authority of the genesis file .* set `joins = true`"):
        Node.open(settings.load(file(made)))
    file(made).write_text("joins = true\n" + text)
    node = Node.open(settings.load(file(made)))
    assert node.driver.seat is None
    asyncio.run(node.close())


def test_a_seat_needs_the_name_and_all_three_keys_of_one_set(made: Network) -> None:
    """A vote key without its cosigning key would make a quorum of votes and none of cosignatures."""
    erc, mea = (identity.load(settings.load(made.directory(place) / "node.toml")) for place in range(2))
    authorities, (right,), (other,) = made.genesis.authorities, erc.key_sets, mea.key_sets
    assert erc.seat(authorities) == Seat(0, right)
    assert Identity("ERC", (other, right)).seat(authorities) == Seat(0, right)
    assert Identity("ERC", (other,)).seat(authorities) is None
    assert Identity("ERC", (replace(right, cosign=other.cosign),)).seat(authorities) is None
    assert Identity("MEA", (right,)).seat(authorities) is None
