"""`campusgrid gateway adopt`: go on with a meter whose earlier readings are lost, written down with who decided it."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.access.operator import command_line_actor
from gateway.errors import GatewayError
from gateway.settings import GatewaySettings
from gateway.store.adoption import AdoptionStore
from gateway.store.database import Database


async def adopt(settings: GatewaySettings, meter: str, confirm: Callable[[str], None]) -> str:
    """Give up what is missing in the chain of *meter* and return what was done; raises GatewayError.

    *confirm* is told what will be given up, and raises to prevent it.
    """
    if not settings.store.exists():
        raise GatewayError(f"{settings.store}: there is no database yet; start the gateway, then look at its /health")
    database = await Database.open(settings.store)
    try:
        store = AdoptionStore(database)
        gap = await store.find_gap(_read_id(meter))
        if gap is None:
            raise GatewayError(f"meter {meter}: nothing of it waits for a missing reading; there is nothing to adopt")
        confirm(
            f"meter {meter}: readings are here up to number {gap.head}, and again from {gap.first} to {gap.highest}.\n"
            f"Whatever lies between is given up: with its next receipt the meter deletes it too."
        )
        head = await store.adopt(gap, int(time.time()), command_line_actor())
    finally:
        await database.close()
    return f"meter {meter}: adopted from number {gap.first}; complete up to {head}. Start the gateway again."


def _read_id(meter: str) -> bytes:
    try:
        return bytes.fromhex(meter)
    except ValueError as error:
        raise GatewayError(f"{meter!r} is no meter id: give 16 hex digits, as GET /api/meters lists them") from error
