"""What a ledger of 10^3 to 10^6 accounts costs: a transfer, a restart, memory, disk, catching up, and proofs.

The accounts beside the senders are rows that nobody signs for; a transfer's cost knows them by their number alone.
Signatures are in the memory of the runtime that executes, but where it catches up: there every one is checked. Python's
collector is set as a node sets it: it does not search a million rows for cycles between two blocks.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ledger import checkpoint, receipt_proof
from ledger.api.proofs import prove_receipt
from ledger.block import Commit
from ledger.checkpoint import Checkpoint
from ledger.keys import PrivateKey, key_id
from ledger.modules.accounts import ACCOUNTS, KEYS, Account, KeyOwner
from ledger.modules.money import HOLDINGS, Holding
from ledger.node import promises
from ledger.node.chain import Candidate, Chain
from ledger.node.process import spare_the_collector
from ledger.node.signers.cosigning import Provable
from ledger.node.storage.store import Store
from ledger.roots import Write
from ledger.runtime import Runtime
from ledger.state import LedgerState
from tests.bench.measure import Row, at_least, at_most, processor_s, signature_check_s
from tests.ledger import chain_kit
from tests.ledger.chain_kit import AIP, id_of, key_of, make_genesis

SIZES = (10**3, 10**4, 10**5, 10**6)
SENDERS, BLOCKS, BLOCK_TRANSFERS = 200, 8, 500
TRANSFERS = BLOCKS * BLOCK_TRANSFERS
COST_BAR, RESTART_BAR_US, MEMORY_BAR_BYTES = 2.0, 60.0, 4_000.0
"""A row's cost in a tree of 1,000 times the rows; microseconds and bytes an account (three rows) at 10^6 accounts."""
CATCH_UP_BAR, DISK_BAR_BYTES, PROOF_BAR_BYTES, PROOF_BAR_CHECKS = 0.2, 1_000, 2_500, 12.0


@dataclass(frozen=True, slots=True)
class Grown:
    """A chain with many accounts, its database, and what a transfer cost there in microseconds of processor time."""

    accounts: int
    store: Store
    blocks: list[tuple[Candidate, Commit | None]]
    execute_us: float
    store_us: float
    disk_bytes: float

    def __str__(self) -> str:
        return (
            f"{self.accounts:>9,} accounts: {self.execute_us:.0f} us to execute a transfer, {self.store_us:.0f} us to"
            f" store it, {self.disk_bytes:.0f} bytes on disk"
        )


def measure() -> Iterator[Row]:
    """Grow a ledger size by size; at the last one, restart it, copy it, and prove its transactions."""
    costs: list[float] = []
    for accounts in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            grown = grow(accounts, Path(folder) / "ledger.sqlite")
            print(grown, flush=True)
            costs.append(grown.execute_us + grown.store_us)
            if accounts == SIZES[0]:
                yield from _measure_copying(grown)
                yield from _measure_proofs(grown)
            grown.store.close()
            if accounts == SIZES[-1]:
                yield from _measure_restart(accounts, Path(folder) / "ledger.sqlite")
    yield at_most(
        "ledger_growth.cost", round(costs[-1] / costs[0], 2), f"a transfer at {SIZES[-1]:,}/{SIZES[0]:,} accounts",
        COST_BAR,
    )  # fmt: skip


def grow(accounts: int, path: Path) -> Grown:
    """Make a chain of *accounts* accounts in a database at *path*, and run the transfers on it."""
    kit = chain_kit.Chain(*make_genesis(users=SENDERS))
    kit.state = _populate(kit.state, accounts)
    store = Store.open(path, kit.genesis.chain_id)
    with store.transaction():
        store.save_genesis(kit.state.head.encode(), kit.state.rows())
    spare_the_collector()
    size_before = _file_bytes(path)
    chain, blocks, executed_s, stored_s = Chain(kit.runtime, kit.state), [], 0.0, 0.0
    for number in range(BLOCKS):
        raws = _sign_transfers(kit, accounts, number)
        built = chain.build(kit.state.header.time_ms + 1000, 1, raws, (), kit.commit())
        assert len(built.block.transactions) == BLOCK_TRANSFERS
        executed_s += processor_s(lambda: chain.validate(built.block.id, built.body))  # noqa: B023 (run at once)
        executed_s += processor_s(lambda: chain.advance(built))  # noqa: B023
        commit = kit.commit()
        stored_s += processor_s(lambda: _save(store, built, commit))  # noqa: B023
        blocks.append((built, commit))
    disk_bytes = (_file_bytes(path) - size_before) / TRANSFERS
    return Grown(accounts, store, blocks, executed_s / TRANSFERS * 1e6, stored_s / TRANSFERS * 1e6, disk_bytes)


def _populate(state: LedgerState, accounts: int) -> LedgerState:
    """Return *state* with *accounts* more accounts: each has a key, money, and a place among the keys."""
    drawn = random.Random(accounts)
    rows = list(state.rows())
    for number in range(accounts):
        account, public_key = _account(number), drawn.randbytes(32)
        rows += [
            Write(ACCOUNTS.name, account, ACCOUNTS.encode(Account(public_key, 0, 1))),
            Write(KEYS.name, key_id(public_key), KEYS.encode(KeyOwner(account))),
            Write(HOLDINGS.name, account, HOLDINGS.encode(Holding(AIP))),
        ]
    root = LedgerState(state.head).change(rows).root
    return LedgerState.restore(replace(state.head, header=replace(state.header, state_root=root)), rows)


def _account(number: int) -> bytes:
    return id_of(2**63 + number)


def _sign_transfers(kit: chain_kit.Chain, accounts: int, seed: int) -> list[bytes]:
    drawn = random.Random(seed)
    names = [f"user{number % SENDERS}" for number in range(BLOCK_TRANSFERS)]
    return [kit.sign(who, "money", "transfer", _account(drawn.randrange(accounts)), 1) for who in names]


def _save(store: Store, candidate: Candidate, commit: Commit | None) -> None:
    with store.transaction():
        assert commit is not None
        promises.store_decision(candidate, commit, None, None, store)


def _measure_copying(grown: Grown) -> Iterator[Row]:
    """Execute and store the blocks as a node does that catches up; it checks every signature itself."""
    kit = chain_kit.Chain(*make_genesis(users=SENDERS))
    chain = Chain(Runtime(kit.genesis), _populate(kit.state, grown.accounts))
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "copy.sqlite", kit.genesis.chain_id)

        def copy() -> None:
            for candidate, commit in grown.blocks:
                found = chain.validate(candidate.block.id, candidate.body)
                assert isinstance(found, Candidate)
                chain.advance(found)
                _save(store, found, commit)

        spent_s = processor_s(copy)
        store.close()
    rate, bare_s = TRANSFERS / spent_s, signature_check_s()
    yield at_least(
        "ledger_growth.catch_up", round(rate * bare_s, 3),
        f"{rate:.0f} transfers/s, {rate / BLOCK_TRANSFERS:.1f} blocks/s of {BLOCK_TRANSFERS}, of bare signature checks",
        CATCH_UP_BAR,
    )  # fmt: skip
    yield at_most("ledger_growth.disk", round(grown.disk_bytes), "bytes a transfer", DISK_BAR_BYTES)


def _measure_proofs(grown: Grown) -> Iterator[Row]:
    """Prove a transfer, and verify that as an outsider does."""
    kit = chain_kit.Chain(*make_genesis(users=SENDERS))
    header, origin = grown.blocks[-1][0].block.header, checkpoint.origin(kit.genesis.chain_id)
    note = Checkpoint(origin, header.log_size, header.log_root)
    members = kit.genesis.authorities.members
    lines = [
        checkpoint.cosign(note, checkpoint.cosigner_name(origin, member.name), _cosign_key(member.cosign_key), 1)
        for member in members[: kit.genesis.authorities.quorum]
    ]
    provable, wanted = Provable(note, tuple(lines)), grown.blocks[0][0].execution.receipts[0].record.transaction_id
    made: list[object] = []
    log_key = key_of(1002)
    proving_s = processor_s(lambda: made.append(prove_receipt(grown.store, wanted, provable, log_key)))
    (data,) = made
    assert isinstance(data, bytes)
    verifiers = checkpoint.verifier_keys(kit.genesis.authorities, origin)
    verified_s = processor_s(lambda: receipt_proof.verify(data, wanted, verifiers))
    yield at_most("ledger_growth.proof_bytes", len(data), f"bytes, made in {proving_s * 1000:.1f} ms", PROOF_BAR_BYTES)
    yield at_most(
        "ledger_growth.proof_verified", round(verified_s / signature_check_s(), 1),
        f"signature checks ({verified_s * 1000:.2f} ms)", PROOF_BAR_CHECKS,
    )  # fmt: skip


def _cosign_key(public_key: bytes) -> PrivateKey:
    keys = (key_of(1000 + 10 * n + 1) for n in range(4))
    return next(key for key in keys if key.public_key == public_key)


RESTART = """
import re, sys, time
from pathlib import Path
from ledger.node.chain import Chain
from ledger.node.storage.store import Store
from ledger.runtime import Runtime
from tests.ledger.chain_kit import make_genesis
genesis = make_genesis(users=int(sys.argv[2]))[0]
def read_memory():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before, start = read_memory(), time.process_time()
store = Store.open(Path(sys.argv[1]), genesis.chain_id)
chain = Chain.recover(Runtime(genesis), store)
spent = time.process_time() - start
print(chain.height, spent, read_memory() - before)
"""


def _measure_restart(accounts: int, path: Path) -> Iterator[Row]:
    command = [sys.executable, "-c", RESTART, str(path), str(SENDERS)]
    height, spent_s, memory_bytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(height) == BLOCKS
    each_us, each_bytes = float(spent_s) / accounts * 1e6, float(memory_bytes) / accounts
    yield at_most(
        "ledger_growth.restart", round(each_us, 1), f"us an account ({float(spent_s):.1f} s at {accounts:,})",
        RESTART_BAR_US,
    )  # fmt: skip
    yield at_most(
        "ledger_growth.memory", round(each_bytes),
        f"bytes an account ({float(memory_bytes) / 2**20:.0f} MiB at {accounts:,})", MEMORY_BAR_BYTES,
    )  # fmt: skip


def _file_bytes(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size
