"""How updates get on, for people: a bar for each meter on a terminal, else a line wherever something changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from provisioning.campus import CampusMeter
from provisioning.delivery import Delivery, Stage

_STATES = {
    Stage.SILENT: "does not answer yet",
    Stage.SENDING: "receives it",
    Stage.TRIAL: "has it on trial",
    Stage.CLAIMED: "says that it is confirmed; its signed reading is waited for",
    Stage.UNPROVEN: "says that it is confirmed, unproven",
    Stage.CONFIRMED: "confirmed",
    Stage.FAILED: "failed",
}
_UNPROVEN = (
    "is confirmed by the meter's own unsigned word; the gateway's stored start-up reading proves it."
    " For a proof here, run this again and restart the meter meanwhile"
)


class DeliveryView:
    """Use it in a `with`: `show` as things change, `conclude` at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[bytes, TaskID] = {}
        self._told: dict[bytes, Stage] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, meter: CampusMeter, delivery: Delivery) -> None:
        """Show how far *delivery* is."""
        text = f"{meter.plan.label}: {_STATES[delivery.stage]}"
        if meter.meter_id not in self._tasks:
            self._tasks[meter.meter_id] = self._progress.add_task(text, total=len(delivery.update.pieces))
        self._progress.update(self._tasks[meter.meter_id], description=text, completed=delivery.done)
        if not self._console.is_terminal and self._told.get(meter.meter_id) is not delivery.stage:
            self._say(text)
        self._told[meter.meter_id] = delivery.stage

    def conclude(self, deliveries: Mapping[CampusMeter, Delivery]) -> None:
        """Say of each meter how it ended, and what to do."""
        self._progress.stop()
        for meter, delivery in deliveries.items():
            if delivery.stage is Stage.CONFIRMED:
                self._say(f"{meter.plan.label}: version {delivery.update.version} is confirmed")
            elif delivery.stage is Stage.UNPROVEN:
                self._say(f"{meter.plan.label}: version {delivery.update.version} {_UNPROVEN}")
            elif delivery.stage is Stage.FAILED:
                self._say(f"{meter.plan.label}: {delivery.outcome}")
            else:
                self._say(f"{meter.plan.label}: {_STATES[delivery.stage]}; run this again to go on where it is")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
