"""A wrong configuration is refused with one line that says what to mend, on CPython and MicroPython."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import config
from meter.errors import ConfigError

from tests.firmware.conftest import RunScript
from tests.firmware.device import Device, configuration


def parse(values: Any) -> config.Config:
    """Return what the firmware makes of *values*."""
    return config.parse(json.dumps(values).encode(), "folder/")


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return a good configuration with one value, a dotted *path*, replaced."""
    values: dict[str, Any] = configuration()
    *parents, name = path.split(".")
    table = values
    for parent in parents:
        table = table[parent]
    table[name] = value
    return values


WIFI = {"kind": "wifi", "ssid": "campus", "password": "long enough", "hostname": "meter"}
LAN8720: dict[str, Any] = {
    "kind": "lan8720", "mdc": 23, "mdio": 18, "phy_addr": 1, "ref_clk": 0, "ref_clk_out": False, "power": 16,
    "reset": None, "hostname": "meter",
}  # fmt: skip
W5500: dict[str, Any] = {
    "kind": "w5500", "spi": 1, "sck": 12, "mosi": 13, "miso": 14, "cs": 10, "int": 11, "reset": None,
    "hostname": "meter",
}  # fmt: skip
WRONG = [
    ("meter_id", "001122334455667", "meter_id must be 16 lower-case hex digits"),
    ("meter_id", "00112233445566GG", "meter_id must be 16"),
    ("meter_id", 5, "meter_id must be"),
    ("profile", "", "profile must be a text"),
    ("line", None, "line is not a JSON object"),
    ("line.baud", "9600", "line.baud must be an integer from 1200"),
    ("line.baud", 9600.5, "line.baud must be an integer"),
    ("line.parity", "mark", 'line.parity must be "none", "even" or "odd"'),
    ("line.parity", [], "line.parity must be"),
    ("line.stop_bits", 3, "line.stop_bits must be an integer from 1 to 2"),
    ("line.path", "a\nb", "line.path must be a text in one line"),
    ("slave", 0, "slave must be an integer from 1 to 247"),
    ("slave", True, "slave must be an integer"),
    ("broker.port", 65536, "broker.port must be an integer from 1 to 65535"),
    ("broker.tls", False, "unknown key broker.tls"),
    ("gateway_keys", [], "gateway_keys must be a list of 1 to 8"),
    ("gateway_keys", ["ab"], "gateway_keys must be 64 lower-case hex digits"),
    ("gateway_keys", "ab", "gateway_keys must be a list"),
    ("epoch_s", 1, "epoch_s must be an integer from 2"),
    ("drain_s", -1, "drain_s must be an integer from 0"),
    ("network", {}, 'network must be null, or an object with the kind "wifi", "lan8720" or "w5500"'),
    ("network", "wifi", "network must be null, or an object"),
    ("network", {"kind": ["wifi"]}, "network must be null, or an object"),
    ("network", {"kind": "wifi", "ssid": "campus"}, "key network.password is missing"),
    ("network", WIFI | {"channel": 1}, "unknown key network.channel"),
    ("network", WIFI | {"ssid": "x" * 33}, "network.ssid must have 1 to 32 bytes"),
    ("network", WIFI | {"password": "short"}, "network.password must have 8 to 64 bytes"),
    ("network", LAN8720 | {"ref_clk_out": 1}, "network.ref_clk_out must be true or false"),
    ("network", LAN8720 | {"mdc": None}, "network.mdc must be an integer from 0 to 48"),
    ("network", W5500 | {"cs": 49}, "network.cs must be an integer from 0 to 48"),
    ("network", W5500 | {"spi": 0}, "network.spi must be an integer from 1 to 2"),
    ("time_servers", None, "time_servers must be a list of up to 8"),
    ("time_servers", ["a"] * 9, "time_servers must be a list of up to 8"),
    ("time_servers", ["a", "b", "a:123"], "time_servers names a twice"),
    ("time_servers", ["a:0"], 'time_servers must hold "host" or "host:port", not "a:0"'),
    ("time_servers", ["a:²"], "time_servers must hold"),
    ("time_servers", ["a:65536"], "time_servers must hold"),
    ("time_servers", ["a:1:2"], "time_servers must hold"),
    ("time_servers", [":123"], "time_servers must hold"),
    ("time_servers", ["a b"], "time_servers must hold"),
    ("time_servers", [7], "time_servers must be a text"),
    ("colour", "blue", "unknown key colour"),
]


def test_a_good_configuration_is_read_with_paths_from_its_folder() -> None:
    settings = parse(configuration(data_dir="/absolute"))
    assert settings.meter_id == bytes.fromhex("0011223344556677")
    assert settings.gateway_keys == (bytes(range(32)),)
    assert (settings.line.path, settings.broker.ca, settings.data_dir) == ("folder/tty", "folder/ca.crt", "/absolute")


@pytest.mark.parametrize(
    "section", [WIFI, WIFI | {"password": None}, LAN8720, LAN8720 | {"power": None, "reset": 5}, W5500]
)
def test_each_way_to_the_network_is_read_as_written(section: dict[str, Any]) -> None:
    network = parse(configuration(network=section)).network
    assert dict(zip(network._fields, network, strict=True)) == section


def test_a_line_that_names_a_uart_lies_in_no_folder() -> None:
    line = {"path": "uart1:tx=17,rx=16", "baud": 9600, "parity": "none", "stop_bits": 1}
    assert parse(configuration(line=line)).line.path == line["path"]


@pytest.mark.parametrize(("path", "value", "text"), WRONG)
def test_a_wrong_value_is_named(path: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        parse(changed(path, value))


LATER = {"network", "time_servers"}


def test_the_file_of_a_meter_in_the_field_is_still_in_order() -> None:
    old = {name: value for name, value in configuration().items() if name not in LATER}
    settings = parse(old)
    assert (settings.network, settings.time_servers) == (None, ())
    assert settings == parse(configuration(network=None, time_servers=[]))


@pytest.mark.parametrize("name", [name for name in configuration() if name not in LATER])
def test_a_missing_key_is_named(name: str) -> None:
    values = configuration()
    del values[name]
    with pytest.raises(ConfigError, match=f"key {name} is missing"):
        parse(values)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 16000, b"x" * 20000])
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        config.parse(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        config.parse(data)


def test_micropython_refuses_the_same_in_the_same_words(run_script: RunScript) -> None:
    source = """
import json
from meter import config
from meter.errors import ConfigError
for text in ARGUMENTS:
    try:
        config.parse(text.encode())
        print("taken")
    except ConfigError as error:
        print(error)
"""
    cases = [*(json.dumps(changed(path, value)) for path, value, _ in WRONG), "nonsense", "[]", "[" * 3000]
    cases += [json.dumps({name: value for name, value in configuration().items() if name not in LATER})]
    said = run_script(source, *cases).splitlines()
    for line, (_, _, text) in zip(said, WRONG, strict=False):
        assert text in line
    assert said[-4:] == ["not valid JSON", "the configuration is not a JSON object", "not valid JSON", "taken"]


@pytest.mark.parametrize("command", ["run", "enrol"])
def test_a_refused_configuration_ends_the_firmware_with_one_line_and_status_2(tmp_path: Path, command: str) -> None:
    done = Device(tmp_path, epoch_s="x").command(command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"meter: {tmp_path}/config.json: epoch_s must be an integer from 2 to 86400\n"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"profile": "eastron_sdm121"}, "profile 'eastron_sdm121' is unknown"),
        ({"data_dir": "/proc/no"}, "cannot make folder /proc/no"),
        ({"broker": {"host": "a", "port": 1, "ca": "none.crt", "user": "a", "password": "b"}}, "none.crt"),
        ({"network": WIFI}, "network must be null here: the system has the network"),
        ({"line": {"path": "tty", "baud": 2401, "parity": "none", "stop_bits": 1}}, "2401 is not a speed"),
    ],
)
def test_what_cannot_be_used_ends_the_firmware_the_same_way(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    (tmp_path / "ca.crt").write_text("")
    done = Device(tmp_path, **changes).command("run")
    assert done.returncode == 2, done.stdout
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("key", ["", "xx\n", "0" * 64, "Z" * 64 + "\n"])
def test_a_damaged_key_is_never_replaced(tmp_path: Path, key: str) -> None:
    device = Device(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "key").write_text(key)
    done = device.command("enrol")
    assert done.returncode == 2
    assert "key file is damaged" in done.stderr
    assert (tmp_path / "data" / "key").read_text() == key


def test_enrolment_makes_one_key_for_good_which_only_its_owner_can_read(tmp_path: Path) -> None:
    device = Device(tmp_path)
    first = device.enrol()
    assert device.enrol() == first
    assert len(bytes.fromhex(first["public_key"])) == 32
    assert first["interpreter"].startswith("micropython 1.")
    assert (tmp_path / "data" / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_time_servers_are_names_or_addresses_with_or_without_a_port() -> None:
    named = ["ntp.campus", "192.0.2.1:1123", "[2001:db8::1]", "[::1]:124"]
    servers = parse(configuration(time_servers=named)).time_servers
    assert servers == (("ntp.campus", 123), ("192.0.2.1", 1123), ("2001:db8::1", 123), ("::1", 124))


def test_a_meter_may_sit_behind_modbus_tcp() -> None:
    values = configuration(line={"host": "192.0.2.7", "port": 502})
    assert config.parse(json.dumps(values).encode(), "folder/").line == config.TcpLine("192.0.2.7", 502)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ({"host": "192.0.2.7"}, "line.port is missing"),
        ({"host": "192.0.2.7", "port": 0}, "line.port must be"),
        ({"host": "192.0.2.7", "port": 502, "baud": 9600}, "unknown key line.baud"),
        (["host"], "line is not a JSON object"),
    ],
)
def test_a_wrong_tcp_line_is_a_clear_error(line: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        config.parse(json.dumps(configuration(line=line)).encode())
