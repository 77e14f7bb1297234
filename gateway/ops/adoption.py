"""`campusgrid gateway adopt`: go on with a meter whose earlier readings are lost, written down with who decided it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from gateway.access.operator import command_line_actor
from gateway.errors import GatewayError
from gateway.roster import Roster, read_roster
from gateway.settings import GatewaySettings
from gateway.store.adoption import AdoptionStore, Gap, Segment
from gateway.store.database import Database

MAX_DESCRIBED: Final = 20
NEVER: Final = 2**62
_ID: Final = re.compile("[0-9a-f]{16}", re.IGNORECASE)


async def adopt(
    settings: GatewaySettings, meter: str | None, confirm: Callable[[str], None], first: int | None = None
) -> str:
    """Give up what is missing in the chain of *meter*, an id or a label, or in all (None), and return what was done.

    Where two chains of one meter run side by side, *first* chooses that which begins with this number. *confirm* is
    told what will be given up, and raises to prevent it. Raises GatewayError.
    """
    if not settings.store.exists():
        raise GatewayError(f"{settings.store}: there is no database yet; start the gateway, then look at its /health")
    roster = read_roster(settings.roster)
    meter_id = None if meter is None else _find(roster, meter)
    database = await Database.open(settings.store)
    try:
        store = AdoptionStore(database)
        gaps = await _find_gaps(store, roster, meter_id)
        chosen = await _choose(store, roster, gaps, first)
        confirm("\n".join(_describe(roster, gap) for gap in gaps[:MAX_DESCRIBED]) + _describe_more(len(gaps)))
        actor = command_line_actor()
        done = [
            f"meter {_name(roster, gap.meter_id)}: adopted from number {gap.first}; complete up to"
            f" {await store.adopt(gap, int(time.time()), actor, chosen)}."
            for gap in gaps
        ]
    finally:
        await database.close()
    return "\n".join([*done[:MAX_DESCRIBED], f"{len(done)} adopted. Start the gateway again."])


async def _find_gaps(store: AdoptionStore, roster: Roster, meter_id: bytes | None) -> list[Gap]:
    if meter_id is None:
        gaps = await store.find_gaps(received_before=NEVER)
        if not gaps:
            raise GatewayError("no meter waits for a missing reading; there is nothing to adopt")
        return gaps
    gap = await store.find_gap(meter_id)
    if gap is None:
        name = _name(roster, meter_id)
        raise GatewayError(f"meter {name}: nothing of it waits for a missing reading; there is nothing to adopt")
    return [gap]


async def _choose(store: AdoptionStore, roster: Roster, gaps: list[Gap], first: int | None) -> Segment | None:
    """Return the chain that *first* names, None where there is but one; raises GatewayError where it is to be named."""
    for gap in gaps:
        if segments := await store.find_fork(gap):
            if len(gaps) == 1 and (found := [one for one in segments if one.first == first]):
                return found[0]
            chains = "".join(
                f"\n  --from {one.first}: to {one.last}, {one.readings} readings, begins {one.first_hash[:8].hex()}"
                for one in segments[:MAX_DESCRIBED]
            )
            raise GatewayError(
                f"meter {_name(roster, gap.meter_id)}: more than one device, or one set back, signs with its key"
                f" (fork). Nothing was adopted. Find out which chain is the meter's own, then adopt it alone:{chains}"
            )
    if first is not None:
        raise GatewayError("--from chooses between chains of one meter, and here is one only; leave it out")
    return None


def _describe(roster: Roster, gap: Gap) -> str:
    return (
        f"meter {_name(roster, gap.meter_id)}: readings are here up to number {gap.head}, and again, whole or in part,"
        f" from {gap.first} to {gap.highest}.\nWhatever is missing is given up: with its next receipt the meter deletes"
        " it too."
    )


def _describe_more(gaps: int) -> str:
    return f"\nand so for {gaps - MAX_DESCRIBED} more meters" if gaps > MAX_DESCRIBED else ""


def _find(roster: Roster, name: str) -> bytes:
    """Return the id of the meter with this label in the roster, or with this id, in the roster or not."""
    labelled = [meter.meter_id for meter in roster if meter.label == name]
    if len(labelled) == 1:
        return labelled[0]
    if len(labelled) == 0 and _ID.fullmatch(name):
        return bytes.fromhex(name)
    text = f"is the label of {len(labelled)} meters" if labelled else "is no meter's id or label"
    raise GatewayError(f"{name!r} {text}: give 16 hex digits or a label, as GET /api/meters lists them")


def _name(roster: Roster, meter_id: bytes) -> str:
    """Return the label and the id of a meter; of one that is not in the roster, the id."""
    meter = roster.meters.get(meter_id)
    return f"{meter.label} ({meter_id.hex()})" if meter else meter_id.hex()
