"""`campusgrid gateway adopt`: go on with a meter whose earlier readings are lost, written down with who decided it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Final

from gateway.errors import GatewayError
from gateway.roster import read_roster
from gateway.settings import GatewaySettings
from gateway.store.adoption import AdoptionStore
from gateway.store.database import Database

_ID: Final = re.compile("[0-9a-f]{16}", re.IGNORECASE)


async def adopt(settings: GatewaySettings, meter: str, confirm: Callable[[str], None]) -> str:
    """Give up what is missing in the chain of *meter*, an id or a label, and return what was done; raises GatewayError.

    *confirm* is told what will be given up, and raises to prevent it.
    """
    if not settings.store.exists():
        raise GatewayError(f"{settings.store}: there is no database yet; start the gateway, then look at its /health")
    meter_id = _find(settings, meter)
    meter = meter_id.hex() if meter == meter_id.hex() else f"{meter} ({meter_id.hex()})"
    database = await Database.open(settings.store)
    try:
        store = AdoptionStore(database)
        gap = await store.find_gap(meter_id)
        if gap is None:
            raise GatewayError(f"meter {meter}: nothing of it waits for a missing reading; there is nothing to adopt")
        confirm(
            f"meter {meter}: readings are here up to number {gap.head}, and again from {gap.first} to {gap.highest}.\n"
            f"Whatever lies between is given up: with its next receipt the meter deletes it too."
        )
        head = await store.adopt(gap, int(time.time()), f"uid {os.getuid()}")
    finally:
        await database.close()
    return f"meter {meter}: adopted from number {gap.first}; complete up to {head}. Start the gateway again."


def _find(settings: GatewaySettings, name: str) -> bytes:
    """Return the id of the meter with this label in the roster, or with this id, in the roster or not."""
    labelled = [meter.meter_id for meter in read_roster(settings.roster) if meter.label == name]
    if len(labelled) == 1:
        return labelled[0]
    if len(labelled) == 0 and _ID.fullmatch(name):
        return bytes.fromhex(name)
    text = f"is the label of {len(labelled)} meters" if labelled else "is no meter's id or label"
    raise GatewayError(f"{name!r} {text}: give 16 hex digits or a label, as GET /api/meters lists them")
