"""The real runtime and real Ed25519 behind the simulated nodes: every block is executed, evidence goes on chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from ledger import block, transaction
from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.codes import Code
from ledger.modules import authorities
from ledger.modules.market.supply import measure_supply
from ledger.records import SettlementLine
from ledger.runtime import InvalidBlockError, Runtime
from ledger.simulation.application import Application, Candidate
from ledger.simulation.ideal import Real
from ledger.simulation.node import Node
from ledger.simulation.schedule import Schedule
from ledger.simulation.surroundings import membership_of
from ledger.simulation.witness import Violation
from ledger.simulation.workload import Offer, Workload, make_workload
from ledger.simulation.world import Outcome, run
from ledger.state import authorities_at


class Executed:
    """One node's ledger. Its mempool is what *workload* offers by a block's time; `done` counts calls."""

    def __init__(self, workload: Workload) -> None:
        self._runtime = Runtime(workload.genesis)
        self._offers = workload.offers
        self.state = self._runtime.genesis_state()
        self.done: Counter[str] = Counter()

    @property
    def chain_id(self) -> bytes:
        """The genesis' chain id."""
        return self._runtime.chain_id

    @property
    def last_time_ms(self) -> int:
        """The time of the last applied block."""
        return self.state.header.time_ms

    @property
    def root(self) -> bytes:
        """State root and log root together."""
        return self.state.root + self.state.header.log_root

    def authorities(self, height: int) -> AuthoritySet:
        """Return the set in force."""
        return authorities_at(self.state, height)

    def build(
        self, height: int, time_ms: int, proposer: int, last_commit: Commit | None, evidence: tuple[bytes, ...]
    ) -> Candidate:
        """Return the next block."""
        time_ms = max(time_ms, self.last_time_ms + 1)
        built, _ = self._runtime.build(
            self.state,
            height=height,
            time_ms=time_ms,
            proposer=proposer,
            transactions=[offer.raw for offer in self._offers if offer.from_ms <= time_ms],
            evidence=evidence,
            last_commit=last_commit,
        )
        return Candidate(built.id, built.header.time_ms, built.encode())

    def read(self, raw: bytes) -> Candidate:
        """Return the candidate; raises MalformedError."""
        header = block.decode(raw).header
        return Candidate(header.id, header.time_ms, raw)

    def is_valid(self, height: int, raw: bytes) -> bool:
        """Execute the block on the state as it is."""
        proposed = block.decode(raw)
        try:
            self._runtime.execute(self.state, proposed)
        except InvalidBlockError:
            return False
        return proposed.header.height == height

    def apply(self, raw: bytes) -> None:
        """Execute the block and keep what it changes; money, GRID and energy are conserved."""
        decided = block.decode(raw)
        execution = self._runtime.execute(self.state, decided)
        self.state.apply(execution)
        for transaction_, receipt in zip(decided.transactions, execution.receipts, strict=True):
            call = transaction.decode(transaction_).call
            self.done[f"{call.module}.{call.function}"] += receipt.code is Code.DONE
        self.done["settlement line"] += sum(isinstance(one.record, SettlementLine) for one in execution.records)
        supply = measure_supply(self.state)
        if not (supply.is_money_conserved and supply.is_grid_conserved and supply.is_energy_conserved):
            raise Violation(f"block {self.state.header.height}: not conserved: {supply}")

    def pending_evidence(self, raw: bytes, evidence: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return what of *evidence* still proves something after the block."""
        held = block.decode(raw).evidence
        waiting = [one for one in evidence if one not in held]
        height = self.state.header.height + 2
        return authorities.choose_evidence(self.state, self.chain_id, height, waiting, len(waiting))

    def sabotage(self, candidate: Candidate) -> Candidate:
        """Return the block with a wrong state root."""
        good = block.decode(candidate.raw)
        root = bytes(byte ^ 1 for byte in good.header.state_root)
        return self.read(replace(good, header=replace(good.header, state_root=root)).encode())


def run_executed(schedule: Schedule) -> Outcome:
    """Run *schedule* with the real runtime: all that is offered is final once, and genesis replays to the same root."""
    workload = make_workload(membership_of(schedule))
    return run(
        schedule, lambda _: Executed(workload), make_signatures=Real, at_the_end=partial(_require_all, workload.offers)
    )


def _require_all(offers: Sequence[Offer], nodes: Sequence[Node]) -> None:
    for node in nodes:
        held, again = _executed(node), _executed(node, node.world.new_application())
        final = [raw for block_, _ in node.disk.chain for raw in block.decode(block_).transactions]
        wanted = [offer.raw for offer in offers if offer.from_ms <= held.last_time_ms]
        if sorted(final) != sorted(wanted):
            raise Violation(f"{node.name}: {len(final)} transactions are final, {len(wanted)} were offered")
        for raw, _ in node.disk.chain:
            again.apply(raw)
        if again.root != held.root:
            raise Violation(f"{node.name}: executing the chain from genesis gives another root")
    nodes[0].world.witness.coverage.update(_executed(nodes[0]).done)


def _executed(node: Node, application: Application | None = None) -> Executed:
    found = application or node.application
    if not isinstance(found, Executed):
        raise TypeError(f"{found} executes nothing")
    return found
