"""SunSpec model 203: three-phase meter, wye. Offsets as in model 201 (sunspec/models json/model_203.json)."""

from meter.profiles.sunspec_201 import (  # noqa: F401
    IDENTITY,
    LINE,
    MAX_GAP_WORDS,
    MAX_WORDS,
    REGISTERS,
    RESOLUTION_WH,
    SERIAL,
)

MODEL = "SunSpec meter 203"
SUNSPEC_MODEL = 203
