"""The anchors' part of the API: the way from one stored reading to the anchor that the ledger has of it."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import FastAPI, Path
from starlette.exceptions import HTTPException

from gateway.access.roles import Access, Permission
from gateway.api.doors import require
from gateway.api.parameters import choose_meters
from gateway.epochs.spans import ALWAYS
from gateway.readings.overview import Overview
from gateway.store.anchors import AnchoredReading

Meter = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="The meter's id.")]
Sequence = Annotated[int, Path(ge=1, lt=2**32, description="The reading's number.")]


def add(application: FastAPI, overview: Overview) -> None:
    """Add the operation to *application*."""

    @application.get("/api/readings/{meter}/{sequence}/anchor", tags=["readings"])
    async def anchor(meter: Meter, sequence: Sequence, access: Access = require(Permission.READINGS)) -> dict[str, Any]:
        """The anchor of one reading, and the Merkle path (RFC 6962) to its root: proves that it was here by then.

        The leaf's data is the SHA-256 of the envelope. GET /v1/proofs/transactions/{transaction_id} of a ledger node
        proves the anchor.
        """
        meter_id, seen = bytes.fromhex(meter), choose_meters(overview, access, meter)
        found = await overview.anchors.find_reading(meter_id, sequence, ALWAYS if seen is None else seen[meter_id])
        if found is None:
            text = f"no anchor leads to reading {sequence} of meter {meter}: it is not stored, its anchor is not made"
            raise HTTPException(404, f"{text} yet (wait a minute), or what lay beside it is not kept any more")
        return describe(found)


def describe(found: AnchoredReading) -> dict[str, Any]:
    """Return a reading with its anchor and the path between them; hashes in hex, the lowest of the path first."""
    made = found.anchor
    return {
        "hash": found.reading_hash.hex(), "envelope": base64.b64encode(found.raw).decode(),
        "index": found.index, "path": [step.hex() for step in found.path],
        "anchor": {
            "gateway": made.gateway.hex(), "number": made.number, "time": made.time, "count": made.count,
            "root": made.root.hex(), "previous": made.previous.hex(), "hash": made.hash.hex(),
        },
        "state": found.state, "transaction_id": found.transaction_id and found.transaction_id.hex(),
    }  # fmt: skip
