"""Who types at the command line, for the audit log."""

from __future__ import annotations

import os
import pwd

from gateway.access.audit import Actor


def command_line_actor() -> Actor:
    """Return the user of this process, and behind sudo the one who called it."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = "?"
    caller = os.environ.get("SUDO_USER")
    return Actor(f"uid {number} ({name}{', sudo by ' + caller if caller else ''})", "command line")
