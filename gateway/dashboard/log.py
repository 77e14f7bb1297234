"""The page on the audit log: who did what, when and from where, and whether the log is whole."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

from fastapi import Request
from nicegui import ui

from gateway.access.audit import Row
from gateway.dashboard import text
from gateway.dashboard.frame import Site, keep_fresh
from gateway.dashboard.panels import table
from gateway.dashboard.parts import Pager

ROWS: Final = 50


def add(site: Site) -> None:
    """Add the page."""

    @ui.page("/audit", title="Audit log · campusgrid gateway")
    async def show(request: Request) -> None:
        async def load(before: int | None) -> tuple[str, int | None]:
            rows = await site.door.audit.page(before, ROWS)
            head = ["Number", "When", "Who", "From", "Did", "To", "Detail"]
            return table(head, [_row(row) for row in rows], wrap={6}, wide_only={0}), (
                rows[-1].id if len(rows) == ROWS else None
            )

        async def verify() -> None:
            check.disable()
            head, faults = await site.door.audit.verify()
            said = f"{head.count} rows, whole. Note the head elsewhere: {head}"
            verdict.text = "; ".join(faults) if faults else said
            verdict.classes(remove="cg-good cg-bad", add="cg-bad" if faults else "cg-good")
            check.enable()

        with site.page(request, "/audit") as visit, ui.element("section").classes("cg-panel"):
            ui.html("<h2>Audit log: every write, the newest first</h2>", sanitize=False)
            check = ui.button("Check the log", on_click=visit.guarded(verify)).props("outline dense no-caps")
            verdict = ui.label().classes("cg-verdict").props("role=status")
            pager = Pager(load, "Nothing was written yet.")
        await pager.refresh()
        keep_fresh(visit, pager.refresh)


def _row(row: Row) -> list[str]:
    return [
        str(row.id), text.moment(row.at), escape(row.who), escape(row.origin), escape(row.action),
        escape(row.subject), escape(_detail(row)),
    ]  # fmt: skip


def _detail(row: Row) -> str:
    told: dict[str, Any] = json.loads(row.detail)
    return ", ".join(f"{name}: {value}" for name, value in told.items() if value is not None)
