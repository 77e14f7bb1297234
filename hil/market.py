"""`campusgrid market` in full: the ledger's own commands, and the replay of measured days, which needs a campus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hil.errors import TraceError
from ledger.market.cli import app


@app.command("replay")
def replay(
    traces: Annotated[Path, typer.Argument(metavar="TRACES", help="A trace (CSV), or a folder with one in it.")],
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days, from the trace's first.")] = 1,
    agents: Annotated[str, typer.Option(help="How users bid: forecast, truthful or zero-intelligence.")] = "forecast",
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="What the agents draw from.")] = 0,
    plot: Annotated[Path | None, typer.Option(help="Write prices and curves there, as HTML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run the market of the virtual campus over measured days, on a ledger in this process, and print what each got.

    Meters sign, agents forecast and order, the ledger clears and settles, a day in seconds; the same on every run.

        campusgrid market replay tests/data/traces --days 2 --plot days.html
    """
    from hil.replay import campus, results  # noqa: PLC0415 - loads the ledger, which no --help waits for
    from hil.replay import plot as drawing  # noqa: PLC0415 - as above
    from hil.resources import trace  # noqa: PLC0415 - as above

    if agents not in set(campus.Agents):
        raise typer.BadParameter(f"there are no agents {agents!r}: give one of {', '.join(campus.Agents)}")
    played_on = campus.Campus(trace.load(find_trace(traces)), days, campus.Agents(agents), seed)
    played = list(played_on.play())
    found = results.add_up(played, played_on.names, played_on.parameters)
    root = played_on.ledger.state.header.state_root.hex()
    if plot is not None:
        _write(plot, drawing.draw(played, f"{days} day(s) of the virtual campus, {agents} agents"))
    head = {"days": days, "agents": agents, "seed": seed, "state_root": root}
    typer.echo(json.dumps(head | found.as_json(), indent=2) if as_json else _as_text(head, found))


def find_trace(path: Path) -> Path:
    """Return *path*, or the first CSV file in that folder which has a trace's columns; raises TraceError."""
    if not path.is_dir():
        return path
    for file in sorted(path.glob("*.csv")):
        with file.open(errors="replace") as stream:
            if {"start_utc", "meter", "wh"} <= set(stream.readline(1000).strip().split(",")):
                return file
    raise TraceError(f"{path} holds no CSV file with the columns start_utc, meter and wh; name the file")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise TraceError(f"cannot write {path}: {error.strerror}; name a file in a folder that exists") from error


def _as_text(head: dict[str, Any], found: Any) -> str:
    from ledger.market.explanation import show_price  # noqa: PLC0415 - as above

    rows = [("", "import kWh", "export kWh", "own use %", "community %", "bill AIP", "grid only AIP", "saved AIP")]
    rows += [
        (
            user.name, _show(user.import_wh, 3, 1), _show(user.export_wh, 3, 1),
            _show(user.self_consumption_permille, 1, 1), _show(user.community_permille, 1, 1),
            *(_show(amount, 18, 3) for amount in (user.bill_aaip, user.grid_only_aaip, user.saved_aaip)),
        )
        for user in found.users
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = [
        f"{row[0]:<{widths[0]}}  "
        + "  ".join(f"{value:>{width}}" for value, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]
    prices = "nothing traded"
    if found.mean_price is not None:
        low, mean, high = map(show_price, (found.lowest_price, found.mean_price, found.highest_price))
        prices = f"prices {low} to {high}, mean {mean} AIP/kWh"
    market = (
        f"{found.epochs} epochs, {found.traded_epochs} with trades; {found.orders} orders; "
        f"{_show(found.matched_wh, 3, 1)} kWh traded; {prices}; welfare {_show(found.welfare, 9, 3)} AIP"
    )
    return "\n".join([*table, "", market, f"state root {head['state_root']}"])


def _show(value: int, decimals: int, shown: int) -> str:
    """Return *value* 10^-decimals with the *shown* first of its decimals, the others cut off."""
    whole, part = divmod(abs(value), 10**decimals)
    return f"{'-' if value < 0 else ''}{whole}.{part:0{decimals}d}"[: shown - decimals or None]
