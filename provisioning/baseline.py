"""Where settlement begins: the first epoch of which the gateway holds a boundary reading of every meter."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from provisioning.errors import EnrolmentError

PAGE_READINGS: Final = 1000


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
    """Return the envelopes of the meter's good boundary readings, by epoch."""
    found: dict[int, bytes] = {}
    query: dict[str, str | int] = {"meter": meter_id.hex(), "limit": PAGE_READINGS}
    while True:
        page = await _read_page(http, gateway_url, query)
        for reading in page["readings"]:
            if reading["reason"] == "boundary" and reading["refusal"] is None:
                found[reading["epoch"]] = base64.b64decode(reading["envelope"])
        if page["next"] is None:
            return found
        query["after"] = page["next"]


async def _read_page(http: httpx.AsyncClient, gateway_url: str, query: dict[str, str | int]) -> dict[str, Any]:
    try:
        response = await http.get(f"{gateway_url}/api/readings", params=query)
        response.raise_for_status()
        page: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise EnrolmentError(f"the gateway at {gateway_url} does not tell its readings: {error!r}") from error
    if not {"readings", "next"} <= page.keys():
        raise EnrolmentError(f"{gateway_url} does not answer as a gateway does; compare it with the plan")
    return page
