"""SunSpec model 202: split-phase meter. Offsets as in model 201 (sunspec/models json/model_202.json)."""

from meter.profiles.sunspec_201 import (  # noqa: F401
    IDENTITY,
    LINE,
    MAX_GAP_WORDS,
    MAX_WORDS,
    REGISTERS,
    RESOLUTION_WH,
    SERIAL,
)

MODEL = "SunSpec meter 202"
SUNSPEC_MODEL = 202
