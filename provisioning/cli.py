"""`campusgrid provision`: from a plan to a campus directory, and from there onto the ledger."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer
from rich.console import Console

from ledger.keys import PUBLIC_KEY_BYTES
from ledger.remote.client import LedgerClient
from provisioning import baseline, campus, files, image, keys, layout, meters, roster, sending, settings
from provisioning import plan as plans
from provisioning.campus import Campus, CampusMeter
from provisioning.delivery import Stage
from provisioning.delivery_view import DeliveryView
from provisioning.enrolment import Enrolment, firmware_command, wait_for_ledger
from provisioning.errors import EnrolmentError
from provisioning.meters import EnrolledMeter
from provisioning.toolchain.micropython import find_micropython
from provisioning.toolchain.mosquitto import find_mosquitto_passwd

HTTP_TIMEOUT_S: Final = 10.0
FIRMWARE: Final = Path(__file__).resolve().parents[1] / "firmware"

app = typer.Typer(no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The campus directory.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="METER", help="Ids or labels of meters; all without any.")]
MAX_TELEMETRY_S: Final = 86_400
MAX_TRIAL_S: Final = 86_400
MAX_CARDS_BYTES: Final = 1_000_000
MAX_EPOCH: Final = 2**32 - 1
UNPROVEN_STATUS: Final = 3


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
def make_meters(folder: Folder, names: Names = None) -> None:
    """Have meters of this machine make their keys, and enter them into the gateway's roster."""
    found = campus.load(folder)
    chosen = found.find_meters(names or [])
    _enter(found, asyncio.run(_make_keys(found, chosen)))


@app.command()
def enrolled(
    folder: Folder,
    rotated_at: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The key is new; the old one was good up to number N.")
    ] = None,
    replaced_at: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The device is new; the old one was good up to number N.")
    ] = None,
) -> None:
    """Enter meters of other machines into the gateway's roster: what `enrol` printed there, from standard input.

    A new key is entered for the gateway alone; the ledger has to be told of it too.

    Example: ssh pi … main.py enrol --config … | campusgrid provision enrolled /srv/campus
    """
    found = campus.load(folder)
    if rotated_at and replaced_at:
        raise typer.BadParameter(
            "a key was rotated, or its device replaced: give one of the two", param_hint="enrolled"
        )
    ways = {"rotation": rotated_at, "replacement": replaced_at}
    succession = next((roster.Succession(how, last) for how, last in ways.items() if last), None)
    _enter(found, meters.read_cards(sys.stdin.buffer.read(MAX_CARDS_BYTES)), succession)


@app.command("hand-over")
def hand_over(
    folder: Folder,
    meter: Annotated[str, typer.Argument(metavar="METER", help="Its id or label.")],
    owner: Annotated[str, typer.Argument(metavar="USER", help="Whose it is from now on: a user of the plan.")],
) -> None:
    """Give a meter to another user: the gateway shows each owner what it measured in their own time.

    This changes campus.json and the gateway's roster.json, not the ledger, which goes on booking for the account that
    the meter was assigned to.

    Example: campusgrid provision hand-over /srv/campus oven bakery
    """
    found = campus.load(folder)
    (chosen,) = found.find_meters([meter])
    changed = found.give(chosen, owner)
    changed.write()
    roster.add(changed, ())
    typer.echo(f"{chosen.plan.label}: {chosen.plan.owner} until now, {owner} from now on")


@app.command()
def enrol(folder: Folder) -> None:
    """Make gateway, users and meters known to the ledger; repeating it does what is left to do."""
    done = asyncio.run(_enrol(campus.load(folder)))
    typer.echo(f"{done} calls final")
    typer.echo(f"next: start gateway and meters, then campusgrid provision rebase {folder}")


@app.command()
def rebase(
    folder: Folder,
    api_key: Annotated[
        Path | None,
        typer.Option("--api-key", metavar="FILE", help="A key of the gateway: `campusgrid gateway api-key add`."),
    ] = None,
) -> None:
    """Give every meter that has none its baseline: the first boundary reading that the gateway has of all of these.

    Example: campusgrid provision rebase /srv/campus --api-key rebase.apikey
    """
    epoch, done = asyncio.run(_rebase(campus.load(folder), api_key))
    typer.echo(
        "every meter has its baseline"
        if epoch is None
        else f"{done} meters have their baseline at the start of epoch {epoch}"
    )


@app.command("image")
def make_image(
    target: Annotated[str, typer.Option(help=f"What runs it: {', '.join(image.TARGETS)}.")],
    version: Annotated[int, typer.Option(min=1, max=image.MAX_VERSION, help="Above every one that a meter was sent.")],
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Where to write it.")] = None,
) -> None:
    """Build an image of this checkout's firmware, to be sent to meters.

    Example: campusgrid provision image --target linux --version 2
    """
    made = image.build(target, version)
    path = output or Path(f"meter-{target}-{version}.image")
    image.save(made, path)
    typer.echo(f"{path}: version {version} for {target}, {len(made.data)} bytes")
    typer.echo(f"next: campusgrid provision update DIR --image {path}")


@app.command()
def update(
    folder: Folder,
    file: Annotated[Path, typer.Option("--image", metavar="FILE", help="What `provision image` built.")],
    names: Names = None,
    trial_s: Annotated[
        int, typer.Option(min=1, max=MAX_TRIAL_S, help="Seconds in which a meter must get a receipt under it.")
    ] = 900,
    wait_s: Annotated[float, typer.Option(min=1, help="Seconds to wait for all meters to answer.")] = 7200,
) -> None:
    """Sign an image for meters, send it, and stay until each has confirmed it or is back at what it ran before.

    Repeating it goes on where it was. Exit code 0: every meter runs it, confirmed, as a reading that it signed shows.
    Exit code 3: the same, but of some only by their unsigned word.

    Example: campusgrid provision update /srv/campus --image meter-linux-2.image bakery
    """
    found = campus.load(folder)
    with DeliveryView(Console()) as view:
        chosen = found.find_meters(names or [])
        done = sending.send_update(found, chosen, image.load(file), trial_s, wait_s, view.show)
        view.conclude(done)
    stages = {delivery.stage for delivery in done.values()}
    if stages <= {Stage.CONFIRMED}:
        raise typer.Exit(0)
    raise typer.Exit(UNPROVEN_STATUS if stages <= {Stage.CONFIRMED, Stage.UNPROVEN} else 1)


@app.command()
def configure(
    folder: Folder,
    names: Names = None,
    telemetry_s: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_TELEMETRY_S, help="Seconds between periodic readings; default: the plan's."),
    ] = None,
    resend: Annotated[
        tuple[int, int] | None,
        typer.Option(min=0, max=MAX_EPOCH, metavar="FIRST LAST", help="Epochs whose boundary readings come again."),
    ] = None,
    gateway_key: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="Public keys whose receipts count; default: the gateway's.")
    ] = None,
    wait_s: Annotated[float, typer.Option(min=1, help="Seconds to wait for all meters to echo it.")] = 60,
) -> None:
    """Sign a configuration for meters, send it, and stay until each has named it in a reading.

    It says all that can be set from afar; what an earlier one said is forgotten.

    Example: campusgrid provision configure /srv/campus --telemetry-s 30 bakery
    """
    found = campus.load(folder)
    own_key = keys.read(folder / "gateway" / "receipt.key").public_key
    chosen = [_public_key(key) for key in gateway_key or []] or [own_key]
    meters_ = found.find_meters(names or [])
    period_s = telemetry_s or found.plan.parameters.telemetry_s
    missing = sending.send_configuration(found, meters_, period_s, chosen, resend, wait_s)
    for meter in meters_:
        typer.echo(f"{meter.plan.label}: {missing.get(meter, 'echoed')}")
    raise typer.Exit(1 if missing else 0)


def _public_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise typer.BadParameter(f"a public key has {2 * PUBLIC_KEY_BYTES} hex digits", param_hint="--gateway-key")
    return key


async def _make_keys(found: Campus, chosen: Sequence[CampusMeter]) -> list[EnrolledMeter]:
    command = firmware_command(find_micropython(), FIRMWARE)
    return [await meters.enrol(command, meter.config(found.folder)) for meter in chosen]


def _enter(found: Campus, told: Sequence[EnrolledMeter], succession: roster.Succession | None = None) -> None:
    missing = roster.add(found, told, succession)
    typer.echo(f"{found.folder / roster.NAME}: {len(found.meters) - len(missing)} of {len(found.meters)} meters")
    if missing:
        typer.echo(f"still without a key: {', '.join(meter.plan.label for meter in missing)}")
    else:
        typer.echo(f"next: start the ledger nodes, then campusgrid provision enrol {found.folder}")


def _tell(text: str) -> None:
    typer.echo(text, err=True)


async def _enrol(found: Campus) -> int:
    async with LedgerClient(settings.ledger_urls(found.plan)) as client:
        await wait_for_ledger(client, _tell)
        enrolment = Enrolment(found, client)
        receipts = await enrolment.register_accounts()
        receipts += await enrolment.assign_meters(roster.read_keys(found))
    return len(receipts)


async def _rebase(found: Campus, api_key: Path | None) -> tuple[int | None, int]:
    gateway_url = settings.gateway_url(found.plan)
    headers = {} if api_key is None else {"Authorization": f"Bearer {files.read_text(api_key).strip()}"}
    trusted = ssl.create_default_context(cafile=found.folder / "ca.crt")
    async with (
        httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False, headers=headers, verify=trusted) as http,
        LedgerClient(settings.ledger_urls(found.plan)) as client,
    ):
        await wait_for_ledger(client, _tell)
        enrolment = Enrolment(found, client)
        ids = await enrolment.find_unbased()
        if not ids:
            return None, 0
        based = await baseline.find(http, gateway_url, ids)
        if based is None:
            raise EnrolmentError("not every meter has sent a boundary reading yet: run this again after the next epoch")
        receipts = await enrolment.rebase_meters(based.envelopes)
    return based.epoch, len(receipts)
