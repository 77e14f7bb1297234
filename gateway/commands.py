"""`campusgrid gateway …`: run the gateway, run the bidding agents, check a configuration, mend a chain."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from gateway.errors import GatewayError

app = typer.Typer(no_args_is_help=True, help="Run and look after a campus gateway.")
config_app = typer.Typer(no_args_is_help=True, help="Work on gateway.toml.")
app.add_typer(config_app, name="config")

Config = Annotated[Path, typer.Option("--config", help="The TOML file.", show_default=False)]
WithParent = Annotated[
    bool, typer.Option("--exit-with-parent", help="End when the process that started this one ends.")
]
_PR_SET_PDEATHSIG: Final = 1


@app.command()
def run(config: Config, exit_with_parent: WithParent = False) -> None:
    """Run the gateway until SIGTERM."""
    from gateway.run import run as run_gateway  # noqa: PLC0415 - a --help must not load the web framework
    from gateway.settings import load_gateway  # noqa: PLC0415

    _tie_to_parent(exit_with_parent)
    run_to_end(run_gateway(load_gateway(config)))


@app.command()
def bid(config: Config, exit_with_parent: WithParent = False) -> None:
    """Run the bidding agents until SIGTERM."""
    from gateway.bidding.run import run as run_agents  # noqa: PLC0415
    from gateway.settings import load_bidding  # noqa: PLC0415

    _tie_to_parent(exit_with_parent)
    run_to_end(run_agents(load_bidding(config)))


@app.command()
def adopt(
    meter: Annotated[str, typer.Argument(help="The meter's id, 16 hex digits, or its label.")],
    config: Config,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Receipt a meter again whose earlier readings this gateway lost for good. The gateway must be stopped."""
    from gateway.ops.adoption import adopt as adopt_chain  # noqa: PLC0415
    from gateway.settings import load_gateway  # noqa: PLC0415

    def confirm(text: str) -> None:
        typer.echo(text)
        if not yes:
            typer.confirm("Give them up?", abort=True)

    typer.echo(asyncio.run(adopt_chain(load_gateway(config), meter, confirm)))


@config_app.command()
def check(config: Config) -> None:
    """Check the file and all that it names; start nothing."""
    from gateway.run import check_files  # noqa: PLC0415
    from gateway.settings import load_gateway  # noqa: PLC0415

    meters = check_files(load_gateway(config))
    typer.echo(f"{config}: good; {meters} meters enrolled")


def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* in an event loop; a fault in one of its tasks ends all of them and is raised as it is."""
    try:
        asyncio.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the fault of *group* to tell of: one meant for the user, if there is one."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, GatewayError)), leaves[0])


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _tie_to_parent(is_wanted: bool) -> None:
    """Have the kernel send SIGTERM to this process when its parent ends (prctl(2))."""
    if not is_wanted:
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise GatewayError(f"--exit-with-parent does not work here: {os.strerror(ctypes.get_errno())}")
    if os.getppid() == 1:
        raise GatewayError("--exit-with-parent: the parent has ended already")
