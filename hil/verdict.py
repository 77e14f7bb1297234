"""From a campus that has run to a report: stop the meters, count both ends, compare the nodes, prove one line."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hil import custody, plan
from hil.campus import VirtualCampus
from hil.conservation import Books, Conservation, UserMoney, check
from hil.errors import DemoError
from hil.finality import P50, P95, FinalityProbe
from hil.readiness import json_from, until
from hil.report import Proof, Report, ReportedMeter
from hil.resources.process import ChildProcess
from ledger.api.resources import BlockSummary, Epoch, SettlementLine
from ledger.remote.client import LedgerClient, RefusedError
from provisioning import files
from provisioning.campus import AAIP_PER_AIP

PROOF_SUFFIX: Final = ".tlog-proof"
KEYS_SUFFIX: Final = ".vkeys"
QUIET_TIMEOUT_S: Final = 30.0
PROOF_TIMEOUT_S: Final = 30.0
VERIFY_TIMEOUT_S: Final = 30.0
NOT_YET: Final = 409


@dataclass(frozen=True, slots=True)
class Run:
    """A campus that has run since `started_s` (monotonic).

    The report goes to `output`, a path from the command's folder; proof and keys go beside it.
    """

    campus: VirtualCampus
    first_epoch: int
    probe: FinalityProbe
    output: Path
    started_s: float


async def reach(run: Run) -> Report:
    """Stop the meters and the market, measure everything, prove one line, and return the report."""
    campus = run.campus
    await campus.stop_market()
    counts = await campus.drain_meters()
    await until("the ledger's quiet", lambda: _quiet(campus), QUIET_TIMEOUT_S, campus.supporters)
    epochs = await _settled_epochs(campus, run.first_epoch)
    store = campus.folder / "gateway" / "data" / "gateway.sqlite"
    return Report(
        custody=custody.compare(campus.meters, counts, store),
        counted_twice=_counted_twice(epochs),
        refused=await _refused(campus),
        meters=_meters(campus),
        epochs=epochs,
        blocks=await _blocks_at_one_height(campus),
        finality_ms={"p50": run.probe.percentile_ms(P50), "p95": run.probe.percentile_ms(P95)},
        conservation=await _conservation(campus, epochs, store),
        proof=await _prove(run, epochs),
        duration_s=int(time.monotonic() - run.started_s),
    )


async def _quiet(campus: VirtualCampus) -> bool | None:
    """Return True once the gateway has reported everything and no node has a transaction waiting."""
    gateway = await campus.gateway_json("/api/status")
    nodes = [await json_from(campus.http, f"{url}/v1/status") for url in campus.node_urls.values()]
    if gateway is None or None in nodes:
        return None
    waiting = gateway["outbox"] + gateway["in_flight"] + sum(node["mempool"] for node in nodes if node)
    return True if waiting == 0 else None


async def _settled_epochs(campus: VirtualCampus, first: int) -> tuple[Epoch, ...]:
    status = await campus.gateway_json("/api/status")
    if status is None:
        raise DemoError("the gateway no longer answers; its log is in the campus directory (--keep)")
    epochs = await campus.client.epochs(first, status["epoch"])
    return tuple(epoch for epoch in epochs if epoch.phase == "settled")


def _counted_twice(epochs: Sequence[Epoch]) -> int:
    counts = Counter((line.meter, line.epoch) for epoch in epochs for line in epoch.lines)
    return sum(times - 1 for times in counts.values())


async def _refused(campus: VirtualCampus) -> int:
    status = await campus.gateway_json("/api/status")
    return int(status["readings"]["refused"]) if status else 0


def _meters(campus: VirtualCampus) -> tuple[ReportedMeter, ...]:
    return tuple(
        ReportedMeter(meter.meter_id.hex(), meter.plan.profile, campus.enrolled[meter.meter_id].interpreter)
        for meter in campus.campus.meters
    )


async def _blocks_at_one_height(campus: VirtualCampus) -> dict[str, BlockSummary]:
    """Return every node's block at the greatest height that all of them have."""
    clients = {name: LedgerClient([url]) for name, url in campus.node_urls.items()}
    try:
        heights = [(await client.status()).height for client in clients.values()]
        return {name: await client.block(min(heights)) for name, client in clients.items()}
    finally:
        await asyncio.gather(*(client.close() for client in clients.values()))


async def _conservation(campus: VirtualCampus, epochs: Sequence[Epoch], store: Path) -> Conservation:
    users = []
    for user in campus.campus.users:
        orders = await campus.client.orders(account=user.account)
        account = await campus.client.account(user.account)
        users.append(UserMoney(account, user.plan.balance_aip * AAIP_PER_AIP, len(orders)))
    supplies = {}
    for name, url in campus.node_urls.items():
        async with LedgerClient([url]) as node:
            supplies[name] = await node.supply()
    parameters = campus.campus.genesis.parameters
    return check(Books(epochs, custody.boundary_readings(store), users, parameters, supplies))


async def _prove(run: Run, epochs: Sequence[Epoch]) -> Proof:
    """Fetch the proof of a tenant's newest line with a trade, and have `campusgrid verify` judge it."""
    line = _line_to_prove(run.campus, epochs)
    proof, keys = run.output.with_suffix(PROOF_SUFFIX), run.output.with_suffix(KEYS_SUFFIX)
    content = await until("a provable settlement", lambda: _fetch_proof(run.campus, line), PROOF_TIMEOUT_S)
    files.write_public(proof, content)
    files.write_public(keys, files.read_text(run.campus.folder / "authorities.vkeys"))
    command = [str(run.campus.program), "verify", str(proof), "--authorities", str(keys)]
    verifier = ChildProcess("verify", command, run.campus.folder / "verify.log")
    verifier.start()
    code = await verifier.wait(VERIFY_TIMEOUT_S)
    said = files.read_text(verifier.log).splitlines() or ["it said nothing"]
    return Proof(str(proof), str(keys), code == 0, said[0])


def _line_to_prove(campus: VirtualCampus, epochs: Sequence[Epoch]) -> SettlementLine:
    tenants = {user.account for user in campus.campus.users if user.plan.name in plan.TENANTS}
    lines = [line for epoch in epochs for line in epoch.lines if line.account in tenants]
    if not lines:
        raise DemoError("there is no tenant's settlement line to prove: none of their meters reported")
    return max(lines, key=lambda line: (line.bought_wh > 0, line.epoch, line.bought_wh))


async def _fetch_proof(campus: VirtualCampus, line: SettlementLine) -> bytes | None:
    try:
        return await campus.client.proof(line.epoch, line.meter)
    except RefusedError as error:
        if error.status == NOT_YET:
            return None
        raise
