"""The operator's first page: one look tells whether the gateway does its work, and what to do where it does not.

Everything a browser needs comes from this server, so the page works on an isolated network.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from fastapi import FastAPI
from nicegui import ui

from gateway.dashboard.panels import Alarms, Header, Market, Meters, Nodes, Panel, Refusals, Tiles
from gateway.dashboard.snapshot import Snapshots
from gateway.readings.overview import Overview

REFRESH_S: Final = 1.0


def add_dashboard(application: FastAPI, overview: Overview) -> None:
    """Put the page at / of *application*."""
    snapshots = Snapshots(overview)
    style = resources.files("gateway.dashboard").joinpath("style.css").read_text("utf-8")

    @ui.page("/", title="campusgrid gateway")
    async def show() -> None:
        ui.add_css(style)
        with ui.element("main").classes("cg-page"):
            panels: list[Panel] = [Header(), Tiles()]
            with ui.element("div").classes("cg-columns"):
                panels += [Market(), Nodes()]
            panels += [Alarms(), Refusals(), Meters()]

        async def refresh() -> None:
            snapshot = await snapshots.newest()
            for panel in panels:
                panel.update(snapshot)

        await refresh()
        ui.timer(REFRESH_S, refresh)

    ui.run_with(application, title="campusgrid gateway", show_welcome_message=False)
