"""How long a transaction takes to be final, measured from outside: submit, then ask until the ledger says final."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from ledger.errors import LedgerError
from ledger.remote.client import AccountClient, LedgerClient

POLL_S: Final = 0.02
INTERVAL_S: Final = 1.0
FINAL_TIMEOUT_S: Final = 20.0
PROBE_AAIP: Final = 1
"""What each probe moves: the smallest amount there is."""
P50: Final = 50
P95: Final = 95


class FinalityProbe:
    """Sends one tiny transfer a second and notes how many ms each needs; `faults` counts those that failed."""

    def __init__(self, client: LedgerClient, sender: AccountClient, receiver: bytes) -> None:
        self._client = client
        self._sender = sender
        self._receiver = receiver
        self.measured_ms: list[int] = []
        self.faults = 0

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            try:
                self.measured_ms.append(await self._measure())
            except (LedgerError, TimeoutError):
                self.faults += 1
            await asyncio.sleep(INTERVAL_S)

    def percentile_ms(self, percent: int) -> int | None:
        """Return the smallest measured time that *percent* of the probes did not exceed; None without a probe."""
        ordered = sorted(self.measured_ms)
        return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None

    async def _measure(self) -> int:
        start_ns = time.monotonic_ns()
        transaction_id = await self._sender.call("money", "transfer", self._receiver, PROBE_AAIP)
        async with asyncio.timeout(FINAL_TIMEOUT_S):
            while True:
                if (await self._client.receipt(transaction_id)).status == "final":
                    break
                await asyncio.sleep(POLL_S)
        return (time.monotonic_ns() - start_ns) // 1_000_000
