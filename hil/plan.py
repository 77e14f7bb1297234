"""The virtual campus on paper: which meter sits on which line, whose it is, and which measured series feeds it.

The source is 14 days of the Monash campus in 15-minute values (`tests/data/traces/`): six PV plants and four
buildings. Loads there are 20 times the PV, so every load is scaled to 160 thousandths here and PV is left as measured:
PV then covers 32 % of the load over the 14 days and 62 % in the three hours from the first slot
(`tests/hil/test_plan.py` holds both to 30-70 %). Two buildings are shared between tenants in fixed parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hil.resources.virtual_meter import MODELS
from provisioning.plan import (
    AuthorityPorts,
    CampusPlan,
    PlannedLine,
    PlannedMeter,
    PlannedParameters,
    PlannedPorts,
    PlannedUser,
)

LOAD_PERMILLE: Final = 160
"""What the loads of the source are scaled to; PV plants stay at 1000."""
FIRST_SLOT: Final = datetime(2020, 9, 18, 2, 0, tzinfo=UTC)
"""Noon at the site (UTC+10) on a day of passing clouds, so that neither side of the market is always short."""
USER_BALANCE_AIP: Final = 1000


@dataclass(frozen=True, slots=True)
class CampusMeter:
    """One meter of the virtual campus; `permille` is its part of `series`, and a PV plant exports."""

    label: str
    model: str
    series: str
    permille: int
    owner: str
    exports: bool
    import_wh: int
    export_wh: int


def _plant(number: int, model: str, owner: str, export_wh: int) -> CampusMeter:
    return CampusMeter(f"PV roof {number}", model, f"MON-Solar{number}", 1000, owner, True, 12_345, export_wh)


def _load(label: str, model: str, part: tuple[int, int], owner: str, import_wh: int) -> CampusMeter:
    building, share_percent = part
    permille = LOAD_PERMILLE * share_percent // 100
    return CampusMeter(label, model, f"MON-Building{building}", permille, owner, False, import_wh, 0)


USERS: Final = (
    PlannedUser(name="solar cooperative", kind="prosumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="engineering faculty", kind="prosumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="campus facilities", kind="consumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="library", kind="consumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="bakery", kind="consumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="bookshop", kind="consumer", balance_aip=USER_BALANCE_AIP),
    PlannedUser(name="student hall", kind="consumer", balance_aip=USER_BALANCE_AIP),
)
METERS: Final = (
    _plant(0, "SDM630", "solar cooperative", 8_123_456),
    _plant(1, "SDM630", "solar cooperative", 2_345_678),
    _plant(2, "SDM630", "engineering faculty", 2_222_222),
    _plant(3, "SDM630", "engineering faculty", 2_001_234),
    _plant(4, "SDM120", "engineering faculty", 1_234_567),
    _plant(5, "SDM630", "solar cooperative", 6_789_012),
    _load("laboratories", "SDM630", (3, 64), "campus facilities", 7_654_321),
    _load("bakery", "SDM120", (3, 12), "bakery", 1_111_111),
    _load("bookshop", "SDM120", (3, 12), "bookshop", 987_654),
    _load("student hall", "SDM120", (3, 12), "student hall", 1_357_913),
    _load("lecture halls", "SDM630", (0, 76), "campus facilities", 5_555_555),
    _load("reading room", "SDM120", (0, 24), "library", 876_543),
    _load("workshops", "SDM120", (1, 100), "engineering faculty", 654_321),
    _load("library stacks", "SDM120", (6, 100), "library", 765_432),
)
TENANTS: Final = frozenset(user.name for user in USERS if user.kind == "consumer")
"""Those of whom the demo proves one settlement line."""


def line_name(place: int) -> str:
    """Return the name of the line of the meter at *place* in METERS: one master a line, so one line per meter."""
    return f"line-{place + 1:02d}"


def campus_plan(lines: str, epoch_s: int, ports: PlannedPorts) -> CampusPlan:
    """Return the provisioning plan of the virtual campus; *lines* is the folder of the ttys."""
    return CampusPlan(
        name="virtual campus",
        gateway_login="none",
        ports=ports,
        parameters=PlannedParameters(
            epoch_s=epoch_s,
            telemetry_s=max(2, epoch_s // 2),
            settle_deadline_s=2 * epoch_s,
            settle_deadline_blocks=epoch_s,
            block_interval_ms=1000,
            heartbeat_ms=max(1000, 500 * epoch_s),
            min_order_wh=1,
        ),
        users=USERS,
        meters=tuple(_planned(f"{lines}/{line_name(place)}", meter) for place, meter in enumerate(METERS)),
    )


def ports_from(free: Sequence[int], gateway: int) -> PlannedPorts:
    """Return the campus' ports: *gateway* for the dashboard, the others from nine *free* ones."""
    nodes = tuple(AuthorityPorts(api=free[1 + 2 * place], peers=free[2 + 2 * place]) for place in range(4))
    return PlannedPorts(broker=free[0], gateway=gateway, nodes=nodes)


def _planned(line: str, meter: CampusMeter) -> PlannedMeter:
    model = MODELS[meter.model]
    return PlannedMeter(
        label=meter.label,
        profile=model.profile,
        rated_power_w=model.rated_power_w,
        can_export=meter.exports,
        owner=meter.owner,
        line=PlannedLine(path=line, baud=model.baud),
        slave=1,
    )
