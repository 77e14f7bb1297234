"""The simulated meter models beside Eastron's SDM120 and SDM630: register images, line settings, known traps."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Final

from hil.resources.register_image import CENTI, DECI, DOUBLE, FLOAT, KWH, SUNSPEC_BASE, Image, Point, text, volts
from hil.resources.virtual_meter import MODELS, Model

INPUT, HOLDING, BOTH = frozenset({4}), frozenset({3}), frozenset({3, 4})
SAVED_EVERY_S: Final = 300
"""Janitza's devices write their counters to flash this often; a mains cut sets them back to that."""
TENTH_KWH: Final = KWH / 10


def word(value: int) -> bytes:
    """Return one register with *value*."""
    return struct.pack(">H", value)


def _low(quantity: str, address: int, unit: Fraction) -> Point:
    return Point(quantity, address, ">i", unit, low_word_first=True)


def _eastron(*others: Point) -> tuple[Point, ...]:
    energies = (Point("import", 72, FLOAT, KWH), Point("export", 74, FLOAT, KWH), Point("sum", 342, FLOAT, KWH))
    return (*energies, *others)


_GAVAZZI_MODE = {"mode_a": {4355: word(0)}}
_SDM230 = Image(
    INPUT, _eastron(Point("power", 12, FLOAT), Point("voltage_l1", 0, FLOAT)), serial=(64512, ">I"), filled=range(80)
)
_SDM72DM = Image(
    INPUT,
    _eastron(
        Point("power", 52, FLOAT), Point("power_import", 1280, FLOAT), Point("power_export", 1282, FLOAT),
        Point("partial", 388, FLOAT, KWH),
    ), filled=range(80),
)  # fmt: skip
_EM24 = Image(
    BOTH,
    (
        *volts(0, ">i", DECI, low_word_first=True), _low("power", 40, DECI), _low("import", 62, TENTH_KWH),
        _low("partial", 66, TENTH_KWH), _low("export", 92, TENTH_KWH),
    ),
    {11: word(71), 4353: word(7)}, (4864, 7), settings={"application_a": {4353: word(0)}},
)  # fmt: skip
_EM340 = Image(
    BOTH,
    (
        *volts(0, ">i", DECI, low_word_first=True), _low("power", 40, DECI), _low("import", 52, TENTH_KWH),
        _low("export", 78, TENTH_KWH),
    ),
    {11: word(341), 4355: word(1)}, (20480, 7), is_spaced=True, settings=_GAVAZZI_MODE, filled=range(86),
)  # fmt: skip
_EM111 = Image(
    BOTH,
    (
        _low("voltage_l1", 0, DECI), _low("power", 4, DECI), _low("import", 16, TENTH_KWH),
        _low("minus_export", 32, TENTH_KWH),
    ),
    {11: word(103), 4355: word(1)}, (20480, 7), is_spaced=True, settings=_GAVAZZI_MODE, filled=range(54),
)  # fmt: skip


def _iem(name: str, **ratio: int) -> Image:
    fixed = {49: text(name, 20)} | {int(place[1:]): word(value) for place, value in ratio.items()}
    points = (
        *volts(3027, FLOAT), Point("power", 3059, FLOAT, KWH), Point("import", 3203, ">q"), Point("export", 3207, ">q"),
        Point("partial", 3255, ">q"),
    )  # fmt: skip
    return Image(HOLDING, points, fixed, (129, ">I"), filled=range(2999, 3110))


def _abb(name: str) -> Image:
    points = (
        *volts(23296, ">I", DECI), Point("power", 23316, ">i", CENTI), Point("import", 20480, ">Q", KWH / 100),
        Point("export", 20484, ">Q", KWH / 100),
    )  # fmt: skip
    no_export = {"no_export": {20484: b"\xff" * 8}}
    named = {35168: text(f"{name} 112-100", 6)}
    return Image(HOLDING, points, named, (35072, ">I"), settings=no_export, filled=range(23296, 23322))


_JANITZA = (Point("power", 19026, FLOAT), Point("import", 19068, FLOAT), Point("export", 19076, FLOAT))
_UMG96 = Image(
    BOTH, (*volts(19000, FLOAT), *_JANITZA, Point("frequency", 19050, FLOAT)),
    {place: struct.pack(FLOAT, ampere) for place, ampere in zip((10, 12, 18, 20, 26, 28), 3 * (250, 5), strict=True)},
    filled=range(19000, 19122),
)  # fmt: skip
_UMG103 = Image(BOTH, (*volts(1000, FLOAT), *_JANITZA, Point("frequency", 1226, FLOAT)), filled=range(19000, 19122))
_PAC2200 = Image(
    BOTH,
    (
        *volts(1, FLOAT), Point("power", 65, FLOAT),
        Point("import_tariff_1", 801, DOUBLE), Point("import_tariff_2", 805, DOUBLE),
        Point("export_tariff_1", 809, DOUBLE), Point("export_tariff_2", 813, DOUBLE),
    ),
    only_whole=True,
)  # fmt: skip


def _sunspec(number: int, length: int, points: tuple[Point, ...], scales: dict[int, int]) -> Image:
    """Return a device with the common model and model *number*, at the first place where the mark may stand."""
    start = SUNSPEC_BASE + 2 + 2 + 66
    common = word(1) + word(66) + text("campusgrid", 16) + text(f"model {number}", 16) + bytes(32)
    fixed = {
        SUNSPEC_BASE: b"SunS", SUNSPEC_BASE + 2: common + bytes(36),
        start: word(number) + word(length) + bytes(2 * length), start + 2 + length: b"\xff\xff\0\0",
    } | {start + offset: struct.pack(">h", scale) for offset, scale in scales.items()}  # fmt: skip
    moved = tuple(Point(p.quantity, start + p.address, p.layout, p.unit) for p in points)
    return Image(HOLDING, moved, fixed, (SUNSPEC_BASE + 2 + 50, 16))


def _sunspec_meter(number: int) -> Image:
    points = (
        *volts(8, ">h", DECI, 1), Point("power", 18, ">h", Fraction(10)),
        Point("import", 46, ">I", DECI), Point("export", 38, ">I", DECI),
    )  # fmt: skip
    return _sunspec(number, 105, points, {15: -1, 22: 1, 54: -1})


def _sunspec_inverter(number: int) -> Image:
    points = (*volts(10, ">H", DECI, 1), Point("production", 14, ">h"), Point("export", 24, ">I"))
    return _sunspec(number, 50, points, {13: -1, 15: 0, 26: 0})


def _model(profile: str, image: Image, phases: int, max_words: int, baud: int = 9600, save_s: int = 0) -> Model:
    return Model(profile, profile, phases, 30_000, baud, image, max_words, save_s)


_IMAGED = (
    _model("eastron_sdm230", _SDM230, 1, 60, 2400),
    _model("eastron_sdm72dm", _SDM72DM, 3, 80),
    _model("carlo_gavazzi_em24", _EM24, 3, 11),
    _model("carlo_gavazzi_em340", _EM340, 3, 50),
    _model("carlo_gavazzi_em111", _EM111, 1, 50),
    _model("schneider_iem3155", _iem("iEM3155"), 3, 125, 19200),
    _model("schneider_iem3255", _iem("iEM3255", _2029=250, _2030=5), 3, 125, 19200),
    _model("abb_b23", _abb("B23"), 3, 125, 19200),
    _model("abb_b24", _abb("B24"), 3, 125, 19200),
    _model("janitza_umg96", _UMG96, 3, 96, 115200, SAVED_EVERY_S),
    _model("janitza_umg103", _UMG103, 3, 96, 115200, SAVED_EVERY_S),
    _model("siemens_pac2200", _PAC2200, 3, 125, 19200),
    *(_model(f"sunspec_{number}", _sunspec_meter(number), 3, 125) for number in (201, 202, 203, 204)),
    *(_model(f"sunspec_{number}", _sunspec_inverter(number), 3, 125) for number in (101, 102, 103)),
)
BY_PROFILE: Final = {model.profile: model for model in (*MODELS.values(), *_IMAGED)}
"""Every simulated model by the name of the firmware's profile for it."""
BY_NAME: Final = MODELS | {model.name: model for model in _IMAGED}
"""Every simulated model by its own name."""
