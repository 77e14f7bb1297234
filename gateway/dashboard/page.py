"""The pages: at / one look tells whether the gateway does its work, the others are for those who look after it.

What they show depends on who looks; a tenant sees the own meters, and nothing that tells of others. Everything that a
browser needs comes from this server, so the pages work on an isolated network.
"""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from nicegui import ui

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import Access, Permission
from gateway.dashboard import alarms, keys, lists, log, people
from gateway.dashboard.frame import TITLE, Site, keep_fresh
from gateway.dashboard.panels import Alarms, Header, Market, Meters, Nodes, Panel, Refusals, Tiles
from gateway.dashboard.tenant import OwnIntervals, OwnTiles, Prices
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

REFRESH_S: Final = 1.0


def add_dashboard(application: FastAPI, overview: Overview, door: Doorkeeper, settings: ApiSettings) -> None:
    """Put the pages into *application*."""
    site = Site.over(overview, door, settings)
    _add_overview(site)
    for part in (lists, alarms, people, keys, log):
        part.add(site)
    ui.run_with(application, title=TITLE, show_welcome_message=False)


def _add_overview(site: Site) -> None:
    @ui.page("/", title=TITLE)
    async def show(request: Request) -> None:
        with site.page(request, "/") as visit:
            panels = _tenant_panels(visit.access) if visit.access.is_narrow else _operator_panels(visit.access)

        async def refresh() -> None:
            snapshot = await site.snapshots.seen_by(visit.access)
            for panel in panels:
                panel.update(snapshot)

        await refresh()
        keep_fresh(visit, refresh, REFRESH_S)


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
