"""A virtual meter's registers lie where Eastron's manuals put them, and count exactly."""

from __future__ import annotations

import csv
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from hil.resources.trace import NS_PER_S, Schedule
from hil.resources.virtual_meter import SDM120, SDM630, W_NS_PER_WH, Model, Plate, VirtualMeter

FACTS = Path(__file__).resolve().parents[1] / "data" / "register-maps.csv"
INPUT, HOLDING = "4", "3"


class Hand:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now_ns = 1000 * NS_PER_S

    def __call__(self) -> int:
        return self.now_ns


def make_meter(
    model: Model, power_w: int, hand: Hand | None = None, *, import_wh: int = 0, export_wh: int = 0
) -> VirtualMeter:
    schedule = Schedule((power_w,), 0, 0, 10)
    return VirtualMeter(Plate(model, 1, 4_242_424_242, import_wh, export_wh), schedule, hand or Hand())


def facts(model: Model, function: str) -> dict[str, tuple[int, int]]:
    with FACTS.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["model"] == model.name]
    return {
        row["quantity"]: (int(row["address_dec"]), int(row["register_count"]))
        for row in rows
        if row["function_code"] == function and row["type"] == "float32"
    }


def value(words: dict[int, int], address: int) -> float:
    number: float = struct.unpack(">f", struct.pack(">HH", words[address], words[address + 1]))[0]
    return number


@pytest.mark.parametrize("model", [SDM120, SDM630])
def test_every_input_register_that_the_manual_names_is_there(model: Model) -> None:
    words = make_meter(model, 600).input_registers()
    for quantity, (address, count) in facts(model, INPUT).items():
        assert count == 2, quantity
        assert {address, address + 1} <= set(words), quantity


@pytest.mark.parametrize("model", [SDM120, SDM630])
@pytest.mark.parametrize("power_w", [600, -9_000, 0])
def test_the_image_says_what_the_meter_measures(model: Model, power_w: int) -> None:
    words = make_meter(model, power_w, import_wh=1_234_500, export_wh=77_000).input_registers()
    where = {quantity: address for quantity, (address, _) in facts(model, INPUT).items()}
    assert value(words, where["active_power_total"]) == power_w
    assert value(words, where["active_energy_import"]) == 1234.5
    assert value(words, where["active_energy_export"]) == 77.0
    assert value(words, where["frequency"]) == 50.0
    for phase in range(1, model.phases + 1):
        volt, ampere = value(words, where[f"voltage_l{phase}"]), value(words, where[f"current_l{phase}"])
        assert 207 < volt < 253
        assert volt * ampere * model.phases == pytest.approx(abs(power_w), rel=1e-5)


def test_energy_counts_power_times_time_exactly() -> None:
    hand = Hand()
    meter = make_meter(SDM120, 3333, hand, import_wh=500)
    for step_ns in (1, 999_999_999, 17, 3_600 * NS_PER_S, 10 * NS_PER_S - 18):
        hand.now_ns += step_ns
        meter.measure()
    elapsed_ns = 3_600 * NS_PER_S + 11 * NS_PER_S - 1
    measured = meter.measure()
    assert measured.import_w_ns == 500 * W_NS_PER_WH + 3333 * elapsed_ns
    assert measured.export_w_ns == 0
    shown = value(meter.input_registers(), 72)
    assert abs(Fraction(shown) - Fraction(measured.import_w_ns, 1000 * W_NS_PER_WH)) < Fraction(1, 10**6)


def test_a_pv_plant_counts_on_the_export_register_alone() -> None:
    hand = Hand()
    meter = make_meter(SDM630, -36_000, hand, import_wh=5)
    hand.now_ns += 100 * NS_PER_S
    measured = meter.measure()
    assert (measured.import_w_ns, measured.export_w_ns) == (5 * W_NS_PER_WH, 1000 * W_NS_PER_WH)


def test_a_clock_that_goes_back_never_counts_twice() -> None:
    hand = Hand()
    meter = make_meter(SDM120, 3600, hand)
    hand.now_ns += 10 * NS_PER_S
    before = meter.measure()
    hand.now_ns -= 5 * NS_PER_S
    assert meter.measure() == before
    hand.now_ns += 6 * NS_PER_S
    assert meter.measure().import_w_ns == 11 * W_NS_PER_WH


def test_serial_number_and_settings_are_holding_registers() -> None:
    single, three = (make_meter(model, 0).holding_registers() for model in (SDM120, SDM630))
    for words in (single, three):
        assert words[64512] << 16 | words[64513] == 4_242_424_242
    assert single[64514] == 0x0020
    assert value(three, 30) == 0.0  # energies in kWh
    assert value(three, 40) == 2141.0  # high word first
