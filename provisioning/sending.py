"""Sends updates and configurations to the meters of a campus, and stays until each has answered or the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from ledger import cbor, envelope, reading
from ledger.envelope import Kind
from ledger.errors import LedgerError
from ledger.reading import Reading, Reason
from provisioning import keys, roster, sent
from provisioning.campus import Campus, CampusMeter
from provisioning.campus_link import CampusLink, Heard
from provisioning.delivery import ASK_S, Delivery
from provisioning.image import Image
from provisioning.signed_update import sign

TICK_S: Final = 0.5
SILENT: Final = "no reading names it yet: see that the meter runs, then run this again"

Show = Callable[[CampusMeter, Delivery], None]


def send_update(
    campus: Campus, meters: Sequence[CampusMeter], image: Image, trial_s: int, wait_s: float, show: Show
) -> dict[CampusMeter, Delivery]:
    """Send *image* to *meters* and return how each delivery stands when all are over, or after *wait_s* seconds.

    `show` is called whenever something changed. Raises ProvisioningError.
    """
    public_keys = roster.read_keys(campus)
    campus_key = keys.read(campus.folder / "campus.key")
    for meter in meters:
        sent.note_update(campus, meter, image)
    deliveries = {
        meter: Delivery(
            sign(image, meter.meter_id, campus_key, trial_s), is_proven=sent.is_proven(campus, meter, image.version)
        )
        for meter in meters
    }
    by_id = {meter.meter_id: meter for meter in meters}
    end_s = time.monotonic() + wait_s
    with CampusLink(campus, by_id) as link:
        while time.monotonic() < end_s and not all(delivery.is_over for delivery in deliveries.values()):
            for meter, delivery in deliveries.items():
                for message in delivery.due(time.monotonic()):
                    link.send(meter.meter_id, message)
            heard = link.hear(TICK_S)
            if heard is None or heard.meter_id not in by_id:
                continue
            meter = by_id[heard.meter_id]
            delivery = deliveries[meter]
            if heard.kind == "status":
                for message in delivery.hear(heard.payload, time.monotonic()):
                    link.send(meter.meter_id, message)
                show(meter, delivery)
            elif not delivery.is_proven and _is_start(heard, meter, image.version, public_keys):
                sent.note_proof(campus, meter, image.version)
                delivery.prove()
                show(meter, delivery)
    return deliveries


def send_configuration(
    campus: Campus,
    meters: Sequence[CampusMeter],
    telemetry_s: int,
    gateway_keys: Sequence[bytes],
    resend: tuple[int, int] | None,
    wait_s: float,
) -> dict[CampusMeter, str]:
    """Send *meters* a new configuration; return those that did not echo it within *wait_s* seconds, and why.

    The echo is a reading, signed by the meter, that names the configuration's number. A meter that was sent a higher
    number meanwhile will not give it any more, and is not waited for. Raises ProvisioningError.
    """
    campus_key = keys.read(campus.folder / "campus.key")
    public_keys = roster.read_keys(campus)
    numbers = {meter: sent.count_configuration(campus, meter) for meter in meters}
    messages = {}
    for meter, number in numbers.items():
        again = list(resend) if resend else None
        payload = [int(Kind.CONFIGURATION), meter.meter_id, number, telemetry_s, list(gateway_keys), again]
        messages[meter] = envelope.seal(cbor.encode(payload), campus_key)
    missing = dict(messages)
    superseded: dict[CampusMeter, str] = {}
    end_s = time.monotonic() + wait_s
    ask_s = time.monotonic()
    with CampusLink(campus, [meter.meter_id for meter in meters]) as link:
        while missing and time.monotonic() < end_s:
            if time.monotonic() >= ask_s:
                ask_s = time.monotonic() + ASK_S
                superseded |= _superseded(campus, missing, numbers)
                missing = {meter: message for meter, message in missing.items() if meter not in superseded}
                for meter, message in missing.items():
                    link.send(meter.meter_id, message)
            heard = link.hear(TICK_S)
            echoing = [meter for meter in missing if heard and _is_echo(heard, meter, numbers[meter], public_keys)]
            for meter in echoing:
                del missing[meter]
    return dict.fromkeys(missing, SILENT) | superseded | _superseded(campus, missing, numbers)


def _superseded(
    campus: Campus, meters: Iterable[CampusMeter], numbers: Mapping[CampusMeter, int]
) -> dict[CampusMeter, str]:
    """Return those of *meters* that were sent a configuration above *numbers*, in words."""
    newest = {meter: sent.read(campus, meter).configuration for meter in meters}
    return {meter: f"superseded by {number}" for meter, number in newest.items() if number > numbers[meter]}


def _is_echo(heard: Heard, meter: CampusMeter, number: int, public_keys: Mapping[bytes, bytes]) -> bool:
    """Tell whether *heard* is a reading, signed by *meter*, under its configuration *number*."""
    found = _signed_reading(heard, meter, public_keys)
    return found is not None and found.reason is Reason.CONFIGURATION and found.configuration == number


def _is_start(heard: Heard, meter: CampusMeter, version: int, public_keys: Mapping[bytes, bytes]) -> bool:
    """Tell whether *heard* is a reading, signed by *meter*, that says that it was started with *version*."""
    found = _signed_reading(heard, meter, public_keys)
    return found is not None and found.reason is Reason.STARTUP and found.version == version


def _signed_reading(heard: Heard, meter: CampusMeter, public_keys: Mapping[bytes, bytes]) -> Reading | None:
    """Return the reading that *heard* is, if *meter* signed it; else None."""
    if heard.kind != "reading" or heard.meter_id != meter.meter_id or meter.meter_id not in public_keys:
        return None
    try:
        found = reading.decode(heard.payload)
    except LedgerError:
        return None
    return found if found.is_signed_by(public_keys[meter.meter_id]) else None
