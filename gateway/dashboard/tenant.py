"""The parts of a tenant's page: the own meters and intervals, and prices, which are the same for all.

Matched energy, orders and counts are not here: who knows the own part of a sum knows the others' part.
"""

from __future__ import annotations

from html import escape
from typing import Final

from nicegui import ui

from gateway.dashboard import text
from gateway.dashboard.panels import price_options, show_start, table, tile
from gateway.dashboard.snapshot import Snapshot
from gateway.epochs.intervals import Interval

_NO_INTERVAL: Final = "No interval yet. One appears here when an epoch has ended and your meters have reported it."
_NO_PRICE: Final = "No epoch has been cleared yet. Prices appear here after the first gate closure."


class OwnTiles:
    """The running epoch, whether the own meters are heard, and what they measured in the last one."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-tiles"):
            _, self._epoch, self._epoch_note = tile("Epoch ends in")
            _, self._heard, self._heard_note = tile("Your meters heard")
            _, self._import, self._import_note = tile("Imported")
            _, self._export, self._export_note = tile("Exported")
            _, self._price, self._price_note = tile("Price")

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        self._epoch.text = text.countdown(snapshot.remaining_s)
        self._epoch_note.text = f"epoch {snapshot.epoch}"
        self._heard.text = f"{snapshot.heard} of {len(snapshot.meters)}"
        self._heard_note.text = "in the last three epochs"
        newest = max((one.epoch for one in snapshot.intervals if not one.is_gap), default=None)
        measured = [one for one in snapshot.intervals if one.epoch == newest and not one.is_gap]
        note = "nothing measured yet" if newest is None else f"in the epoch from {show_start(newest, snapshot)}"
        self._import.text = text.energy(sum(one.import_wh for one in measured) if measured else None)
        self._export.text = text.energy(sum(one.export_wh for one in measured) if measured else None)
        self._import_note.text = self._export_note.text = note
        cleared = [epoch for epoch in snapshot.epochs if epoch.phase != "open"]
        self._price.text = text.price(cleared[-1].price_uaip_per_kwh) if cleared else "–"
        self._price_note.text = f"epoch {cleared[-1].epoch}" if cleared else "nothing cleared yet"


class OwnIntervals:
    """What the own meters measured in the newest epochs, and all of it as a file."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Your intervals</h2>", sanitize=False)
            self._table = ui.html("", sanitize=False)
            self._empty = ui.label(_NO_INTERVAL).classes("cg-empty")
            self._files = ui.html("", sanitize=False).classes("cg-soft cg-files")

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        names = {view.meter.meter_id: view.meter.label or view.meter.meter_id.hex() for view in snapshot.meters}
        rows = [_interval_row(one, names, snapshot) for one in snapshot.intervals]
        self._table.content = table(["From", "To", "Meter", "Import", "Export", ""], rows, right={3, 4}, wide_only={1})
        self._table.visible, self._empty.visible = bool(rows), not rows
        first = max(0, snapshot.epoch - 1000)
        self._files.content = (
            f'As a file: <a href="/api/intervals.csv?from={first}&amp;to={snapshot.epoch - 1}">intervals</a>,'
            ' <a href="/api/readings.csv">readings</a>'
        )


class Prices:
    """The clearing price of the newest epochs."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Market: clearing price by epoch</h2>", sanitize=False)
            self._chart = ui.echart(price_options()).classes("cg-chart")
            self._empty = ui.label(_NO_PRICE).classes("cg-empty")
        self._shown: list[tuple[str, int | None]] = []

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*; the chart is sent only when something in it has changed."""
        cleared = [epoch for epoch in snapshot.epochs if epoch.phase != "open"]
        self._chart.visible, self._empty.visible = bool(cleared), not cleared
        shown = [(show_start(one.epoch, snapshot), one.price_uaip_per_kwh) for one in cleared]
        if shown == self._shown:
            return
        self._shown = shown
        self._chart.options["xAxis"]["data"] = [start for start, _ in shown]
        prices = [None if price is None else price / 1_000_000 for _, price in shown]  # for the eye alone
        self._chart.options["series"][0]["data"] = prices
        self._chart.update()


def _interval_row(one: Interval, names: dict[bytes, str], snapshot: Snapshot) -> list[str]:
    return [
        show_start(one.epoch, snapshot), show_start(one.epoch + one.epochs, snapshot), escape(names[one.meter_id]),
        text.energy(one.import_wh), text.energy(one.export_wh),
        f'<span class="cg-warn">gap of {one.epochs} epochs</span>' if one.is_gap else "",
    ]  # fmt: skip
