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

from ledger import block, transaction
from ledger.block import Block, Commit, Header
from ledger.codes import Code, Refusal
from ledger.consensus.commit import verify_commit
from ledger.errors import LedgerError, MalformedError
from ledger.execution import Execution
from ledger.genesis import Genesis
from ledger.merkle import Frontier
from ledger.modules import MODULES, accounts, authorities, find_call, governance, meters
from ledger.modules.kinds import MAX_READINGS_PER_REPORT
from ledger.modules.module import CallDefinition, Context, Look
from ledger.session import BlockTime, Session, blank_header
from ledger.signatures import SignatureCache
from ledger.state import Head, LedgerState, Overlay, Reader, authorities_at
from ledger.transaction import Transaction

MAX_BLOCK_SIGNATURES: Final = 2_000
"""Transactions and meter readings of a block together.

Checked and executed, each takes 160-180 us of one x86-64 core: a full block fits half of timeoutPropose.
"""
MAX_BLOCK_EVIDENCE: Final = 16
VERSIONS: Final = frozenset({block.VERSION})
"""The protocol versions whose rules this program knows."""
MAX_NONCE_AHEAD: Final = 256
"""How far a transaction's nonce may run ahead of its sender's while it waits in the mempool."""
_BLOCK_OVERHEAD_BYTES: Final = 16 * 1024
_ITEM_OVERHEAD_BYTES: Final = 5


class InvalidBlockError(LedgerError):
    """A block that no correct authority votes for; `code` says why."""

    def __init__(self, code: Code, text: str) -> None:
        """Keep the *code* beside the *text*."""
        super().__init__(text)
        self.code = code


class Runtime:
    """The rules of one chain. It holds no state but a memory of checked signatures; the result never depends on it."""

    def __init__(self, genesis: Genesis, *, pool: Executor | None = None, versions: frozenset[int] = VERSIONS) -> None:
        """Apply the rules of *genesis* by the protocol *versions*; signatures are checked on *pool*'s threads."""
        self.genesis = genesis
        self.chain_id = genesis.chain_id
        self.signatures = SignatureCache()
        self._pool = pool
        self._versions = versions

    def genesis_state(self) -> LedgerState:
        """Return the state of height 0, whose header is the parent of height 1."""
        start = BlockTime(0, self.genesis.time_ms, None, ())
        nothing = Head(_genesis_header(self.genesis), Frontier(), self.genesis.secret)
        overlay = Overlay(LedgerState(nothing))
        context = Context(
            overlay, self.genesis, self.signatures, nothing, start.height, start.time_ms, None, (),
            self.genesis.parameters,
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
        readable = (decoded for raw in transactions if (decoded := self._decode(raw)) is not None)
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
        """Return the execution of *proposed* on *state*; raises InvalidBlockError where it is not valid there."""
        header = proposed.header
        when = BlockTime(header.height, header.time_ms, proposed.last_commit, proposed.evidence)
        expected = blank_header(self.chain_id, state, when, header.first_proposer)
        expected = replace(expected, transaction_root=block.transaction_root(proposed.transactions))
        self._check_position(state, header, proposed.last_commit)
        self._check_evidence(state, proposed)
        decoded = self._decode_all(proposed.transactions)
        self._prefetch(state, decoded)
        session = Session(state, self.genesis, self.signatures, when)
        session.begin()
        for item in decoded:
            refusal = self._refuse(session.overlay, item, header.height, 0)
            if refusal is not None:
                raise InvalidBlockError(refusal.code, f"transaction {item.id.hex()}: {refusal.text}")
            session.run(item)
        session.end()
        execution = session.finish(expected)
        _compare(execution.header, header)
        return execution

    def check_transaction(self, state: LedgerState, raw: bytes) -> Transaction | Refusal:
        """Return the decoded transaction if it may wait in the mempool of *state*, else why not.

        Nonces may run ahead by MAX_NONCE_AHEAD; call and arguments are checked, not what the call needs of the state.
        """
        try:
            decoded = transaction.decode(raw)
        except MalformedError as error:
            return Refusal(Code.UNDECODABLE, str(error))
        refusal = self._refuse(state, decoded, state.header.height + 1, MAX_NONCE_AHEAD)
        if refusal is not None:
            return refusal
        definition = find_call(decoded.call.module, decoded.call.function)
        refusal = definition if isinstance(definition, Refusal) else definition.check(decoded.call.arguments)
        return decoded if refusal is None else refusal

    def look(self, state: LedgerState) -> Look:
        """Return what queries, metrics and due times are read from."""
        parameters = governance.parameters_in_force(state, self.genesis)
        return Look(state, self.genesis, parameters, state.header.height, state.header.time_ms)

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

    def _decode_all(self, raws: Sequence[bytes]) -> list[Transaction]:
        """Decode a block's transactions; its limits are checked on the way."""
        decoded: list[Transaction] = []
        budget = _Budget(0)
        for raw in raws:
            try:
                item = transaction.decode(raw)
            except MalformedError as error:
                raise InvalidBlockError(Code.UNDECODABLE, f"transaction {len(decoded)}: {error}") from error
            _require(budget.take(item), Code.BLOCK_TOO_LARGE, "the block exceeds the limits on bytes or signatures")
            decoded.append(item)
        return decoded

    def _decode(self, raw: bytes) -> Transaction | None:
        try:
            return transaction.decode(raw)
        except MalformedError:
            return None

    def _refuse(self, view: Reader, item: Transaction, height: int, nonces_ahead: int) -> Refusal | None:
        """Return why a block of *height* may not hold *item*, or None."""
        if item.chain_id != self.chain_id:
            return Refusal(Code.WRONG_CHAIN, f"it is signed for chain {item.chain_id.hex()}")
        if height > item.valid_until:
            return Refusal(Code.EXPIRED, f"it was valid until block {item.valid_until}, this is {height}")
        sender = accounts.find(view, item.sender)
        if sender is None:
            return Refusal(Code.UNKNOWN_SENDER, f"there is no account {item.sender.hex()}")
        if not sender.nonce <= item.nonce <= sender.nonce + nonces_ahead:
            return Refusal(Code.WRONG_NONCE, f"its nonce is {item.nonce}, the account's next is {sender.nonce}")
        if not self.signatures.is_signed_by(item.raw, sender.public_key):
            return Refusal(Code.BAD_SIGNATURE, f"the key of account {item.sender.hex()} did not sign it")
        return None

    def _prefetch(self, state: LedgerState, items: Sequence[Transaction]) -> None:
        """Check in one batch all signatures whose keys the state knows before the block."""
        pairs: list[tuple[bytes, bytes]] = []
        for item in items:
            sender = accounts.find(state, item.sender)
            if sender is not None:
                pairs.append((item.raw, sender.public_key))
                pairs.extend(meters.find_keys(state, _signed_arguments(item)))
        self.signatures.check_all(pairs, self._pool)


class _Budget:
    """What is left of a block's limits."""

    def __init__(self, evidence_bytes: int, round_: int = 0) -> None:
        longest = transaction.MAX_TRANSACTION_BYTES + _ITEM_OVERHEAD_BYTES
        self._bytes = _halve(block.MAX_BLOCK_BYTES - _BLOCK_OVERHEAD_BYTES - evidence_bytes, round_, longest)
        self._signatures = _halve(MAX_BLOCK_SIGNATURES, round_, 1 + MAX_READINGS_PER_REPORT)
        self._transactions = _halve(block.MAX_BLOCK_TRANSACTIONS, round_, 1)

    def take(self, item: Transaction) -> bool:
        """Use up what *item* needs; tell whether it was there."""
        size, signatures = len(item.raw) + _ITEM_OVERHEAD_BYTES, 1 + _count_signatures(item)
        if size > self._bytes or signatures > self._signatures or not self._transactions:
            return False
        self._bytes -= size
        self._signatures -= signatures
        self._transactions -= 1
        return True


def _halve(limit: int, times: int, least: int) -> int:
    """Return *limit* halved so many *times*, but no less than *least* of it."""
    return min(limit, max(limit >> times, least))


def _signed_arguments(item: Transaction) -> list[bytes]:
    definition = _find_fitting(item)
    return [] if definition is None else definition.signatures(item.call.arguments)


def _count_signatures(item: Transaction) -> int:
    definition = _find_fitting(item)
    return 0 if definition is None else definition.count_signatures(item.call.arguments)


def _find_fitting(item: Transaction) -> CallDefinition | None:
    """Return the definition of the call if its arguments fit: of any other one nothing is checked."""
    definition = find_call(item.call.module, item.call.function)
    if isinstance(definition, Refusal) or definition.check(item.call.arguments) is not None:
        return None
    return definition


def _require(holds: bool, code: Code, text: str) -> None:
    if not holds:
        raise InvalidBlockError(code, text)


def _compare(computed: Header, proposed: Header) -> None:
    if computed == proposed:
        return
    names = [name for name in Header.__slots__ if getattr(computed, name) != getattr(proposed, name)]
    raise InvalidBlockError(Code.WRONG_RESULT, f"execution gives another {', '.join(names)}; compare the two nodes")


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
