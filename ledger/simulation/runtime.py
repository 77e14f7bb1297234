"""The real runtime and real Ed25519 behind the simulated nodes: every block is executed, evidence goes on chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from ledger import block, keys, transaction
from ledger.authority import AuthoritySet
from ledger.block import Commit
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.modules import authorities
from ledger.modules.market.supply import measure_supply
from ledger.runtime import InvalidBlockError, Runtime
from ledger.simulation.application import Candidate, Membership
from ledger.simulation.ideal import Real
from ledger.simulation.node import EPOCH_MS, Node
from ledger.simulation.schedule import Schedule
from ledger.simulation.surroundings import membership_of
from ledger.simulation.witness import Violation
from ledger.simulation.world import Outcome, run
from ledger.state import authorities_at
from ledger.transaction import Call

TRANSFERS: Final = 6
_USER, _OTHER, _GRID = (bytes(7) + bytes([number]) for number in (201, 202, 203))


class Executed:
    """One node's ledger. Its mempool is a fixed list of *transactions*, offered to every block it builds."""

    def __init__(self, genesis: Genesis, transactions: Sequence[bytes]) -> None:
        self._runtime = Runtime(genesis)
        self._transactions = transactions
        self.state = self._runtime.genesis_state()

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
        built, _ = self._runtime.build(
            self.state,
            height=height,
            time_ms=max(time_ms, self.last_time_ms + 1),
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
        """Execute the block and keep what it changes; money, GRID and energy are conserved."""
        self.state.apply(self._runtime.execute(self.state, block.decode(raw)))
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


def with_transfers(members: AuthoritySet) -> Callable[[Membership], Executed]:
    """Return a factory of ledgers whose mempools hold a few transfers from one user to another."""
    secrets = {account: keys.PrivateKey(account.rjust(keys.SEED_BYTES, b"\0")) for account in (_USER, _OTHER, _GRID)}
    roles = {_USER: Role.USER, _OTHER: Role.USER, _GRID: Role.GRID}
    accounts = tuple(
        GenesisAccount(account, key.public_key, roles[account], 10**24) for account, key in secrets.items()
    )
    genesis = Genesis("simulation", EPOCH_MS - 60_000, bytes(32), members, Parameters(), _GRID, accounts)
    call = Call("money", "transfer", (_OTHER, 5))
    transfers = [
        transaction.sign(genesis.chain_id, _USER, nonce, 10**6, call, secrets[_USER]) for nonce in range(TRANSFERS)
    ]
    return lambda _: Executed(genesis, transfers)


def run_executed(schedule: Schedule) -> Outcome:
    """Run *schedule* with the real runtime: every transfer is final once, and genesis replays to the same root."""
    factory = with_transfers(membership_of(schedule).genesis)
    return run(schedule, factory, make_signatures=Real, at_the_end=_require_transfers)


def _require_transfers(nodes: Sequence[Node]) -> None:
    for node in nodes:
        blocks = [block.decode(raw) for raw, _ in node.disk.chain]
        final = [raw for one in blocks for raw in one.transactions]
        if len(final) != TRANSFERS or len(set(final)) != TRANSFERS:
            raise Violation(f"{node.name}: {len(final)} of {TRANSFERS} transfers are final, {len(set(final))} distinct")
        again = node.world.new_application()
        for raw, _ in node.disk.chain:
            again.apply(raw)
        if again.root != node.application.root:
            raise Violation(f"{node.name}: executing the chain from genesis gives another root")
