"""Bars that show how far a long command is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(first: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar on a terminal; what is given is told (what, done, total)."""
    from rich.console import Console  # noqa: PLC0415 - see `ledger.commands`
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(first)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)
