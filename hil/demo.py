"""`campusgrid demo`: the whole way of a reading on one machine, from a Modbus register to a proven settlement."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from hil import tools, verdict
from hil.campus import VirtualCampus
from hil.errors import DemoError
from hil.finality import FinalityProbe
from hil.progress import Progress, Snapshot, look
from hil.report import Report
from ledger.genesis import Role
from ledger.remote.client import AccountClient
from provisioning import keys

REFRESH_S: Final = 0.5
MAX_EPOCHS: Final = 90
"""The report counts order fees again from the books, which the ledger keeps for 96 epochs."""
EXTRA_EPOCHS: Final = 4
"""Epochs beyond those asked for that the demo waits for its market to get going."""
SETTLE_ALLOWANCE_S: Final = 30
MIN_FREE_BYTES: Final = 128 * 2**20
EXIT_INTERRUPTED: Final = 130


Epochs = Annotated[int | None, typer.Option(min=1, max=MAX_EPOCHS, help="After how many settled epochs to report.")]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    epochs: int | None
    report: Path | None
    epoch_s: int
    port: int
    directory: Path
    leaves: bool


class InterruptedRunError(DemoError):
    """Somebody ended the demo before it had come to its result."""

    exit_code = EXIT_INTERRUPTED


def demo(
    epochs: Annotated[
        int | None, typer.Option(min=1, max=MAX_EPOCHS, help="Settled epochs after which to report.")
    ] = None,
    leave: Annotated[bool, typer.Option("--exit", help="End after the report, with 0 if all went well.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the report here, proof and keys beside it.")] = None,
    epoch_seconds: Annotated[int, typer.Option(min=4, max=900, help="How long an epoch lasts.")] = 10,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The dashboard's port.")] = 8080,
    directory: Annotated[
        Path | None, typer.Option(help="New folder for the campus [default: a temporary one].")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the temporary folder, to look at logs and stores.")
    ] = False,
) -> None:
    """Run a virtual campus: meters, broker, gateway and four ledger nodes, each a real process.

    The proof and the authorities' keys are written beside the report, under its name.

    Ends on Ctrl-C. Example: campusgrid demo --epochs 3 --exit --report report.json
    """
    if leave and epochs is None:
        raise DemoError("--exit needs --epochs: after how many settled epochs to end. Try --epochs 3 --exit")
    if report is not None and epochs is None:
        raise DemoError("--report needs --epochs: after how many settled epochs to report. Try --epochs 3")
    started_s = time.monotonic()
    found = tools.find()
    tools.require_free(port)
    _require_writable(report)
    with _campus_folder(directory, keep) as folder:
        _require_space(folder)
        asyncio.run(_run(Options(epochs, report, epoch_seconds, port, folder, leave), found, started_s))


async def _run(options: Options, found: tools.Tools, started_s: float) -> None:
    progress = Progress(Console())
    try:
        with _ended_by_signals(), progress:
            await _run_campus(options, found, progress, started_s)
    except asyncio.CancelledError:
        progress.say("stopping")
        if options.leaves:
            raise InterruptedRunError("interrupted before there was a report; nothing is left running") from None


async def _run_campus(options: Options, found: tools.Tools, progress: Progress, started_s: float) -> None:
    campus = VirtualCampus(options.directory, found, options.epoch_s, options.port)
    try:
        progress.say(f"dashboard: {campus.gateway_url} (once the gateway runs); campus in {options.directory}")
        await _report_on(campus, options, progress, started_s)
    finally:
        await campus.stop()


async def _report_on(campus: VirtualCampus, options: Options, progress: Progress, started_s: float) -> None:
    first_epoch = await campus.start(progress.say)
    progress.say(
        f"everything runs after {time.monotonic() - started_s:.0f} s; epoch {first_epoch} is the first to settle"
    )
    async with _probing(campus) as probe:
        await _watch(campus, first_epoch, progress, options)
    progress.say("the meters drain; what was signed, stored and settled is compared")
    output = options.report or options.directory / "report.json"
    report = await verdict.reach(verdict.Run(campus, first_epoch, probe, output, started_s))
    if options.report:
        report.write(options.report)
        progress.say(f"report: {options.report}")
    _tell(report, progress)
    if report.failures:
        raise DemoError("the demo did not hold its promises: " + "; ".join(report.failures))
    if not options.leaves:
        progress.say("the meters stand still; Ctrl-C ends the campus")
        await asyncio.Event().wait()


async def _watch(campus: VirtualCampus, first_epoch: int, progress: Progress, options: Options) -> None:
    """Show the campus until enough epochs have settled; for ever where no number was asked for."""
    wanted = options.epochs
    limit_s = ((wanted or 0) + EXTRA_EPOCHS) * options.epoch_s + SETTLE_ALLOWANCE_S
    deadline_s = time.monotonic() + limit_s
    while True:
        snapshot = await look(campus, first_epoch)
        progress.show(snapshot, campus.gateway_url)
        campus.require_running()
        if wanted is not None:
            if _is_enough(snapshot, wanted):
                return
            if time.monotonic() > deadline_s:
                settled = len(snapshot.settled())
                raise DemoError(f"only {settled} epochs settled within {limit_s} s; --keep keeps the logs to look at")
        await asyncio.sleep(REFRESH_S)


def _is_enough(snapshot: Snapshot, wanted: int) -> bool:
    """Tell whether *wanted* epochs have settled, and the market, whose agents first need a history, has traded."""
    settled = snapshot.settled()
    return len(settled) >= wanted and any(epoch.matched_wh > 0 for epoch in settled)


def _tell(report: Report, progress: Progress) -> None:
    custody, conservation = report.custody, report.conservation
    progress.say(
        f"{custody.signed} readings signed, {custody.stored} stored, {len(custody.lost)} lost, "
        f"{report.duplicated} duplicated; {len(report.epochs)} epochs settled, "
        f"{sum(epoch.matched_wh for epoch in report.epochs)} Wh matched"
    )
    laws = ", ".join(f"{law} {'conserved' if holds else 'NOT CONSERVED'}" for law, holds in conservation.laws.items())
    height = next(iter(report.blocks.values())).height
    progress.say(f"{laws}; {len(report.blocks)} nodes compared at height {height}")
    progress.say(f"proof {report.proof.file}: {report.proof.verdict}")


@contextlib.asynccontextmanager
async def _probing(campus: VirtualCampus) -> AsyncIterator[FinalityProbe]:
    """Measure finality meanwhile, with transfers of the grid account to the admin."""
    genesis = campus.campus.genesis
    sender = AccountClient(campus.client, genesis.chain_id, genesis.grid_account, keys.read(campus.folder / "grid.key"))
    admin = next(account.id for account in genesis.accounts if Role.ADMIN in account.roles)
    probe = FinalityProbe(campus.client, sender, admin)
    task = asyncio.create_task(probe.run())
    try:
        yield probe
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Cancel the current task on the first SIGINT, SIGTERM or SIGHUP; while it ends, further ones change nothing."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    cancelled = asyncio.Event()

    def end() -> None:
        if not cancelled.is_set():
            cancelled.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    yield


@contextlib.contextmanager
def _campus_folder(directory: Path | None, is_kept: bool) -> Iterator[Path]:
    """Give the folder for the campus: the one asked for, or a temporary one that goes afterwards unless it is kept."""
    if directory is not None:
        yield directory
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix="campusgrid-"))
    except OSError as error:
        raise DemoError(f"cannot make a temporary folder: {error.strerror}. Name one with --directory.") from error
    try:
        yield folder
    finally:
        if not is_kept:
            shutil.rmtree(folder)


def _require_space(folder: Path) -> None:
    """Refuse a disk too small for a campus, whatever of the folder's path exists already."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < MIN_FREE_BYTES:
        raise DemoError(
            f"only {free_bytes >> 20} MiB are free for {folder}, the campus needs {MIN_FREE_BYTES >> 20}. "
            "Name a folder on another disk with --directory."
        )


def _require_writable(report: Path | None) -> None:
    if report is None:
        return
    is_new = not report.exists()
    try:
        with report.open("ab"):
            pass
        if is_new:
            report.unlink()
    except OSError as error:
        raise DemoError(
            f"the report {report} cannot be written: {error.strerror}. Name a file in a folder that you may write to."
        ) from error
