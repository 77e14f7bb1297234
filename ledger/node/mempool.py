"""Admitted transactions that wait for a block: bounded, each sender's in the order of its nonces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ledger.transaction import Transaction

MAX_TRANSACTIONS: Final = 20_000
MAX_BYTES: Final = 64 * 2**20
MAX_NONCES_AHEAD: Final = 256
"""A sender's pending nonces lie within this many of its next one on the ledger; so it also bounds their number."""

_NEVER: Final = 2**63


class PoolCode(StrEnum):
    """Why the pool does not take a transaction that the ledger itself would admit."""

    FULL = "mempool_full"
    NONCE_USED = "nonce_used"
    NONCE_TAKEN = "nonce_taken"
    NONCE_TOO_FAR = "nonce_too_far"


@dataclass(frozen=True, slots=True)
class PoolRefusal:
    """A transaction not taken into the pool: `text` names it and says what to do."""

    code: PoolCode
    text: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    arrival: int
    transaction: Transaction


@dataclass(slots=True)
class _Sender:
    next_nonce: int
    waiting: dict[int, _Waiting] = field(default_factory=dict)

    def run(self) -> list[_Waiting]:
        """Return what waits without a gap from the next nonce on."""
        found = []
        nonce = self.next_nonce
        while nonce in self.waiting:
            found.append(self.waiting[nonce])
            nonce += 1
        return found


class Mempool:
    """The pool of one node. It trusts its caller: signatures and chain were checked by the runtime."""

    def __init__(self) -> None:
        self._senders: dict[bytes, _Sender] = {}
        self._ids: set[bytes] = set()
        self._bytes = 0
        self._arrivals = 0
        self._first_expiry = _NEVER

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, transaction_id: bytes) -> bool:
        return transaction_id in self._ids

    def add(self, transaction: Transaction, next_nonce: int) -> PoolRefusal | None:
        """Take a checked transaction whose sender's next nonce on the ledger is *next_nonce*; one known is a no-op."""
        if transaction.id in self._ids:
            return None
        sender = self._senders.get(transaction.sender) or _Sender(next_nonce)
        refusal = self._refusal(transaction, sender)
        if refusal is None:
            self._arrivals += 1
            sender.waiting[transaction.nonce] = _Waiting(self._arrivals, transaction)
            self._senders[transaction.sender] = sender
            self._ids.add(transaction.id)
            self._bytes += len(transaction.raw)
            self._first_expiry = min(self._first_expiry, transaction.valid_until)
        return refusal

    def next_nonce(self, account: bytes, next_nonce: int) -> int:
        """Return the first free nonce of *account* behind what waits, given its next one on the ledger."""
        sender = self._senders.get(account)
        return next_nonce if sender is None else sender.next_nonce + len(sender.run())

    def ready(self, max_count: int, max_bytes: int) -> tuple[bytes, ...]:
        """Return transactions for a block, first come first served, never one before its sender's earlier ones."""
        queue: list[tuple[int, int, bytes]] = []
        for sender in self._senders.values():
            arrival = 0
            for place, waiting in enumerate(sender.run()):
                arrival = max(arrival, waiting.arrival)
                queue.append((arrival, place, waiting.transaction.raw))
        chosen, size = [], 0
        for _, _, raw in sorted(queue)[:max_count]:
            size += len(raw)
            if size > max_bytes:
                break
            chosen.append(raw)
        return tuple(chosen)

    def has_ready(self) -> bool:
        """Tell whether some transaction can go into the next block."""
        return any(sender.next_nonce in sender.waiting for sender in self._senders.values())

    def all(self, max_count: int) -> list[bytes]:
        """Return up to *max_count* waiting transactions, oldest first, to pass on to a peer that just came."""
        waiting = [item for sender in self._senders.values() for item in sender.waiting.values()]
        waiting.sort(key=lambda item: item.arrival)
        return [item.transaction.raw for item in waiting[:max_count]]

    def senders(self) -> list[bytes]:
        """Return the accounts that have something waiting."""
        return list(self._senders)

    def settle(self, next_nonces: Mapping[bytes, int], height: int) -> None:
        """After block *height*: forget what was used up or expired; *next_nonces* are those of the block's senders.

        Whoever is not among them has the nonce of before.
        """
        for account, next_nonce in next_nonces.items():
            sender = self._senders.get(account)
            if sender is not None:
                sender.next_nonce = next_nonce
                used = [nonce for nonce in sender.waiting if nonce < next_nonce]
                self._forget(account, [sender.waiting[nonce].transaction for nonce in used])
        if height >= self._first_expiry:
            self._forget_expired(height)

    def drop(self, transactions: Iterable[Transaction]) -> None:
        """Forget transactions that no block can hold any more."""
        for transaction in transactions:
            if transaction.id in self._ids:
                self._forget(transaction.sender, [transaction])

    def _forget_expired(self, height: int) -> None:
        waiting = [item.transaction for sender in self._senders.values() for item in sender.waiting.values()]
        self._first_expiry = min((one.valid_until for one in waiting if one.valid_until > height), default=_NEVER)
        self.drop(one for one in waiting if one.valid_until <= height)

    def _forget(self, account: bytes, transactions: Iterable[Transaction]) -> None:
        sender = self._senders[account]
        for transaction in transactions:
            del sender.waiting[transaction.nonce]
            self._ids.discard(transaction.id)
            self._bytes -= len(transaction.raw)
        if not sender.waiting:
            del self._senders[account]

    def _refusal(self, transaction: Transaction, sender: _Sender) -> PoolRefusal | None:
        objection = self._objection(transaction, sender)
        if objection is None:
            return None
        code, text = objection
        return PoolRefusal(code, f"transaction {transaction.id.hex()}: {text}")

    def _objection(self, transaction: Transaction, sender: _Sender) -> tuple[PoolCode, str] | None:
        if len(self._ids) >= MAX_TRANSACTIONS or self._bytes + len(transaction.raw) > MAX_BYTES:
            return PoolCode.FULL, f"{len(self._ids)} transactions wait already; submit it later"
        nonce, next_nonce = transaction.nonce, sender.next_nonce
        if nonce < next_nonce:
            return PoolCode.NONCE_USED, f"the next nonce is {next_nonce}; sign it anew"
        if nonce >= next_nonce + MAX_NONCES_AHEAD:
            text = f"nonce {nonce} is {MAX_NONCES_AHEAD} or more ahead of {next_nonce}"
            return PoolCode.NONCE_TOO_FAR, f"{text}; wait for earlier ones to be final"
        if nonce in sender.waiting:
            return PoolCode.NONCE_TAKEN, f"another transaction with nonce {nonce} waits; take the next one"
        return None
