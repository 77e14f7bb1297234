"""Measure what a call costs."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.commands.columns import write_columns

if TYPE_CHECKING:
    from ledger.costing.measure import Run

_TIMES = ("check_us", "execute_us", "total_us")
_COUNTS = {
    "signatures": "signatures", "transaction_bytes": "bytes of transaction", "writes": "rows written",
    "written_bytes": "bytes written",
}  # fmt: skip


def bench_call(
    module: Annotated[str, typer.Argument(help="The module, such as market.")],
    function: Annotated[str, typer.Argument(metavar="CALL", help="The call, such as report_intervals.")],
    steps: Annotated[int, typer.Option(min=1, max=1_000, help="Lengths of the call's list; without one, rounds.")] = 50,
    repeat: Annotated[int, typer.Option(min=2, max=10_000, help="Runs of each.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a call in this process, on the state of a small chain made for it; no node is asked or changed.

    Prints medians and middle halves in microseconds of processor time: checking (decoding, all signatures) and
    executing (all but the block's root and log), the rows and bytes written. Exit 1 where the call cannot be made to
    succeed. For example:

        campusgrid ledger bench-call market report_intervals --steps 10 --repeat 5
    """
    from ledger.codes import Refusal  # noqa: PLC0415 - see `ledger.commands`
    from ledger.costing.campus import CannotMakeError  # noqa: PLC0415
    from ledger.costing.measure import measure  # noqa: PLC0415
    from ledger.modules import find_call  # noqa: PLC0415

    definition = find_call(module, function)
    if isinstance(definition, Refusal):
        raise typer.BadParameter(f"{definition.text}; `campusgrid ledger calls` lists them")
    runs = measure(definition, steps, repeat)
    try:
        with typer.progressbar(runs, length=steps * repeat, file=sys.stderr, hidden=not sys.stderr.isatty()) as shown:
            done = list(shown)
    except CannotMakeError as error:
        typer.echo(f"{module}.{function} cannot be measured: {error}", err=True)
        raise typer.Exit(1) from error
    summary = _summarise(f"{module}.{function}", done)
    typer.echo(json.dumps(summary, indent=2) if as_json else _write(summary))


def _summarise(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    from ledger.costing.measure import Spread  # noqa: PLC0415 - see `ledger.commands`

    longest = max(runs, key=lambda run: run.size)
    times = {
        "check_us": [run.check_us for run in runs],
        "execute_us": [run.execute_us for run in runs],
        "total_us": [run.check_us + run.execute_us for run in runs],
    }
    found: dict[str, Any] = {"call": name, "runs": len(runs), "longest_list": longest.size}
    for label, values in times.items():
        spread = Spread.of(values)
        found[label] = {"median": round(spread.median, 1), "iqr": round(spread.iqr, 1)}
        if longest.size > 1:
            slope, start = statistics.linear_regression([run.size for run in runs], values)
            found[label] |= {"base": round(start, 1), "per_item": round(slope, 1)}
    return found | {label: getattr(longest, label) for label in _COUNTS}


def _write(summary: dict[str, Any]) -> str:
    head = ["µs", "median", "middle half"]
    rows = [[label.removesuffix("_us"), *map(str, summary[label].values())] for label in _TIMES]
    if summary["longest_list"] > 1:
        head += ["at no item", "each item"]
    most = f" with {summary['longest_list']} items" if summary["longest_list"] > 1 else ""
    counts = ", ".join(f"{summary[label]} {words}" for label, words in _COUNTS.items())
    return "\n".join((f"{summary['call']}, {summary['runs']} runs", write_columns(head, rows), f"{counts}{most}"))
