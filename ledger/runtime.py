"""The state machine: (state, block) -> execution, pure and deterministic. Every authority runs it before it votes.

A block runs in this order: begin hooks (authorities' accounting, then gate closures), transactions, end hooks
(settlements). A transaction that is not admissible makes the block invalid; one whose call is refused uses up its nonce
and gets a receipt that says so. No float, no clock, no randomness: the block's time is the only time there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import islice
from typing import Final

from ledger import block
from ledger.block import Block, Commit, Header
from ledger.codes import Code, Refusal
from ledger.consensus.commit import verify_commit
from ledger.errors import LedgerError, MalformedError
from ledger.execution import Execution
from ledger.genesis import Genesis
from ledger.memory import Memory
from ledger.merkle import Frontier
from ledger.modules import MODULES, accounts, authorities, governance, readings
from ledger.modules.kinds import MAX_READINGS_PER_REPORT
from ledger.modules.module import Context, Look
from ledger.preparation import Prepared, prepare
from ledger.session import BlockTime, Session, blank_header
from ledger.signatures import SignatureCache
from ledger.state import Head, LedgerState, Overlay, Reader, authorities_at
from ledger.transaction import MAX_TRANSACTION_BYTES, Transaction

MAX_BLOCK_SIGNATURES: Final = 2_000
"""Transactions and meter readings of a block together.

Checked and executed, each takes 160-180 us of one x86-64 core: a full block fits half of timeoutPropose.
"""
MAX_BLOCK_EVIDENCE: Final = 16
VERSIONS: Final = frozenset({block.VERSION})
"""The protocol versions whose rules this program knows: every one that the chain ever had, as it executes old blocks.

A release that changes a rule adds a number here and keeps both rules in the module: `if context.version >= 2`. Once all
have it, the authorities agree on the block in which the new one takes over (`governance.upgrade`).
"""
MAX_NONCE_AHEAD: Final = 256
"""How far a transaction's nonce may run ahead of its sender's while it waits in the mempool."""
MAX_REMEMBERED: Final = 20_000
MAX_REMEMBERED_BYTES: Final = 64 * 2**20
"""What was decoded is remembered from admission to execution: as much as waits in a mempool."""
_BLOCK_OVERHEAD_BYTES: Final = 16 * 1024
_ITEM_OVERHEAD_BYTES: Final = 5


class InvalidBlockError(LedgerError):
    """A block that no correct authority votes for; `code` says why.

    `execution` is what this node computed, where that is all that is wrong with the block.
    """

    def __init__(self, code: Code, text: str, execution: Execution | None = None) -> None:
        """Keep the *code* and the *execution* beside the *text*."""
        super().__init__(text)
        self.code = code
        self.execution = execution


class Runtime:
    """The rules of one chain.

    It holds no state but memories of what was decoded and of signatures that were checked; no result depends on them.
    """

    def __init__(self, genesis: Genesis, *, pool: Executor | None = None, versions: frozenset[int] = VERSIONS) -> None:
        """Apply the rules of *genesis* by the protocol *versions*; signatures are checked on *pool*'s threads."""
        self.genesis = genesis
        self.chain_id = genesis.chain_id
        self.signatures = SignatureCache()
        self._prepare = Memory(prepare, MAX_REMEMBERED, MAX_REMEMBERED_BYTES)
        self._pool = pool
        self._versions = versions

    def genesis_state(self) -> LedgerState:
        """Return the state of height 0, whose header is the parent of height 1."""
        start = BlockTime(0, self.genesis.time_ms, None, ())
        nothing = Head(_genesis_header(self.genesis), Frontier(), self.genesis.secret)
        overlay = Overlay(LedgerState(nothing))
        context = Context(
            overlay, self.genesis, self.signatures, nothing, start.height, start.time_ms, None, (),
            self.genesis.parameters, nothing.header.version,
        )  # fmt: skip
        for module in MODULES:
            if module.genesis is not None:
                module.genesis(context)
        writes = overlay.writes()
        root = LedgerState(nothing).change(writes).root
        head = Head(replace(nothing.header, state_root=root), nothing.frontier, nothing.secret)
        return LedgerState.restore(head, writes)

    def build(
        self,
        state: LedgerState,
        *,
        height: int,
        time_ms: int,
        proposer: int,
        transactions: Iterable[bytes],
        evidence: Iterable[bytes],
        last_commit: Commit | None,
        round_: int = 0,
    ) -> tuple[Block, Execution]:
        """Return a block on *state* and its execution; drops what is not admissible, or does not fit any more.

        *transactions* are tried in the order given (a sender's by nonce). Every *round_* that failed before halves the
        limits, so that a block too large for the network at hand gets small enough; one transaction always fits.
        Raises InvalidBlockError where height, time, proposer or last commit do not fit *state*.
        """
        proven = authorities.choose_evidence(state, self.chain_id, height, evidence, MAX_BLOCK_EVIDENCE)
        when = BlockTime(height, time_ms, last_commit, proven)
        header = blank_header(self.chain_id, state, when, proposer)
        self._check_position(state, header, last_commit)
        session = Session(state, self.genesis, self.signatures, when)
        session.begin()
        readable = (known for raw in transactions if (known := self._try_prepare(raw)) is not None)
        candidates = list(islice(readable, MAX_BLOCK_SIGNATURES))
        self._prefetch(state, candidates)
        budget = _Budget(sum(map(len, proven)), round_)
        for candidate in candidates:
            if self._refuse(session.overlay, candidate, height, 0) is None and budget.take(candidate):
                session.run(candidate)
        session.end()
        included = session.transactions()
        execution = session.finish(replace(header, transaction_root=block.transaction_root(included)))
        return Block(execution.header, included, proven, last_commit), execution

    def execute(self, state: LedgerState, proposed: Block) -> Execution:
        """Return the execution of *proposed* on *state*; raises InvalidBlockError where it is not valid there.

        *proposed* is as `block.decode` or `build` made it: the roots in its header are those of its parts.
        """
        header = proposed.header
        when = BlockTime(header.height, header.time_ms, proposed.last_commit, proposed.evidence)
        expected = blank_header(self.chain_id, state, when, header.first_proposer)
        expected = replace(expected, transaction_root=header.transaction_root)
        self._check_position(state, header, proposed.last_commit)
        self._check_evidence(state, proposed)
        prepared = self._prepare_all(proposed.transactions)
        self._prefetch(state, prepared)
        session = Session(state, self.genesis, self.signatures, when)
        session.begin()
        for item in prepared:
            refusal = self._refuse(session.overlay, item, header.height, 0)
            if refusal is not None:
                raise InvalidBlockError(refusal.code, f"transaction {item.transaction.id.hex()}: {refusal.text}")
            session.run(item)
        session.end()
        execution = session.finish(expected)
        _compare(execution, header)
        return execution

    def check_transaction(self, state: LedgerState, raw: bytes) -> Transaction | Refusal:
        """Return the decoded transaction if it may wait in the mempool of *state*, else why not.

        Nonces may run ahead by MAX_NONCE_AHEAD; call and arguments are checked, not what the call needs of the state.
        """
        return self.check_transactions(state, [raw])[0]

    def check_transactions(self, state: LedgerState, raws: Iterable[bytes]) -> list[Transaction | Refusal]:
        """Return for each of *raws* what `check_transaction` does; signatures, meters' too, are checked in batches."""
        height = state.header.height + 1
        found = [self._prepare_or_refuse(raw) for raw in raws]
        keys = [
            one if isinstance(one, Refusal) else self._find_key(state, one, height, MAX_NONCE_AHEAD) for one in found
        ]
        pairs = zip(found, keys, strict=True)
        self.signatures.check_all(
            [(one.transaction.raw, key) for one, key in pairs if isinstance(one, Prepared) and isinstance(key, bytes)],
            self._pool,
        )
        answers = [
            one if isinstance(one, Refusal) else self._refuse_waiting(one, key) or one
            for one, key in zip(found, keys, strict=True)
        ]
        self._check_readings(state, [one for one in answers if isinstance(one, Prepared)])
        return [one.transaction if isinstance(one, Prepared) else one for one in answers]

    def look(self, state: LedgerState) -> Look:
        """Return what queries, metrics and due times are read from."""
        parameters, header = governance.parameters_in_force(state, self.genesis), state.header
        version = governance.version_at(state, header.height + 1)
        return Look(state, self.genesis, parameters, version, header.height, header.time_ms)

    def next_due_ms(self, state: LedgerState) -> int | None:
        """Return the earliest time at which the next block has hook work to do (gate closure, deadline), or None."""
        look = self.look(state)
        running = [module for module in MODULES if not governance.is_paused(state, module.name)]
        times = [module.due(look) for module in running if module.due is not None]
        return min((time for time in times if time is not None), default=None)

    def refuse_version(self, state: LedgerState) -> Refusal | None:
        """Return why this program cannot make or judge the block after *state*, or None: it is of a newer protocol."""
        version = governance.version_at(state, state.header.height + 1)
        if version in self._versions:
            return None
        known = ", ".join(map(str, sorted(self._versions)))
        text = f"block {state.header.height + 1} is of protocol version {version}, this program knows {known}"
        return Refusal(Code.WRONG_VERSION, f"{text}; install the release that the authorities agreed on")

    def _check_position(self, state: LedgerState, header: Header, last_commit: Commit | None) -> None:
        parent = state.header
        unknown = self.refuse_version(state)
        if unknown is not None:
            raise InvalidBlockError(unknown.code, unknown.text)
        version = governance.version_at(state, header.height)
        _require(header.version == version, Code.WRONG_VERSION, f"block version {header.version} is not {version}")
        _require(header.chain_id == self.chain_id, Code.WRONG_CHAIN, "the block belongs to another chain")
        _require(
            header.height == parent.height + 1, Code.WRONG_HEIGHT, f"{header.height} does not follow {parent.height}"
        )
        _require(header.parent == parent.id, Code.WRONG_PARENT, f"block {header.height} has another parent")
        _require(
            header.time_ms > parent.time_ms, Code.WRONG_TIME, f"{header.time_ms} ms is not after {parent.time_ms} ms"
        )
        authority_set = state.authority_set
        _require(0 <= header.first_proposer < len(authority_set), Code.WRONG_PROPOSER, "the proposer is no authority")
        if header.height == 1:
            _require(last_commit is None, Code.WRONG_COMMIT, "block 1 has no commit certificate before it")
            return
        fits = (
            last_commit is not None
            and (last_commit.height, last_commit.block_id) == (parent.height, parent.id)
            and verify_commit(last_commit, authorities_at(state, parent.height), self.chain_id)
        )
        _require(fits, Code.WRONG_COMMIT, f"block {header.height} does not certify block {parent.height}")

    def _check_evidence(self, state: LedgerState, proposed: Block) -> None:
        _require(len(proposed.evidence) <= MAX_BLOCK_EVIDENCE, Code.BLOCK_TOO_LARGE, "the block has too much evidence")
        height = proposed.header.height
        proven = authorities.choose_evidence(state, self.chain_id, height, proposed.evidence, MAX_BLOCK_EVIDENCE)
        _require(proven == proposed.evidence, Code.WRONG_EVIDENCE, "the block's evidence does not hold")

    def _prepare_all(self, raws: Sequence[bytes]) -> list[Prepared]:
        """Decode a block's transactions; its limits are checked on the way."""
        prepared: list[Prepared] = []
        budget = _Budget(0)
        for raw in raws:
            try:
                item = self._prepare(raw)
            except MalformedError as error:
                raise InvalidBlockError(Code.UNDECODABLE, f"transaction {len(prepared)}: {error}") from error
            _require(budget.take(item), Code.BLOCK_TOO_LARGE, "the block exceeds the limits on bytes or signatures")
            prepared.append(item)
        return prepared

    def _try_prepare(self, raw: bytes) -> Prepared | None:
        found = self._prepare_or_refuse(raw)
        return None if isinstance(found, Refusal) else found

    def _prepare_or_refuse(self, raw: bytes) -> Prepared | Refusal:
        try:
            return self._prepare(raw)
        except MalformedError as error:
            return Refusal(Code.UNDECODABLE, str(error))

    def _refuse(self, view: Reader, item: Prepared, height: int, nonces_ahead: int) -> Refusal | None:
        """Return why a block of *height* may not hold *item*, or None."""
        return self._refuse_unsigned(item, self._find_key(view, item, height, nonces_ahead))

    def _refuse_unsigned(self, item: Prepared, key: bytes | Refusal) -> Refusal | None:
        """Return why there is no *key* that may sign *item*, or that it did not."""
        if isinstance(key, Refusal):
            return key
        if not self.signatures.is_signed_by(item.transaction.raw, key):
            return Refusal(Code.BAD_SIGNATURE, f"the key of account {item.transaction.sender.hex()} did not sign it")
        return None

    def _refuse_waiting(self, item: Prepared, key: bytes | Refusal) -> Refusal | None:
        """Return why *item*, which *key* must have signed, may not wait for a block."""
        refusal = self._refuse_unsigned(item, key)
        if refusal is not None:
            return refusal
        return item.definition if isinstance(item.definition, Refusal) else item.misfit

    def _find_key(self, view: Reader, prepared: Prepared, height: int, nonces_ahead: int) -> bytes | Refusal:
        """Return the key that must have signed a transaction, or why a block of *height* may not hold it."""
        item = prepared.transaction
        if item.chain_id != self.chain_id:
            return Refusal(Code.WRONG_CHAIN, f"it is signed for chain {item.chain_id.hex()}")
        if height > item.valid_until:
            return Refusal(Code.EXPIRED, f"it was valid until block {item.valid_until}, this is {height}")
        sender = accounts.find(view, item.sender)
        if sender is None:
            return Refusal(Code.UNKNOWN_SENDER, f"there is no account {item.sender.hex()}")
        if not sender.nonce <= item.nonce <= sender.nonce + nonces_ahead:
            return Refusal(Code.WRONG_NONCE, f"its nonce is {item.nonce}, the account's next is {sender.nonce}")
        return sender.public_key

    def _check_readings(self, state: LedgerState, items: Iterable[Prepared]) -> None:
        """Check in one batch all meters' signatures whose keys the state knows."""
        pairs = [pair for item in items for pair in readings.find_keys(state, item.readings)]
        self.signatures.check_all(pairs, self._pool)

    def _prefetch(self, state: LedgerState, items: Sequence[Prepared]) -> None:
        """Check in one batch all signatures whose keys the state knows before the block."""
        pairs: list[tuple[bytes, bytes]] = []
        for item in items:
            sender = accounts.find(state, item.transaction.sender)
            if sender is not None:
                pairs.append((item.transaction.raw, sender.public_key))
                pairs.extend(readings.find_keys(state, item.readings))
        self.signatures.check_all(pairs, self._pool)


class _Budget:
    """What is left of a block's limits."""

    def __init__(self, evidence_bytes: int, round_: int = 0) -> None:
        longest = MAX_TRANSACTION_BYTES + _ITEM_OVERHEAD_BYTES
        self._bytes = _halve(block.MAX_BLOCK_BYTES - _BLOCK_OVERHEAD_BYTES - evidence_bytes, round_, longest)
        self._signatures = _halve(MAX_BLOCK_SIGNATURES, round_, 1 + MAX_READINGS_PER_REPORT)
        self._transactions = _halve(block.MAX_BLOCK_TRANSACTIONS, round_, 1)

    def take(self, item: Prepared) -> bool:
        """Use up what *item* needs; tell whether it was there."""
        size, signatures = len(item.transaction.raw) + _ITEM_OVERHEAD_BYTES, item.signature_count
        if size > self._bytes or signatures > self._signatures or not self._transactions:
            return False
        self._bytes -= size
        self._signatures -= signatures
        self._transactions -= 1
        return True


def _halve(limit: int, times: int, least: int) -> int:
    """Return *limit* halved so many *times*, but no less than *least* of it."""
    return min(limit, max(limit >> times, least))


def _require(holds: bool, code: Code, text: str) -> None:
    if not holds:
        raise InvalidBlockError(code, text)


def _compare(execution: Execution, proposed: Header) -> None:
    computed = execution.header
    if computed == proposed:
        return
    names = [name for name in Header.__slots__ if getattr(computed, name) != getattr(proposed, name)]
    text = f"execution gives another {', '.join(names)}; compare the two nodes"
    raise InvalidBlockError(Code.WRONG_RESULT, text, execution)


def _genesis_header(genesis: Genesis) -> Header:
    set_hash = genesis.authorities.hash
    return Header(
        version=block.VERSION,
        chain_id=genesis.chain_id,
        height=0,
        time_ms=genesis.time_ms,
        parent=block.NO_HASH,
        first_proposer=0,
        transaction_root=block.transaction_root(()),
        evidence_root=block.transaction_root(()),
        last_commit_hash=block.NO_HASH,
        state_root=block.NO_HASH,
        log_size=0,
        log_root=Frontier().root(),
        set_hash=set_hash,
        next_set_hash=set_hash,
    )
