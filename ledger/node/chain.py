"""The chain as this node has executed it: its state in memory, the blocks it may become, and what to store of them.

All of it belongs to one thread (`Ledger` below), so that no reader ever sees half a block.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ledger import block, cbor
from ledger.authority import AuthoritySet
from ledger.block import Block, Commit, Header
from ledger.codes import Refusal
from ledger.consensus.machine import HEIGHTS_AHEAD
from ledger.errors import CorruptedError, MalformedError
from ledger.execution import Execution, Receipt
from ledger.genesis import Parameters
from ledger.handover import certify
from ledger.modules import accounts, authorities
from ledger.modules.module import Event
from ledger.node.storage.store import Decision, Leaf, Store, TransactionResult
from ledger.records import SettlementLine
from ledger.runtime import InvalidBlockError, Runtime
from ledger.state import AUTHORITY_SETS, LedgerState, authorities_at, decode_head
from ledger.transaction import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block that was executed on the state below it, and may be decided."""

    block: Block
    body: bytes
    execution: Execution


@dataclass(frozen=True, slots=True)
class Invalid:
    """A block that no correct authority votes for, why, and what this node computed where that is what differs."""

    reason: str
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class NotTheBlock:
    """Bytes that are not the block they were sent as: whoever sent them, the block itself may still be fine."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where the chain stands: its newest header, the authorities of the next height, when hooks have work next.

    `sets` are the authorities of the newest height and the two after it, `parameters` those of the next block. A node
    that is `unable` (why) does not know the protocol version of the next block, and goes no further. `candidates` are
    the names of institutions that were admitted and have not joined.
    """

    header: Header
    authorities: AuthoritySet
    due_ms: int | None
    sets: Mapping[int, AuthoritySet]
    parameters: Parameters
    unable: str | None
    candidates: frozenset[str] = frozenset()


class Chain:
    """State and rules of one chain at its newest decided block."""

    def __init__(self, runtime: Runtime, state: LedgerState) -> None:
        self.runtime = runtime
        self.state = state

    @classmethod
    def recover(cls, runtime: Runtime, store: Store) -> Chain:
        """Return the chain as stored, or at its genesis; raises CorruptedError where rows and state root disagree."""
        if store.meta("head") is not None:
            state = read_state(store)
            catch_up(store, state)
            return cls(runtime, state)
        state = runtime.genesis_state()
        with store.transaction():
            store.save_genesis(state.head.encode(), state.rows())
        return cls(runtime, state)

    @property
    def height(self) -> int:
        """The height of the newest decided block."""
        return self.state.header.height

    def build(self, time_ms: int, proposer: int, items: Iterable[bytes], evidence: Iterable[bytes],
              last_commit: Commit | None, round_: int = 0) -> Candidate:  # fmt: skip
        """Return a block for the next height, proposed in *round_*, made of the transactions *items* that it holds."""
        built, execution = self.runtime.build(
            self.state, height=self.height + 1, time_ms=time_ms, proposer=proposer,
            transactions=items, evidence=evidence, last_commit=last_commit, round_=round_,
        )  # fmt: skip
        return Candidate(built, built.encode(), execution)

    def validate(self, block_id: bytes, body: bytes) -> Candidate | Invalid | NotTheBlock:
        """Return block *body* of the next height executed, if it is valid: everything is checked, meters included.

        Bytes that do not decode say nothing about the block: its id covers every part, so they are not it.
        """
        try:
            proposed = block.decode(body)
        except MalformedError:
            return NotTheBlock()
        if proposed.id != block_id:
            return NotTheBlock()
        try:
            return Candidate(proposed, body, self.runtime.execute(self.state, proposed))
        except InvalidBlockError as error:
            return Invalid(f"{error.code.name.lower()}: {error}", error.execution)

    def still_proving(self, evidence: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return what of *evidence* proves something that is not on chain yet, now or within the heights ahead."""
        height = self.height + 1 + HEIGHTS_AHEAD
        kept = tuple(evidence)
        return authorities.choose_evidence(self.state, self.runtime.chain_id, height, kept, len(kept))

    def advance(self, candidate: Candidate) -> Position:
        """Move on to the decided *candidate* and return the new position."""
        self.state.apply(candidate.execution)
        return self.position()

    def go_to(self, state: LedgerState) -> Position:
        """Move on to a *state* far ahead, which a snapshot gave, and return the new position."""
        self.state = state
        return self.position()

    def position(self) -> Position:
        """Return where the chain stands."""
        state, unable = self.state, self.runtime.refuse_version(self.state)
        sets = {height: authorities_at(state, height) for height in range(self.height, self.height + 3)}
        return Position(
            header=state.header,
            authorities=sets[self.height + 1],
            due_ms=self.runtime.next_due_ms(state),
            sets=sets,
            parameters=self.runtime.look(state).parameters,
            unable=None if unable is None else unable.text,
            candidates=authorities.candidate_names(state),
        )

    def check(self, raw: bytes) -> tuple[Transaction, int] | Refusal:
        """Return the transaction with its sender's next nonce if it may wait for a block."""
        return self.check_all([raw])[0]

    def check_all(self, raws: Iterable[bytes]) -> list[tuple[Transaction, int] | Refusal]:
        """Return for each transaction what `check` does."""
        checked = self.runtime.check_transactions(self.state, raws)
        return [one if isinstance(one, Refusal) else (one, self.next_nonce(one.sender)) for one in checked]

    def next_nonces(self, accounts_: Iterable[bytes]) -> dict[bytes, int]:
        """Return the next nonce of each account."""
        return {account: self.next_nonce(account) for account in accounts_}

    def next_nonce(self, account: bytes) -> int:
        """Return the nonce that the next transaction of *account* must have."""
        found = accounts.find(self.state, account)
        return found.nonce if found is not None else 0


def read_state(store: Store) -> LedgerState:
    """Return the state in *store*; raises CorruptedError where rows and state root disagree."""
    head = store.meta("head")
    if head is None:
        raise CorruptedError("the database holds no state; synchronise anew")
    return LedgerState.restore(decode_head(head), store.rows())


class Ledger:
    """The chain behind its thread."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def run(self, work: Callable[[Chain], T]) -> T:
        """Run *work* in the chain's thread, after what was asked before, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._chain)

    def close(self) -> None:
        """Wait for the work at hand; drop the rest."""
        self._thread.shutdown(cancel_futures=True)


def catch_up(store: Store, state: LedgerState) -> None:
    """Add what nodes did not keep at first: the tree above the leaves, certificates of the changes of the set."""
    held = store.handovers()
    heights = [row.from_height - 1 for _, row in state.scan(AUTHORITY_SETS)]
    missing = [height for height in heights if height not in held and (store.decided(height) is not None)]
    with store.transaction():
        store.grow_tree()
        for height in missing:
            found = store.decided(height)
            sets = authorities_at(state, height), authorities_at(state, height + 1)
            made = found and certify(block.decode(found[0]).header, found[1], *sets)
            if made:
                store.add_handover(height, made.encode())


def decide(candidate: Candidate, commit: Commit) -> Decision:
    """Return all that is to be stored once *candidate* is final."""
    execution, header = candidate.execution, candidate.block.header
    return Decision(
        height=header.height,
        block_id=header.id,
        body=candidate.body,
        commit=commit.encode(),
        head=execution.head.encode(),
        rows=execution.writes,
        first_leaf=header.log_size - len(execution.leaves),
        leaves=_leaves(execution),
        settlement_lines=_settlement_lines(execution),
        readings=[(hashlib.sha256(one).digest(), one) for one in execution.readings],
        transactions=[_result(receipt) for receipt in execution.receipts],
        hook_events=_encode_events(execution.events) if execution.events else None,
    )


def _leaves(execution: Execution) -> list[Leaf]:
    openings: list[tuple[bytes | None, bytes | None]] = [(one.data, one.salt) for one in execution.receipts]
    openings += [(one.data, one.salt) for one in execution.records]
    openings.append((None, None))
    parts = zip(execution.leaves, execution.leaf_hashes, openings, strict=True)
    return [Leaf(data, hash_, record, salt) for data, hash_, (record, salt) in parts]


def _settlement_lines(execution: Execution) -> list[tuple[int, bytes, int]]:
    return [
        (logged.record.epoch, logged.record.meter, logged.log_index)
        for logged in execution.records
        if isinstance(logged.record, SettlementLine)
    ]


def _result(receipt: Receipt) -> TransactionResult:
    record = receipt.record
    return TransactionResult(
        record.transaction_id, record.height, record.index, record.code, receipt.text, receipt.events_data
    )


def _encode_events(events: Iterable[Event]) -> bytes:
    return cbor.encode([event.fields() for event in events])
