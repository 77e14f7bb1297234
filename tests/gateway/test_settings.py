"""Every mistake in a configuration file is one clear line that names the file and the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import SettingsError
from gateway.roster import read_roster
from gateway.settings import load_bidding, load_gateway, read_key

GOOD = """
roster = "../roster.json"
store = "data/gateway.sqlite"
receipt_key = "receipt.key"
epoch_s = 900
[broker]
host = "10.0.0.5"
port = 8883
ca = "/etc/campus/ca.crt"
password = "secret"
[ledger]
urls = ["http://127.0.0.1:26611"]
genesis = "../genesis.json"
account = "00112233aabbccdd"
key = "account.key"
"""


def meter(**more: Any) -> str:
    """Return a roster of one meter with *more* in its entry."""
    entry = {
        "meter_id": "01" * 8, "public_key": "11" * 32, "profile": "p", "rated_power_w": 1, "can_export": True,
        "account": "00" * 8,
    }  # fmt: skip
    return json.dumps({"meters": [entry | more]})


def former(byte: str, last: int) -> dict[str, object]:
    """Return a former key of a roster."""
    return {"public_key": byte * 32, "last": last, "ended_by": "rotation"}


def owner(until: int) -> dict[str, object]:
    """Return a former owner of a roster."""
    return {"account": "22" * 8, "until": until}


def test_paths_are_relative_to_the_file_and_the_password_never_shows(tmp_path: Path) -> None:
    settings = load_gateway(write(tmp_path, GOOD))
    assert settings.roster == tmp_path.parent / "roster.json"
    assert settings.broker.ca == Path("/etc/campus/ca.crt")
    assert settings.ledger.key == tmp_path / "account.key"
    assert settings.api.port == 8080
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epoch_s = 900", "epoch_s = 900\nspeed = 3", "speed: is not a known key; remove it"),
        ("port = 8883", "port = 8883\nprot = 1", "broker.prot: is not a known key; remove it"),
        ('host = "10.0.0.5"\n', "", "broker.host: is missing; add it"),
        ("port = 8883", "port = 88833", "broker.port: must be less than or equal to 65535"),
        ('password = "secret"\n', "", "broker: give either password or password_file"),
        ('password = "secret"', 'password = "a"\npassword_file = "b"', "broker: give either password or password_file"),
        ("00112233aabbccdd", "00112233AABBCCDD", "ledger.account: an id is 16 lower-case hex digits"),
        ('urls = ["http://127.0.0.1:26611"]', "urls = []", "ledger.urls: "),
        ("epoch_s = 900", "epoch_s = = 900", "is not TOML: "),
        ("epoch_s = 900", "epoch_s = 0", "epoch_s: "),
        ('urls = ["http://127.0.0.1:26611"]', 'urls = ["127.0.0.1:26611"]', "ledger.urls.0: '127.0.0.1:26611' is no"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SettingsError) as error:
        load_gateway(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('host = "0.0.0.0"', "0.0.0.0 can be reached from outside, so passwords would travel in the clear"),
        ('host = "gateway.campus"', "gateway.campus can be reached from outside"),
        ('host = "10.0.0.1"\nbehind_proxy = true', "behind_proxy and trusted_proxy need each other"),
        ('trusted_proxy = "10.0.0.1"', "behind_proxy and trusted_proxy need each other"),
        ('behind_proxy = true\ntrusted_proxy = "proxy"', "trusted_proxy: 'proxy' is no IP address"),
        ('host = "0.0.0.0"\nlogin = "none"', 'login = "none" is for a loopback host without a proxy'),
        ('login = "none"\nbehind_proxy = true\ntrusted_proxy = "::1"', "is for a loopback host without a proxy"),
        ('cert = "api.crt"', "give both cert and key, or neither"),
        ('login = "maybe"', "login: must be 'required' or 'none'"),
    ],
)
def test_a_gateway_that_would_give_passwords_away_is_refused(tmp_path: Path, lines: str, said: str) -> None:
    path = write(tmp_path, f"{GOOD}[api]\n{lines}\n")
    with pytest.raises(SettingsError) as error:
        load_gateway(path)
    assert str(error.value).startswith(f"{path}: api")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ("", "http://127.0.0.1:8080/"),
        ('host = "::1"', "http://[::1]:8080/"),
        ('host = "localhost"\nlogin = "none"', "http://localhost:8080/"),
        ('host = "10.0.0.1"\nport = 443\ncert = "a.crt"\nkey = "a.key"', "https://10.0.0.1:443/"),
        ('behind_proxy = true\ntrusted_proxy = "10.0.0.9, ::1"\nurl = "https://a.example"', "https://a.example/"),
    ],
)
def test_a_login_is_required_unless_said_otherwise_and_links_have_the_right_address(
    tmp_path: Path, lines: str, url: str
) -> None:
    settings = load_gateway(write(tmp_path, f"{GOOD}[api]\n{lines}\n")).api
    assert settings.base_url == url
    assert (settings.login == "none") == ("none" in lines)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"zz", b"00" * 31, b""])
def test_an_unusable_key_file_is_named_and_its_content_is_not_shown(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "receipt.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=str(path)) as error:
        read_key(path)
    assert "zz" not in str(error.value)


def test_bidding_settings_know_their_keys_too(tmp_path: Path) -> None:
    text = 'gateway = "http://127.0.0.1:1"\n[ledger]\nurls = ["http://127.0.0.1:2"]\ngenesis = "g"\n[[users]]\n'
    with pytest.raises(SettingsError, match=r"users\.0\.account: is missing"):
        load_bidding(write(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not a roster"),
        ("[]", "is not a roster"),
        ('{"meters": [3]}', "a meter entry is incomplete or malformed"),
        ('{"meters": [{"meter_id": "00"}]}', "a meter entry is incomplete or malformed"),
        ('{"meters": [{"meter_id": "00", "speed": 1}]}', "unknown key 'speed'; remove it"),
        ('{"meters": {}}', "'meters' is no list"),
        (meter(former_keys=[{"public_key": "22" * 32, "last": 5}]), "a former key has public_key, last and ended_by"),
        (meter(former_keys=[former("22", 9), former("33", 9)]), "their last numbers ascending"),
        (meter(former_keys=[former("11", 9)]), "or its key twice; remove one"),
        (meter(former_owners=[{"account": "22" * 8}]), "a former owner has account and until"),
        (meter(former_owners=[owner(1_800_000_000), owner(1_800_000_000)]), "their times ascending"),
        (meter(former_owners=[owner(1_800_000_000 + day) for day in range(17)]), "must be at most 16"),
        (meter(former_owners=[owner(3)]), "their times ascending"),
        (meter(feeder="00" * 8), "its feeder is no other meter of the roster"),
        (meter(pv_site={"latitude": 91, "longitude": 0}), "degrees are out of range"),
    ],
)
def test_a_broken_roster_is_refused_with_its_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(content)
    with pytest.raises(SettingsError) as error:
        read_roster(path)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text)
    return path


BIDDING = (
    'gateway = "http://127.0.0.1:1"\n[ledger]\nurls = ["http://127.0.0.1:2"]\ngenesis = "g"\n[[users]]\n'
    'account = "00000000000000aa"\nkey_file = "k"\nmeters = [{meter_id = "00000000000000bb", can_export = true}]\n'
)


def test_instructions_are_read_by_meter(tmp_path: Path) -> None:
    text = f'{BIDDING}[instructions]\n00000000000000bb = ["keep 20 %", "sell surplus at 3.2 or more"]\n'
    said = load_bidding(write(tmp_path, text)).instructions
    assert {meter: str(one) for meter, one in said.items()} == {
        "00000000000000bb": "sell surplus at 3.20 or more; keep 20 %"
    }


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (
            '00000000000000bb = ["sell surplus for 3"]',
            r'instructions\.00000000000000bb: "sell surplus for 3": word 3, "for"',
        ),
        ('00000000000000bb = "sell nothing"', "instructions.00000000000000bb: must be a list of sentences"),
        (
            '00000000000000cc = ["sell nothing"]',
            "instructions.00000000000000cc: no user has this meter; the meters are 0",
        ),
        ('roof = ["sell nothing"]', "an id is 16 lower-case hex digits"),
    ],
)
def test_instructions_that_cannot_be_followed_are_refused(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(SettingsError, match=fault) as error:
        load_bidding(write(tmp_path, f"{BIDDING}[instructions]\n{line}\n"))
    assert len(str(error.value).splitlines()) == 1
