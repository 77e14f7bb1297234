"""The page on alarms, each with its evidence; one who may says that somebody looks after it, or closes it."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from html import escape
from typing import Final

from fastapi import Request
from nicegui import ui

from gateway.access.roles import Permission
from gateway.checks.alarms import ALARM_STATES, EXPLANATIONS, STANDING, AlarmCode
from gateway.dashboard import text
from gateway.dashboard.frame import Site, keep_fresh
from gateway.dashboard.parts import row_button
from gateway.dashboard.visit import Visit
from gateway.errors import UnknownError

ROWS: Final = 50
_MOODS: Final = {"open": "cg-bad", "acknowledged": "cg-warn", "closed": "cg-good"}


def add(site: Site) -> None:
    """Add the page."""

    @ui.page("/alarms", title="Alarms · campusgrid gateway")
    async def show(request: Request) -> None:
        with site.page(request, "/alarms") as visit:
            page = AlarmsPage(site, visit)
        await page.refresh()
        keep_fresh(visit, page.refresh)


class AlarmsPage:
    """What the checks found about meters, on what evidence."""

    def __init__(self, site: Site, visit: Visit) -> None:
        self._site = site
        self._visit = visit
        self._shown: tuple[object, ...] = ()
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Alarms: what is physically odd about a meter</h2>", sanitize=False)
            self._with_closed = ui.checkbox("Show closed ones", on_change=self.refresh)
            self._rows = ui.element("ul").classes("cg-rows")
            self._note = ui.label().classes("cg-soft")

    async def refresh(self) -> None:
        """Show the alarms, if anything has changed."""
        states = ALARM_STATES if self._with_closed.value else STANDING
        rows = await self._site.overview.checks.alarms(states, None, ROWS + 1)
        self._note.text = "Older ones are at /api/alarms." if len(rows) > ROWS else "No alarm: all intervals are well."
        self._note.visible = not 0 < len(rows) <= ROWS
        shown = tuple((row["id"], row["state"], row["findings"]) for row in rows)
        if shown == self._shown:
            return
        self._shown = shown
        self._rows.clear()
        with self._rows:
            for row in rows[:ROWS]:
                self._add_row(row)

    def _add_row(self, row: sqlite3.Row) -> None:
        meter = self._site.overview.roster.meters.get(row["meter_id"])
        name = meter.label if meter and meter.label else row["meter_id"].hex()
        explanation = EXPLANATIONS[AlarmCode(row["code"])]
        evidence = json.dumps(json.loads(row["evidence"]), indent=2)
        with ui.element("li"):
            with ui.element("div").classes("cg-what"):
                ui.label(name).classes("cg-name")
                ui.label(row["state"]).classes(_MOODS[row["state"]])
                ui.html(f"<code>{escape(row['code'])}</code>", sanitize=False)
                ui.label(f"{explanation.text} {explanation.next_step}").classes("cg-wide")
                since = f"{text.count(row['findings'], 'interval')} since {text.moment(row['raised_at'])}"
                ui.label(f"{since}, meter {row['meter_id'].hex()}").classes("cg-soft cg-wide")
                ui.html(
                    f"<details><summary>Evidence</summary><pre>{escape(evidence)}</pre></details>", sanitize=False
                ).classes("cg-wide")
            if self._may_acknowledge():
                with ui.element("div").classes("cg-buttons"):
                    self._add_buttons(row, name)

    def _add_buttons(self, row: sqlite3.Row, name: str) -> None:
        if row["state"] == "open":
            row_button("Acknowledge", name, self._visit.guarded(partial(self._acknowledge, row["id"])))
        if row["state"] in STANDING and not AlarmCode(row["code"]).closes_itself:
            row_button("Close", name, self._visit.guarded(partial(self._close, row["id"], name)))

    def _may_acknowledge(self) -> bool:
        return self._visit.access.may(Permission.ACKNOWLEDGE) and not self._visit.access.is_read_only

    async def _acknowledge(self, number: int) -> None:
        actor = await self._visit.actor(Permission.ACKNOWLEDGE)
        if not await self._site.overview.checks.acknowledge(number, int(self._site.overview.calendar.now()), actor):
            raise UnknownError("this alarm has closed meanwhile")
        self._visit.tell("Somebody looks after it now.")
        await self.refresh()

    async def _close(self, number: int, name: str) -> None:
        if not await self._visit.confirm(f"Close this alarm of {name}? Its evidence stays.", "Close it"):
            return
        actor = await self._visit.actor(Permission.ACKNOWLEDGE)
        if not await self._site.overview.checks.close(number, int(self._site.overview.calendar.now()), actor):
            raise UnknownError("this alarm has closed meanwhile")
        self._visit.tell("It is closed.")
        await self.refresh()
