"""One browser on one page: who sits there, whether they still may, and in whose name they write.

An open page talks over a websocket that passed the gate once. So what it shows ends here with the right to see it, and
each write asks again who it is.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request
from nicegui import Client, ui
from starlette.exceptions import HTTPException

from gateway.access.audit import Actor
from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access, Permission
from gateway.api.doors import actor_of
from gateway.api.gate import address_of, identify
from gateway.errors import AccessError, BusyError, ForbiddenError
from gateway.settings import ApiSettings

RECHECK_S: Final = 5.0
"""How soon an open page ends after its session does."""
USE_TOLD_EVERY_S: Final = 30.0
PAGES: Final = (
    ("/", "Overview", Permission.STATUS),
    ("/meters", "Meters", Permission.METERS),
    ("/alarms", "Alarms", Permission.ALARMS),
    ("/quarantine", "Refused", Permission.QUARANTINE),
    ("/people", "People", Permission.PEOPLE),
    ("/keys", "API keys", Permission.KEYS),
    ("/audit", "Audit log", Permission.AUDIT),
)
"""What there is to go to, and who may."""
FOR_ALL_METERS: Final = frozenset({"/meters"})
"""A tenant has the own meters on the first page."""


def pages_for(access: Access) -> list[tuple[str, str]]:
    """Return address and name of the pages that *access* may open; who cannot log in has no keys."""
    return [
        (path, name)
        for path, name, permission in PAGES
        if access.may(permission)
        and not (path in FOR_ALL_METERS and access.is_narrow)
        and not (permission is Permission.KEYS and access.session is None)
    ]


@dataclass(slots=True)
class Visit:
    """A page that *access* has opened with *request*."""

    access: Access
    request: Request
    client: Client
    door: Doorkeeper
    settings: ApiSettings
    is_over: bool = False
    _checked_at: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(cls, request: Request, path: str, door: Doorkeeper, settings: ApiSettings) -> Visit:
        """Return the visit of who opens the page at *path*; raises HTTPException if it is not for them."""
        access: Access = request.state.access
        if path not in dict(pages_for(access)):
            raise HTTPException(403, f"{access.name} is {access.role} here, for whom this page is not; open /")
        return cls(access, request, ui.context.client, door, settings)

    async def goes_on(self) -> bool:
        """Tell whether who sits here may still see this; looks at most every `RECHECK_S`, and ends the page if not."""
        if not self.is_over and time.monotonic() - self._checked_at > RECHECK_S:
            await self._recheck()
        return not self.is_over

    async def note_use(self) -> None:
        """Note that somebody sits here and does something."""
        if await self.goes_on():
            await self.door.sessions.use(self.access)

    async def actor(self, permission: Permission) -> Actor:
        """Return in whose name is written what needs *permission*; raises ForbiddenError if they may not (any more)."""
        await self._recheck()
        if self.is_over:
            raise ForbiddenError("your session has ended; log in again")
        if not self.access.may(permission) or self.access.is_read_only:
            raise ForbiddenError(f"{self.access.name} may not {permission}")
        if self.door.must_wait(self.access, address_of(self.request.scope)):
            raise BusyError("too many requests; try again in a few seconds")
        await self.door.sessions.use(self.access)
        return actor_of(self.request, self.access)

    def guarded(self, handler: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return *handler* so that what cannot be done is told to who sits here."""

        async def handle() -> None:
            try:
                await handler()
            except (AccessError, BusyError) as error:
                self.tell(str(error)[:1].upper() + str(error)[1:] + ".", is_bad=True)
            except sqlite3.OperationalError as error:
                self.tell(f"The database refuses: {error}. Is the disk full?", is_bad=True)

        return handle

    def tell(self, text: str, *, is_bad: bool = False) -> None:
        """Say something to who sits here, for some seconds."""
        with self.client.content:
            ui.notify(text, type="negative" if is_bad else "positive", timeout=10_000 if is_bad else 4000)

    async def confirm(self, question: str, yes: str) -> bool:
        """Ask before something that cannot be taken back at once."""
        with self.client.content, ui.dialog() as dialog, ui.card().classes("cg-dialog"):
            ui.label(question)
            with ui.row().classes("cg-buttons"):
                ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps autofocus")
                ui.button(yes, on_click=lambda: dialog.submit(True)).props("unelevated no-caps color=negative")
        answer = bool(await dialog)
        dialog.delete()
        return answer

    async def _recheck(self) -> None:
        self._checked_at = time.monotonic()
        if await identify(self.request.headers, self.door, self.settings) != self.access:
            self._end()

    def _end(self) -> None:
        """Take everything off the page: a browser need not follow where it is sent."""
        self.is_over = True
        with self.client.content:
            ui.navigate.to("/login")
        self.client.content.clear()
