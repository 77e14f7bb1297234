"""The parts of the page. Each is made once per browser and updated from snapshots; nothing here asks the gateway."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from html import escape
from typing import Any, Final, Protocol

from nicegui import ui

from gateway.access.roles import Access
from gateway.dashboard import text
from gateway.dashboard.snapshot import Snapshot
from gateway.readings.overview import MeterView
from ledger.api.resources import Epoch

MAX_METERS_SHOWN: Final = 200
_NO_TRADE: Final = "No epoch has been cleared yet. Results appear here after the first gate closure."


class Panel(Protocol):
    """A part of the page."""

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        ...


class Header:
    """Epoch clock and overall state, with the reasons where the gateway is not well."""

    def __init__(self, access: Access) -> None:
        self._is_narrow = access.is_narrow
        with ui.element("div").classes("cg-state-line"):
            self._state = ui.label().classes("cg-state").props("role=status")
            self._clock = ui.label().classes("cg-soft")
        self._faults = ui.html("", sanitize=False).classes("cg-faults")

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        self._clock.text = f"{text.count(len(snapshot.meters), 'meter')}, epochs of {snapshot.epoch_s} s"
        self._state.visible = not self._is_narrow  # a tenant is not told how the others' part goes
        self._state.text = "Needs attention" if snapshot.faults else "All well"
        self._state.classes(remove="cg-good cg-warn", add="cg-warn" if snapshot.faults else "cg-good")
        self._faults.content = "".join(f"<div>{escape(fault)}</div>" for fault in snapshot.faults)
        self._faults.visible = bool(snapshot.faults)


class Tiles:
    """The few numbers that tell whether all is going on as it should."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-tiles"):
            whole, self._epoch, self._epoch_note = tile("Epoch ends in")
            with whole, ui.element("div").classes("cg-bar"):
                self._bar = ui.element("div")
            _, self._stored, self._stored_note = tile("Readings stored")
            _, self._refused, self._refused_note = tile("Refused")
            _, self._heard, self._heard_note = tile("Meters heard")
            _, self._height, self._height_note = tile("Ledger height")
            _, self._outbox, self._outbox_note = tile("Waiting for the ledger")

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        self._epoch.text = text.countdown(snapshot.remaining_s)
        self._epoch_note.text = f"epoch {snapshot.epoch}"
        self._bar.style(f"width: {100 - 100 * snapshot.remaining_s // snapshot.epoch_s}%")
        self._stored.text = text.group_digits(snapshot.stored)
        self._stored_note.text = f"{text.group_digits(snapshot.duplicates)} duplicates dropped"
        refused = sum(entry.count for entry in snapshot.refused if not entry.is_note)
        self._refused.text = text.group_digits(refused)
        self._refused_note.text = "reasons below" if refused else "nothing was refused"
        self._heard.text = f"{snapshot.heard} of {len(snapshot.meters)}"
        self._heard_note.text = "in the last three epochs"
        self._height.text = "–" if snapshot.height is None else text.group_digits(snapshot.height)
        self._height_note.text, mood = _agreement(snapshot)
        self._height_note.classes(remove="cg-good cg-warn cg-bad", add=mood)
        self._outbox.text = text.group_digits(snapshot.outbox)
        waiting = f", {text.count(snapshot.anchors, 'anchor')}, the oldest {text.age(snapshot.anchor_age_s)}"
        self._outbox_note.text = "boundary readings" + (waiting if snapshot.anchors else "; no anchor waits")


class Market:
    """Clearing price and matched energy of the newest epochs."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Market: clearing price and matched energy by epoch</h2>", sanitize=False)
            self._summary = ui.label().classes("cg-soft")
            self._chart = ui.echart(_chart_options()).classes("cg-chart")
            self._empty = ui.label(_NO_TRADE).classes("cg-empty")
        self._shown: tuple[Any, ...] = ()

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*; the chart is sent only when something in it has changed."""
        cleared = [epoch for epoch in snapshot.epochs if epoch.phase != "open"]
        self._chart.visible = self._summary.visible = bool(cleared)
        self._empty.visible = not cleared
        shown = tuple((epoch.epoch, epoch.matched_wh, epoch.price_uaip_per_kwh, epoch.phase) for epoch in cleared)
        if not cleared or shown == self._shown:
            return
        self._shown = shown
        newest = cleared[-1]
        self._summary.text = (
            f"Epoch {newest.epoch}, {show_start(newest.epoch, snapshot)}: {text.group_digits(newest.matched_wh)} Wh"
            f" matched at {text.price(newest.price_uaip_per_kwh)}, {newest.orders} orders, {newest.phase}"
        )
        found = {epoch.epoch: epoch for epoch in cleared}
        numbers = range(cleared[0].epoch, newest.epoch + 1)  # also those in which nobody placed an order
        options = self._chart.options
        options["xAxis"]["data"] = [show_start(number, snapshot) for number in numbers]
        options["series"][0]["data"] = [found[number].matched_wh if number in found else 0 for number in numbers]
        options["series"][1]["data"] = [_price_aip(found.get(number)) for number in numbers]
        self._chart.update()


class Nodes:
    """The ledger's nodes: who answers, how far each is, whether they agree."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Ledger nodes</h2>", sanitize=False)
            self._table = ui.html("", sanitize=False)

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        rows = []
        for node in snapshot.nodes:
            if node.status is None:
                rows.append([escape(node.url), "", "", '<span class="cg-bad">no answer</span>'])
                continue
            peers = sum(peer.connected for peer in node.status.peers)
            state = f"{peers} of {len(node.status.peers)}"
            if node.status.alarm:
                state = '<span class="cg-bad">signs no more</span>'
            root = f"<code>{node.status.state_root.hex()[:12]}</code>"
            rows.append([escape(node.status.name), text.group_digits(node.status.height), root, state])
        self._table.content = table(["Node", "Height", "State root", "Peers linked"], rows, right={1}, wide_only={2})


class Alarms:
    """Which meters' intervals are odd, and what to do about it; hidden while none is."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel") as self._panel:
            ui.html("<h2>Alarms</h2>", sanitize=False)
            self._table = ui.html("", sanitize=False)

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        self._panel.visible = bool(snapshot.alarms)
        rows = [
            [
                escape(alarm.meter), f"<code>{escape(alarm.code)}</code>", escape(alarm.state),
                text.group_digits(alarm.findings), escape(alarm.explanation.text), escape(alarm.explanation.next_step),
            ]
            for alarm in snapshot.alarms
        ]  # fmt: skip
        head = ["Meter", "Alarm", "State", "Intervals", "Meaning", "What to do"]
        self._table.content = table(head, rows, right={3}, wrap={4, 5}, wide_only={4})


class Refusals:
    """What was refused, why, and what to do about it; hidden while there is nothing."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel") as self._panel:
            ui.html("<h2>Refused messages, and readings to look at</h2>", sanitize=False)
            self._table = ui.html("", sanitize=False)

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*."""
        self._panel.visible = bool(snapshot.refused)
        rows = [
            [
                f"<code>{entry.name}</code>", text.group_digits(entry.count), escape(entry.explanation.text),
                escape(entry.explanation.next_step),
            ]
            for entry in snapshot.refused
        ]  # fmt: skip
        self._table.content = table(
            ["Reason", "Count", "Meaning", "What to do"], rows, right={1}, wrap={2, 3}, wide_only={2}
        )


class Meters:
    """Every meter with its newest reading; those not heard for longest come first when there are too many."""

    def __init__(self) -> None:
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Meters</h2>", sanitize=False)
            ui.label("Negative power is fed into the grid.").classes("cg-soft")
            self._table = ui.html("", sanitize=False)
            self._more = ui.label().classes("cg-soft")

    def update(self, snapshot: Snapshot, wanted: str = "") -> None:
        """Show *snapshot*, of the meters those with *wanted* in label or id."""
        found = views = tuple(view for view in snapshot.meters if wanted in _searched(view))
        if len(views) > MAX_METERS_SHOWN:
            views = tuple(sorted(views, key=_silence, reverse=True)[:MAX_METERS_SHOWN])
        self._more.text = f"{len(found) - len(views)} more: find them on the page Meters, or at /api/meters"
        self._more.visible = len(views) < len(found)
        late_s = 3 * snapshot.epoch_s
        head = ["Meter", "Last reading", "Power", "Import", "Export", "Newest number", "Receipted up to"]
        rows = [_meter_row(view, late_s) for view in views]
        self._table.content = table(head, rows, right={2, 3, 4, 5, 6}, wide_only={3, 4, 5, 6})


def tile(title: str) -> tuple[ui.element, ui.label, ui.label]:
    """Make a tile and return it, its value and its note."""
    with ui.element("div").classes("cg-tile") as tile:
        ui.label(title).classes("cg-soft")
        value = ui.label().classes("cg-value")
        note = ui.label().classes("cg-soft")
    return tile, value, note


def _agreement(snapshot: Snapshot) -> tuple[str, str]:
    answering = sum(node.status is not None for node in snapshot.nodes)
    if not answering:
        return "no node answers", "cg-bad"
    if snapshot.roots_agree is False:
        return "state roots differ", "cg-bad"
    if answering < len(snapshot.nodes):
        return f"{answering} of {len(snapshot.nodes)} nodes answer", "cg-warn"
    agree = "state roots agree" if snapshot.roots_agree else "not compared yet"
    return f"{answering} nodes, {agree}", "cg-good" if snapshot.roots_agree else "cg-warn"


def show_start(epoch: int, snapshot: Snapshot) -> str:
    """Return when *epoch* starts, as a time of day."""
    return text.clock(epoch * snapshot.epoch_s, is_exact=snapshot.epoch_s % 60 != 0)


def _price_aip(epoch: Epoch | None) -> float | None:
    """Return a price as the chart draws it; it is for the eye alone."""
    return None if epoch is None or epoch.price_uaip_per_kwh is None else epoch.price_uaip_per_kwh / 1_000_000


def _silence(view: MeterView) -> float:
    return float("inf") if view.age_s is None else view.age_s


def _searched(view: MeterView) -> str:
    return f"{view.meter.label} {view.meter.meter_id.hex()}".casefold()


def _meter_row(view: MeterView, late_s: int) -> list[str]:
    mood = "cg-bad" if view.age_s is None else "cg-warn" if view.age_s > late_s else "cg-good"
    label = view.meter.label or view.meter.meter_id.hex()
    said = "".join(f' <span class="cg-warn">{escape(hint.text)}</span>' for hint in view.hints)
    return [
        f'{escape(label)}{said} <span class="cg-soft cg-wide-only">{escape(view.meter.profile)}</span>',
        f'<span class="{mood}">{text.age(view.age_s)}</span>',
        text.power(view.power_w), text.energy(view.import_wh), text.energy(view.export_wh),
        "–" if view.sequence is None else text.group_digits(view.sequence), text.group_digits(view.receipted),
    ]  # fmt: skip


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: AbstractSet[int] = frozenset(),
    wrap: AbstractSet[int] = frozenset(),
    wide_only: AbstractSet[int] = frozenset(),
) -> str:
    """Return an HTML table; cells are HTML already, *right*, *wrap* and *wide_only* are column numbers.

    One with text that wraps stands as a list on a narrow screen, each cell with its column's name.
    """

    def cell(column: int, content: str) -> str:
        return f'<td class="{names(column)}" data-label="{head[column]}">{content}</td>'

    def names(column: int) -> str:
        chosen = {"cg-right": right, "cg-wrap": wrap, "cg-wide-only": wide_only}
        return " ".join(name for name, columns in chosen.items() if column in columns)

    top = "".join(f'<th class="{names(column)}">{title}</th>' for column, title in enumerate(head))
    body = "".join(f"<tr>{''.join(cell(*one) for one in enumerate(cells))}</tr>" for cells in rows)
    kind = ' class="cg-stacks"' if wrap else ""
    return f"<table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def price_options() -> dict[str, Any]:
    """Return the options of a chart of prices alone."""
    options = _chart_options()
    options["yAxis"], options["series"] = options["yAxis"][1:], options["series"][1:]
    options["series"][0]["yAxisIndex"] = 0
    options["yAxis"][0].pop("splitLine")
    return options


def _chart_options() -> dict[str, Any]:
    soft = "#5b6875"
    return {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"bottom": 0, "textStyle": {"color": soft}},
        "grid": {"left": 56, "right": 56, "top": 32, "bottom": 52},
        "xAxis": {"type": "category", "data": [], "axisLabel": {"color": soft}},
        "yAxis": [
            {"type": "value", "name": "Wh", "axisLabel": {"color": soft}, "nameTextStyle": {"color": soft}},
            {
                "type": "value", "name": "AIP/kWh", "scale": True, "axisLabel": {"color": soft},
                "nameTextStyle": {"color": soft}, "splitLine": {"show": False},
            },
        ],
        "series": [
            {"name": "matched (Wh)", "type": "bar", "data": [], "itemStyle": {"color": "#a9c4e2"}},
            {
                "name": "price (AIP/kWh)", "type": "line", "yAxisIndex": 1, "data": [],
                "itemStyle": {"color": "#1f5fa8"}, "symbolSize": 6,
            },
        ],
    }  # fmt: skip
