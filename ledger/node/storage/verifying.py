"""Whether a node's database is what a node of this chain must hold; read as of one moment, while the node runs or not.

Everything is checked against what is signed or hashed: certificates by the authorities of their time, the state's rows
by the state root, the log's leaves by the log root. With all blocks at hand the chain can be executed anew, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger import block, merkle, tiles
from ledger.block import Header
from ledger.consensus.commit import verify_commit
from ledger.errors import CorruptedError, LedgerError, MalformedError
from ledger.genesis import Genesis
from ledger.merkle import Frontier
from ledger.node.storage.pruned_rows import Kept
from ledger.node.storage.store import Store, StoreError
from ledger.runtime import InvalidBlockError, Runtime
from ledger.state import LedgerState, authorities_at, decode_head

Progress = Callable[[str, int, int], None]
"""Told now and then what is checked, how much of it is done, of how much."""

MAX_FAULTS: Final = 20
LEAVES_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """What was found: the newest block, how many blocks and leaves were checked, and each fault in a sentence."""

    height: int
    blocks: int
    leaves: int
    executed: int
    faults: tuple[str, ...]


def verify(path: Path, rules: Genesis, progress: Progress, *, full: bool = False) -> Report:
    """Check the database *path* of the chain of *rules*, by executing it anew if *full*; raises StoreError."""
    if not path.exists():
        raise StoreError(f"{path}: there is no database; start the node, or restore a backup")
    try:
        with closing(Store.open_reader(path)) as store, store.at_one_moment():
            return _Check(store, rules, progress).run(full=full)
    except (sqlite3.DatabaseError, LedgerError) as error:
        return Report(0, 0, 0, 0, (f"the database cannot be read: {error}",))


class _Check:
    """One check of one database."""

    def __init__(self, store: Store, rules: Genesis, progress: Progress) -> None:
        self._store, self._rules, self._progress = store, rules, progress
        self._blocks = self._leaves = self._executed = 0

    def run(self, *, full: bool) -> Report:
        faults: list[str] = []
        height = self._store.height()
        for check in (self._check_file, self._check_chain, self._check_log, self._check_signed):
            faults += self._first(check())
        if full and not faults:
            faults += self._first(self._execute())
        return Report(height, self._blocks, self._leaves, self._executed, tuple(faults))

    def _first(self, faults: Iterator[str]) -> list[str]:
        return [fault for fault, _ in zip(faults, range(MAX_FAULTS), strict=False)]

    def _check_file(self) -> Iterator[str]:
        self._progress("file", 0, 1)
        verdict = self._store.check_file()
        if verdict != "ok":
            yield f"SQLite finds the file damaged: {verdict}"
        if self._store.meta("chain_id") != self._rules.chain_id:
            yield f"the database is not of chain {self._rules.chain_id.hex()}: compare the genesis files"

    def _check_chain(self) -> Iterator[str]:
        """Rows against the state root, then every block's place in the chain and its certificate."""
        stored, height = self._store.meta("head"), self._store.height()
        if stored is None:
            yield "there is no state in it: it was made, and its node never started"
            return
        try:
            state = LedgerState.restore(decode_head(stored), self._store.rows())
        except CorruptedError as error:
            yield str(error)
            return
        if state.header.height != height:
            yield f"the state is of block {state.header.height}, the newest block is {height}"
        before: Header | None = None
        for number in range(1, height + 1):
            self._progress("blocks", number, height)
            header = self._store.header(number)
            if header is not None:
                yield from self._check_block(number, header, before, state)
                self._blocks += 1
            elif number > self._store.pruned(Kept.BODIES):
                yield f"block {number} is missing"
            before = header
        if before is not None and before != state.header:
            yield f"the state's header is not that of block {height}"

    def _check_block(self, number: int, header: Header, before: Header | None, state: LedgerState) -> Iterator[str]:
        if header.height != number or header.id != self._store.block_id(number):
            yield f"block {number} is not what its id says"
        if before is not None and (header.parent != before.id or header.time_ms <= before.time_ms):
            yield f"block {number} does not follow block {number - 1}"
        authorities = authorities_at(state, number)
        if header.set_hash != authorities.hash:
            yield f"block {number} names another set of authorities than the state knows"
        commit = self._store.commit(number)
        is_right = commit is not None and (commit.height, commit.block_id) == (number, header.id)
        if not is_right or commit is None or not verify_commit(commit, authorities, self._rules.chain_id):
            yield f"the certificate of block {number} does not hold"

    def _check_log(self) -> Iterator[str]:
        stored = self._store.meta("head")
        header = decode_head(stored).header if stored is not None else None
        size = header.log_size if header is not None else 0
        frontier = Frontier(0, ())
        for first in range(0, size, LEAVES_AT_ONCE):
            self._progress("log", first, size)
            for leaf in self._store.some_leaf_hashes(first, min(LEAVES_AT_ONCE, size - first)):
                frontier = frontier.append(leaf)
        self._leaves = frontier.size
        if header is not None and (frontier.size != size or frontier.root() != header.log_root):
            yield f"the log's leaves do not give the log root of block {header.height}"
        for place, data, hash_ in self._store.leaf_data():
            if merkle.leaf_hash(data) != hash_:
                yield f"leaf {place} of the log is not what its hash says"
        yield from self._check_tree(size)

    def _check_tree(self, size: int) -> Iterator[str]:
        """Each hash that stands for a whole tile is that of the tile."""
        level, count = 1, size // tiles.WIDTH
        while count:
            for place in range(count):
                below = self._store.tree_hashes(level - 1, place * tiles.WIDTH, tiles.WIDTH)
                if self._store.tree_hashes(level, place, 1) != [tiles.fold(below)]:
                    yield f"hash {place} at level {level} of the log's tree is not that of its tile"
            level, count = level + 1, count // tiles.WIDTH

    def _check_signed(self) -> Iterator[str]:
        """Whatever this node signed is of the height in progress or below."""
        self._progress("signatures", 0, 1)
        newest = self._store.newest_signed()
        if newest > self._store.height() + 1:
            yield f"something was signed at height {newest}, but the height in progress is {self._store.height() + 1}"

    def _execute(self) -> Iterator[str]:
        """Execute all blocks from the genesis on: each checks its own roots."""
        runtime, height = Runtime(self._rules), self._store.height()
        state = runtime.genesis_state()
        for number in range(1, height + 1):
            self._progress("execution", number, height)
            found = self._store.decided(number)
            if found is None:
                yield f"block {number} was pruned: only a node that keeps all blocks can execute the chain anew"
                return
            try:
                state.apply(runtime.execute(state, block.decode(found[0])))
            except (InvalidBlockError, MalformedError) as error:
                yield f"block {number} does not execute: {error}"
                return
            self._executed += 1
