"""Where settlement begins: the first epoch of which the gateway holds a boundary reading of every meter."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from provisioning.errors import EnrolmentError


@dataclass(frozen=True, slots=True)
class Baseline:
    """The epoch, and each meter's boundary reading at its start as the envelope that the meter signed."""

    epoch: int
    envelopes: dict[bytes, bytes]


async def find(http: httpx.AsyncClient, gateway_url: str, meter_ids: Sequence[bytes]) -> Baseline | None:
    """Return the first common baseline of *meter_ids*, or None while a meter lacks one; raises EnrolmentError."""
    found = await asyncio.gather(*(_boundaries(http, gateway_url, meter_id) for meter_id in meter_ids))
    common = set.intersection(*(set(epochs) for epochs in found))
    if not common:
        return None
    epoch = min(common)
    return Baseline(epoch, {meter_id: epochs[epoch] for meter_id, epochs in zip(meter_ids, found, strict=True)})


async def _boundaries(http: httpx.AsyncClient, gateway_url: str, meter_id: bytes) -> dict[int, bytes]:
    """Return the envelopes of the meter's first good boundary readings, by epoch."""
    try:
        response = await http.get(f"{gateway_url}/api/readings", params={"meter": meter_id.hex(), "after": 0})
        response.raise_for_status()
        readings: list[dict[str, Any]] = response.json()["readings"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise EnrolmentError(f"the gateway at {gateway_url} does not tell its readings: {error!r}") from error
    return {
        reading["epoch"]: base64.b64decode(reading["envelope"])
        for reading in readings
        if reading["reason"] == "boundary" and reading["refusal"] is None
    }
