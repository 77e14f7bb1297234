"""What the board of an ESP32 promises, piece by piece, under real MicroPython on contract fakes of its modules."""

from __future__ import annotations

import json
import os
import subprocess
import tty
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from provisioning.image import pack
from provisioning.toolchain.micropython import find_micropython
from tests.firmware.conftest import Tell
from tests.firmware.device import configuration
from tests.firmware.esp32_device import FLASH_BYTES, LINE, NOBODY, PATHS, TABLE, WIFI

LIMIT_S = 60
LARGE_TABLE = TABLE.with_name("partitions-8MiB.csv")
ETHERNET = {
    "kind": "lan8720", "mdc": 23, "mdio": 18, "phy_addr": 1, "ref_clk": 0, "ref_clk_out": False, "power": None,
    "reset": None, "hostname": "meter-1",
}  # fmt: skip
SPI = {
    "kind": "w5500", "spi": 2, "sck": 12, "mosi": 13, "miso": 14, "cs": 15, "int": 2, "reset": None,
    "hostname": "meter-1",
}  # fmt: skip

Check = Callable[..., str]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a function that runs one check on a fresh chip and gives what it prints."""

    def run(name: str, *arguments: str, table: Path = TABLE, setup: str = "") -> str:
        flash = tmp_path / "flash"
        flash.write_bytes(b"\xff" * (FLASH_BYTES if table == TABLE else 2 * FLASH_BYTES))
        paths = [*PATHS, str(Path(__file__).parent), str(tmp_path)]
        source = (
            f"import sys\nsys.path[:0] = {paths[:3]!r}\nsys.path.append({paths[3]!r})\nimport esp32_checks as checks\n"
            f"from esp32_chip.chip import CHIP\n{setup}\n"
            f"checks.insert({str(flash)!r}, {str(table)!r})\nchecks.{name}(*{list(arguments)!r})"
        )
        command = [str(find_micropython()), "-X", "heapsize=16m", "-c", source]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    return run


@pytest.mark.parametrize(("table", "files"), [(TABLE, 48), (LARGE_TABLE, 240)])
def test_a_full_journal_and_a_full_archive_fit_their_partitions(check: Check, table: Path, files: int) -> None:
    assert check("fill_journal", table=table) == str(files)


@pytest.mark.parametrize(("table", "size"), [(TABLE, FLASH_BYTES), (LARGE_TABLE, 2 * FLASH_BYTES)])
def test_partitions_leave_no_gap_overlap_nothing_and_fill_the_flash(table: Path, size: int) -> None:
    rows = [line.replace(" ", "").split(",") for line in table.read_text().splitlines() if not line.startswith("#")]
    at = 0x9000  # behind the bootloader and the table itself
    for name, kind, _, offset, length in rows:
        assert int(offset, 16) == at, name
        assert int(length, 16) % 4096 == 0, name
        assert kind == "data" or int(offset, 16) % 65536 == 0, name
        at += int(length, 16)
    assert at == size


def test_a_power_cut_at_any_flash_operation_of_a_first_start_leaves_a_board_that_starts(
    check: Check, tell: Tell
) -> None:
    cuts = int(check("cut_first_start"))
    tell(f"ESP32 contract fake: {cuts} power cuts during a first start")
    assert cuts >= 15


@pytest.mark.parametrize("rubbish", ["", "rubbish" * 100])
@pytest.mark.parametrize("label", ["journal", "archive", "state"])
def test_a_damaged_partition_is_left_as_it_is_named_and_takes_no_other_with_it(
    check: Check, label: str, rubbish: str
) -> None:
    said = check("damage", label, rubbish).splitlines()
    place = {"journal": "/data/journal", "archive": "/data/archive", "state": "/data"}[label]
    for line in said:
        if line.split()[0] == place:
            assert f"the file system of partition {label} is damaged; `esptool erase_region 0x" in line
        else:
            assert "file" in line


def test_a_table_without_the_partitions_is_named(check: Check, tmp_path: Path) -> None:
    table = tmp_path / "stock.csv"
    table.write_text("vfs, data, fat, 0x200000, 0x200000\n")
    said = check("refuse_storage", table=table)
    assert said == "no partition state in the flash: write the table of firmware/esp32 to it"


def test_an_image_is_written_to_one_half_and_run_from_it_while_the_other_changes(check: Check, tmp_path: Path) -> None:
    source = tmp_path / "image"
    source.mkdir()
    (source / "written.py").write_text(f"WORD = 'from flash'\nFILLER = '{'x' * 9000}'\n")
    (tmp_path / "image.romfs").write_bytes(pack(source))
    assert check("use_halves", str(tmp_path / "image.romfs")) == "from flash"


def test_a_build_without_romfs_takes_no_update_and_says_why(check: Check) -> None:
    said = check("lack_romfs", setup="CHIP.has_romfs = False")
    assert said.startswith("0 [Errno 19] this MicroPython has no ROMFS") or "this MicroPython has no ROMFS" in said


def test_time_is_unix_time_whatever_year_the_build_counts_from(check: Check) -> None:
    moment = datetime(2026, 11, 18, 11, 6, 41, tzinfo=UTC)
    since_2000 = moment - datetime(2000, 1, 1, tzinfo=UTC)
    said = check("set_clock")
    assert said == f"{moment.timestamp():.0f} {since_2000.total_seconds():.0f} (2026, 11, 18, 2, 11, 6, 41)"


def test_a_key_is_drawn_while_the_radio_is_on(check: Check) -> None:
    assert check("draw_secret") == "[False, True] False"


def test_a_dead_name_server_holds_nobody_up_and_takes_no_more_than_two_threads(check: Check) -> None:
    assert check("look_up") == "20 [-2, -2, 11] 0"


def test_the_transceiver_is_held_until_the_last_bit_has_left(check: Check) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    try:
        assert check("drive_line", os.ttyname(slave)) == "0 b''"
        assert os.read(master, 100) == b"heard"
    finally:
        os.close(master)
        os.close(slave)


def test_the_watchdog_waits_an_hour_for_somebody_at_the_prompt(check: Check) -> None:
    assert check("watch") == "[180000, 60.0] 3600000"


@pytest.mark.parametrize(
    ("model", "changes", "text"),
    [
        ("ESP32", {}, "taken"),
        ("ESP32", {"network": ETHERNET}, "taken"),
        ("ESP32S3", {"network": SPI}, "taken"),
        ("ESP32", {"network": None}, "network must not be null here: the board brings it up itself"),
        ("ESP32", {"time_servers": []}, "time_servers must not be empty here: nothing else keeps the time"),
        ("ESP32", {"data_dir": "/store"}, "data_dir must be /data: its partitions are mounted there"),
        ("ESP32C3", {"network": ETHERNET}, "network.kind lan8720 needs an ESP32: ESP32C3 has no Ethernet MAC"),
        ("ESP32", {"line": "uart1:tx=23,rx=16", "network": ETHERNET}, "pin 23 is line.path's tx and network.mdc"),
        ("ESP32", {"line": "/dev/ttyUSB0"}, "line.path /dev/ttyUSB0: it names no UART; write"),
        ("ESP32", {"line": "uart0:tx=1,rx=3"}, "UART 0 is the console"),
        ("ESP32", {"line": "uart1:tx=17"}, "pin rx is missing"),
        ("ESP32", {"line": "uart1:"}, "nothing is no pin of it"),
        ("ESP32", {"line": "uart1:tx=17,rx=16,dir=4"}, "dir is no pin of it"),
        ("ESP32", {"line": "uart1:tx=17,rx=16,tx=18"}, "pin tx must be given once, by its GPIO number"),
        ("ESP32", {"line": "uart1:tx=17,rx=x"}, "pin rx must be given once"),
        ("ESP32", {"line": "uart1:tx=17,rx=17"}, "pin 17 is line.path's tx and line.path's rx"),
        ("ESP32", {"line": "uart1:tx=17,rx=6"}, "this chip says: invalid pin"),
        ("ESP32", {"line": "uart1:tx=17,rx=16,de=34"}, "this chip says: pin can only be input"),
        ("ESP32C3", {"line": "uart2:tx=5,rx=4"}, "this chip says: UART(2) does not exist"),
        ("ESP32", {"broker": {"ca": "none.crt"}}, "cannot read broker.ca"),
    ],
)
def test_what_the_board_cannot_do_is_refused_in_one_line(
    check: Check, tmp_path: Path, model: str, changes: dict[str, Any], text: str
) -> None:
    good = configuration(line=LINE, network=WIFI, data_dir="/data", time_servers=[NOBODY])
    if isinstance(changes.get("line"), str):
        changes = changes | {"line": LINE | {"path": changes["line"]}}
    if "broker" in changes:
        changes = changes | {"broker": good["broker"] | changes["broker"]}
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "good.json").write_text(json.dumps(good))
    wires = "CHIP.ttys.update({1: '/dev/ptmx', 2: '/dev/ptmx'})"
    said = check("refuse", model, json.dumps(changes), setup=wires)
    assert text in said
    assert "\n" not in said
