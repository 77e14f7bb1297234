"""Random secrets that a gateway makes for itself and keeps over restarts."""

from __future__ import annotations

import os
from typing import Final

from gateway.store.database import Database

SECRET_BYTES: Final = 32


async def read_secret(database: Database, name: str) -> bytes:
    """Return the secret called *name*, made on first use."""
    async with database.transaction() as connection:
        await connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, os.urandom(SECRET_BYTES)))
        rows = list(await connection.execute_fetchall("SELECT value FROM secrets WHERE name = ?", (name,)))
    value: bytes = rows[0][0]
    return value
