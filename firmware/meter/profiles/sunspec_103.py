"""SunSpec model 103: three-phase inverter. Offsets as in model 101 (sunspec/models json/model_103.json)."""

from meter.profiles.sunspec_101 import (  # noqa: F401
    ABSENT,
    IDENTITY,
    LINE,
    MAX_GAP_WORDS,
    MAX_WORDS,
    NEGATED,
    REGISTERS,
    RESOLUTION_WH,
    SERIAL,
)

MODEL = "SunSpec inverter 103"
SUNSPEC_MODEL = 103
