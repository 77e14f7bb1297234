"""`campusgrid hil`: virtual bench hardware on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hil import lines

app = typer.Typer(no_args_is_help=True)


@app.callback()
def hil() -> None:
    """Test firmware on virtual and real bench hardware."""


@app.command()
def line(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Lines and meters as JSON (see hil/README.md).")],
) -> None:
    """Serve virtual meters on virtual serial lines until Ctrl-C; prints the ttys.

    Example: campusgrid hil line bench.json
    """
    asyncio.run(lines.serve(lines.build(lines.load(file), file.resolve().parent)))
