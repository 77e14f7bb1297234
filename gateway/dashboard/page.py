"""The operator's first page."""

from __future__ import annotations

from fastapi import FastAPI
from nicegui import ui

from gateway.readings.overview import Overview


def add_dashboard(application: FastAPI, overview: Overview) -> None:
    """Put the page at / of *application*."""

    @ui.page("/")
    def show() -> None:
        ui.label("campusgrid")

    ui.run_with(application, title="campusgrid")
