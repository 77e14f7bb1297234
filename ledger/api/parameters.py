"""The kinds of values that stand in paths and query strings, and what the OpenAPI document says of bodies."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Path, Response
from pydantic import BaseModel

MAX_HEIGHT: Final = 2**63 - 1
MAX_EPOCH: Final = 2**32 - 1

ID_PATTERN: Final = "^[0-9a-f]{16}$"

Id = Annotated[str, Path(pattern=ID_PATTERN)]
Hash = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Height = Annotated[int, Path(ge=0, le=MAX_HEIGHT)]
EpochNumber = Annotated[int, Path(ge=0, le=MAX_EPOCH)]


class CborResponse(Response):
    """A file in CBOR."""

    media_type = "application/cbor"


def documented_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that its route reads by itself, held to a length."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}
