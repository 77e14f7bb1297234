"""What all pages have around them: title, the way to the others, who is logged in and the way out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Final

from fastapi import Request
from nicegui import ui

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access
from gateway.dashboard.snapshot import Snapshots
from gateway.dashboard.visit import RECHECK_S, USE_TOLD_EVERY_S, Visit, pages_for
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

TITLE: Final = "campusgrid gateway"
NO_LOGIN: Final = "No login: for this machine alone"


@dataclass(frozen=True, slots=True)
class Site:
    """What pages are made of."""

    overview: Overview
    door: Doorkeeper
    settings: ApiSettings
    snapshots: Snapshots
    style: str

    @classmethod
    def over(cls, overview: Overview, door: Doorkeeper, settings: ApiSettings) -> Site:
        """Return the site that shows *overview*."""
        style = resources.files("gateway.dashboard").joinpath("style.css").read_text("utf-8")
        return cls(overview, door, settings, Snapshots(overview), style)

    @contextmanager
    def page(self, request: Request, path: str) -> Iterator[Visit]:
        """Make the frame of the page at *path* for who asks; raises HTTPException if it is not for them.

        What is made inside the block is inside the frame.
        """
        visit = Visit.begin(request, path, self.door, self.settings)
        ui.add_css(self.style)
        ui.colors(primary="#1f5fa8", positive="#1c7c4a", negative="#b3261e")
        with ui.element("main").classes("cg-page") as main:
            _add_top(visit.access, path)
            yield visit
        for event in ("pointerdown", "keydown"):
            main.on(event, visit.note_use, args=[], throttle=USE_TOLD_EVERY_S)


def keep_fresh(visit: Visit, show: Callable[[], Awaitable[None]], every_s: float = RECHECK_S) -> None:
    """Call *show* again and again, for as long as who sits here may see it."""

    async def refresh() -> None:
        if await visit.goes_on():
            await show()

    ui.timer(every_s, refresh, immediate=False)


def _add_top(access: Access, path: str) -> None:
    with ui.element("header").classes("cg-top"):
        ui.html(f"<h1>{TITLE}</h1>", sanitize=False)
        links = "".join(
            f'<a href="{place}"{" aria-current=page" if place == path else ""}>{escape(name)}</a>'
            for place, name in pages_for(access)
        )
        ui.html(f'<nav aria-label="Pages">{links}</nav>' if links else "", sanitize=False).classes("cg-nav")
        ui.html(_who(access), sanitize=False)


def _who(access: Access) -> str:
    """Return who is logged in, with the way out, as HTML."""
    if access.session is None:
        return f'<span class="cg-who">{NO_LOGIN}</span>'
    out = '<form method="post" action="/logout"><button type="submit">Log out</button></form>'
    return f'<span class="cg-who">{escape(access.name)}, {access.role}{out}</span>'
