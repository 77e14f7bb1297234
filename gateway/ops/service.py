"""The doctor's check of the gateway itself: whether it runs, and what it says is wrong."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from typing import Final

import httpx

from gateway.ops.finding import Finding, Severity
from gateway.settings import ApiSettings

TIMEOUT_S: Final = 5.0
_START: Final = "systemctl restart campusgrid-gateway; journalctl -u campusgrid-gateway -n 50 says why it ended"
_LOOK: Final = "systemctl status campusgrid-gateway; is api.port taken by another program? ss -ltnp"


def check_gateway(settings: ApiSettings) -> Iterator[Finding]:
    """Yield whether the gateway answers, and a finding for each thing that its /health names."""
    where = _address(settings)
    try:
        answer = httpx.get(f"{where}/health", timeout=TIMEOUT_S, trust_env=False, verify=_any_certificate())
    except httpx.ConnectError:
        yield Finding("gateway", Severity.FAULT, f"it does not run: nothing answers at {where}", _START)
        return
    except httpx.HTTPError as error:
        text = f"it does not answer at {where}: {error or type(error).__name__}"
        yield Finding("gateway", Severity.FAULT, text, _START)
        return
    yield from _judge(answer, where)


def _judge(answer: httpx.Response, where: str) -> Iterator[Finding]:
    if answer.status_code in {401, 403}:  # asked from an address of its own that is no loopback one
        yield Finding("gateway", Severity.WELL, f"it answers at {where}; /health there needs a key")
        return
    try:
        told = answer.json()
        status, reasons = str(told["status"]), [str(reason) for reason in told["reasons"]]
    except (ValueError, KeyError, TypeError):
        yield Finding("gateway", Severity.FAULT, f"what answers at {where} is no gateway", _LOOK)
        return
    if not reasons:
        yield Finding("gateway", Severity.WELL, f"it runs and is {status}")
    severity = Severity.FAULT if status == "unready" else Severity.WARNING
    yield from (Finding("gateway", severity, f"{status}: {reason}") for reason in reasons)


def _address(settings: ApiSettings) -> str:
    """Return where the API listens, as this machine reaches it: best by a loopback address, which needs no key."""
    host = settings.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{_scheme(settings)}://{host}:{settings.port}"
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"{_scheme(settings)}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _scheme(settings: ApiSettings) -> str:
    return "https" if settings.cert else "http"


def _any_certificate() -> ssl.SSLContext:
    """Return a context for whatever certificate is there: another check judges it, and nothing secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
