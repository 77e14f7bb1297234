"""Anchors: made once a minute whatever happens, carried to the ledger in order, and handed to meters in beacons.

A minute in which no reading came has its anchor, too: beacons stay new, and the ledger shows that nothing came.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import structlog

from gateway.epochs.calendar import Calendar
from gateway.settlement.courier import Courier, NotExecutedError
from gateway.settlement.follower import LedgerFollower
from gateway.store.anchors import AnchorStore, OwedAnchor
from gateway.store.mending import explain
from ledger.anchor import MAX_READINGS, Point
from ledger.codes import Code
from ledger.genesis import Genesis
from ledger.liveness import Progress
from ledger.reading import HASH_HEAD_BYTES, Beacon
from ledger.remote.client import AccountClient, LedgerClient

PERIOD_S: Final = 60
CATCH_UP_S: Final = 1.0
"""How soon the next anchor follows a full one, for more readings wait than it could take."""
CLOCK_TOLERATED_S: Final = 30.0
"""With a clock further ahead of the ledger's no anchor is made: meters would take it for a bound from below."""
MAX_ANCHORS_PER_CALL: Final = 64
PRUNE_S: Final = 3600
DAY_S: Final = 86_400
_COUNTED: Final = frozenset({Code.DONE, Code.ANCHOR_REPEATED})
log = structlog.get_logger()


def period_s(epoch_s: int) -> int:
    """Return how often an anchor is made: a minute, or a quarter of an epoch where that is shorter."""
    return max(1, min(PERIOD_S, epoch_s // 4))


class AnchorMaker:
    """Makes the anchors. `fault` says why there are none, if so."""

    def __init__(self, store: AnchorStore, calendar: Calendar, follower: LedgerFollower, raw_days: int) -> None:
        """Anchors that the ledger has are kept for *raw_days*, as are the readings that they cover."""
        self._store = store
        self._calendar = calendar
        self._follower = follower
        self._raw_days = raw_days
        self._pruned_at = 0.0
        self.fault: str | None = None
        self.progress = Progress()

    async def run(self) -> None:
        """Make anchors until cancelled. After a start the first one comes when it is due by the one before."""
        period = period_s(self._calendar.epoch_s)
        pause_s = max(0.0, min(period, self._store.newest.time + period - self._calendar.now()))
        while True:
            await asyncio.sleep(pause_s)
            with self.progress.working():
                pause_s = CATCH_UP_S if await self.step() else period

    async def step(self) -> bool:
        """Make an anchor, if it can be made now; tell whether the next one should come soon."""
        if not self._follower.has_polled:
            return True
        if self._follower.clock_ahead_s > CLOCK_TOLERATED_S:
            self.fault = (
                f"the clock is {self._follower.clock_ahead_s:.0f} s ahead of the ledger's, no anchors are made;"
                " ask campusgrid doctor"
            )
            return False
        block = self._follower.agreed
        try:
            made = await self._store.make(max(int(self._calendar.now()), block.time_ms // 1000 if block else 0))
            await self._prune()
        except sqlite3.OperationalError as error:
            self.fault = f"the database takes no anchors: {explain(error)}"
            return False
        self.fault = None
        return made is not None and made.count == MAX_READINGS

    def newest_beacon(self) -> Beacon | None:
        """Return the beacon for receipts; None where neither a block nor an anchor is known.

        While the ledger is out of reach its block is all zeros: the chain of anchors brackets alone. Before the first
        anchor, and while the chain is adrift, the anchor is.
        """
        block = self._follower.agreed
        point = Point() if self._store.is_adrift else self._store.newest
        if block is None and not point.number:
            return None
        height, time, head = (
            (block.height, block.time_ms // 1000, block.id) if block else (0, 0, bytes(HASH_HEAD_BYTES))
        )
        return Beacon(height, time, head[:HASH_HEAD_BYTES], point.number, point.time, point.hash[:HASH_HEAD_BYTES])

    async def _prune(self) -> None:
        """Now and then remove old anchors, by the earlier of both clocks; without a ledger none."""
        now, ledger_time = self._calendar.now(), self._follower.agreed_time
        if ledger_time is None or abs(now - self._pruned_at) < PRUNE_S:
            return
        self._pruned_at = now
        await self._store.prune(int(min(now, ledger_time)) - self._raw_days * DAY_S)


class AnchorCourier(Courier):
    """Carries the anchors to the ledger: one submission at a time, in the order of the chain."""

    def __init__(
        self, client: LedgerClient, account: AccountClient, store: AnchorStore, gateway: bytes, genesis: Genesis
    ) -> None:
        super().__init__("anchors", client, genesis)
        self._account = account
        self._store = store
        self._gateway = gateway

    async def work(self) -> bool:
        """Learn where the chain stands if need be, settle what is under way, else submit what is next."""
        under_way = await self._store.find_submitted()
        if under_way is not None:
            return await self._conclude(*under_way)
        if self._store.is_adrift:
            head = await self._client.anchors(self._gateway)
            await self._store.resume(Point(head.number, head.time, head.hash))
            log.info("anchors go on from the ledger's newest", number=head.number)
        owed = await self._store.find_waiting(MAX_ANCHORS_PER_CALL)
        if not owed:
            return False
        transaction_id = await self._account.call("anchors", "submit_anchors", [item.anchor.encode() for item in owed])
        await self._store.mark_submitted(owed, transaction_id)
        return await self._conclude(transaction_id, owed)

    async def _conclude(self, transaction_id: bytes, owed: list[OwedAnchor]) -> bool:
        """Close the anchors of a transaction that is final and proven; tell whether any was."""
        try:
            proven = await self.conclude(transaction_id)
        except NotExecutedError:
            await self._store.mark_waiting(owed)
            raise
        return proven is not None and await self._close(owed, read_codes(proven.events))

    async def _close(self, owed: list[OwedAnchor], codes: list[int]) -> bool:
        """Close what the ledger has. The first that it has not waits if its time has yet to come, else is dropped."""
        answers = list(zip(owed, codes, strict=False))
        first_bad = next((place for place, (_, code) in enumerate(answers) if code not in _COUNTED), len(answers))
        await self._store.mark_done(answers[:first_bad])
        await self._store.mark_waiting(owed[first_bad:])
        if first_bad < len(answers) and answers[first_bad][1] != Code.ANCHOR_FROM_FUTURE:
            item, code = answers[first_bad]
            log.warning("ledger refuses an anchor", number=item.anchor.number, code=Code(code).name)
            await self._store.refuse(item, code)
        return first_bad > 0


def read_codes(events: Iterable[tuple[str, str, dict[str, Any]]]) -> list[int]:
    """Return the result code of each anchor of a submission, in its order, from its receipt's *events*."""
    return [int(values["code"]) for module, name, values in events if (module, name) == ("anchors", "anchor")]
