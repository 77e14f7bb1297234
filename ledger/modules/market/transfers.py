"""The transfers that settlement lines call for: money, GRID, and the epoch's energy, conserved to the last unit."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import replace

from ledger.modules import grid, money
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.market.lines import ConservationError, Line
from ledger.modules.market.tables import (
    AAIP_PER_PRICE_WH,
    DROPPED,
    DROPPED_KEY,
    EPOCHS,
    EpochRow,
    read_dropped,
    read_epoch,
)  # fmt: skip
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context
from ledger.state import Overlay


def book_lines(context: Context, epoch: int, book: EpochRow, lines: Sequence[Line], locked: dict[bytes, int]) -> None:
    """Move everything that *lines* say and log them. *locked* is what the epoch's orders still lock, by account."""
    state, grid_account = context.state, context.genesis.grid_account
    accounts = {line.record.account for line in lines} | set(locked) | {grid_account}
    before = {account: money.find(state, account).worth_aaip for account in accounts}
    held = {account: grid.balance(state, account) for account in accounts}
    _pay_market(state, grid_account, book, lines, locked)
    _pay_grid(state, grid_account, lines)
    _move_grid(state, grid_account, lines)
    _check_worth(context, before, lines)
    _check_grid(context, held, lines)
    _add_energy(context, epoch, lines)
    context.records.extend(line.record for line in lines)


def _pay_market(
    state: Overlay, grid_account: bytes, book: EpochRow, lines: Sequence[Line], locked: dict[bytes, int]
) -> None:
    """Pay sellers and the grid account out of the locks, and give back what is left of the deposits."""
    pool = sum(locked.values())
    for account in sorted(locked):
        money.take_locked(state, account, locked[account])
    price = book.price_uaip_per_kwh or 0
    back = dict(locked)
    for line in lines:
        record = line.record
        back[record.account] = (
            back.get(record.account, 0) - record.market_cost_aaip - record.penalty_aaip - line.replacement_aaip
        )
    shares: defaultdict[bytes, int] = defaultdict(int, back)
    for line in lines:
        shares[line.record.account] += line.record.market_income_aaip
        stands_in_aaip = line.shortfall_wh * price * AAIP_PER_PRICE_WH
        shares[grid_account] += stands_in_aaip + line.record.penalty_aaip + line.replacement_aaip
    if min(back.values(), default=0) < 0 or sum(shares.values()) != pool:
        raise ConservationError("the orders' locks do not pay for the trades; stop and compare the nodes")
    for account in sorted(shares):
        money.receive(state, account, shares[account])


def _pay_grid(state: Overlay, grid_account: bytes, lines: Sequence[Line]) -> None:
    """Settle retail and feed-in between each account and the grid account, net; debtors first, then creditors."""
    nets: defaultdict[bytes, int] = defaultdict(int)
    for line in lines:
        nets[line.record.account] += line.record.grid_income_aaip - line.retail_aaip
    for account in sorted(nets):
        if nets[account] < 0:
            money.pay(state, account, grid_account, -nets[account])
    for account in sorted(nets):
        if nets[account] > 0:
            money.pay(state, grid_account, account, nets[account])


def _move_grid(state: Overlay, grid_account: bytes, lines: Sequence[Line]) -> None:
    """Mint to the sellers, move what was delivered to the buyers, burn what they used, the rest to the grid account."""
    for line in lines:
        grid.mint(state, line.record.account, line.record.minted_agrid)
        grid.move(state, line.record.account, grid_account, line.unsold_wh * AGRID_PER_WH)
    buyers = deque((line.record.account, line.record.received_wh) for line in lines if line.record.received_wh)
    for line in lines:
        _deliver(state, line.record.account, line.record.delivered_wh, buyers)
    for line in lines:
        record = line.record
        grid.burn(state, record.account, record.burned_agrid)
        left_agrid = record.received_wh * AGRID_PER_WH - record.burned_agrid
        grid.move(state, record.account, grid_account, left_agrid)


def _deliver(state: Overlay, seller: bytes, delivered_wh: int, buyers: deque[tuple[bytes, int]]) -> None:
    """Hand the seller's GRID to the next buyers in line; *buyers* are (account, Wh still to come)."""
    while delivered_wh:
        buyer, wanted_wh = buyers.popleft()
        part_wh = min(delivered_wh, wanted_wh)
        grid.move(state, seller, buyer, part_wh * AGRID_PER_WH)
        delivered_wh -= part_wh
        if part_wh < wanted_wh:
            buyers.appendleft((buyer, wanted_wh - part_wh))


def _add_energy(context: Context, epoch: int, lines: Sequence[Line]) -> None:
    """Add the lines' energies to the epoch's, or to the sum of the epochs that are no longer in the state."""
    state, dropped = context.state, read_dropped(context.state)
    row = read_epoch(state, epoch, context.parameters)
    supplied_wh = sum(line.retail_wh + line.shortfall_wh for line in lines)
    absorbed_wh = sum(line.absorbed_wh for line in lines)
    after = replace(
        row,
        import_wh=row.import_wh + sum(line.record.import_wh for line in lines),
        export_wh=row.export_wh + sum(line.record.export_wh for line in lines),
        grid_supplied_wh=row.grid_supplied_wh + supplied_wh,
        grid_absorbed_wh=row.grid_absorbed_wh + absorbed_wh,
    )
    if epoch < dropped.until:
        state.put(DROPPED, DROPPED_KEY, dropped.plus(after))
    else:
        state.put(EPOCHS, epoch_key(epoch), after)


def _check_worth(context: Context, before: dict[bytes, int], lines: Sequence[Line]) -> None:
    """Each account is worth what it was, plus its lines; debts and claims count, so paying a debt changes nothing."""
    expected = dict(before)
    for line in lines:
        expected[line.record.account] += line.net_aaip
        expected[context.genesis.grid_account] -= line.net_aaip
    for account in sorted(expected):
        worth_aaip = money.find(context.state, account).worth_aaip
        if worth_aaip != expected[account]:
            raise ConservationError(
                f"account {account.hex()} is worth {worth_aaip} aAIP after a settlement, not {expected[account]}; "
                "stop this node and compare it with the others"
            )


def _check_grid(context: Context, before: dict[bytes, int], lines: Sequence[Line]) -> None:
    """All GRID of the epoch ends burned, kept by its owner, or with the grid account; nothing else moved."""
    expected = dict(before)
    for line in lines:
        kept_agrid = line.kept_wh * AGRID_PER_WH
        expected[line.record.account] += kept_agrid
        expected[context.genesis.grid_account] += line.record.minted_agrid - line.record.burned_agrid - kept_agrid
    if any(grid.balance(context.state, account) != amount for account, amount in expected.items()):
        raise ConservationError(
            "GRID minted is not GRID burned and kept; stop this node and compare it with the others"
        )
