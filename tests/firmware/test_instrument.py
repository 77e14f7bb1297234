"""The firmware under real MicroPython reads every simulated model right, through a real tty and through line faults."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from meter import profile, profiles

from hil.faults import Delay, Drop, Echo, First, Garble, LineFault, OtherSlave
from hil.resources.meter_models import BY_PROFILE
from hil.resources.serial_line import SerialLine
from hil.resources.trace import NS_PER_S, Schedule
from hil.resources.virtual_meter import Plate, VirtualMeter
from tests.firmware.conftest import RunScript

IMPORT_WH, EXPORT_WH, POWER_W = 12_345_678, 7_654_321, 1500
SLAVE = 7
READ = "from instrument_script import main\nmain(*ARGUMENTS)"
INVERTERS = {"sunspec_101", "sunspec_102", "sunspec_103"}
Reading = dict[str, Any]


class Hand:
    """A clock that stands until it is turned, or goes on *step_s* with each look at it."""

    def __init__(self, step_s: int = 0) -> None:
        self.now_ns = 1000 * NS_PER_S
        self._step_s = step_s

    def __call__(self) -> int:
        self.now_ns += self._step_s * NS_PER_S
        return self.now_ns


def make_meter(name: str, hand: Hand | None = None, **plate: Any) -> VirtualMeter:
    fields = {"serial_number": 20_000_007, "import_wh": IMPORT_WH, "export_wh": EXPORT_WH} | plate
    schedule = Schedule((POWER_W,), 0, 0, 10)
    return VirtualMeter(Plate(BY_PROFILE[name], SLAVE, **fields), schedule, hand or Hand())


@asynccontextmanager
async def opened(path: Path, *meters: VirtualMeter) -> AsyncIterator[SerialLine]:
    line = SerialLine(path, meters)
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


async def read(run_script: RunScript, line: SerialLine, name: str, readings: int = 1) -> list[Reading]:
    output = await asyncio.to_thread(run_script, READ, str(line.path), name, str(SLAVE), str(readings))
    return [json.loads(text) for text in output.splitlines()]


def is_right(name: str, code: int, value: int) -> bool:
    """Tell whether *value* is what the simulated meter counted, to the step of its register."""
    counted = {180: 0 if name in INVERTERS else IMPORT_WH, 280: EXPORT_WH}[code]
    step = profile.load(name).resolution_wh
    return counted - step <= value <= counted + (step if "float" in kinds(name) else 0)


def kinds(name: str) -> str:
    return " ".join(register.type for register in profile.load(name).registers if register.code in profile.ENERGY)


@pytest.mark.parametrize("name", profiles.NAMES)
async def test_each_model_is_read_right(name: str, run_script: RunScript, tmp_path: Path) -> None:
    async with opened(tmp_path / "tty", make_meter(name)) as line:
        (taken,) = await read(run_script, line, name)
    values = dict(taken["telemetry"])
    assert [code for code, _ in taken["boundary"]] == [180, 280]
    assert dict(taken["boundary"]).items() <= values.items()
    assert all(is_right(name, code, value) for code, value in taken["boundary"]), taken
    assert values[1670] == POWER_W
    volts = [value for code, value in sorted(values.items()) if code > 1670]
    assert len(volts) == sum(register.code > 1670 for register in profile.load(name).registers)
    first = 2300 - 30 * POWER_W // BY_PROFILE[name].rated_power_w
    for phase, volt in enumerate(volts):
        assert volt in {first + phase, first + phase - 1}  # a float32 may lie below the decimal that it stands for


@pytest.mark.parametrize(
    ("name", "setting", "text"),
    [
        ("eastron_sdm630", "mwh", "energy unit"),
        ("eastron_sdm630", "low_word_first", "word order"),
        ("carlo_gavazzi_em340", "mode_a", "measurement mode is 0: set it to B"),
        ("carlo_gavazzi_em111", "mode_a", "measurement mode is 0: set it to B"),
    ],
)
async def test_a_meter_that_is_set_to_mean_something_else_is_not_believed(
    name: str, setting: str, text: str, run_script: RunScript, tmp_path: Path
) -> None:
    async with opened(tmp_path / "tty", make_meter(name, settings=frozenset({setting}))) as line:
        (taken,) = await read(run_script, line, name)
    assert text in taken["error"]


@pytest.mark.parametrize("name", ["eastron_sdm630", "carlo_gavazzi_em111", "schneider_iem3155", "janitza_umg96"])
async def test_a_variant_that_refuses_to_read_across_gaps_is_read_without(
    name: str, run_script: RunScript, tmp_path: Path
) -> None:
    async with opened(tmp_path / "tty", make_meter(name, settings=frozenset({"strict"}))) as line:
        (taken,) = await read(run_script, line, name)
    assert all(is_right(name, code, value) for code, value in taken["boundary"]), taken
    assert dict(taken["boundary"]).items() <= dict(taken["telemetry"]).items()
    assert len(taken["telemetry"]) == len({register.code for register in profile.load(name).registers})


async def test_an_abb_without_export_reads_0_there(run_script: RunScript, tmp_path: Path) -> None:
    async with opened(tmp_path / "tty", make_meter("abb_b23", settings=frozenset({"no_export"}))) as line:
        (taken,) = await read(run_script, line, "abb_b23")
    assert taken["boundary"] == [[180, 12_345_670], [280, 0]]


async def test_a_janitza_that_lost_its_mains_counts_from_its_last_save(run_script: RunScript, tmp_path: Path) -> None:
    hand = Hand()
    meter = make_meter("janitza_umg96", hand, import_wh=1000)
    hand.now_ns += 300 * NS_PER_S
    meter.measure()
    hand.now_ns += 240 * NS_PER_S
    async with opened(tmp_path / "tty", meter) as line:
        (before,) = await read(run_script, line, "janitza_umg96")
        meter.cut_mains()
        (after,) = await read(run_script, line, "janitza_umg96")
    assert (dict(before["boundary"])[180], dict(after["boundary"])[180]) == (1225, 1125)  # 1.5 kW for 9 and 5 minutes


async def test_a_sunspec_counter_rolls_over_and_the_reading_goes_on(run_script: RunScript, tmp_path: Path) -> None:
    turn_wh = 2**32 // 10  # the simulated scale factor is -1
    meter = make_meter("sunspec_203", Hand(step_s=120), import_wh=turn_wh - 2000)
    async with opened(tmp_path / "tty", meter) as line:
        taken = await read(run_script, line, "sunspec_203", 40)
    values = [dict(reading["boundary"])[180] for reading in taken]
    assert values == sorted(values)
    assert values[0] < turn_wh < values[-1]


@pytest.mark.parametrize(
    "fault",
    [
        First(Drop(), 2), First(Drop(kept=6), 2), First(Garble(random.Random(3)), 2), First(Delay(700), 1),
        First(OtherSlave(8), 2), Echo(),
    ],
    ids=["drop", "cut", "garble", "late", "other slave", "echo"],
)  # fmt: skip
async def test_a_reading_comes_through_a_disturbed_line(
    fault: LineFault, run_script: RunScript, tmp_path: Path
) -> None:
    name = "schneider_iem3155"
    async with opened(tmp_path / "tty", make_meter(name)) as line:
        line.fault = fault
        (taken,) = await read(run_script, line, name)
    assert taken["boundary"] == [[180, IMPORT_WH], [280, EXPORT_WH]]
    assert not isinstance(fault, First) or fault.struck == fault.count


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Drop, "did not answer"),
        (lambda: OtherSlave(8), "answer of slave 8, not 7"),
        (lambda: Garble(random.Random(3)), "frame|slave|function|exception"),
    ],
)
async def test_a_line_that_never_heals_is_given_up_with_a_reason(
    make: Callable[[], LineFault], text: str, run_script: RunScript, tmp_path: Path
) -> None:
    async with opened(tmp_path / "tty", make_meter("abb_b24")) as line:
        line.fault = make()
        (taken,) = await read(run_script, line, "abb_b24")
    assert any(part in taken["error"] for part in text.split("|"))
