"""Reporting boundary readings to the ledger, exactly once, for as long as it takes.

The ledger takes one reading per meter and epoch, so submitting again changes nothing; a row is closed only when a
final transaction answered for it, and a quorum of the authorities has cosigned that. A meter without a baseline on the
ledger waits: an admin sets it (`rebase`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import structlog

from gateway.settlement.courier import Courier, NotExecutedError
from gateway.store.outbox import OutboxStore, Owed
from ledger.codes import Code
from ledger.genesis import Genesis
from ledger.remote.client import AccountClient, LedgerClient

MAX_READINGS_PER_REPORT: Final = 50
MAX_UNPROVEN: Final = 4
"""How many reports may be under way, final or not, without a proof; then no further one is submitted."""
BASELINE_POLL_S: Final = 2.0
"""How often the ledger is asked for the baselines of meters that wait for one."""
_COUNTED: Final = frozenset({Code.DONE, Code.READING_REPEATED})
_TRY_AGAIN: Final = frozenset({Code.METER_WITHOUT_BASELINE, Code.READING_FROM_FUTURE})
log = structlog.get_logger()


class Reporter(Courier):
    """Works off the outbox."""

    def __init__(
        self,
        client: LedgerClient,
        account: AccountClient,
        outbox: OutboxStore,
        epoch_s: int,
        ledger_time: Callable[[], float | None],
        check: Callable[[], Awaitable[None]],
        genesis: Genesis,
    ) -> None:
        """*check* has all stored intervals checked: none is reported before. *genesis* names the authorities' keys.

        *ledger_time* is that of the newest block (Unix seconds), or None where no node tells.
        """
        super().__init__("reports", client, genesis)
        self._deadline_s = genesis.parameters.settle_deadline_s
        self._epoch_s = epoch_s
        self._ledger_time = ledger_time
        self._check = check
        self._account = account
        self._outbox = outbox
        self._baselined: set[bytes] = set()
        self._asked_at = float("-inf")

    async def work(self) -> bool:
        """Settle what is under way, then submit the next batch; tell whether any reading was closed."""
        closed, under_way = 0, await self._outbox.find_submitted()
        for transaction_id, owed in under_way.items():
            closed += await self._conclude(transaction_id, owed)
        if len(under_way) >= MAX_UNPROVEN and not closed:
            return False
        meters = await self._reportable_meters()
        batch = await self._outbox.find_waiting(meters, self._find_overdue(), MAX_READINGS_PER_REPORT)
        if batch:
            await self._check()
            transaction_id = await self._account.call("market", "report_intervals", [owed.raw for owed in batch])
            await self._outbox.mark_submitted(batch, transaction_id)
            closed += await self._conclude(transaction_id, batch)
        return closed > 0

    def _find_overdue(self) -> int:
        """Return up to which epoch a boundary reading goes though the one before it may still come.

        That one ends an interval that may be reported until the deadline, which is a matter of the blocks' time: the
        gateway's own clock may be wrong. The boundary before that of epoch e has it at (e - 1) · epoch_s + deadline.
        """
        time_s = self._ledger_time()
        return -1 if time_s is None else (int(time_s) - self._deadline_s) // self._epoch_s + 1

    async def _reportable_meters(self) -> set[bytes]:
        """Return those meters with waiting readings that have a baseline on the ledger; none ever loses it."""
        waiting = await self._outbox.waiting_meters()
        if waiting - self._baselined and time.monotonic() - self._asked_at > BASELINE_POLL_S:
            self._asked_at = time.monotonic()
            self._baselined = {meter.meter_id for meter in await self._client.meters() if meter.baseline is not None}
        return waiting & self._baselined

    async def _conclude(self, transaction_id: bytes, owed: list[Owed]) -> int:
        """Close the readings of a transaction that is final and proven, and return how many were.

        If it was not executed its readings wait again, and ReportError is raised.
        """
        try:
            proven = await self.conclude(transaction_id)
        except NotExecutedError:
            await self._outbox.mark_waiting(owed)
            raise
        return 0 if proven is None else await self._close(owed, read_codes(proven.events))

    async def _close(self, owed: list[Owed], codes: list[int]) -> int:
        """Close the readings that the ledger answered for; those that it will take later wait again."""
        answers = list(zip(owed, codes, strict=False))
        done = [(item, code) for item, code in answers if code in _COUNTED]
        refused = [(item, code) for item, code in answers if code not in _COUNTED | _TRY_AGAIN]
        closed = {item.key for item, _ in (*done, *refused)}
        for item, code in refused:
            log.warning("ledger refuses a reading", meter=item.meter_id.hex(), epoch=item.epoch, code=Code(code).name)
        await self._outbox.mark_answered(done, refused)
        await self._outbox.mark_waiting([item for item in owed if item.key not in closed])
        return len(closed)


def read_codes(events: Iterable[tuple[str, str, dict[str, Any]]]) -> list[int]:
    """Return the result code of each reading of a report, in the order of the report, from its receipt's *events*."""
    return [int(values["code"]) for module, name, values in events if (module, name) == ("market", "reading")]
