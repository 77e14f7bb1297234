"""Profiles: registers where the meters have them, few requests, exact sums, and each model's traps avoided."""

from __future__ import annotations

import csv
import re
import struct
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from meter import profile, profiles, registers
from meter.errors import ConfigError, LineError

REGISTER_MAPS = Path(__file__).parents[1] / "data" / "register-maps.csv"
MODELS = {
    "eastron_sdm120": "SDM120", "eastron_sdm230": "SDM230", "eastron_sdm630": "SDM630", "eastron_sdm72dm": "SDM72D-M",
    "carlo_gavazzi_em24": "EM24 (RS485)", "carlo_gavazzi_em340": "EM340", "carlo_gavazzi_em111": "EM111",
    "schneider_iem3155": "iEM3155", "schneider_iem3255": "iEM3255", "abb_b23": "B23", "abb_b24": "B24",
    "janitza_umg96": "UMG 96RM-E", "janitza_umg103": "UMG 103", "siemens_pac2200": "PAC2200",
    "sunspec_101": "101", "sunspec_102": "102", "sunspec_103": "103",
    "sunspec_201": "201", "sunspec_202": "202", "sunspec_203": "203", "sunspec_204": "204",
}  # fmt: skip
UNITS = {"kWh": 3, "Wh": 0, "W": 0, "kW": 3, "V": 1}
RESOLUTION_AT_WH = 100_000_000


def facts(model: str) -> dict[tuple[str, int], dict[str, str]]:
    with REGISTER_MAPS.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == model and row["address_dec"]]
    return {(row["quantity"], int(row["address_dec"])): row for row in rows}


def fact(name: str, register: registers.Register) -> dict[str, str]:
    obis = f"{register.code // 100}.{register.code // 10 % 10}."
    found = [
        row
        for (_, place), row in facts(MODELS[name]).items()
        if place == register.address and row["obis"].startswith(obis) and "partial" not in row["obis"]
    ]
    assert len(found) == 1, (name, register)
    return found[0]


def test_every_model_has_its_profile() -> None:
    assert set(profiles.NAMES) == set(MODELS)
    folder = Path(profiles.__file__).parent
    assert set(profiles.NAMES) == {path.stem for path in folder.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("name", MODELS)
def test_each_register_lies_where_its_sources_have_it(name: str) -> None:
    for register in profile.load(name).registers:
        row = fact(name, register)
        plain = register.type.removesuffix("le").replace("magnitude", "int")
        assert str(register.function) in row["function_code"].split("|")
        assert (plain, register.words) == (row["type"], int(row["register_count"]))
        assert register.type.endswith("le") == (row["word_order"] == "little")
        scale, _, place = row["scale"].partition("^sunssf@")
        if place:
            assert (scale, register.scale, register.exponent) == ("10", int(place), UNITS[row["unit"]])
        else:
            assert Fraction(10) ** register.exponent == Fraction(scale) * 10 ** UNITS[row["unit"]]


@pytest.mark.parametrize("name", MODELS)
def test_both_energies_are_read_and_the_resolution_is_the_registers(name: str) -> None:
    loaded = profile.load(name)
    codes = {register.code for register in loaded.registers} | set(loaded.absent)
    assert set(profile.ENERGY) <= codes
    for register in loaded.registers:
        if register.code in profile.ENERGY:
            assert loaded.resolution_wh == step_wh(register)


def step_wh(register: registers.Register) -> int:
    """Return the step of an energy register at 100 MWh, rounded up; at scale factor 0 for SunSpec."""
    if not register.type.startswith("float"):
        return 10**register.exponent
    digits = 24 if register.type == "float32" else 53
    unit_wh = 10**register.exponent
    step = Fraction(2) ** ((RESOLUTION_AT_WH // unit_wh).bit_length() - digits) * unit_wh
    return -(-step.numerator // step.denominator)


@pytest.mark.parametrize("name", MODELS)
def test_no_request_is_longer_than_the_meter_allows_or_crosses_a_wide_gap(name: str) -> None:
    loaded = profile.load(name)
    for requests in (loaded.boundary, loaded.telemetry):
        for request in requests:
            assert request.words <= loaded.max_words <= 125
        assert sum(len(request.registers) for request in loaded.telemetry) == len(loaded.registers)


@pytest.mark.parametrize("name", MODELS)
def test_line_settings_as_delivered_are_stated(name: str) -> None:
    baud, parity, stop_bits, slave = profile.load(name).line
    assert baud in {2400, 9600, 19200, 115200}
    assert parity in {"none", "even"}
    assert stop_bits in {1, 2}
    assert 1 <= slave <= 247


def places(requests: tuple[profile.Request, ...]) -> list[tuple[int, int]]:
    return [(request.address, request.words) for request in requests]


def test_neighbours_share_a_request_and_distant_registers_do_not() -> None:
    assert places(profile.load("schneider_iem3155").telemetry) == [(3027, 34), (3203, 8)]
    assert places(profile.load("siemens_pac2200").telemetry) == [(1, 6), (65, 2), (801, 16)]


REQUESTS = {  # of a boundary reading and of a periodic one
    "eastron_sdm120": (1, 1), "eastron_sdm230": (1, 2), "eastron_sdm630": (1, 1), "eastron_sdm72dm": (1, 1),
    "carlo_gavazzi_em24": (2, 4), "carlo_gavazzi_em340": (1, 2), "carlo_gavazzi_em111": (1, 1),
    "schneider_iem3155": (1, 2), "schneider_iem3255": (1, 2), "abb_b23": (1, 2), "abb_b24": (1, 2),
    "janitza_umg96": (1, 1), "janitza_umg103": (1, 2), "siemens_pac2200": (1, 3),
} | dict.fromkeys([name for name in MODELS if name.startswith("sunspec")], (1, 1))  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_reading_takes_as_few_requests_as_the_meter_allows(name: str) -> None:
    loaded = profile.load(name)
    assert (len(loaded.boundary), len(loaded.telemetry)) == REQUESTS[name]


@given(
    starts=st.sets(st.integers(0, 300), min_size=1, max_size=7), longest=st.integers(2, 125), gap=st.integers(0, 125)
)
def test_no_other_merging_takes_fewer_requests(starts: set[int], longest: int, gap: int) -> None:
    wanted = [registers.register(100 + place, 4, 2 * start, "float32", 0) for place, start in enumerate(starts)]
    requests = profile.merge(wanted, longest, gap)
    assert sorted(register for request in requests for register in request.registers) == sorted(wanted)
    fewest = [0]
    firsts = sorted(2 * start for start in starts)
    for end in range(1, len(firsts) + 1):
        fewest.append(min(fewest[begin] + 1 for begin in range(end) if is_one(firsts[begin:end], longest, gap)))
    assert len(requests) == fewest[-1]


def is_one(firsts: list[int], longest: int, gap: int) -> bool:
    """Tell whether float registers at *firsts* may share a request."""
    return firsts[-1] + 2 - firsts[0] <= longest and all(
        later - earlier - 2 <= gap for earlier, later in pairwise(firsts)
    )


@pytest.mark.parametrize("name", MODELS)
def test_each_fact_of_a_profile_states_its_source_or_that_it_is_unverified(name: str) -> None:
    folder = Path(profiles.__file__).parent
    source = (folder / f"{name}.py").read_text()
    loaded = profile.load(name)
    known = set(re.findall(r"\[(?:[A-Z], )*([A-Z])\b", source)) | {"unverified"}
    for fact in re.findall(r"^(LINE|MAX_WORDS|MAX_GAP_WORDS|IDENTITY|SERIAL) = (.*)$", source, re.MULTILINE):
        comment = fact[1].rpartition("#")[2]
        assert is_sourced(comment, known), (name, fact)
    own = set(re.findall(r"^    \(.*\"([^\"]*)\"\),$", source, re.MULTILINE))
    for sources in own - {""}:
        assert loaded.sunspec_model or is_sourced(sources, known), (name, sources)


def is_sourced(text: str, known: set[str]) -> bool:
    return not known.isdisjoint(re.findall(r"\b([A-Z]|unverified)\b", text)) or "SunSpec" in text


def test_what_is_unverified_is_marked_in_the_readme_too() -> None:
    folder = Path(profiles.__file__).parent
    readme = (folder.parents[1] / "README.md").read_text()
    for name in profiles.NAMES:
        source = (folder / f"{name}.py").read_text()
        if name.startswith("sunspec") or not re.search(r"^(LINE = |    \().*unverified", source, re.MULTILINE):
            continue
        assert re.search(rf"^\| .*`{name}`.*unverified", readme, re.MULTILINE), name


def test_long_runs_are_cut_at_the_meters_limit() -> None:
    wanted = [registers.register(100 + place, 4, 2 * place, "float32", 0) for place in range(100)]
    requests = profile.merge(wanted, 80, 10)
    assert [request.words for request in requests] == [80, 80, 40]
    assert sum(len(request.registers) for request in requests) == 100


def read(name: str, words: dict[int, int], before: tuple[tuple[int, int], ...] = ()) -> dict[int, int]:
    """Return what profile *name* makes of *words*; other registers hold 0."""
    loaded = profile.load(name)
    found = []
    for request in loaded.telemetry:
        data = [words.get(place, 0) for place in range(request.address, request.address + request.words)]
        found += profile.decode(request, struct.pack(f">{len(data)}H", *data), before)
    return dict(profile.settle(loaded, found, before))


def in_words(place: int, layout: str, value: float, *, is_low_first: bool = False) -> dict[int, int]:
    data = struct.pack(layout, value)
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    return dict(enumerate(reversed(words) if is_low_first else words, place))


def test_an_em24_is_billed_by_its_total_not_by_the_counter_that_anyone_resets() -> None:
    words = in_words(0x3E, ">i", 12345, is_low_first=True) | in_words(0x42, ">i", 99, is_low_first=True)
    assert read("carlo_gavazzi_em24", words)[180] == 1_234_500


def test_an_em111_that_counts_export_downwards_exported_its_magnitude() -> None:
    assert read("carlo_gavazzi_em111", in_words(32, ">i", -77, is_low_first=True))[280] == 7_700


def test_a_pac2200_is_billed_for_both_tariffs_added_before_they_are_truncated() -> None:
    words = (
        in_words(801, ">d", 1000.5) | in_words(805, ">d", 2000.5) | in_words(809, ">d", 7.75) | in_words(813, ">d", 0.5)
    )
    values = read("siemens_pac2200", words)
    assert (values[180], values[280]) == (3001, 8)


def test_an_iem3155_is_read_one_below_its_manuals_numbers() -> None:
    words = in_words(3204 - 1, ">q", 123_456_789_012) | in_words(3060 - 1, ">f", -1.5)
    values = read("schneider_iem3155", words)
    assert (values[180], values[1670]) == (123_456_789_012, -1500)


def test_an_abb_variant_without_export_reads_0_there_and_one_that_had_some_is_not_believed() -> None:
    words = in_words(20480, ">Q", 100) | dict.fromkeys(range(20484, 20488), 0xFFFF)
    assert read("abb_b23", words) == {180: 1000, 280: 0} | dict.fromkeys((1670, 3270, 5270, 7270), 0)
    with pytest.raises(LineError, match="register 20484"):
        read("abb_b23", words, ((180, 0), (280, 5)))
    with pytest.raises(LineError, match="register 20480"):
        read("abb_b23", dict.fromkeys(range(20480, 20484), 0xFFFF))


def test_a_quantity_that_is_no_energy_and_not_there_is_left_out() -> None:
    values = read("schneider_iem3155", in_words(3203, ">q", 5) | in_words(3029, ">f", float("nan")))
    assert 5270 not in values
    assert (values[180], values[3270]) == (5, 0)


@pytest.mark.parametrize(
    ("scale", "raw", "wh"), [(0, 5, 5), (3, 5, 5000), (-1, 59, 5), (-10, 2**32 - 2, 0), (10, 1, 10**10)]
)
def test_a_sunspec_meter_is_scaled_by_its_factor(scale: int, raw: int, wh: int) -> None:
    words = in_words(46, ">I", raw) | in_words(54, ">h", scale)
    assert read("sunspec_203", words)[180] == wh


@pytest.mark.parametrize("scale", [-32768, 11, -11])
def test_a_sunspec_meter_without_a_scale_factor_is_not_believed(scale: int) -> None:
    with pytest.raises(LineError, match="register"):
        read("sunspec_203", in_words(46, ">I", 1) | in_words(54, ">h", scale))


def test_a_sunspec_inverter_exports_what_it_produces_and_imports_nothing() -> None:
    values = read("sunspec_103", in_words(24, ">I", 4321) | in_words(14, ">h", 999))
    assert (values[180], values[280], values[1670]) == (0, 4321, -999)


@given(
    scale=st.integers(-4, 4),
    start=st.integers(0, 2**34),
    steps=st.lists(st.integers(0, profile.MAX_ROLL_OVER), max_size=30),
)
@example(scale=-1, start=4_026_531_841, steps=[profile.MAX_ROLL_OVER])  # what was truncated counts for less than 1 Wh
def test_a_counter_that_rolls_over_goes_on_counting(scale: int, start: int, steps: list[int]) -> None:
    count = start
    before = whole(count, scale)
    for step in steps:
        count += step
        raw = (count % 2**32 * 10**scale, 1) if scale >= 0 else (count % 2**32, 10**-scale)
        after = registers.truncate(*profile.unroll(raw, scale, before))
        assert after == whole(count, scale)
        before = after


def whole(count: int, scale: int) -> int:
    return int(count * Fraction(10) ** scale)


@given(before=st.integers(0, 2**36), raw=st.integers(0, 2**32 - 1))
def test_a_counter_that_was_set_back_never_leaps_ahead(before: int, raw: int) -> None:
    after = registers.truncate(*profile.unroll((raw, 1), 0, before))
    assert after % 2**32 == raw
    assert after <= max(raw, before + profile.MAX_ROLL_OVER)


def test_a_sunspec_device_that_answers_all_ones_is_not_believed() -> None:
    with pytest.raises(LineError, match="register 38"):
        read("sunspec_203", dict.fromkeys(range(110), 0xFFFF))


def test_a_power_or_voltage_that_is_not_implemented_is_left_out() -> None:
    words = in_words(46, ">I", 5) | {18: 0x8000, 22: 0, 8: 2300, 15: 0x8000, 54: 0}
    assert read("sunspec_203", words) == {180: 5, 280: 0}


def test_an_absurd_voltage_does_not_cost_the_energy() -> None:
    assert read("eastron_sdm120", in_words(72, ">f", 2.0) | in_words(0, ">I", 0x7F7FFFFF)) == {
        180: 2000, 280: 0, 1670: 0,
    }  # fmt: skip


@pytest.mark.parametrize("bits", [0x7F800000, 0x7FC00000, 0xBF800000, 0x7F7FFFFF])
def test_an_energy_that_is_no_number_is_refused(bits: int) -> None:
    with pytest.raises(LineError, match="no usable number"):
        read("eastron_sdm120", in_words(72, ">I", bits))


def test_power_may_be_negative_and_voltage_has_a_decimal() -> None:
    values = read("eastron_sdm120", in_words(0, ">f", 230.59) | in_words(12, ">f", -1500.9))
    assert (values[3270], values[1670]) == (2305, -1500)


@pytest.mark.parametrize("name", ["", "eastron_sdm121", "../profile", "a.b", "__init__", "profiles", "NAMES"])
def test_an_unknown_profile_is_a_clear_error(name: str) -> None:
    with pytest.raises(ConfigError, match="profiles/"):
        profile.load(name)
