"""One block in execution: its hooks and transactions run over an overlay, and what comes of them is gathered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from ledger import block, cbor, merkle, records
from ledger.block import Commit, Header
from ledger.codes import Code, Refusal
from ledger.execution import Execution, LoggedRecord, Receipt
from ledger.genesis import Genesis, Role
from ledger.modules import MODULES, accounts, fees, governance
from ledger.modules.module import CallDefinition, Context, Event, Hook
from ledger.preparation import Prepared
from ledger.records import ReceiptRecord, Record
from ledger.signatures import SignatureCache
from ledger.state import Head, LedgerState, Overlay, authorities_at

_AGENT: Final = int(Role.AGENT)


@dataclass(frozen=True, slots=True)
class BlockTime:
    """Which block is executed: its height, its time, and what it says about the one before."""

    height: int
    time_ms: int
    last_commit: Commit | None
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one transaction, before it has a place in the log."""

    item: Prepared
    code: Code
    text: str
    events: tuple[Event, ...]


class Session:
    """Runs a block's parts in order: `begin`, `run` for each transaction, `end`, `finish`."""

    def __init__(self, state: LedgerState, genesis: Genesis, signatures: SignatureCache, when: BlockTime) -> None:
        """Prepare to run the block of *when* on *state*, which stays as it is."""
        self.state = state
        self.overlay = Overlay(state)
        self._when = when
        self._hooks = Context(
            self.overlay, genesis, signatures, state.head, when.height, when.time_ms, when.last_commit, when.evidence,
            governance.parameters_in_force(state, genesis), governance.version_at(state, when.height),
        )  # fmt: skip
        self._outcomes: list[Outcome] = []
        self._records: list[Record] = []

    def begin(self) -> None:
        """Run the hooks that come before the transactions, in the modules' order."""
        self._run_hooks([(module.name, module.begin) for module in MODULES])

    def run(self, item: Prepared) -> Outcome:
        """Use up nonce and fee of the admitted *item* and make its call; a refused call leaves nothing else."""
        transaction = item.transaction
        roles = accounts.use_nonce(self.overlay, transaction.sender)
        context = self._hooks.for_call(transaction.sender, roles, transaction.id)
        definition = _admit_call(context, item)
        refusal = definition if isinstance(definition, Refusal) else fees.charge(context, definition)
        paid, mark = tuple(context.events), self.overlay.mark()
        if not isinstance(definition, Refusal) and refusal is None:
            refusal = definition.function(context, *transaction.call.arguments)
        if refusal is None:
            outcome = Outcome(item, Code.DONE, "", tuple(context.events))
            self._records.extend(context.records)
            self._hooks.hook_work = context.hook_work
        else:
            self.overlay.roll_back(mark)
            outcome = Outcome(item, refusal.code, refusal.text, paid)
        self._outcomes.append(outcome)
        return outcome

    def end(self) -> None:
        """Run the hooks that come after the transactions."""
        self._run_hooks([(module.name, module.end) for module in MODULES])

    def finish(self, header: Header) -> Execution:
        """Return the execution; *header* is the block's with state root and log still to be filled in."""
        writes = self.overlay.writes()
        change = self.state.change(writes)
        header = replace(header, state_root=change.root)
        secret = records.next_secret(self.state.secret, (outcome.item.transaction.id for outcome in self._outcomes))
        receipts, logged, leaves = self._log(secret)
        leaves = (*leaves, records.header_leaf(header.leaf_fields()))
        leaf_hashes = tuple(map(merkle.leaf_hash, leaves))
        frontier = self.state.frontier.extend(leaf_hashes)
        header = replace(header, log_size=frontier.size, log_root=frontier.root())
        head = Head(header, frontier, secret)
        readings = tuple(one for done in self._outcomes if done.code is Code.DONE for one in done.item.readings)
        return Execution(
            head, receipts, logged, leaves, leaf_hashes, readings, tuple(self._hooks.events), writes, change
        )

    def transactions(self) -> tuple[bytes, ...]:
        """Return the transactions that ran, in order."""
        return tuple(outcome.item.transaction.raw for outcome in self._outcomes)

    def _run_hooks(self, hooks: list[tuple[str, Hook | None]]) -> None:
        """Run the hooks of those modules that are not paused, in the modules' order, and gather their records."""
        for name, hook in hooks:
            if hook is not None and not governance.is_paused(self.overlay, name):
                hook(self._hooks)
        self._records.extend(self._hooks.records)
        self._hooks.records.clear()

    def _log(self, secret: bytes) -> tuple[tuple[Receipt, ...], tuple[LoggedRecord, ...], tuple[bytes, ...]]:
        """Give every receipt and record its salt, its leaf and its place in the log."""
        first, count = self.state.frontier.size, len(self._outcomes)
        receipts = tuple(
            _receipt(outcome, self._when.height, index, records.salt(secret, index), first + index)
            for index, outcome in enumerate(self._outcomes)
        )
        logged = tuple(
            LoggedRecord(record, records.encode(record), records.salt(secret, index), first + index)
            for index, record in enumerate(self._records, count)
        )
        entries: tuple[Receipt | LoggedRecord, ...] = (*receipts, *logged)
        leaves = [records.leaf_of(records.record_kind(one.record), one.data, one.salt) for one in entries]
        return receipts, logged, tuple(leaves)


def blank_header(chain_id: bytes, state: LedgerState, when: BlockTime, proposer: int) -> Header:
    """Return the header of a block on *state* before anything is executed: roots and log are those of nothing."""
    return Header(
        version=governance.version_at(state, when.height),
        chain_id=chain_id,
        height=when.height,
        time_ms=when.time_ms,
        parent=state.header.id,
        first_proposer=proposer,
        transaction_root=merkle.EMPTY_ROOT,
        evidence_root=merkle.root(when.evidence),
        last_commit_hash=block.commit_hash(when.last_commit),
        state_root=block.NO_HASH,
        log_size=0,
        log_root=merkle.EMPTY_ROOT,
        set_hash=authorities_at(state, when.height).hash,
        next_set_hash=authorities_at(state, when.height + 1).hash,
    )


def _admit_call(context: Context, item: Prepared) -> CallDefinition | Refusal:
    """Return what the call of *item* is to run, or why its sender may not have it run."""
    definition = item.definition
    if isinstance(definition, Refusal):
        return definition
    if governance.is_paused(context.state, definition.module):
        return Refusal(Code.MODULE_PAUSED, f"module {definition.module} is paused")
    if item.misfit is not None:
        return item.misfit
    name = f"{definition.module}.{definition.name}"
    roles, permitted = int(context.roles), int(definition.roles)
    if roles & _AGENT and not permitted & _AGENT:
        return Refusal(Code.NOT_PERMITTED, f"{name} is not for agents")
    if permitted and not roles & permitted:
        allowed = ", ".join(str(role.name).lower() for role in Role if role in definition.roles)
        return Refusal(Code.NOT_PERMITTED, f"{name} is for accounts with the role {allowed}")
    return definition


def _receipt(outcome: Outcome, height: int, index: int, salt: bytes, log_index: int) -> Receipt:
    transaction = outcome.item.transaction
    events = cbor.encode([event.fields() for event in outcome.events])
    record = ReceiptRecord(transaction.id, height, index, int(outcome.code), hashlib.sha256(events).digest())
    data = records.encode(record)
    return Receipt(record, transaction.sender, outcome.text, outcome.events, salt, log_index, data, events)
