"""Run whole ledgers in the simulator."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def simulate(
    seeds: Annotated[int, typer.Option(min=1, max=10**9, help="How many schedules.")] = 1_000,
    start: Annotated[int, typer.Option(min=0, max=2**62, help="The first seed.")] = 0,
    nodes: Annotated[int | None, typer.Option(min=4, max=7, help="Authorities at genesis; else the seed says.")] = None,
    profile: Annotated[str, typer.Option(help="swarm, twins, twins3, membership, crash or runtime.")] = "swarm",
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; else one for each core.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    replay: Annotated[int | None, typer.Option(min=0, max=2**62, help="Print this seed's run, event by event.")] = None,
    step: Annotated[bool, typer.Option("--step", help="With --replay: wait for Enter after each event.")] = False,
) -> None:
    """Run whole ledgers under faults in a deterministic simulation; exit 1 if a promise breaks or too little happened.

    Each seed is a schedule of faults: partitions, losses, crashes, wrong clocks, Byzantine authorities. For example:

        campusgrid ledger simulate --seeds 2000 --json

        campusgrid ledger simulate --profile twins --seeds 4096

        campusgrid ledger simulate --replay 17 --step
    """
    from ledger.simulation import command  # noqa: PLC0415 - see `ledger.commands`
    from ledger.simulation.profiles import PROFILES  # noqa: PLC0415

    if profile not in PROFILES:
        raise typer.BadParameter(f"there is no profile {profile!r}: give one of {', '.join(PROFILES)}")
    if profile.startswith("twins") and nodes not in (None, 4):
        raise typer.BadParameter("the twins' schedules are enumerated for four authorities: leave --nodes out")
    if replay is not None:
        request = command.Request(profile, range(replay, replay + 1), nodes, 1)
        raise typer.Exit(command.play(request, sys.stdout, command.wait_for_enter if step else None))
    request = command.Request(profile, range(start, start + seeds), nodes, workers or os.cpu_count() or 1)
    raise typer.Exit(command.simulate(request, sys.stdout, sys.stderr, as_json=as_json))
