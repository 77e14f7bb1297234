"""Walking a SunSpec device: wherever its mark stands, and never for ever."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from meter import identify, profile, sunspec
from meter.board import linux as board
from meter.config import Line as LineSettings
from meter.errors import LineError
from meter.instrument import CHECK_EVERY, Instrument
from meter.modbus import BUSY, ILLEGAL_DATA_ADDRESS, ExceptionResponse


class Device:
    """A line whose only slave holds *words*; where none is, it answers with an exception."""

    def __init__(self, words: dict[int, int]) -> None:
        self.words = words
        self.reads = 0

    async def identify(self, _slave: int) -> dict[int, bytes]:
        raise ExceptionResponse(1)

    async def read(self, _slave: int, _function: int, address: int, count: int) -> bytes:
        self.reads += 1
        places = range(address, address + count)
        if any(place not in self.words for place in places):
            raise ExceptionResponse(ILLEGAL_DATA_ADDRESS)
        return struct.pack(f">{count}H", *(self.words[place] for place in places))


def device(base: int, *models: tuple[int, int]) -> Device:
    words = {base: 0x5375, base + 1: 0x6E53}
    place = base + 2
    for number, length in (*models, (0xFFFF, 0)):
        words |= {place: number, place + 1: length} | dict.fromkeys(range(place + 2, place + 2 + length), 0)
        place += 2 + length
    return Device(words)


@pytest.mark.parametrize("base", sunspec.BASES)
async def test_models_are_found_wherever_the_mark_stands(base: int) -> None:
    found = await sunspec.walk(device(base, (1, 66), (113, 60), (203, 105)), 1)
    assert found == {1: base + 2, 113: base + 70, 203: base + 132}


async def test_a_device_without_the_mark_is_none_of_sunspecs() -> None:
    with pytest.raises(LineError, match="no SunSpec device"):
        await sunspec.walk(Device(dict.fromkeys(range(60000), 0)), 1)


@pytest.mark.parametrize("words", [dict.fromkeys(range(0x10000), 7), dict.fromkeys(range(0x10000), 0)])
async def test_a_chain_without_an_end_is_given_up(words: dict[int, int]) -> None:
    looped = Device(words | {40000: 0x5375, 40001: 0x6E53})
    with pytest.raises(LineError, match="no end"):
        await sunspec.walk(looped, 1)
    assert looped.reads <= sunspec.MAX_MODELS + 1


@given(st.lists(st.integers(0, 0xFFFF), max_size=300))
async def test_no_device_does_more_than_be_refused(words: list[int]) -> None:
    strange = Device(dict(enumerate([0x5375, 0x6E53, *words], 40000)))
    try:
        found = await sunspec.walk(strange, 1)
        assert all(place >= 40002 for place in found.values())
    except LineError as error:
        assert str(error)
    assert strange.reads <= sunspec.MAX_MODELS + len(sunspec.BASES)


async def test_a_device_without_the_profiles_model_says_which_it_has() -> None:
    instrument = Instrument(profile.load("sunspec_203"), device(40000, (1, 66), (103, 50)), 1, board)
    with pytest.raises(LineError, match=r"no SunSpec model 203: \[1, 103\]"):
        await instrument.read(is_boundary=True)


async def test_another_device_in_its_place_is_found_at_its_own_registers() -> None:
    lone, behind_another = (device(40000, *models) for models in (((203, 105),), ((1, 66), (203, 105))))
    lone.words |= {40002 + 47: 11, 40002 + 54: 0}
    behind_another.words |= {40070 + 47: 22, 40070 + 54: 0}
    instrument = Instrument(profile.load("sunspec_203"), lone, 1, board)
    assert dict((await instrument.read(is_boundary=True))[0])[180] == 11
    lone.words = behind_another.words
    for _ in range(CHECK_EVERY + 1):
        values, _ = await instrument.read(is_boundary=False)
    assert dict(values)[180] == 22


async def test_a_device_without_the_common_model_is_recognised_without_a_serial_number() -> None:
    settings = LineSettings("tty", 9600, "none", 1)
    found = await identify._describe(device(40000, (203, 105)), settings, 1)
    assert (found["profile"], found["model"], found["serial_number"]) == ("sunspec_203", "SunSpec meter 203", None)


async def test_a_device_that_is_none_of_the_profiles_is_said_to_be_unknown() -> None:
    found = await identify._describe(device(40000, (160, 20)), LineSettings("tty", 9600, "none", 1), 1)
    assert (found["profile"], found["model"]) == (None, None)


ENERGIES = dict.fromkeys(range(72, 76), 0)
RIGHT = {30: 0, 31: 0, 40: 0x4505, 41: 0xD000}


async def test_a_setting_that_a_variant_has_not_cannot_be_wrong() -> None:
    values, _ = await Instrument(profile.load("eastron_sdm630"), Device(ENERGIES), 1, board).read(is_boundary=True)
    assert values == ((180, 0), (280, 0))


async def test_a_setting_that_cannot_be_asked_just_now_is_not_taken_for_right(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Device(ENERGIES | RIGHT)
    read = meter.read

    async def be_busy_with_settings(slave: int, function: int, address: int, count: int) -> bytes:
        if function == 3:
            raise ExceptionResponse(BUSY)
        return await read(slave, function, address, count)

    monkeypatch.setattr(meter, "read", be_busy_with_settings)
    with pytest.raises(LineError, match="busy"):
        await Instrument(profile.load("eastron_sdm630"), meter, 1, board).read(is_boundary=True)


async def test_settings_are_checked_while_it_reads_and_a_wrong_one_stops_boundaries_too() -> None:
    meter = Device(dict.fromkeys(range(80), 0) | RIGHT)
    instrument = Instrument(profile.load("eastron_sdm630"), meter, 1, board)
    await instrument.read(is_boundary=False)
    meter.words[30] = 0x3F80  # someone sets MWh at the keys
    for _ in range(CHECK_EVERY):
        await instrument.read(is_boundary=False)
    await instrument.read(is_boundary=True)  # a check holds no boundary up
    for is_boundary in (False, True, True):
        with pytest.raises(LineError, match="energy unit"):
            await instrument.read(is_boundary=is_boundary)
    meter.words[30] = 0
    assert await instrument.read(is_boundary=True)


async def test_settings_are_checked_when_a_meter_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Device(dict.fromkeys(range(80), 0) | RIGHT)
    instrument = Instrument(profile.load("eastron_sdm630"), meter, 1, board)
    await instrument.read(is_boundary=True)

    async def be_gone(*_request: int) -> bytes:
        raise LineError("the meter did not answer")

    with monkeypatch.context() as patch:
        patch.setattr(meter, "read", be_gone)
        with pytest.raises(LineError, match="did not answer"):
            await instrument.read(is_boundary=True)
    meter.words[30] = 0x3F80
    with pytest.raises(LineError, match="energy unit"):
        await instrument.read(is_boundary=True)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_text(data: bytes) -> None:
    assert sunspec.text(data).isascii()
