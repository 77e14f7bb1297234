"""What the running campus shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import TypeAdapter
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hil.campus import VirtualCampus
from hil.readiness import json_from
from ledger.api.resources import Epoch, NodeStatus
from ledger.errors import LedgerError
from ledger.remote.client import LedgerClient

EPOCHS_SHOWN: Final = 6
MAX_EPOCHS_ASKED: Final = 96
"""How far back one look goes: as far as the ledger keeps the books of settled epochs."""
_STATUS: Final = TypeAdapter(NodeStatus)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The campus at one moment; a node that does not answer is None, a gateway that does not is an empty answer."""

    signed: int
    gateway: dict[str, Any]
    nodes: dict[str, NodeStatus | None]
    epochs: tuple[Epoch, ...]

    @property
    def stored(self) -> int:
        """How many readings the gateway has stored."""
        return int(self.gateway.get("readings", {}).get("stored", 0))

    @property
    def height(self) -> int:
        """The greatest height of a node."""
        return max((node.height for node in self.nodes.values() if node), default=0)

    def settled(self) -> tuple[Epoch, ...]:
        """Return the epochs that are settled."""
        return tuple(epoch for epoch in self.epochs if epoch.phase == "settled")


async def look(campus: VirtualCampus, first_epoch: int) -> Snapshot:
    """Return the campus as it is now, epochs from *first_epoch* on."""
    names = list(campus.node_urls)
    answers = await asyncio.gather(*(json_from(campus.http, f"{url}/v1/status") for url in campus.node_urls.values()))
    statuses = [_STATUS.validate_python(answer) if answer else None for answer in answers]
    nodes = dict(zip(names, statuses, strict=True))
    gateway = await campus.gateway_json("/api/status") or {}
    signed = sum(len(meter.log.signed) for meter in campus.meters)
    return Snapshot(
        signed, gateway, nodes, await _epochs(campus.client, first_epoch, gateway.get("epoch", first_epoch))
    )


async def _epochs(client: LedgerClient, first: int, last: int) -> tuple[Epoch, ...]:
    try:
        return await client.epochs(max(first, last - MAX_EPOCHS_ASKED), last + 1)
    except LedgerError:
        return ()


class Progress:
    """Shows snapshots; `say` prints a line that stays."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last = ""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print *text* on a line of its own."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def show(self, snapshot: Snapshot, address: str) -> None:
        """Show *snapshot*: redraw the table, or print one line where something changed."""
        if self._live:
            self._live.update(_table(snapshot, address), refresh=True)
            return
        settled = snapshot.settled()
        key = f"{snapshot.gateway.get('epoch')} {len(settled)}"
        if key != self._last:
            self._last = key
            self.say(_line(snapshot))


def _line(snapshot: Snapshot) -> str:
    newest = snapshot.settled()[-1:]
    text = f"readings {snapshot.signed} signed, {snapshot.stored} stored; height {snapshot.height}; "
    text += f"epoch {snapshot.gateway.get('epoch', '?')}; {len(snapshot.settled())} settled"
    for epoch in newest:
        text += f", epoch {epoch.epoch}: {epoch.matched_wh} Wh matched at {_price(epoch)}"
    return text


def _table(snapshot: Snapshot, address: str) -> Table:
    table = Table(title=f"campusgrid virtual campus · dashboard {address}", title_justify="left", expand=False)
    for name in ("epoch", "phase", "orders", "matched Wh", "import Wh", "export Wh", "price"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for epoch in snapshot.epochs[-EPOCHS_SHOWN:]:
        measured = (epoch.import_wh, epoch.export_wh) if epoch.phase == "settled" else ("", "")
        cleared = ("", "") if epoch.phase == "open" else (epoch.matched_wh, _price(epoch))
        cells = (epoch.epoch, epoch.phase, epoch.orders, cleared[0], *measured, cleared[1])
        table.add_row(*map(str, cells))
    readings = f"readings: {snapshot.signed} signed, {snapshot.stored} stored"
    now, remaining_s = snapshot.gateway.get("epoch", "?"), snapshot.gateway.get("epoch_remaining_s", "?")
    nodes = ", ".join(f"{name} {_node(status)}" for name, status in snapshot.nodes.items())
    table.caption = f"{readings} · epoch {now}, {remaining_s} s left\nledger height: {nodes}"
    table.caption_justify = "left"
    return table


def _node(status: NodeStatus | None) -> str:
    if status is None:
        return "away"
    peers = sum(peer.connected for peer in status.peers)
    return f"{status.height} ({peers}/{len(status.peers)} peers)"


def _price(epoch: Epoch) -> str:
    """Return the clearing price in words: µAIP per kWh."""
    return "no trade" if epoch.price_uaip_per_kwh is None else f"{epoch.price_uaip_per_kwh:,} µAIP/kWh"
