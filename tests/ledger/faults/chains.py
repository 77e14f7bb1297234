"""What the nodes' databases hold after a run, and the chain executed once more from genesis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ledger import block, transaction
from ledger.block import Block, Commit
from ledger.genesis import Genesis
from ledger.modules import accounts, money
from ledger.modules.market.supply import measure_supply
from ledger.node.recovery.memory import DATABASE
from ledger.node.storage.store import Store
from ledger.runtime import InvalidBlockError, Runtime
from tests.ledger.faults.history import Outcome

Slot = tuple[int, int, int]
HEIGHTS_AHEAD = 2
"""So far above its newest block a node may have signed something."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One data directory of one authority: its blocks from height 1 on, what it signed, evidence that waits."""

    name: str
    blocks: Sequence[tuple[bytes, Commit]]
    signed: dict[Slot, bytes]
    evidence: Sequence[bytes]


def read_stored(name: str, data: Path, chain_id: bytes) -> Stored:
    """Read the database of a dead process; opening it recovers it, as for the node itself."""
    store = Store.open(data / DATABASE, chain_id)
    try:
        height = store.height()
        blocks = [found for number in range(1, height + 1) if (found := store.decided(number)) is not None]
        signed = {
            (one.height, one.round, int(one.type)): one.value
            for number in range(1, height + 1 + HEIGHTS_AHEAD)
            for one in store.signed(number)
        }
        return Stored(name, blocks, signed, store.evidence())
    finally:
        store.close()


@dataclass
class Replay:
    """The chain from genesis: after each height the balances and next nonces, and where each transaction stands."""

    balances: list[dict[bytes, int]] = field(default_factory=list)
    nonces: list[dict[bytes, int]] = field(default_factory=list)
    outcomes: dict[bytes, Outcome] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def height(self) -> int:
        return len(self.blocks)


def replay(genesis: Genesis, blocks: Sequence[bytes], watched: Sequence[bytes]) -> Replay:
    """Execute encoded *blocks* from genesis, keeping the accounts *watched*; what does not hold is in `faults`."""
    runtime, found = Runtime(genesis), Replay()
    state = runtime.genesis_state()

    def look() -> None:
        found.balances.append({one: money.find(state, one).balance_aaip for one in watched})
        rows = {one: accounts.find(state, one) for one in watched}
        found.nonces.append({one: row.nonce for one, row in rows.items() if row is not None})

    look()
    for body in blocks:
        one = block.decode(body)
        try:
            execution = runtime.execute(state, one)
        except InvalidBlockError as error:
            found.faults.append(f"block {one.header.height} does not execute to what was decided: {error}")
            break
        state.apply(execution)
        found.blocks.append(one)
        for index, (raw, receipt) in enumerate(zip(one.transactions, execution.receipts, strict=True)):
            outcome = Outcome(one.header.height, index, int(receipt.code))
            if found.outcomes.setdefault(transaction.decode(raw).id, outcome) != outcome:
                found.faults.append(f"block {one.header.height} holds a transaction for the second time")
        supply = measure_supply(state)
        if not (supply.is_money_conserved and supply.is_grid_conserved and supply.is_energy_conserved):
            found.faults.append(f"block {one.header.height} does not conserve: {supply}")
        look()
    return found


def evidence_of(stored: Stored) -> Iterator[bytes]:
    """Yield all evidence that a node holds, in blocks and waiting."""
    yield from stored.evidence
    for body, _ in stored.blocks:
        yield from block.decode(body).evidence
