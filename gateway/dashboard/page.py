"""The page at /: one look tells whether the gateway does its work, and what to do where it does not.

What it shows depends on who looks; a tenant sees the own meters, and nothing that tells of others. Everything a browser
needs comes from this server, so the page works on an isolated network.
"""

from __future__ import annotations

import time
from importlib import resources
from typing import Final

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.exceptions import HTTPException

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access, Permission
from gateway.api.gate import identify
from gateway.dashboard.panels import Alarms, Header, Market, Meters, Nodes, Panel, Refusals, Tiles
from gateway.dashboard.snapshot import Snapshots
from gateway.dashboard.tenant import OwnIntervals, OwnTiles, Prices
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

REFRESH_S: Final = 1.0
RECHECK_S: Final = 5.0
"""How soon an open page ends after its session does."""


def add_dashboard(application: FastAPI, overview: Overview, door: Doorkeeper, settings: ApiSettings) -> None:
    """Put the page at / of *application*."""
    snapshots = Snapshots(overview)
    style = resources.files("gateway.dashboard").joinpath("style.css").read_text("utf-8")

    @ui.page("/", title="campusgrid gateway")
    async def show(request: Request) -> None:
        access: Access = request.state.access
        if not access.may(Permission.STATUS):
            raise HTTPException(403)
        ui.add_css(style)
        with ui.element("main").classes("cg-page"):
            panels = _tenant_panels(access) if access.is_narrow else _operator_panels(access)
        checked_at = time.monotonic()

        async def refresh() -> None:
            nonlocal checked_at
            if time.monotonic() - checked_at > RECHECK_S:
                checked_at = time.monotonic()
                if await identify(request.headers, door, settings) != access:
                    ui.navigate.to("/login")
                    return
            snapshot = await snapshots.seen_by(access)
            for panel in panels:
                panel.update(snapshot)

        await refresh()
        ui.timer(REFRESH_S, refresh)

    ui.run_with(application, title="campusgrid gateway", show_welcome_message=False)


def _operator_panels(access: Access) -> list[Panel]:
    panels: list[Panel] = [Header(access), Tiles()]
    with ui.element("div").classes("cg-columns"):
        panels += [Market(), Nodes()]
    if access.may(Permission.ALARMS):
        panels.append(Alarms())
    if access.may(Permission.QUARANTINE):
        panels.append(Refusals())
    return [*panels, Meters()]


def _tenant_panels(access: Access) -> list[Panel]:
    return [Header(access), OwnTiles(), Meters(), OwnIntervals(), Prices()]
