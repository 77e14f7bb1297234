"""The agents' process: once an epoch, forecast from the gateway's intervals and place orders for the next one."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import structlog

from gateway.bidding.agent import NOTHING_SAID, MeterLimits, OrderPlan, plan_orders
from gateway.bidding.forecast import PAST_DAYS, RECENT_EPOCHS, Forecast, choose_recent, forecast, persist
from gateway.bidding.instructions import Instructions, Source
from gateway.epochs.calendar import Calendar
from gateway.epochs.intervals import Interval
from gateway.genesis import load_genesis
from gateway.settings import BiddingSettings, BiddingUser, read_key, read_text
from ledger.genesis import Genesis, Parameters
from ledger.remote.client import AccountClient, ClientError, LedgerClient, RefusedError

REQUEST_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.5
SECONDS_PER_DAY: Final = 86_400
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Agent:
    """One user's agent: what it may bid for, and the account that signs."""

    user: BiddingUser
    account: AccountClient
    limits: Mapping[bytes, MeterLimits]


async def run(settings: BiddingSettings) -> None:
    """Bid until SIGTERM or SIGINT."""
    genesis = load_genesis(settings.ledger.genesis)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        LedgerClient(settings.ledger.urls) as client,
        _connect(settings) as gateway,
    ):
        floor = TradingFloor(settings, genesis, client, gateway)
        bidding = asyncio.create_task(floor.run())
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({bidding, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (bidding, waiting):
            task.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not stopping.is_set():
            await bidding


def _connect(settings: BiddingSettings) -> httpx.AsyncClient:
    """Return a client of the gateway, with its API key where it wants one."""
    headers = {}
    if settings.gateway_key_file is not None:
        headers["Authorization"] = f"Bearer {read_text(settings.gateway_key_file).strip()}"
    trusted = ssl.create_default_context(cafile=settings.gateway_ca)
    return httpx.AsyncClient(
        base_url=settings.gateway, headers=headers, verify=trusted, timeout=REQUEST_TIMEOUT_S, trust_env=False
    )


class TradingFloor:
    """All agents of one process, bidding epoch by epoch."""

    def __init__(
        self, settings: BiddingSettings, genesis: Genesis, client: LedgerClient, gateway: httpx.AsyncClient
    ) -> None:
        self._settings = settings
        self._genesis = genesis
        self._client = client
        self._gateway = gateway
        self._calendar = Calendar(genesis.parameters.epoch_s)
        self._placed: set[tuple[bytes, int]] = set()
        self._past: tuple[int, list[Interval]] = (-1, [])
        self._accounts = {
            user.account: AccountClient(
                client, genesis.chain_id, bytes.fromhex(user.account), read_key(user.key_file)
            )
            for user in settings.users
        }  # fmt: skip

    @property
    def _parameters(self) -> Parameters:
        return self._genesis.parameters

    @property
    def _epochs_per_day(self) -> int:
        return max(1, SECONDS_PER_DAY // self._parameters.epoch_s)

    async def run(self) -> None:
        """Bid for one epoch after the other."""
        log.info("agents started", users=len(self._settings.users))
        while True:
            self._placed.clear()
            await self.bid_for(self._calendar.epoch_now() + 1)
            await asyncio.sleep(self._calendar.remaining_s())

    async def bid_for(self, epoch: int) -> None:
        """Place every user's orders for *epoch*, as soon as the last full interval is known or half time is over."""
        half_time = self._calendar.start_of(epoch) - self._parameters.epoch_s / 2
        while True:
            try:
                history = await self._fetch_history(epoch)
                if self._is_fresh(history, epoch) or self._calendar.now() > half_time:
                    agents, rules = await self._make_agents(), await self._fetch_rules(epoch)
                    await asyncio.gather(*(self._bid(agent, history, epoch, rules) for agent in agents))
                    return
            except (ClientError, httpx.HTTPError) as error:
                log.info("agents wait", epoch=epoch, cause=str(error) or type(error).__name__)
            if self._calendar.now() + POLL_S >= self._calendar.start_of(epoch):
                log.warning("no orders placed before gate closure", epoch=epoch)
                return
            await asyncio.sleep(POLL_S)

    def _is_fresh(self, history: Mapping[bytes, list[Interval]], epoch: int) -> bool:
        """Tell whether every meter's interval of the last full epoch is here."""
        wanted = {bytes.fromhex(meter.meter_id) for user in self._settings.users for meter in user.meters}
        return all(
            any(found.epoch + found.epochs == epoch - 1 for found in history.get(meter_id, ())) for meter_id in wanted
        )

    async def _fetch_history(self, epoch: int) -> dict[bytes, list[Interval]]:
        """Return each meter's intervals, ascending: of the last epochs, and of this time of day on the days before."""
        if self._past[0] != epoch:
            days = range(PAST_DAYS, 0, -1)
            past = [await self._fetch(epoch - day * self._epochs_per_day, epochs_on=2) for day in days]
            self._past = (epoch, [found for day in past for found in day])
        history: dict[bytes, list[Interval]] = {}
        for found in (*self._past[1], *await self._fetch(epoch, epochs_on=0)):
            history.setdefault(found.meter_id, []).append(found)
        return {meter_id: _sort(found) for meter_id, found in history.items()}

    async def _fetch(self, epoch: int, epochs_on: int) -> list[Interval]:
        """Return all meters' intervals from before *epoch*, up to the last full one and so many *epochs_on*."""
        last = epoch - 2 + epochs_on
        if last < 0:
            return []
        query = {"from": max(0, epoch - 1 - RECENT_EPOCHS), "to": last}
        response = await self._gateway.get("/api/intervals", params=query)
        response.raise_for_status()
        return [_read_interval(entry) for entry in response.json()["intervals"]]

    async def _make_agents(self) -> list[Agent]:
        """Return the agents, each with what the ledger says of its meters."""
        known = {meter.meter_id: meter for meter in await self._client.meters()}
        agents = []
        for user in self._settings.users:
            chosen = {bytes.fromhex(meter.meter_id): meter.can_export for meter in user.meters}
            limits = {
                meter_id: MeterLimits(
                    known[meter_id].rated_power_w,
                    can_export and known[meter_id].can_export,
                    self._settings.instructions.get(meter_id.hex(), NOTHING_SAID),
                )
                for meter_id, can_export in chosen.items()
                if meter_id in known
            }
            agents.append(Agent(user, self._accounts[user.account], limits))
        return agents

    async def _fetch_rules(self, epoch: int) -> Parameters:
        """Return the parameters with the tariffs of *epoch*, which differ by time of use where a calendar says so."""
        tariffs = await self._client.query("tariffs", "of_epoch", epoch=epoch)
        return replace(
            self._parameters,
            retail_uaip_per_kwh=tariffs["retail_uaip_per_kwh"],
            feed_in_uaip_per_kwh=tariffs["feed_in_uaip_per_kwh"],
        )

    async def _bid(self, agent: Agent, history: Mapping[bytes, list[Interval]], epoch: int, rules: Parameters) -> None:
        account_id = bytes.fromhex(agent.user.account)
        placed = self._placed | {(order.meter, epoch) for order in await self._client.orders(epoch, account_id)}
        forecasts = [
            found
            for meter_id, limits in agent.limits.items()
            if (found := self._expect(history.get(meter_id, []), epoch, limits.instructions)) is not None
        ]
        for plan in plan_orders(forecasts, agent.limits, epoch, agent.user.strategy, rules):
            if (plan.meter_id, epoch) not in placed:
                await self._place(agent, plan)

    def _expect(self, intervals: list[Interval], epoch: int, instructions: Instructions) -> Forecast | None:
        if instructions.follow is Source.LAST_INTERVAL:
            return persist(choose_recent(intervals, epoch))
        return forecast(intervals, epoch, self._epochs_per_day)

    async def _place(self, agent: Agent, plan: OrderPlan) -> None:
        try:
            await agent.account.call(
                "market", plan.function, plan.meter_id, plan.epoch, plan.price_uaip_per_kwh, plan.quantity_wh
            )
            self._placed.add((plan.meter_id, plan.epoch))
        except RefusedError as error:
            log.warning("order refused", account=agent.user.account, meter=plan.meter_id.hex(), cause=str(error))


def _sort(intervals: list[Interval]) -> list[Interval]:
    """Return *intervals* ascending, each once: a gap may reach into more than one of the spans asked for."""
    return sorted(dict.fromkeys(intervals), key=lambda found: found.epoch)


def _read_interval(entry: Any) -> Interval:
    return Interval(
        bytes.fromhex(entry["meter_id"]), entry["epoch"], entry["epochs"], entry["import_wh"], entry["export_wh"]
    )
