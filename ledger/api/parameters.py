"""The kinds of values that stand in paths and query strings."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path

MAX_HEIGHT: Final = 2**63 - 1
MAX_EPOCH: Final = 2**32 - 1

ID_PATTERN: Final = "^[0-9a-f]{16}$"

Id = Annotated[str, Path(pattern=ID_PATTERN)]
Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Height = Annotated[int, Path(ge=0, le=MAX_HEIGHT)]
EpochNumber = Annotated[int, Path(ge=0, le=MAX_EPOCH)]
