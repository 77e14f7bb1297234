"""Profiles: exact integers out of float words, few requests, and registers where the meters have them."""

from __future__ import annotations

import csv
import math
import struct
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from meter import profile
from meter.errors import ConfigError, LineError

REGISTER_MAPS = Path(__file__).parents[1] / "data" / "register-maps-eastron.csv"
MODELS = {"eastron_sdm120": "SDM120", "eastron_sdm630": "SDM630"}
EXPONENTS = {"kWh": 3, "W": 0, "V": 1}


@given(bits=st.integers(0, 2**32 - 1), exponent=st.integers(0, 6))
@example(bits=0x7F800000, exponent=3)
@example(bits=0x7FC00000, exponent=3)
@example(bits=0x00000001, exponent=3)
@example(bits=0x80000000, exponent=3)
@example(bits=0x4CBEBC20, exponent=3)
def test_a_float_register_is_decoded_exactly_and_truncated(bits: int, exponent: int) -> None:
    number = struct.unpack(">f", bits.to_bytes(4, "big"))[0]
    value = profile.float32(bits, exponent)
    if not math.isfinite(number):
        assert value is None
    else:
        assert value == math.trunc(Fraction(number) * 10**exponent)


@pytest.mark.parametrize("name", MODELS)
def test_each_register_lies_where_its_sources_have_it(name: str) -> None:
    with REGISTER_MAPS.open() as file:
        rows = {row["obis"]: row for row in csv.DictReader(file) if row["model"] == MODELS[name]}
    for request in profile.load(name).telemetry:
        for register in request.registers:
            row = rows[f"{register.code // 100}.{register.code // 10 % 10}.0"]
            assert (register.function, register.address) == (int(row["function_code"]), int(row["address_dec"]))
            assert (register.type, register.words) == (row["type"], int(row["register_count"]))
            assert register.exponent == EXPONENTS[row["unit"]]


@pytest.mark.parametrize("name", MODELS)
def test_both_energies_come_out_of_one_request(name: str) -> None:
    (request,) = profile.load(name).boundary
    assert (request.address, request.words) == (72, 4)
    assert [register.code for register in request.registers] == [180, 280]


def test_neighbours_share_a_request_and_distant_registers_do_not() -> None:
    requests = profile.load("eastron_sdm630").telemetry
    assert [(request.address, request.words) for request in requests] == [(0, 6), (52, 2), (72, 4)]


def test_no_request_is_longer_than_the_meter_allows() -> None:
    registers = [profile.Register(100 + place, 4, 2 * place, 2, "float32", 0) for place in range(100)]
    requests = profile.merge(registers, 80, 10)
    assert [request.words for request in requests] == [80, 80, 40]
    assert sum(len(request.registers) for request in requests) == 100


@pytest.mark.parametrize("bits", [0x7F800000, 0x7FC00000, 0xBF800000, 0x7F7FFFFF])
def test_an_energy_that_is_no_number_is_refused(bits: int) -> None:
    (request,) = profile.load("eastron_sdm120").boundary
    with pytest.raises(LineError, match="register 72"):
        profile.decode(request, bits.to_bytes(4, "big") + bytes(4))


def test_power_may_be_negative_and_voltage_has_a_decimal() -> None:
    request = profile.load("eastron_sdm120").telemetry[0]
    data = struct.pack(">f20xf", 230.59, -1500.9)
    assert dict(profile.decode(request, data)) == {3270: 2305, 1670: -1500}


@pytest.mark.parametrize("name", ["", "eastron_sdm121", "../profile", "a.b", "__init__", "profiles"])
def test_an_unknown_profile_is_a_clear_error(name: str) -> None:
    with pytest.raises(ConfigError, match="profiles/"):
        profile.load(name)
