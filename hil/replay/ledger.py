"""A ledger of four authorities in this process: real transactions, blocks, commits and state, and nobody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger import cbor, envelope, transaction
from ledger.authority import Authority, AuthoritySet
from ledger.block import Commit
from ledger.codes import Code
from ledger.consensus.commit import build_commit
from ledger.consensus.messages import Vote, sign
from ledger.errors import LedgerError
from ledger.execution import Execution
from ledger.genesis import Genesis, GenesisAccount, Parameters, Role
from ledger.keys import PrivateKey
from ledger.modules.market.supply import measure_supply
from ledger.runtime import Runtime
from ledger.state import LedgerState
from ledger.transaction import Call

AUTHORITIES: Final = ("one", "two", "three", "four")
ADMIN, GATEWAY, GRID = "admin", "gateway", "grid"
BALANCE_AAIP: Final = 10**6 * 10**18
VALID_FOR_BLOCKS: Final = 1000


class ReplayError(LedgerError):
    """The ledger refused what a replay did, or did not conserve: a fault of the program."""


@dataclass
class Account:
    """An account and its key; `nonce` is the next one."""

    id: bytes
    key: PrivateKey
    nonce: int = 0


class LocalLedger:
    """Executes blocks, one after the other."""

    def __init__(self, users: Sequence[str], parameters: Parameters, time_ms: int) -> None:
        """Start a chain at *time_ms* in which *users*, an admin, a gateway and the grid account have money."""
        roles: dict[str, Role] = {ADMIN: Role.ADMIN, GATEWAY: Role.GATEWAY, GRID: Role.GRID}
        roles |= dict.fromkeys(users, Role.USER)
        self.accounts: Mapping[str, Account] = {
            name: Account(place.to_bytes(8), make_key(f"account {name}")) for place, name in enumerate(roles, 1)
        }
        self._vote_keys = [make_key(f"vote {name}") for name in AUTHORITIES]
        members = tuple(
            Authority(
                (1000 + place).to_bytes(8), name, self._vote_keys[place].public_key,
                make_key(f"cosign {name}").public_key, make_key(f"log {name}").public_key,
            )
            for place, name in enumerate(AUTHORITIES)
        )  # fmt: skip
        genesis = Genesis(
            "replay", time_ms, bytes(32), AuthoritySet(members), parameters, self.accounts[GRID].id,
            tuple(
                GenesisAccount(one.id, one.key.public_key, roles[name], BALANCE_AAIP)
                for name, one in self.accounts.items()
            ),
        )  # fmt: skip
        self.genesis = genesis
        self._runtime = Runtime(genesis)
        self.state: LedgerState = self._runtime.genesis_state()

    def sign(self, who: str, module: str, function: str, *arguments: cbor.Value) -> bytes:
        """Return a transaction of account *who*."""
        account, until = self.accounts[who], self.state.header.height + VALID_FOR_BLOCKS
        account.nonce += 1
        call = Call(module, function, arguments)
        return transaction.sign(self.genesis.chain_id, account.id, account.nonce - 1, until, call, account.key)

    def make_block(self, time_ms: int, transactions: Sequence[bytes]) -> Execution:
        """Append a block that holds all *transactions*; raises ReplayError where one is refused."""
        _, execution = self._runtime.build(
            self.state, height=self.state.header.height + 1, time_ms=time_ms, proposer=1, transactions=transactions,
            evidence=(), last_commit=self._commit(),
        )  # fmt: skip
        refused = [receipt.text for receipt in execution.receipts if receipt.code is not Code.DONE]
        if refused or len(execution.receipts) != len(transactions):
            raise ReplayError(f"a block took {len(execution.receipts)} of {len(transactions)} calls: {refused[:3]}")
        self.state.apply(execution)
        return execution

    def check_conservation(self) -> None:
        """Hold energy, money and GRID against the tables; raises ReplayError."""
        supply = measure_supply(self.state)
        if not (supply.is_energy_conserved and supply.is_money_conserved and supply.is_grid_conserved):
            raise ReplayError(f"the ledger does not conserve at height {self.state.header.height}: {supply}")

    def _commit(self) -> Commit | None:
        header = self.state.header
        if header.height == 0:
            return None
        vote = Vote(envelope.Kind.PRECOMMIT, header.height, 0, header.id)
        votes = [sign(vote, self.genesis.chain_id, place, key) for place, key in enumerate(self._vote_keys)]
        return build_commit(header.height, 0, header.id, votes)


def make_key(name: str) -> PrivateKey:
    """Return the key of *name*, the same on every run: it guards nothing."""
    return PrivateKey(hashlib.sha256(f"campusgrid replay {name}".encode()).digest())
