"""A small campus for the tests: two users, three meters, ports that were free a moment ago."""

from __future__ import annotations

from typing import Any

from hil.ports import free_ports
from provisioning.plan import AuthorityPorts, CampusPlan, PlannedLine, PlannedMeter, PlannedPorts, PlannedUser


def small_plan(**changes: Any) -> CampusPlan:
    """Return the plan, with *changes* to its fields."""
    users = (
        PlannedUser(name="roof", kind="prosumer", balance_aip=100),
        PlannedUser(name="bakery", kind="consumer", balance_aip=50),
    )
    meters = tuple(
        PlannedMeter(
            label=label, profile="eastron_sdm120", rated_power_w=10_000, can_export=owner == "roof", owner=owner,
            line=PlannedLine(path=f"/dev/ttyUSB{place}", baud=2400), slave=place + 1,
        )
        for place, (label, owner) in enumerate([("PV", "roof"), ("oven", "bakery"), ("shop", "bakery")])
    )  # fmt: skip
    values = {"name": "test campus", "ports": free_campus_ports(), "users": users, "meters": meters}
    return CampusPlan(**{**values, **changes})


def free_campus_ports() -> PlannedPorts:
    """Return ports on which nothing listens now."""
    free = free_ports(10)
    nodes = tuple(AuthorityPorts(api=free[2 + 2 * place], peers=free[3 + 2 * place]) for place in range(4))
    return PlannedPorts(broker=free[0], gateway=free[1], nodes=nodes)
