"""Who types at the command line, and what they did, for the audit log."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path
from typing import Any

from gateway.access import audit
from gateway.access.audit import Actor
from gateway.store.database import Database


def command_line_actor() -> Actor:
    """Return the user of this process, and behind sudo the one who called it."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = "?"
    caller = os.environ.get("SUDO_USER")
    return Actor(f"uid {number} ({name}{', sudo by ' + caller if caller else ''})", "command line")


async def note(store: Path, action: str, subject: str, **detail: Any) -> None:
    """Write a row for what this process did besides the database at *store*, whether a gateway runs on it or not."""
    database = await Database.open_beside(store)
    try:
        async with database.transaction() as connection:
            await audit.append(connection, int(time.time()), command_line_actor(), action, subject, **detail)
    finally:
        await database.close()
