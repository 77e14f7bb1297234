"""The replayed days as one HTML file of plain SVG: prices and energy over the day, three epochs' supply and demand."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hil.replay.campus import EPOCH_S, EPOCHS_PER_DAY, PlayedEpoch
from hil.replay.results import start_of_day_s
from ledger.market.book import Side
from ledger.market.explanation import show_price

Point = tuple[int, int]
WIDTH, HEIGHT, MARGIN = 720, 260, 56
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:760px;color:#1c2733}"
    "svg{background:#fff;border:1px solid #d5dbe1}text{font-size:11px;fill:#55616d}"
    "h2{font-size:1.1rem;margin:1.6rem 0 .4rem}"
)


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points, or the points alone; its colour and name stand in the legend."""

    name: str
    colour: str
    points: Sequence[Point]
    is_dots: bool = False


def draw(played: Sequence[PlayedEpoch], title: str) -> str:
    """Return the page."""
    parts = [f"<h1>{html.escape(title)}</h1>", _draw_prices(played), _draw_energy(played)]
    for one in choose_epochs(played):
        hours, minutes = divmod(start_of_day_s(one.epoch, played[0].epoch) // 60, 60)
        day = (one.epoch - played[0].epoch) // EPOCHS_PER_DAY + 1
        price = show_price(one.book.price_uaip_per_kwh or 0)
        heading = f"Day {day}, {hours:02d}:{minutes:02d}: {one.book.matched_wh} Wh at {price} AIP/kWh"
        parts.append(_draw_chart(heading, "Wh", "AIP/kWh", find_curves(one)))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def choose_epochs(played: Sequence[PlayedEpoch]) -> list[PlayedEpoch]:
    """Return the epoch with the most trade, that in the middle and that with the least; fewer where fewer traded."""
    traded = sorted((one for one in played if one.book.matched_wh), key=lambda one: (one.book.matched_wh, one.epoch))
    places = {len(traded) - 1, len(traded) // 2, 0} if traded else set()
    return [traded[place] for place in sorted(places, reverse=True)]


def find_curves(one: PlayedEpoch) -> list[Curve]:
    """Return demand and supply as steps: the Wh that want, or offer, each price or a better one."""
    curves = []
    for side, name, colour in ((Side.BUY, "demand", "#1f6fb2"), (Side.SELL, "supply", "#c2691a")):
        entries = sorted((row.price_uaip_per_kwh, row.quantity_wh) for _, row in one.orders if row.side == side)
        points, reached_wh = [], 0
        for price, quantity_wh in entries if side is Side.SELL else reversed(entries):
            points += [(reached_wh, price), (reached_wh + quantity_wh, price)]
            reached_wh += quantity_wh
        curves.append(Curve(name, colour, points))
    level = one.book.price_uaip_per_kwh or 0
    curves.append(Curve("price", "#2b8a3e", [(0, level), (one.book.matched_wh, level)]))
    return curves


def _draw_prices(played: Sequence[PlayedEpoch]) -> str:
    first, end = played[0], EPOCHS_PER_DAY * EPOCH_S
    dots = [
        (start_of_day_s(one.epoch, first.epoch), one.book.price_uaip_per_kwh)
        for one in played
        if one.book.price_uaip_per_kwh is not None
    ]
    curves = [
        Curve("retail", "#9aa5b1", [(0, first.book.retail_uaip_per_kwh), (end, first.book.retail_uaip_per_kwh)]),
        Curve("feed-in", "#9aa5b1", [(0, first.book.feed_in_uaip_per_kwh), (end, first.book.feed_in_uaip_per_kwh)]),
        Curve("clearing price of each epoch", "#2b8a3e", dots, is_dots=True),
    ]
    return _draw_chart("Prices over the day", "h", "AIP/kWh", curves)


def _draw_energy(played: Sequence[PlayedEpoch]) -> str:
    """Draw the mean day."""
    days = -(-len(played) // EPOCHS_PER_DAY)
    sums = {name: [0] * EPOCHS_PER_DAY for name in ("imported", "exported", "traded")}
    for one in played:
        slot = start_of_day_s(one.epoch, played[0].epoch) // EPOCH_S
        sums["imported"][slot] += one.book.import_wh
        sums["exported"][slot] += one.book.export_wh
        sums["traded"][slot] += one.book.matched_wh
    colours = {"imported": "#1f6fb2", "exported": "#c2691a", "traded": "#2b8a3e"}
    curves = [
        Curve(name, colours[name], [(slot * EPOCH_S, wh // days) for slot, wh in enumerate(values)])
        for name, values in sums.items()
    ]
    return _draw_chart("Energy of a quarter-hour, mean of the days", "h", "Wh", curves)


def _draw_chart(heading: str, across: str, up: str, curves: Sequence[Curve]) -> str:
    points = [point for curve in curves for point in curve.points]
    right = EPOCHS_PER_DAY * EPOCH_S if across == "h" else max((x for x, _ in points), default=1) or 1
    top = max((y for _, y in points), default=1) or 1
    parts = [_axis_labels(right, top, across, up)]
    for place, curve in enumerate(curves):
        placed = [(MARGIN + x * (WIDTH - 2 * MARGIN) // right, _height(y, top)) for x, y in curve.points]
        if curve.is_dots:
            parts += [f'<circle cx="{x}" cy="{y}" r="1.8" fill="{curve.colour}"/>' for x, y in placed]
        else:
            line = " ".join(f"{x},{y}" for x, y in placed)
            parts.append(f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="1.6"/>')
        legend_x = MARGIN + 8 + 150 * place
        parts.append(f'<text x="{legend_x}" y="16" style="fill:{curve.colour}">{html.escape(curve.name)}</text>')
    frame = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(heading)}">'
    return f"<h2>{html.escape(heading)}</h2>\n{frame}\n" + "\n".join(parts) + "\n</svg>"


def _axis_labels(right: int, top: int, across: str, up: str) -> str:
    """Return the axes with five labels each; seconds read as hours, prices as AIP."""
    labels = []
    for step in range(5):
        x, y = right * step // 4, top * step // 4
        shown_x = str(x // 3600) if across == "h" else str(x)
        shown_y = f"{y / 1_000_000:.2f}" if up == "AIP/kWh" else str(y)
        place = MARGIN + x * (WIDTH - 2 * MARGIN) // right
        labels += [
            f'<text x="{place}" y="{HEIGHT - MARGIN + 34}" text-anchor="middle">{shown_x} {across}</text>',
            f'<text x="{MARGIN - 6}" y="{_height(y, top) + 4}" text-anchor="end">{shown_y}</text>',
        ]
    corner = f"{MARGIN},{MARGIN - 26} {MARGIN},{_height(0, top)} {WIDTH - MARGIN},{_height(0, top)}"
    unit = f'<text x="{MARGIN - 6}" y="{MARGIN - 34}" text-anchor="end">{up}</text>'
    return f'<polyline points="{corner}" fill="none" stroke="#9aa5b1"/>{unit}' + "".join(labels)


def _height(value: int, top: int) -> int:
    return HEIGHT - MARGIN + 16 - value * (HEIGHT - 2 * MARGIN + 30) // top
