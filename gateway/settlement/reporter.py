"""Reporting boundary readings to the ledger, exactly once, for as long as it takes.

The ledger takes one reading per meter and epoch, so submitting again changes nothing; a row is closed only when a
final transaction answered for it, and a quorum of the authorities has cosigned that. A meter without a baseline on the
ledger waits: an admin sets it (`rebase`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import structlog

from gateway.epochs.calendar import Calendar
from gateway.errors import ReportError
from gateway.store.outbox import OutboxStore, Owed
from ledger import checkpoint, receipt_proof
from ledger.client import AccountClient, ClientError, LedgerClient, NotFinalError, RefusedError
from ledger.codes import Code
from ledger.genesis import Genesis
from ledger.liveness import Progress
from ledger.proof import ProofRefusedError
from ledger.receipt_proof import ProvenReceipt

MAX_READINGS_PER_REPORT: Final = 50
MAX_UNPROVEN: Final = 4
"""How many reports may be under way, final or not, without a proof; then no further one is submitted."""
POLL_S: Final = 0.5
BASELINE_POLL_S: Final = 2.0
"""How often the ledger is asked for the baselines of meters that wait for one."""
RETRY_FIRST_S: Final = 1.0
RETRY_LIMIT_S: Final = 30.0
FINAL_TIMEOUT_S: Final = 30.0
_COUNTED: Final = frozenset({Code.DONE, Code.READING_REPEATED})
_TRY_AGAIN: Final = frozenset({Code.METER_WITHOUT_BASELINE, Code.READING_FROM_FUTURE})
log = structlog.get_logger()


class Reporter:
    """Works off the outbox. `fault` says why it does not get on, if it does not."""

    def __init__(
        self,
        client: LedgerClient,
        account: AccountClient,
        outbox: OutboxStore,
        calendar: Calendar,
        check: Callable[[], Awaitable[None]],
        genesis: Genesis,
    ) -> None:
        """*check* has all stored intervals checked: none is reported before. *genesis* names the authorities' keys."""
        self._verifiers = checkpoint.verifier_keys(genesis.authorities, checkpoint.origin(genesis.chain_id))
        self._deadline_s = genesis.parameters.settle_deadline_s
        self._calendar = calendar
        self._check = check
        self._client = client
        self._account = account
        self._outbox = outbox
        self._baselined: set[bytes] = set()
        self._asked_at = float("-inf")
        self.fault: str | None = None
        self.progress = Progress()

    async def run(self) -> None:
        """Report until cancelled; whatever fails is tried again, ever more slowly up to `RETRY_LIMIT_S`."""
        delay_s = RETRY_FIRST_S
        try:
            while True:
                with self.progress.working():
                    worked = await self._attempt()
                if self.fault is None:
                    delay_s = RETRY_FIRST_S
                    await asyncio.sleep(0 if worked else POLL_S)
                else:
                    await asyncio.sleep(delay_s)
                    delay_s = min(2 * delay_s, RETRY_LIMIT_S)
        finally:
            await self._client.close()

    async def work(self) -> bool:
        """Settle what is under way, then submit the next batch; tell whether any reading was closed."""
        closed, under_way = 0, await self._outbox.find_submitted()
        for transaction_id, owed in under_way.items():
            closed += await self._conclude(transaction_id, owed)
        if len(under_way) >= MAX_UNPROVEN and not closed:
            return False
        # the boundary before one of epoch e ends an interval that may be reported until (e - 1) · epoch_s + deadline
        overdue = (int(self._calendar.now()) - self._deadline_s) // self._calendar.epoch_s + 1
        meters = await self._reportable_meters()
        batch = await self._outbox.find_waiting(meters, overdue, MAX_READINGS_PER_REPORT)
        if batch:
            await self._check()
            transaction_id = await self._account.call("market", "report_intervals", [owed.raw for owed in batch])
            await self._outbox.mark_submitted(batch, transaction_id)
            closed += await self._conclude(transaction_id, batch)
        return closed > 0

    async def _attempt(self) -> bool:
        """Work once, and keep in `fault` what went wrong; nothing is lost, for the outbox remembers."""
        try:
            worked = await self.work()
        except (ClientError, RefusedError, NotFinalError, ReportError) as error:
            self._note(f"the ledger takes no reports: {error}")
        except sqlite3.OperationalError as error:
            self._note(f"the database does not take what the ledger answered: {error}; free disk space")
        else:
            self._note(None)
            return worked
        return False

    async def _reportable_meters(self) -> set[bytes]:
        """Return those meters with waiting readings that have a baseline on the ledger; none ever loses it."""
        waiting = await self._outbox.waiting_meters()
        if waiting - self._baselined and time.monotonic() - self._asked_at > BASELINE_POLL_S:
            self._asked_at = time.monotonic()
            self._baselined = {meter.meter_id for meter in await self._client.meters() if meter.baseline is not None}
        return waiting & self._baselined

    async def _conclude(self, transaction_id: bytes, owed: list[Owed]) -> int:
        """Wait for the transaction, close its readings and return how many were.

        If it was not executed its readings wait again, and ReportError is raised.
        """
        self.progress.beat()
        receipt = await self._client.receipt(transaction_id)
        if receipt.status == "pending":
            receipt = await self._client.wait_final(transaction_id, FINAL_TIMEOUT_S)
        if receipt.status != "final" or receipt.code != Code.DONE:
            await self._outbox.mark_waiting(owed)
            raise ReportError(f"a report is {receipt.status}: {receipt.code_name or 'no code'} {receipt.text or ''}")
        proven = await self._prove(transaction_id)
        return 0 if proven is None else await self._close(owed, read_codes(proven.events))

    async def _prove(self, transaction_id: bytes) -> ProvenReceipt | None:
        """Return the transaction's receipt with a quorum of the authorities behind it, or None while none is yet.

        A node's word closes nothing. A node whose proof does not hold is left for the next one.
        """
        try:
            return receipt_proof.verify(
                await self._client.transaction_proof(transaction_id), transaction_id, self._verifiers
            )
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise
        except ProofRefusedError as error:
            self._client.leave_node()
            raise ReportError(f"a ledger node's proof of a report does not hold: {error}") from error

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

    def _note(self, fault: str | None) -> None:
        if fault != self.fault and fault is not None:
            log.warning("boundary readings are not reported now; they wait", cause=fault)
        self.fault = fault


def read_codes(events: Iterable[tuple[str, str, dict[str, Any]]]) -> list[int]:
    """Return the result code of each reading of a report, in the order of the report, from its receipt's *events*."""
    return [int(values["code"]) for module, name, values in events if (module, name) == ("market", "reading")]
