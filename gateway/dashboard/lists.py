"""The pages with all meters, and with the messages that were refused."""

from __future__ import annotations

import sqlite3
from html import escape
from typing import Final

from fastapi import Request
from nicegui import ui

from gateway.api.parameters import next_before
from gateway.dashboard import text
from gateway.dashboard.frame import Site, keep_fresh
from gateway.dashboard.panels import Meters, table
from gateway.dashboard.parts import Pager, field
from gateway.intake import refusals
from gateway.intake.refusals import RefusalCode

ROWS: Final = 50
SHOWN_BYTES: Final = 16
SHOWN_TOPIC: Final = 48


def add(site: Site) -> None:
    """Add the pages."""
    _add_meters(site)
    _add_quarantine(site)


def _add_meters(site: Site) -> None:
    @ui.page("/meters", title="Meters · campusgrid gateway")
    async def show(request: Request) -> None:
        with site.page(request, "/meters") as visit:
            find = field("Find a meter by a part of its label or id")
            panel = Meters()

        async def refresh() -> None:
            wanted = (find.value or "").strip().casefold()
            panel.update(await site.snapshots.seen_by(visit.access), wanted)

        find.on_value_change(refresh)
        await refresh()
        keep_fresh(visit, refresh)


def _add_quarantine(site: Site) -> None:
    @ui.page("/quarantine", title="Refused · campusgrid gateway")
    async def show(request: Request) -> None:
        async def load(before: int | None) -> tuple[str, int | None]:
            rows = await site.overview.queries.quarantine(before, ROWS)
            head = ["When", "Reason", "Topic", "Bytes", "Begins with", "What to do"]
            content = table(head, [_quarantined(row) for row in rows], right={3}, wrap={5}, wide_only={3})
            return content, next_before(rows, ROWS)

        with site.page(request, "/quarantine") as visit, ui.element("section").classes("cg-panel"):
            ui.html("<h2>Messages that nobody is proven to have signed</h2>", sanitize=False)
            ui.label("The newest first; how many there are for each reason is on the first page.").classes("cg-soft")
            pager = Pager(load, "Nothing was refused.")
        await pager.refresh()
        keep_fresh(visit, pager.refresh)


def _quarantined(row: sqlite3.Row) -> list[str]:
    code = RefusalCode(row["refusal"])
    return [
        text.moment(row["received_at"]), f"<code>{code.name}</code>", escape(row["topic"][:SHOWN_TOPIC]),
        text.group_digits(row["size"]), f"<code>{row['raw'][:SHOWN_BYTES].hex(' ')}</code>",
        escape(refusals.EXPLANATIONS[code].next_step),
    ]  # fmt: skip
