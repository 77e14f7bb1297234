"""A simulated electricity meter, fed by a schedule of power: an Eastron SDM120 or SDM630, or any model with an image.

Layout after Eastron's "SDM120 Modbus Protocol v2.5" and "SDM630 Modbus Protocol v2.0": measured values are input
registers (function 4), two words each, IEEE 754 float32, high word first; serial number and settings are holding
registers (function 3). Energy is integrated in integers (W·ns) and becomes a float only in the register image, as in
the real meter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from hil.resources.register_image import STRICT, TARIFF_2_SHARE, Image, State
from hil.resources.trace import NS_PER_S, Schedule

W_NS_PER_WH: Final = 3600 * 1_000_000_000
W_NS_PER_KWH: Final = 1000 * W_NS_PER_WH
NOMINAL_DECIVOLT: Final = 2300
VOLTAGE_SWING_DECIVOLT: Final = 30
FREQUENCY_HZ: Final = 50.0

INPUT_UNLISTED: Final = 80
"""Input registers below this one can be read though the manuals list no number there (esphome sdm_meter.cpp does)."""
INPUT_VOLTAGE: Final = 0
INPUT_CURRENT: Final = 6
INPUT_PHASE_POWER: Final = 12
INPUT_PHASE_POWER_FACTOR: Final = 30
INPUT_TOTAL_POWER: Final = 52
INPUT_TOTAL_POWER_FACTOR: Final = 62
INPUT_FREQUENCY: Final = 70
INPUT_IMPORT: Final = 72
INPUT_EXPORT: Final = 74
INPUT_TOTAL_ENERGY: Final = 342
INPUT_PHASE_IMPORT: Final = 346
INPUT_PHASE_EXPORT: Final = 352
HOLDING_UNIT_PREFIX: Final = 30
HOLDING_WORD_ORDER: Final = 40
HOLDING_SERIAL_NUMBER: Final = 64512
HOLDING_MODEL_ID: Final = 64514
WORD_ORDER_MARK: Final = 2141.0
"""What an SDM630 answers in its word-order register when the order is the factory's (high word first)."""


@dataclass(frozen=True, slots=True)
class Model:
    """What sets one meter model apart from another. `rated_power_w` is what its terminals carry.

    `image` holds the registers of all but Eastron's first two models; `max_words` is what a request may ask for, and
    `save_s` how often the counters are saved where a mains cut sets them back, else 0.
    """

    name: str
    profile: str
    phases: int
    rated_power_w: int
    baud: int
    image: Image | None = None
    max_words: int = 80
    save_s: int = 0


SDM120: Final = Model("SDM120", "eastron_sdm120", 1, 10_000, 2400)
SDM630: Final = Model("SDM630", "eastron_sdm630", 3, 69_000, 9600)
MODELS: Final = {model.name: model for model in (SDM120, SDM630)}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a meter measures at one moment: signed power (export is negative) and its two counters in W·ns."""

    power_w: int
    import_w_ns: int
    export_w_ns: int


@dataclass(frozen=True, slots=True)
class Plate:
    """What is fixed about one meter: model, slave address, serial number, and what its counters start from in Wh.

    `settings` are the traps that someone set at its keys: `mwh`, `low_word_first` (SDM630), `mode_a`, `application_a`
    (Carlo Gavazzi), or its variant: `no_export` (ABB's), `strict` (refuses to read what lies between its numbers).
    """

    model: Model
    slave: int
    serial_number: int
    import_wh: int = 0
    export_wh: int = 0
    settings: frozenset[str] = frozenset()


class VirtualMeter:
    """One simulated meter on a line; a meter whose `alive` is False says nothing at all."""

    def __init__(self, plate: Plate, schedule: Schedule, now_ns: Callable[[], int]) -> None:
        self.plate = plate
        self.alive = True
        self._schedule = schedule
        self._now_ns = now_ns
        self._measured_until_ns = now_ns()
        self._import_w_ns = plate.import_wh * W_NS_PER_WH
        self._export_w_ns = plate.export_wh * W_NS_PER_WH
        self._saved = (self._measured_until_ns, self._import_w_ns, self._export_w_ns)

    def measure(self) -> Measured:
        """Integrate power up to now and return what the meter shows; a clock that stands or goes back adds nothing."""
        now_ns = max(self._now_ns(), self._measured_until_ns)
        imported, exported = self._schedule.energy_w_ns(self._measured_until_ns, now_ns)
        self._measured_until_ns = now_ns
        self._import_w_ns += imported
        self._export_w_ns += exported
        if self.plate.model.save_s and now_ns - self._saved[0] >= self.plate.model.save_s * NS_PER_S:
            self._saved = (now_ns, self._import_w_ns, self._export_w_ns)
        return Measured(self._schedule.power_at(now_ns), self._import_w_ns, self._export_w_ns)

    def cut_mains(self) -> None:
        """Take its supply away for a moment: a model that saves its counters now and then goes back to the last."""
        self.measure()
        if self.plate.model.save_s:
            _, self._import_w_ns, self._export_w_ns = self._saved

    def input_registers(self) -> dict[int, int]:
        """Return the words of all input registers as they are now, by address."""
        model, settings = self.plate.model, self.plate.settings
        if model.image:
            return model.image.words(4, self._state())
        values = _input_values(model, self.measure())
        if "mwh" in settings:
            values |= {address: values[address] / 1000 for address in values if address >= INPUT_IMPORT}
        unlisted = dict.fromkeys(() if STRICT in settings else range(INPUT_UNLISTED), 0)
        return unlisted | _words(values, low_word_first="low_word_first" in settings)

    def holding_registers(self) -> dict[int, int]:
        """Return the words of the holding registers, by address."""
        settings = self.plate.settings
        if self.plate.model.image:
            return self.plate.model.image.words(3, self._state())
        high, low = divmod(self.plate.serial_number, 2**16)
        registers = {HOLDING_SERIAL_NUMBER: high, HOLDING_SERIAL_NUMBER + 1: low}
        if self.plate.model is SDM120:
            return registers | {HOLDING_MODEL_ID: 0x0020}
        marks = {HOLDING_UNIT_PREFIX: 1.0 if "mwh" in settings else 0.0, HOLDING_WORD_ORDER: WORD_ORDER_MARK}
        return registers | _words(marks, low_word_first="low_word_first" in settings)

    def _state(self) -> State:
        """Return what a model with an image shows now."""
        measured, settings = self.measure(), self.plate.settings
        imported, exported = (Fraction(count, W_NS_PER_WH) for count in (measured.import_w_ns, measured.export_w_ns))
        if "mode_a" in settings:
            imported, exported = imported + exported, Fraction(0)
        power = Fraction(measured.power_w)
        values = {
            "import": imported, "export": exported, "minus_export": -exported, "sum": imported + exported,
            "partial": imported / 7, "power": power, "production": -power, "frequency": Fraction(50),
            "power_import": max(power, Fraction(0)), "power_export": max(-power, Fraction(0)),
        }  # fmt: skip
        for name, energy in (("import", imported), ("export", exported)):
            values[f"{name}_tariff_1"] = energy * (1 - TARIFF_2_SHARE)
            values[f"{name}_tariff_2"] = energy * TARIFF_2_SHARE
        decivolt = NOMINAL_DECIVOLT - VOLTAGE_SWING_DECIVOLT * measured.power_w // self.plate.model.rated_power_w
        values |= {f"voltage_l{phase + 1}": Fraction(decivolt + phase, 10) for phase in range(3)}
        return State(values, self.plate.serial_number, settings)


def _input_values(model: Model, measured: Measured) -> dict[int, float]:
    values = _energies(model, measured) | {INPUT_FREQUENCY: FREQUENCY_HZ}
    phase_power = measured.power_w / model.phases
    decivolt = NOMINAL_DECIVOLT - VOLTAGE_SWING_DECIVOLT * measured.power_w // model.rated_power_w
    for phase in range(model.phases):
        volt = (decivolt + phase) / 10
        values[INPUT_VOLTAGE + 2 * phase] = volt
        values[INPUT_CURRENT + 2 * phase] = abs(phase_power) / volt
        values[INPUT_PHASE_POWER + 2 * phase] = phase_power
        values[INPUT_PHASE_POWER_FACTOR + 2 * phase] = 1.0
    if model.phases > 1:
        values |= {INPUT_TOTAL_POWER: float(measured.power_w), INPUT_TOTAL_POWER_FACTOR: 1.0}
    return values


def _energies(model: Model, measured: Measured) -> dict[int, float]:
    values = {
        INPUT_IMPORT: measured.import_w_ns / W_NS_PER_KWH,
        INPUT_EXPORT: measured.export_w_ns / W_NS_PER_KWH,
        INPUT_TOTAL_ENERGY: (measured.import_w_ns + measured.export_w_ns) / W_NS_PER_KWH,
    }
    for phase in range(model.phases if model.phases > 1 else 0):
        values[INPUT_PHASE_IMPORT + 2 * phase] = values[INPUT_IMPORT] / model.phases
        values[INPUT_PHASE_EXPORT + 2 * phase] = values[INPUT_EXPORT] / model.phases
    return values


def _words(values: dict[int, float], *, low_word_first: bool = False) -> dict[int, int]:
    """Return float *values* as the words of float32 registers, high word first."""
    words: dict[int, int] = {}
    for address, value in values.items():
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        words[address], words[address + 1] = (low, high) if low_word_first else (high, low)
    return words
