"""The first start: no password comes with the product, so whoever runs it gets a link to choose the first one."""

from __future__ import annotations

import sys

import structlog

from gateway.access.audit import Actor
from gateway.access.people import FIRST_LINK_LIFETIME_S, People
from gateway.settings import ApiSettings

log = structlog.get_logger()


async def invite_first_admin(people: People, settings: ApiSettings) -> None:
    """Print a one-time link, on standard output and in the log, while there is no admin who could log in."""
    if await people.has_admin():
        return
    link = f"{settings.base_url}enrol/{await people.make_first_link(Actor('gateway', 'start'))}"
    sys.stdout.write(
        f"No admin can log in yet. Within {FIRST_LINK_LIFETIME_S // 60} minutes, choose a name and a password here,"
        f" once:\n  {link}\n"
    )
    sys.stdout.flush()
    log.warning("no admin can log in yet", enrolment_link=link, next_step="open the link; a restart makes a new one")
