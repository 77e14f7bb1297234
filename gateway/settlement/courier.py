"""What carries things to the ledger for as long as it takes, and believes no single node what became of them."""

from __future__ import annotations

import asyncio
import sqlite3
from http import HTTPStatus
from typing import Final

import structlog

from gateway.errors import ReportError
from gateway.store.mending import explain
from ledger import checkpoint, receipt_proof
from ledger.codes import Code
from ledger.genesis import Genesis
from ledger.liveness import Progress
from ledger.proof import ProofRefusedError
from ledger.receipt_proof import ProvenReceipt
from ledger.remote.client import ClientError, LedgerClient, NotFinalError, RefusedError

POLL_S: Final = 0.5
RETRY_FIRST_S: Final = 1.0
RETRY_LIMIT_S: Final = 30.0
FINAL_TIMEOUT_S: Final = 30.0
log = structlog.get_logger()


class NotExecutedError(ReportError):
    """A transaction did not make it: what it carried must be submitted again."""


class Courier:
    """Does its `work` again and again; whatever fails is tried again, ever more slowly up to `RETRY_LIMIT_S`.

    *goods* names for people what it carries. `fault` says why it does not get on, if it does not.
    """

    def __init__(self, goods: str, client: LedgerClient, genesis: Genesis) -> None:
        self._goods = goods
        self._client = client
        self._verifiers = checkpoint.verifier_keys(genesis.authorities, checkpoint.origin(genesis.chain_id))
        self.fault: str | None = None
        self.progress = Progress()

    async def run(self) -> None:
        """Work until cancelled."""
        delay_s = RETRY_FIRST_S
        while True:
            with self.progress.working():
                worked = await self._attempt()
            if self.fault is None:
                delay_s = RETRY_FIRST_S
                await asyncio.sleep(0 if worked else POLL_S)
            else:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_LIMIT_S)

    async def work(self) -> bool:
        """Settle what is under way, then submit what is next; tell whether anything was closed."""
        raise AssertionError("each courier has its own work")

    async def conclude(self, transaction_id: bytes) -> ProvenReceipt | None:
        """Wait for a transaction and return its receipt with a quorum of the authorities behind it; None: not yet.

        Raises NotExecutedError, and ReportError for a node whose proof does not hold, which is left for the next one.
        """
        self.progress.beat()
        receipt = await self._client.receipt(transaction_id)
        if receipt.status == "pending":
            receipt = await self._client.wait_final(transaction_id, FINAL_TIMEOUT_S)
        if receipt.status != "final" or receipt.code != Code.DONE:
            raise NotExecutedError(f"some are {receipt.status}: {receipt.code_name or 'no code'} {receipt.text or ''}")
        node = self._client.node
        try:
            return receipt_proof.verify(
                await self._client.transaction_proof(transaction_id), transaction_id, self._verifiers
            )
        except RefusedError as error:
            if error.status == HTTPStatus.CONFLICT:
                return None
            raise
        except ProofRefusedError as error:
            self._client.leave_node(node)
            raise ReportError(
                f"a ledger node's proof of what became of the {self._goods} does not hold: {error}"
            ) from error

    async def _attempt(self) -> bool:
        """Work once, and keep in `fault` what went wrong; nothing is lost, for the database remembers."""
        try:
            worked = await self.work()
        except (ClientError, RefusedError, NotFinalError, ReportError) as error:
            self._note(f"the ledger takes no {self._goods}: {error}")
        except sqlite3.OperationalError as error:
            self._note(f"the database does not take what the ledger answered: {explain(error)}")
        else:
            self._note(None)
            return worked
        return False

    def _note(self, fault: str | None) -> None:
        if fault is not None and self.fault is None:  # its text names one node after the other, and would fill the log
            log.warning(f"{self._goods} do not reach the ledger now; they wait", cause=fault)
        self.fault = fault
