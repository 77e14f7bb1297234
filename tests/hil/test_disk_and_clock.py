"""What the gateway's faults are made of does what it says: a disk that is full or read-only, a clock that steps."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from hil.database_damage import damage_page
from hil.errors import DiskError
from hil.resources.small_disk import SmallDisk
from hil.resources.stepped_clock import SteppedClock
from tests.gateway.plant import BOUND_S, ROOT


def run_on(disk: SmallDisk, script: str) -> subprocess.CompletedProcess[str]:
    command = [*disk.within, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)


def test_a_small_disk_is_full_to_the_last_byte_and_has_room_again(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with SmallDisk(folder, 4) as disk:
        assert 3 * 2**20 < disk.fill() <= 4 * 2**20
        assert shutil.disk_usage(disk.inside).free == 0
        assert run_on(disk, f"echo more > {folder}/file").returncode != 0
        disk.make_room()
        assert run_on(disk, f"echo more > {folder}/file").returncode == 0
        assert (disk.inside / "file").read_text() == "more\n"
    assert list(folder.iterdir()) == []


def test_a_small_disk_turns_read_only_and_back_but_not_under_a_writer(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with SmallDisk(folder, 4) as disk:
        with (disk.inside / "file").open("wb"), pytest.raises(DiskError, match="end who writes on it"):
            disk.remount("ro")
        disk.remount("ro")
        assert "Read-only file system" in run_on(disk, f"echo more > {folder}/file").stderr
        disk.remount("rw")
        assert run_on(disk, f"echo more > {folder}/file").returncode == 0


def test_a_disk_that_is_not_mounted_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="is not mounted; enter the disk first"):
        SmallDisk(tmp_path, 4).fill()


def test_a_running_process_sees_its_clock_step_and_only_the_wall_clock(tmp_path: Path) -> None:
    clock = SteppedClock(tmp_path / "clock")
    script = (
        "import sys; from pathlib import Path; from hil.resources.stepped_clock import install\n"
        f"install(Path({str(tmp_path / 'clock')!r}))\n"
        "import time\n"
        "for _ in sys.stdin: print(time.time(), time.time_ns(), time.monotonic(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for step, offset in ((0, 0), (3600, 3600), (-7200, -3600), (3600, 0)):
            clock.step(step)
            print(file=process.stdin, flush=True)
            wall, wall_ns, monotonic = map(float, process.stdout.readline().split())
            assert clock.offset_s == offset
            assert wall == pytest.approx(time.time() + offset, abs=10)
            assert wall_ns / 1e9 == pytest.approx(wall, abs=10)
            assert monotonic == pytest.approx(time.monotonic(), abs=10)
        process.stdin.close()


def test_campusgrid_runs_on_a_stepped_clock(tmp_path: Path) -> None:
    command = [*SteppedClock(tmp_path / "clock").program, "gateway", "--help"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert "restore" in done.stdout


def test_a_damaged_page_is_one_page_and_its_newer_copy_in_the_log_does_not_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "database"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("y" * 500,)] * 100)
        connection.commit()
    before = path.read_bytes()
    number = damage_page(path, random.Random(3))
    after = path.read_bytes()
    changed = {place // 4096 + 1 for place, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
    assert changed == {number}
