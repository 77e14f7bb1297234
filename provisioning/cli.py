"""`campusgrid provision`: from a plan to a campus directory, and from there onto the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer

from ledger.client import LedgerClient
from provisioning import baseline, campus, layout, meters, roster, settings
from provisioning import plan as plans
from provisioning.campus import Campus
from provisioning.enrolment import Enrolment, firmware_command
from provisioning.errors import EnrolmentError
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto_passwd

HTTP_TIMEOUT_S: Final = 10.0
FIRMWARE: Final = Path(__file__).resolve().parents[1] / "firmware"

app = typer.Typer(no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The campus directory.")]


@app.callback()
def provision() -> None:
    """Make keys, rosters, brokers and meters."""


@app.command("campus")
def make_campus(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    plan_file: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="The plan, TOML (provisioning/README.md).")],
) -> None:
    """Lay out a campus: keys, certificates, genesis, and a configuration file for every part.

    Example: campusgrid provision campus /srv/campus --plan plan.toml
    """
    plan = plans.load(plan_file)
    made = layout.lay_out(folder, plan, find_mosquitto_passwd())
    typer.echo(
        f"{folder}: {len(made.plan.authorities)} authorities, {len(made.users)} users, {len(made.meters)} meters"
    )
    typer.echo(f"next: campusgrid provision meters {folder}")


@app.command("meters")
def make_meters(folder: Folder) -> None:
    """Have every meter of this machine make its key, and write the gateway's roster."""
    found = campus.load(folder)
    asyncio.run(_make_meters(found))
    typer.echo(f"{folder / 'roster.json'}: {len(found.meters)} meters")
    typer.echo(f"next: start the ledger nodes, then campusgrid provision enrol {folder}")


@app.command()
def enrol(folder: Folder) -> None:
    """Make gateway, users and meters known to the ledger; repeating it does what is left to do."""
    done = asyncio.run(_enrol(campus.load(folder)))
    typer.echo(f"{done} calls final")
    typer.echo(f"next: start gateway and meters, then campusgrid provision rebase {folder}")


@app.command()
def rebase(folder: Folder) -> None:
    """Give every meter that has none its baseline: the first boundary reading that the gateway has of all of these."""
    epoch, done = asyncio.run(_rebase(campus.load(folder)))
    typer.echo(
        "every meter has its baseline"
        if epoch is None
        else f"{done} meters have their baseline at the start of epoch {epoch}"
    )


async def _make_meters(found: Campus) -> None:
    command = firmware_command(find_micropython(), FIRMWARE)
    enrolled = [await meters.enrol(command, meter.config(found.folder)) for meter in found.meters]
    roster.write(found, {meter.meter_id: meter.public_key for meter in enrolled})


async def _enrol(found: Campus) -> int:
    async with LedgerClient(settings.ledger_urls(found.plan)) as client:
        enrolment = Enrolment(found, client)
        receipts = await enrolment.register_accounts()
        receipts += await enrolment.assign_meters(roster.read_keys(found))
    return len(receipts)


async def _rebase(found: Campus) -> tuple[int | None, int]:
    gateway_url = f"http://{found.plan.host}:{found.plan.ports.gateway}"
    async with (
        httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False) as http,
        LedgerClient(settings.ledger_urls(found.plan)) as client,
    ):
        enrolment = Enrolment(found, client)
        ids = await enrolment.find_unbased()
        if not ids:
            return None, 0
        based = await baseline.find(http, gateway_url, ids)
        if based is None:
            raise EnrolmentError("not every meter has sent a boundary reading yet: run this again after the next epoch")
        receipts = await enrolment.rebase_meters(based.envelopes)
    return based.epoch, len(receipts)
