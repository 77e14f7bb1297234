"""Tables as people read them in a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def write_columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return lines of columns under their *head*; every row has as many cells."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
