"""`campusgrid gateway adopt`: go on with a meter whose earlier readings are lost, written down with who decided it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.access.operator import command_line_actor
from gateway.errors import GatewayError
from gateway.settings import GatewaySettings
from gateway.store.adoption import AdoptionStore, Gap
from gateway.store.database import Database

MAX_DESCRIBED: Final = 20
NEVER: Final = 2**62


async def adopt(settings: GatewaySettings, meter: str | None, confirm: Callable[[str], None]) -> str:
    """Give up what is missing in the chain of *meter*, or in all (None), and return what was done; raises GatewayError.

    *confirm* is told what will be given up, and raises to prevent it.
    """
    if not settings.store.exists():
        raise GatewayError(f"{settings.store}: there is no database yet; start the gateway, then look at its /health")
    database = await Database.open(settings.store)
    try:
        store = AdoptionStore(database)
        gaps = await _find_gaps(store, meter)
        confirm("\n".join(_describe(gap) for gap in gaps[:MAX_DESCRIBED]) + _describe_more(len(gaps)))
        actor = command_line_actor()
        done = [
            f"meter {gap.meter_id.hex()}: adopted from number {gap.first}; complete up to"
            f" {await store.adopt(gap, int(time.time()), actor)}."
            for gap in gaps
        ]
    finally:
        await database.close()
    return "\n".join([*done[:MAX_DESCRIBED], f"{len(done)} adopted. Start the gateway again."])


async def _find_gaps(store: AdoptionStore, meter: str | None) -> list[Gap]:
    if meter is None:
        gaps = await store.find_gaps(received_before=NEVER)
        if not gaps:
            raise GatewayError("no meter waits for a missing reading; there is nothing to adopt")
        return gaps
    gap = await store.find_gap(_read_id(meter))
    if gap is None:
        raise GatewayError(f"meter {meter}: nothing of it waits for a missing reading; there is nothing to adopt")
    return [gap]


def _describe(gap: Gap) -> str:
    return (
        f"meter {gap.meter_id.hex()}: readings are here up to number {gap.head}, and again from {gap.first} to"
        f" {gap.highest}.\nWhatever lies between is given up: with its next receipt the meter deletes it too."
    )


def _describe_more(gaps: int) -> str:
    return f"\nand so for {gaps - MAX_DESCRIBED} more meters" if gaps > MAX_DESCRIBED else ""


def _read_id(meter: str) -> bytes:
    try:
        return bytes.fromhex(meter)
    except ValueError as error:
        raise GatewayError(f"{meter!r} is no meter id: give 16 hex digits, as GET /api/meters lists them") from error
