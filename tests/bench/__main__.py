"""`python -m tests.bench [PREFIX]`: run the parts, print the table, write bench.json.

A part is run by this module too, as `python -m tests.bench --part NAME`, in a process group of its own, so that one
that hangs is ended with its children and costs the others nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.measure import Row, unfinished, write_json
from tests.bench.parts import PARTS

RESULT = Path(__file__).resolve().parents[2] / "bench.json"
PART_LIMIT_S = 600
TOTAL_LIMIT_S = 1800
CHILD = ("-m", "tests.bench")
TAG = "bench-row "


def main(arguments: list[str]) -> int:
    """Run what was asked for; 0 when every part came to its end, whether or not its bars hold."""
    match arguments:
        case ["--part", name]:
            return _run_part_here(name)
        case [] | [str()]:
            return _run(arguments[0] if arguments else "")
        case _:
            print("usage: python -m tests.bench [PREFIX]", file=sys.stderr)
            return 2


def _run(prefix: str) -> int:
    chosen = [name for name in PARTS if name.startswith(prefix) or prefix.startswith(f"{name}.")]
    if not chosen:
        print(f"no part of the bench begins with {prefix!r}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    deadline_s = time.monotonic() + TOTAL_LIMIT_S
    for name in chosen:
        rows += _run_part(name, min(PART_LIMIT_S, deadline_s - time.monotonic()))
        write_json(RESULT, (row.as_json() for row in rows if row.name.startswith(prefix) or row.value is None))
    _print_table(row for row in rows if row.name.startswith(prefix) or row.value is None)
    return 1 if any(row.value is None for row in rows) else 0


def _run_part(name: str, limit_s: float) -> list[Row]:
    """Run one part in a process group of its own and return its rows, with one more where it did not finish."""
    print(f"measuring {name} …", file=sys.stderr, flush=True)
    command = [sys.executable, *CHILD, "--part", name]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    reason = ""
    try:
        output, _ = child.communicate(timeout=max(limit_s, 1))
        reason = f"failed with exit code {child.returncode}" if child.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"not done after {round(limit_s)} s"
        _end(child)
        output, _ = child.communicate()
    except KeyboardInterrupt:
        _end(child)
        raise
    rows = [Row(**json.loads(line.removeprefix(TAG))) for line in output.splitlines() if line.startswith(TAG)]
    return [*rows, unfinished(name, reason)] if reason else rows


def _end(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGKILL)  # the group that this child leads, and nobody else's
    child.wait()


def _run_part_here(name: str) -> int:
    module, _, function = PARTS[name].partition(":")
    for row in getattr(import_module(module), function)():
        if not row.name.startswith(f"{name}."):
            raise ValueError(f"part {name} yields a row named {row.name}: its name must begin with {name!r} and a dot")
        print(TAG + json.dumps(_fields(row)), flush=True)
    return 0


def _fields(row: Row) -> dict[str, Any]:
    return {**row.as_json(), "relation": row.relation}


def _print_table(rows: Iterable[Row]) -> None:
    lines = [
        (
            row.name,
            _figure(row.value),
            row.unit,
            f"{row.relation} {_figure(row.bar)}",
            _verdict(row),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    for name, value, unit, bar, verdict in lines:
        print(f"{name:<{widths[0]}}  {value:>{widths[1]}} {unit:<{widths[2]}}  {bar:<{widths[3]}}  {verdict}")


def _verdict(row: Row) -> str:
    if row.value is not None and row.bar is None:
        return "no bar"
    return "holds" if row.holds else "MISSED"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
