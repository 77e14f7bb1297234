"""The doctor's checks of how people and programs come in: the certificate of the API, and who can log in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.access.roles import Role
from gateway.ops.finding import Finding, Severity
from gateway.ops.neighbours import judge_expiry
from gateway.settings import ApiSettings

_MEND_CERTIFICATE: Final = "put a new one at api.cert and api.key; systemctl restart campusgrid-gateway"
_MEND_ADMIN: Final = "systemctl restart campusgrid-gateway; journalctl -u campusgrid-gateway shows a link to open once"
_ADMINS: Final = "SELECT count(*) FROM people WHERE role = ? AND password IS NOT NULL AND disabled_at IS NULL"


def check_entrance(settings: ApiSettings, store: Path) -> Iterator[Finding]:
    """Yield whether the API's certificate holds for long enough, and whether somebody can let others in."""
    if settings.cert is not None:
        certificates = x509.load_pem_x509_certificates(settings.cert.read_bytes())
        yield judge_expiry(f"of the API ({settings.cert})", certificates, _MEND_CERTIFICATE)
    if settings.login == "none":
        yield Finding("login", Severity.WELL, "none: whoever uses this machine sees all, and can write nothing")
    elif store.exists():
        yield _check_admins(store)


def _check_admins(store: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            (admins,) = connection.execute(_ADMINS, (Role.ADMIN,)).fetchone()
    except sqlite3.Error as error:
        return Finding("login", Severity.WARNING, f"who can log in cannot be read: {error}", "see `database`")
    if not admins:
        return Finding("login", Severity.WARNING, "no admin can log in", _MEND_ADMIN)
    return Finding("login", Severity.WELL, f"required; {admins} admins")
