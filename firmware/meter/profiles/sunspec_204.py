"""SunSpec model 204: three-phase meter, delta. Offsets as in model 201 (sunspec/models json/model_204.json)."""

from meter.profiles.sunspec_201 import (  # noqa: F401
    IDENTITY,
    LINE,
    MAX_GAP_WORDS,
    MAX_WORDS,
    REGISTERS,
    RESOLUTION_WH,
    SERIAL,
)

MODEL = "SunSpec meter 204"
SUNSPEC_MODEL = 204
