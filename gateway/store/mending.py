"""What to do about an error of the database: one place for every part that meets one and goes on."""

from __future__ import annotations

import sqlite3
from typing import Final

_PRIMARY_CODE: Final = 0xFF
_STEPS: Final = {
    sqlite3.SQLITE_FULL: "free disk space",
    sqlite3.SQLITE_IOERR: "free disk space, or look after the disk",
    sqlite3.SQLITE_READONLY: "make the disk writable for the gateway",
    sqlite3.SQLITE_BUSY: "end what else works on the database",
}
_ELSE: Final = "campusgrid doctor says more"


def explain(error: sqlite3.Error) -> str:
    """Return what *error* says, with the next step; the gateway's own errors, which have no code, say it themselves."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return str(error) if code is None else f"{error}; {_STEPS.get(code & _PRIMARY_CODE, _ELSE)}"
