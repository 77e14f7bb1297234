"""`probe` tells which meter is on a line, its serial number, and what is wrong with its settings."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from meter import identify, profile, profiles
from meter import probe as probe_at_the_prompt
from meter.board import linux as board
from meter.config import Line as LineSettings

from hil.faults import Garble
from hil.resources.meter_models import BY_PROFILE
from hil.resources.trace import NS_PER_S, Schedule
from hil.resources.virtual_meter import Plate, VirtualMeter
from provisioning.toolchain.micropython import find_micropython
from tests.firmware.bench_meter import BenchMeter, with_crc
from tests.firmware.conftest import RunScript
from tests.firmware.device import MAIN, Device
from tests.firmware.test_instrument import SLAVE, make_meter, opened
from tests.firmware.test_sunspec import Device as SunSpecDevice

SERIAL = "20000007"
SPACED = {"carlo_gavazzi_em340", "carlo_gavazzi_em111"}
"""Models whose serial number has 7 letters, one a register."""
LIMIT_S = 60
DEAD_LINE_S = 20


def run_probe(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_micropython(), MAIN, "probe", *arguments], check=False, capture_output=True, text=True, timeout=LIMIT_S
    )


async def probe(name: str, folder: Path, **plate: Any) -> tuple[int, dict[str, Any]]:
    async with opened(folder / "tty", make_meter(name, **plate)) as line:
        arguments = ("--line", str(line.path), "--slave", str(SLAVE), "--json")
        done = await asyncio.to_thread(run_probe, *arguments)
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("name", profiles.NAMES)
async def test_each_model_is_recognised(name: str, tmp_path: Path) -> None:
    status, found = await probe(name, tmp_path)
    assert (status, found["profile"], found["slave"]) == (0, name, SLAVE)
    assert found["model"].startswith(profile.load(name).model)
    has_serial = profile.load(name).serial or profile.load(name).sunspec_model
    assert found["serial_number"] == ((SERIAL[-7:] if name in SPACED else SERIAL) if has_serial else None)


@pytest.mark.parametrize(
    ("name", "setting", "what"),
    [
        ("eastron_sdm630", "mwh", "energy unit"),
        ("eastron_sdm630", "low_word_first", "word order"),
        ("carlo_gavazzi_em340", "mode_a", "measurement mode"),
        ("carlo_gavazzi_em111", "mode_a", "measurement mode"),
    ],
)
async def test_a_setting_that_changes_the_bill_is_found(name: str, setting: str, what: str, tmp_path: Path) -> None:
    status, found = await probe(name, tmp_path, settings=frozenset({setting}))
    assert (status, found["profile"]) == (1, name)
    assert [row["name"] for row in found["settings"] if row["right"] is False] == [what]
    assert any(row["right"] is False and row["value"] not in row["wanted"] for row in found["settings"])


async def test_the_transformer_ratio_is_shown_to_be_compared(tmp_path: Path) -> None:
    _, found = await probe("schneider_iem3255", tmp_path)
    assert [(row["name"], row["value"]) for row in found["settings"]] == [
        ("CT primary in A", 250), ("CT secondary in A", 5),
    ]  # fmt: skip


async def test_an_em24_shows_its_application(tmp_path: Path) -> None:
    status, found = await probe("carlo_gavazzi_em24", tmp_path, settings=frozenset({"application_a"}))
    (row,) = found["settings"]
    assert (status, row["name"], row["value"], row["right"]) == (0, "application", 0, None)


async def test_a_setting_that_a_variant_has_not_is_not_wrong() -> None:
    marks = {40: 0x4505, 41: 0xD000}
    found = await identify._describe(SunSpecDevice(marks), LineSettings("tty", 9600, "none", 1), 1)
    assert found["profile"] == "eastron_sdm630"
    assert identify.is_set_right(found)
    assert "energy unit not in this variant ok" in identify.page(found)


async def test_people_get_a_page_that_says_what_to_do_next(tmp_path: Path) -> None:
    async with opened(tmp_path / "tty", make_meter("carlo_gavazzi_em340")) as line:
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
        assert done.returncode == 0
        assert "Carlo Gavazzi EM340" in done.stdout
        assert SERIAL[-7:] in done.stdout
        assert "measurement mode 1 ok" in done.stdout
        (_, snippet) = done.stdout.split("in config.json: ")
        assert json.loads("{" + snippet + "}") == {
            "profile": "carlo_gavazzi_em340", "slave": SLAVE,
            "line": {"path": str(line.path), "baud": 9600, "parity": "none", "stop_bits": 1},
        }  # fmt: skip


async def test_a_wrong_setting_is_named_with_its_remedy(tmp_path: Path) -> None:
    meter = make_meter("eastron_sdm630", settings=frozenset({"mwh"}))
    async with opened(tmp_path / "tty", meter) as line:
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
    assert done.returncode == 1
    assert "energy unit 0x3f800000 WRONG: set the energy unit back to kWh" in done.stdout
    assert "probe again" in done.stdout.splitlines()[-1]


async def test_a_meter_without_a_profile_is_shown_as_unknown(bench_meter: BenchMeter) -> None:
    bench_meter.mangle = lambda request, _proper: with_crc(bytes((request[0], 0x80 | request[1], 2)))
    done = await asyncio.to_thread(run_probe, "--line", str(bench_meter.path), "--slave", "1")
    assert done.returncode == 1
    assert done.stdout.startswith("model          unknown")
    assert "Add a meter model" in done.stdout.splitlines()[-1]


async def test_another_meter_on_the_line_is_told_of(tmp_path: Path) -> None:
    schedule = Schedule((1500,), 0, 0, 10)
    plates = Plate(BY_PROFILE["eastron_sdm630"], 1, 11), Plate(BY_PROFILE["carlo_gavazzi_em340"], 2, 22)
    async with opened(tmp_path / "tty", *(VirtualMeter(plate, schedule, lambda: NS_PER_S) for plate in plates)) as line:
        done = await asyncio.to_thread(run_probe, "--line", str(line.path))
        beside = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", "2", "--json")
    assert done.returncode == 0
    assert "Eastron SDM630" in done.stdout
    assert "another meter  answers at address 2: probe it with --slave 2" in done.stdout
    found = json.loads(beside.stdout)
    assert (found["profile"], found["serial_number"], found["others"]) == ("carlo_gavazzi_em340", "22", [])


async def test_two_meters_with_one_address_are_not_taken_for_a_dead_line(tmp_path: Path) -> None:
    async with opened(tmp_path / "tty", make_meter("eastron_sdm120")) as line:
        line.fault = Garble(random.Random(1))  # so do two answers at once look
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
    assert (done.returncode, done.stdout) == (1, "")
    assert "what answers is broken" in done.stderr
    assert "two meters with one address?" in done.stderr


async def test_a_meter_behind_modbus_tcp_is_recognised_too(tmp_path: Path) -> None:
    meter = make_meter("janitza_umg96")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(request := await reader.read(12)) == 12:
            function, first, count = request[7], *struct.unpack(">HH", request[8:])
            words = meter.holding_registers() if function == 3 else meter.input_registers()
            wanted = [words.get(place) for place in range(first, first + count)]
            pdu = bytes((0x80 | function, 2))
            if None not in wanted:
                pdu = struct.pack(f">BB{count}H", function, 2 * count, *wanted)
            writer.write(request[:4] + struct.pack(">HB", len(pdu) + 1, request[6]) + pdu)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    done = await asyncio.to_thread(run_probe, "--line", target, "--json")
    server.close()
    found = json.loads(done.stdout)
    assert (found["profile"], found["slave"]) == ("janitza_umg96", 1)
    assert found["line"] == {"host": "127.0.0.1", "port": int(target.partition(":")[2])}


def test_what_is_no_line_is_refused_in_words() -> None:
    done = run_probe("--line", "/dev/null")
    assert (done.returncode, done.stderr) == (2, "meter: cannot use /dev/null: [Errno 25] ENOTTY\n")


def test_a_port_where_nobody_listens_is_a_clear_error() -> None:
    done = run_probe("--line", "127.0.0.1:1")
    assert done.returncode == 2
    assert "cannot use 127.0.0.1:1: no connection can be made" in done.stderr


def test_all_settings_of_delivery_come_first_and_other_speeds_after_them(bench_meter: BenchMeter) -> None:
    ways = [settings[1:] for settings, _, _ in identify._ways(board, str(bench_meter.path), None)]
    delivered = {profile.load(name).line[:3] for name in profiles.NAMES}
    assert set(ways[: len(delivered)]) == delivered
    assert ways[0] == (9600, "none", 1)
    assert {way[:2] for way in ways} == {(baud, parity) for baud in identify.SPEEDS for parity in identify.PARITIES}


@pytest.mark.parametrize(
    "arguments", [(), ("--line",), ("--line", "x", "--slave", "0"), ("--line", "x", "--slave", "y"), ("--tty", "x")]
)
def test_a_wrong_command_line_shows_the_usage(arguments: tuple[str, ...]) -> None:
    done = run_probe(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


def test_a_line_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    done = run_probe("--line", str(tmp_path / "none"), "--slave", "1")
    assert done.returncode == 2
    assert f"cannot use {tmp_path}/none" in done.stderr


async def test_a_line_without_a_meter_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    meter = make_meter("abb_b23")
    meter.alive = False
    async with opened(tmp_path / "tty", meter) as line:
        start = time.monotonic()
        done = await asyncio.to_thread(run_probe, "--line", str(line.path), "--slave", str(SLAVE))
    assert time.monotonic() - start < DEAD_LINE_S
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"asking at 9600 baud, parity none, 1 stop bit, address {SLAVE}\n")
    assert f"no meter answers on {line.path}" in done.stderr
    assert "exchange A and B" in done.stderr


async def test_a_board_is_asked_at_its_prompt(tmp_path: Path, run_script: RunScript) -> None:
    async with opened(tmp_path / "tty", make_meter("abb_b23")) as line:
        source = "import meter\nprint(meter.probe(ARGUMENTS[0], int(ARGUMENTS[1]))['profile'])"
        printed = (await asyncio.to_thread(run_script, source, str(line.path), str(SLAVE))).splitlines()
    assert printed[1] == "model          ABB B23"
    assert printed[-1] == "abb_b23"


async def test_a_board_without_a_line_of_its_own_asks_at_the_one_that_it_is_configured_for(
    device: Device, bench_meter: BenchMeter, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_meter.words[64514] = 0x0020
    found = await asyncio.to_thread(probe_at_the_prompt, slave=1, path=str(device.config))
    assert found["profile"] == "eastron_sdm120"
    assert "model          Eastron SDM120" in capsys.readouterr().out


def test_without_a_line_and_a_configuration_the_prompt_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="say which line"):
        probe_at_the_prompt(path=str(tmp_path / "none.json"))
