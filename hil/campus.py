"""The virtual campus: every part a real process, started as early as what it needs is there.

lay out ─┬─ ledger nodes ×4 ── accounts ─┐
├─ broker ──────────────────────┤
├─ serial lines ────────────────┤
└─ meters make their keys ── roster ── gateway ── meters run ── first boundary ── rebase ── bidding agents
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from hil import plan
from hil.ports import LOOPBACK, free_ports
from hil.readiness import json_from, port_open, until
from hil.resources.broker import broker_process
from hil.resources.meter_process import MeterProcess
from hil.resources.process import ChildProcess
from hil.tools import Tools
from ledger.remote.client import LedgerClient
from provisioning import baseline, files, layout, meters, roster, settings
from provisioning.campus import Campus
from provisioning.enrolment import Enrolment, firmware_command
from provisioning.meters import EnrolledMeter

START_TIMEOUT_S: Final = 90.0
"""Ample: four nodes without a compiled clearing kernel need half a minute on two busy cores."""
STOP_GRACE_S: Final = 8.0
HTTP_TIMEOUT_S: Final = 5.0
PORTS: Final = 9
"""Broker, and API and peers of four nodes; the dashboard's port is chosen by the caller."""
FIRST_SERIAL_NUMBER: Final = 20_000_001
READY_MARK: Final = b'{"event": "ready"'
"""How the line process begins what it says once all lines are open."""

Announce = Callable[[str], None]


class VirtualCampus:
    """All processes of one campus in one folder. `start` once, `stop` always."""

    def __init__(self, folder: Path, tools: Tools, epoch_s: int, gateway_port: int) -> None:
        self._tools = tools
        ports = plan.ports_from(free_ports(PORTS), gateway_port)
        planned = plan.campus_plan(str((folder / "lines").resolve()), epoch_s, ports)
        self.campus: Campus = layout.lay_out(folder, planned, tools.mosquitto_passwd)
        self.folder = folder
        self.epoch_s = epoch_s
        self.gateway_url = f"http://{LOOPBACK}:{gateway_port}"
        self.node_urls = dict(zip(planned.authorities, settings.ledger_urls(planned), strict=True))
        self.http = httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False)
        self.client = LedgerClient(list(self.node_urls.values()))
        self.enrolled: dict[bytes, EnrolledMeter] = {}
        self.meters: list[MeterProcess] = []
        self._lines_ready = asyncio.Event()
        self._children = {child.name: child for child in self._describe_children()}

    async def start(self, announce: Announce) -> int:
        """Start everything and return the epoch of the baseline: settlement begins with that one."""
        announce("starting serial lines, broker and four ledger nodes; the meters make their keys")
        self._start_children("lines", "broker", *self.node_urls)
        enrolment = Enrolment(self.campus, self.client)
        await _all_of(self._enrol_meters(), self._await_lines(), self._await_broker(), self._register(enrolment))
        announce("the ledger knows gateway, users and meters; the meters start to read")
        await self._await_gateway()
        for meter in self.meters:
            meter.start()
        ids = [meter.meter_id for meter in self.campus.meters]
        found = await until(
            "a boundary reading of every meter",
            lambda: baseline.find(self.http, self.gateway_url, ids),
            START_TIMEOUT_S + 3 * self.epoch_s,
            self.children,
        )
        await enrolment.rebase_meters(found.envelopes)
        self._start_children("bidding agents")
        return found.epoch

    @property
    def program(self) -> Path:
        """The `campusgrid` command."""
        return self._tools.campusgrid

    @property
    def children(self) -> list[ChildProcess]:
        """All processes that have been started."""
        return [child for child in [*self._children.values(), *(m.child for m in self.meters)] if child.pid]

    def require_running(self) -> None:
        """Raise ProcessError if any process of the campus has ended."""
        for child in self.children:
            child.require_running()

    @property
    def supporters(self) -> list[ChildProcess]:
        """The processes that run on when meters and agents have stopped."""
        return [self._children[name] for name in ("lines", "broker", "gateway", *self.node_urls)]

    async def stop_market(self) -> None:
        """End the bidding agents: no new orders from here on."""
        await self._children["bidding agents"].stop(STOP_GRACE_S)

    async def drain_meters(self) -> dict[bytes, int]:
        """Stop all meters gracefully and return how many readings each says it signed."""
        counts = await asyncio.gather(*(meter.drain(settings.DRAIN_S) for meter in self.meters))
        return {meter.meter_id: count for meter, count in zip(self.meters, counts, strict=True)}

    async def stop(self) -> None:
        """End every process; none is left when this returns."""
        await asyncio.gather(*(meter.stop(STOP_GRACE_S) for meter in self.meters if meter.child.pid))
        await asyncio.gather(*(child.stop(STOP_GRACE_S) for child in self._children.values() if child.pid))
        await self.http.aclose()
        await self.client.close()

    async def gateway_json(self, path: str) -> dict[str, Any] | None:
        """Return what the gateway's API answers to *path*, or None while it does not."""
        return await json_from(self.http, self.gateway_url + path)

    def _describe_children(self) -> list[ChildProcess]:
        program, home = self._tools.campusgrid, self.folder
        nodes = [
            _child(name, [program, "ledger", "run", "--config", home / "authorities" / name / "node.toml"], home)
            for name in self.node_urls
        ]
        lines = [program, "hil", "line", home / "lines" / "lines.json"]
        return [
            ChildProcess("lines", [str(part) for part in lines], home / "lines.log", self._note_lines),
            broker_process(self._tools.mosquitto, home / "broker"),
            *nodes,
            _child("gateway", [program, "gateway", "run", "--config", home / "gateway" / "gateway.toml"], home),
            _child("bidding agents", [program, "gateway", "bid", "--config", home / "gateway" / "bidding.toml"], home),
        ]

    def _start_children(self, *names: str) -> None:
        if "lines" in names:
            files.make_folder(self.folder / "lines")
            files.write_public(self.folder / "lines" / "lines.json", json.dumps(self._line_file(), indent=2) + "\n")
        for name in names:
            self._children[name].start()

    def _line_file(self) -> Mapping[str, Any]:
        return {
            "epoch_s": self.epoch_s,
            "first_epoch": int(time.time()) // self.epoch_s,
            "first_slot": plan.FIRST_SLOT.isoformat(),
            "trace": str(self._tools.trace),
            "lines": [_line(place) for place in range(len(plan.METERS))],
        }

    def _note_lines(self, line: bytes) -> None:
        if line.startswith(READY_MARK):
            self._lines_ready.set()

    async def _await_lines(self) -> None:
        async def ready() -> bool | None:
            return self._lines_ready.is_set() or None

        await until("the serial lines' start", ready, START_TIMEOUT_S, [self._children["lines"]])

    async def _await_broker(self) -> None:
        port = self.campus.plan.ports.broker
        await until(
            "the broker's start", lambda: port_open(LOOPBACK, port), START_TIMEOUT_S, [self._children["broker"]]
        )

    async def _enrol_meters(self) -> None:
        """Have all meters make their keys, then write the roster and start the gateway, which reads it."""
        command = firmware_command(self._tools.micropython, self._tools.firmware)
        configs = {meter.meter_id: meter.config(self.folder) for meter in self.campus.meters}
        told = await asyncio.gather(*(meters.enrol(command, config) for config in configs.values()))
        self.enrolled = {meter.meter_id: meter for meter in told}
        roster.write(self.campus, {meter.meter_id: meter.public_key for meter in told})
        self.meters = [
            MeterProcess(meter.meter_id, meter.plan.label, command, configs[meter.meter_id])
            for meter in self.campus.meters
        ]
        self._start_children("gateway")

    async def _register(self, enrolment: Enrolment) -> None:
        """Wait until the nodes agree among themselves, then make accounts and meters known to the ledger."""
        nodes = [self._children[name] for name in self.node_urls]
        for name, url in self.node_urls.items():
            await until(f"node {name}'s start", partial(self._is_linked, url), START_TIMEOUT_S, nodes)
        await enrolment.register_accounts()

        async def all_enrolled() -> bool | None:
            return len(self.enrolled) == len(self.campus.meters) or None

        await until("the meters' enrolment", all_enrolled, START_TIMEOUT_S)
        await enrolment.assign_meters({meter.meter_id: meter.public_key for meter in self.enrolled.values()})

    async def _is_linked(self, url: str) -> bool | None:
        status = await json_from(self.http, f"{url}/v1/status")
        return True if status is not None and all(peer["connected"] for peer in status["peers"]) else None

    async def _await_gateway(self) -> None:
        async def connected() -> bool | None:
            status = await self.gateway_json("/api/status")
            return True if status is not None and status["broker"]["connected"] else None

        gateway = [self._children["gateway"], self._children["broker"]]
        await until("the gateway's connection to the broker", connected, START_TIMEOUT_S, gateway)


async def _all_of(*works: Coroutine[Any, Any, None]) -> None:
    """Do all *works* at once; the first fault ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as faults:
        raise faults.exceptions[0] from faults


def _child(name: str, command: list[str | Path], folder: Path) -> ChildProcess:
    return ChildProcess(name, command, folder / f"{name.replace(' ', '-')}.log")


def _line(place: int) -> Mapping[str, Any]:
    """Return the line of the meter at *place*; the first one also carries a spare meter and a dead one."""
    meter = plan.METERS[place]
    described: dict[str, Any] = {
        "slave": 1, "model": meter.model, "series": meter.series, "permille": meter.permille, "exports": meter.exports,
        "serial_number": FIRST_SERIAL_NUMBER + place, "import_wh": meter.import_wh, "export_wh": meter.export_wh,
    }  # fmt: skip
    spare = {**described, "slave": 2, "serial_number": FIRST_SERIAL_NUMBER + len(plan.METERS)}
    dead = {**spare, "slave": 3, "alive": False}
    return {"name": plan.line_name(place), "meters": [described, spare, dead] if place == 0 else [described]}
