"""The real runtime as the application of the simulated nodes: every block is executed, evidence goes on chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ledger import block
from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.genesis import Genesis
from ledger.runtime import InvalidBlockError, Runtime
from ledger.simulation.application import Candidate


class Executed:
    """One node's ledger. Its mempool is a fixed list of *transactions*, offered to every block it builds."""

    def __init__(self, genesis: Genesis, transactions: Sequence[bytes]) -> None:
        self._runtime = Runtime(genesis)
        self._transactions = transactions
        self.state = self._runtime.genesis_state()
        self._authorities = self.state.authority_set

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
        """The state root."""
        return self.state.root

    def authorities(self, height: int) -> AuthoritySet:
        """Return the set in force."""
        if height > self.state.header.height + 2:
            raise ValueError(f"the set of height {height} is not known after block {self.state.header.height}")
        return self._authorities

    def build(
        self, height: int, time_ms: int, proposer: int, last_commit: Commit | None, evidence: tuple[bytes, ...]
    ) -> Candidate:
        """Return the next block."""
        built, _ = self._runtime.build(
            self.state,
            height=height,
            time_ms=time_ms,
            proposer=proposer,
            transactions=self._transactions,
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
        """Execute the block and keep what it changes."""
        self.state.apply(self._runtime.execute(self.state, block.decode(raw)))
        self._authorities = self.state.authority_set

    def sabotage(self, candidate: Candidate) -> Candidate:
        """Return the block with a wrong state root."""
        good = block.decode(candidate.raw)
        root = bytes(byte ^ 1 for byte in good.header.state_root)
        return self.read(replace(good, header=replace(good.header, state_root=root)).encode())
