"""What four nodes finalise: transfers with a signature each, and boundary readings whose every signature all check.

The ceiling is what two cores could do if each of four nodes did nothing but check each signature once: 2 x the rate of
one core / 4. A ratio is the share of the nodes' processor time that such checking would have taken, so the machine's
other work does not count; what two cores could finalise at that cost, and the rate on the clock, stand beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ledger import transaction
from ledger.genesis import Parameters, Role
from ledger.transaction import Call
from tests.bench import ledger_network
from tests.bench.ledger_meters import EPOCH_S, BenchMeter
from tests.bench.ledger_network import CORES, Backlog, account, account_key
from tests.bench.measure import Row, at_least
from tests.ledger.node.network import NAMES, PARAMETERS, Network

QUICK: Parameters = replace(PARAMETERS, block_interval_ms=200, heartbeat_ms=86_400_000)
VALID_UNTIL = 10**6
ACCOUNTS = 1_000
TRANSFERS = 20_000
BATCH = 250
"""So many transfers are submitted in a request."""
TRANSFERS_RATIO, TRANSFERS_PER_S = 0.30, 2_500
METERS = 1_000
METERS_PER_USER = 10
METERS_PER_ADMIN = 100
EPOCHS = 10
READINGS_PER_REPORT = 500
READINGS_RATIO, READINGS_PER_S = 0.45, 4_000


@dataclass(frozen=True, slots=True)
class Spent:
    """What a load took: processor time of all nodes, and the time from the first submission to the last block."""

    processor_s: float
    clock_s: float


def measure() -> Iterator[Row]:
    """Finalise transfers, then readings."""
    yield from asyncio.run(_measure_transfers())
    yield from asyncio.run(_measure_readings())


async def _measure_transfers() -> list[Row]:
    spent, sample = await spend_on_transfers(TRANSFERS)
    return _rows("transfers", TRANSFERS, spent, sample, TRANSFERS_RATIO, TRANSFERS_PER_S)


async def spend_on_transfers(count: int) -> tuple[Spent, bytes]:
    """Have four nodes finalise so many transfers; return what that took, and one of the signed transfers."""
    async with ledger_network.running(QUICK, [Role.USER] * ACCOUNTS) as network:
        raws = []
        for number in range(count):
            sender, nonce = number % ACCOUNTS, number // ACCOUNTS
            to = account((sender + 1) % ACCOUNTS)
            raws.append(sign(network, sender, nonce, "money", "transfer", to, 1 + number))
        return await finalise(network, raws, batch=BATCH), raws[0]


async def _measure_readings() -> list[Row]:
    """Report epochs of the past; one meter stays silent, so that nothing is measured but the taking in of readings."""
    users, admins = METERS // METERS_PER_USER + 1, METERS // METERS_PER_ADMIN
    roles = [Role.USER] * users + [Role.ADMIN] * admins + [Role.GATEWAY]
    first_epoch = int(time.time()) // EPOCH_S - EPOCHS
    parameters = replace(QUICK, epoch_s=EPOCH_S, settle_deadline_s=30_000_000)
    async with ledger_network.running(parameters, roles, (EPOCHS + 1) * EPOCH_S) as network:
        silent, *meters = [BenchMeter(number, number // METERS_PER_USER) for number in range(METERS + 1)]
        await finalise(network, _assign(network, [silent], users, first_epoch), batch=2)
        for start in range(admins):
            share = meters[start * METERS_PER_ADMIN : (start + 1) * METERS_PER_ADMIN]
            await finalise(network, _assign(network, share, users + start, first_epoch, 2 * (not start)), batch=200)
        reports = _report(network, meters, users + admins, first_epoch)
        spent = await finalise(network, reports, batch=4)
        reading = meters[0].boundary(first_epoch + EPOCHS + 1)
    return _rows("readings", METERS * EPOCHS, spent, reading, READINGS_RATIO, READINGS_PER_S)


def _assign(network: Network, meters: Sequence[BenchMeter], admin: int, epoch: int, nonce: int = 0) -> list[bytes]:
    """Return what assigns *meters* and gives each its baseline at the start of *epoch*."""
    calls: list[tuple[str, tuple[object, ...]]] = []
    for meter in meters:
        owner, key = account(meter.owner), meter.key.public_key
        calls.append(("assign_meter", (meter.id, owner, "eastron_sdm120", 10_000, key, True, "east")))
        calls.append(("rebase", (meter.id, meter.boundary(epoch))))
    return [
        sign(network, admin, number, "registry", name, *arguments)
        for number, (name, arguments) in enumerate(calls, nonce)
    ]


def _report(network: Network, meters: Sequence[BenchMeter], gateway: int, first_epoch: int) -> list[bytes]:
    """Return the reports of all epochs after *first_epoch*, in order."""
    shares = [meters[start : start + READINGS_PER_REPORT] for start in range(0, len(meters), READINGS_PER_REPORT)]
    epochs = range(first_epoch + 1, first_epoch + EPOCHS + 1)
    readings = [[meter.boundary(epoch) for meter in share] for epoch in epochs for share in shares]
    return [sign(network, gateway, nonce, "market", "report_intervals", one) for nonce, one in enumerate(readings)]


def sign(network: Network, sender: int, nonce: int, module: str, function: str, *arguments: object) -> bytes:
    """Return a transaction of a bench account."""
    call = Call(module, function, arguments)
    return transaction.sign(network.genesis.chain_id, account(sender), nonce, VALID_UNTIL, call, account_key(sender))


async def finalise(network: Network, raws: Sequence[bytes], batch: int) -> Spent:
    """Submit *raws*, *batch* in a request, wait until all are final, and return what that took."""
    waiting = Backlog(network)
    before_s, start_s = ledger_network.processor_s(network), time.time()
    await ledger_network.submit_all(network, raws, waiting, batch)
    await waiting.drain()
    return Spent(ledger_network.processor_s(network) - before_s, waiting.blocks[-1].at_s - start_s)


def _rows(what: str, count: int, spent: Spent, sample: bytes, ratio_bar: float, rate_bar: float) -> list[Row]:
    check_s, each_s = ledger_network.verification_s(sample), spent.processor_s / count
    ceiling = CORES / check_s / len(NAMES)
    ratio = round(len(NAMES) * check_s / each_s, 3)
    return [
        at_least(f"ledger.{what}_ratio", ratio, f"of {ceiling:,.0f} {what}/s, by processor time", ratio_bar),
        at_least(f"ledger.{what}_on_two_cores", round(CORES / each_s), f"{what}/s, by processor time", rate_bar),
        at_least(f"ledger.{what}_per_s", round(count / spent.clock_s), f"{what}/s on the clock", rate_bar),
    ]
