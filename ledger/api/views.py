"""What the API shows of the ledger's tables. Runs in the chain's thread, on the state after one whole block."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any, Final

from ledger import block, cbor, records
from ledger.api import resources
from ledger.api.access import Viewer
from ledger.codes import Code
from ledger.genesis import Parameters, Role
from ledger.modules import MODULES, accounts, anchors, grid, meters, money
from ledger.modules.market import tables as market
from ledger.modules.market.supply import measure_supply
from ledger.modules.meters import epoch_key
from ledger.modules.module import Look, QueryDefinition
from ledger.node.storage.store import Leaf, TransactionResult
from ledger.rehearsal import Rehearsal
from ledger.state import LedgerState, Reader

MAX_LISTED_EPOCHS: Final = 1_000
MAX_LISTED_ORDERS: Final = 10_000
_ACCOUNT_AT: Final = slice(8, 16)
_EPOCH_AT: Final = slice(0, 8)
_AMOUNT_SUFFIXES: Final = ("_aaip", "_agrid")


def show_account(state: LedgerState, account: bytes, next_nonce: int | None) -> resources.Account | None:
    """Return the account, or None; *next_nonce* is the mempool's, where it holds something of this account."""
    row = accounts.find(state, account)
    if row is None:
        return None
    holding = money.find(state, account)
    return resources.Account(
        id=account,
        nonce=row.nonce,
        next_nonce=max(row.nonce, next_nonce or 0),
        height=state.header.height,
        balance_aaip=holding.balance_aaip,
        locked_aaip=holding.locked_aaip,
        owes_aaip=holding.owes_aaip,
        claims_aaip=holding.claims_aaip,
        balance_agrid=grid.balance(state, account),
        roles=tuple(str(role.name).lower() for role in Role if role & row.roles),
    )


def show_meter(state: LedgerState, meter: bytes, viewer: Viewer) -> resources.Meter | None:
    """Return the meter, or None; where it stands is for its owner, and for those who see all."""
    row = meters.find(state, meter)
    if row is None:
        return None
    mark = state.get(meters.MARKS, meter)
    return resources.Meter(
        meter_id=meter,
        owner=row.owner,
        profile=row.profile,
        rated_power_w=row.rated_power_w,
        can_export=row.can_export,
        status=meters.MeterStatus(row.status).name.lower(),
        public_key=row.public_key,
        site=row.site,
        baseline=_show_baseline(mark, is_shown=viewer.may_see(row.owner)) if mark else None,
    )


def show_meters(state: LedgerState, after: bytes | None, limit: int, viewer: Viewer) -> resources.MeterPage:
    """Return the meters behind *after*, ascending by id, at most *limit*."""
    ids = state.keys(meters.METERS.name)
    first = 0 if after is None else bisect_right(ids, after)
    shown = (show_meter(state, key, viewer) for key in ids[first : first + limit])
    return resources.MeterPage(tuple(meter for meter in shown if meter is not None), first + limit < len(ids))


def show_anchors(state: LedgerState, gateway: bytes) -> resources.AnchorHead:
    """Return where the chain of anchors of account *gateway* stands."""
    head = anchors.newest(state, gateway)
    return resources.AnchorHead(gateway, head.number, head.time, head.hash)


def show_orders(state: LedgerState, epoch: int | None, account: bytes | None) -> tuple[resources.Order, ...]:
    """Return the orders of an epoch, of an account, or both, by epoch, account and sequence; at most a full book."""
    prefix = b"" if epoch is None else epoch_key(epoch) + (account or b"")
    found = (
        resources.Order(
            id=row.id,
            account=key[_ACCOUNT_AT],
            meter=row.meter,
            epoch=int.from_bytes(key[_EPOCH_AT], "big"),
            side="buy" if row.side == "buy" else "sell",
            price_uaip_per_kwh=row.price_uaip_per_kwh,
            quantity_wh=row.quantity_wh,
            filled_wh=row.fill_wh or 0,
            sequence=row.sequence,
        )
        for key, row in state.scan(market.ORDERS, prefix)
        if account in (None, key[_ACCOUNT_AT])
    )
    return tuple(islice(found, MAX_LISTED_ORDERS))


def show_epoch(look: Look, epoch: int, lines: Sequence[resources.SettlementLine], viewer: Viewer) -> resources.Epoch:
    """Return an epoch with those of its settlement *lines* that *viewer* may see."""
    shown = tuple(line for line in lines if viewer.may_see(line.account))
    row = market.read_epoch(look.state, epoch, look.parameters)
    return resources.Epoch(
        epoch=epoch,
        phase=_phase(look.state, epoch),
        price_uaip_per_kwh=row.price_uaip_per_kwh,
        price_interval=row.price_interval,
        matched_wh=row.matched_wh,
        orders=row.orders,
        import_wh=row.import_wh,
        export_wh=row.export_wh,
        lines=shown,
        hidden_lines=len(lines) - len(shown),
    )


def list_epochs(state: LedgerState, first: int, last: int) -> list[int]:
    """Return the epochs from *first* to *last* that have a row, at most MAX_LISTED_EPOCHS."""
    found = (int.from_bytes(key, "big") for key in state.keys(market.EPOCHS.name))
    return [epoch for epoch in found if first <= epoch <= last][:MAX_LISTED_EPOCHS]


def show_supply(state: LedgerState) -> resources.Supply:
    """Return the totals, added up from the tables."""
    found = measure_supply(state)
    values = {field.name: getattr(found, field.name) for field in fields(found) if not field.name.startswith("is_")}
    conserved = resources.Conservation(found.is_energy_conserved, found.is_money_conserved, found.is_grid_conserved)
    return resources.Supply(height=state.header.height, conserved=conserved, **values)


def show_line(leaf: Leaf) -> resources.SettlementLine:
    """Return the settlement line that a stored leaf opens to."""
    assert leaf.record is not None
    line = records.decode_settlement_line(leaf.record)
    return resources.SettlementLine(**{field.name: getattr(line, field.name) for field in fields(line)})


def show_block(body: bytes) -> resources.BlockSummary:
    """Return the summary of an encoded block."""
    found = block.decode(body)
    header = found.header
    return resources.BlockSummary(
        height=header.height,
        block_id=header.id,
        time_ms=header.time_ms,
        state_root=header.state_root,
        log_root=header.log_root,
        log_size=header.log_size,
        transactions=tuple(hashlib.sha256(raw).digest() for raw in found.transactions),
    )


def show_head(body: bytes) -> resources.Head:
    """Return what a follower is told of an encoded block."""
    found = block.decode(body)
    header = found.header
    return resources.Head(
        header.height, header.id, header.time_ms, header.state_root, header.log_size, len(found.transactions)
    )


def show_receipt(result: TransactionResult, viewer: Viewer) -> resources.Receipt:
    """Return what became of a transaction in a block, as *viewer* may see it."""
    code = Code(result.code)
    return resources.Receipt(
        id=result.id,
        status="final",
        height=result.height,
        index=result.place,
        code=result.code,
        code_name=code.name.lower(),
        text=result.text,
        events=tuple(_show_event(module, name, pairs, viewer) for module, name, pairs in cbor.decode(result.events)),
    )


def show_rehearsal(rehearsal: Rehearsal) -> resources.DryRun:
    """Return what a transaction would do."""
    events = (resources.Event(one.module, one.name, show_values(dict(one.values))) for one in rehearsal.events)
    code = rehearsal.code
    return resources.DryRun(
        rehearsal.height, int(code), code.name.lower(), rehearsal.text, rehearsal.fee_aaip, tuple(events)
    )


def show_parameters(parameters: Parameters) -> dict[str, Any]:
    """Return the parameters in force by name."""
    return show_values({field.name: getattr(parameters, field.name) for field in fields(parameters)})


def show_answer(definition: QueryDefinition, answer: Any) -> Any:
    """Return what a query answered as JSON has it: amounts as digits, byte strings as hex."""
    return str(answer) if definition.is_amount else _show(answer)


def show_metrics(look: Look) -> str:
    """Return the modules' metrics in Prometheus' text form."""
    metrics = [metric for module in MODULES for metric in module.metrics.values()]
    return "".join(
        f"# HELP {one.name} {one.documentation}\n# TYPE {one.name} gauge\n{one.name} {one.measure(look)}\n"
        for one in metrics
    )


def _show_event(module: str, name: str, pairs: list[list[Any]], viewer: Viewer) -> resources.Event:
    return resources.Event(module, name, show_values(viewer.shown(dict(pairs))))


def show_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return *values* as JSON has them: amounts as digits, byte strings as hex."""
    return {
        name: str(value) if name.endswith(_AMOUNT_SUFFIXES) and type(value) is int else _show(value)
        for name, value in values.items()
    }


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_show(item) for item in value]
    if isinstance(value, Mapping):
        return show_values(value)
    if type(value) is int and abs(value) > resources.MAX_SAFE_INTEGER:
        return str(value)
    return value


def _show_baseline(mark: meters.Mark, *, is_shown: bool) -> resources.Baseline:
    if not is_shown:
        return resources.Baseline(mark.epoch, None, None, mark.reading_hash)
    return resources.Baseline(mark.epoch, mark.import_wh, mark.export_wh, mark.reading_hash)


def _phase(state: Reader, epoch: int) -> resources.EpochPhase:
    clock = market.read_clock(state)
    if epoch >= clock.next_clear or state.get(market.UNCLEARED, epoch_key(epoch)) is not None:
        return "open"
    if epoch >= clock.next_settle or state.get(market.UNSETTLED, epoch_key(epoch)) is not None:
        return "cleared"
    return "settled"
