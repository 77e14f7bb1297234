"""What is conserved, recomputed from the tables: nothing here believes a remembered total but to hold it to account."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.modules import grid, money
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.market.tables import EPOCHS, ORDERS, Dropped, EpochRow, read_dropped
from ledger.state import Reader


@dataclass(frozen=True, slots=True)
class Supply:
    """All money, GRID and energy of the ledger, and whether each adds up."""

    aip_total_aaip: int
    aip_expected_aaip: int
    locked_aaip: int
    owed_aaip: int
    grid_supply_agrid: int
    grid_minted_agrid: int
    grid_burned_agrid: int
    grid_held_agrid: int
    import_wh: int
    export_wh: int
    grid_supplied_wh: int
    grid_absorbed_wh: int
    is_energy_conserved: bool
    is_money_conserved: bool
    is_grid_conserved: bool


def measure_supply(view: Reader) -> Supply:
    """Return the sums over all tables of *view*."""
    holdings = [row for _, row in view.scan(money.HOLDINGS)]
    total = sum(row.balance_aaip + row.locked_aaip for row in holdings)
    locked = sum(row.locked_aaip for row in holdings)
    owed = sum(row.amount_aaip for _, row in view.scan(money.OWED))
    expected = money.read_totals(view).supply_aaip
    minted = grid.supply(view)
    held = sum(row.amount_agrid for _, row in view.scan(grid.BALANCES))
    epochs: list[Dropped | EpochRow] = [read_dropped(view), *(row for _, row in view.scan(EPOCHS))]
    imported, exported = sum(row.import_wh for row in epochs), sum(row.export_wh for row in epochs)
    supplied, absorbed = sum(row.grid_supplied_wh for row in epochs), sum(row.grid_absorbed_wh for row in epochs)
    is_owed = sum(row.owes_aaip for row in holdings) == owed == sum(row.claims_aaip for row in holdings)
    is_locked = sum(row.locked_aaip for _, row in view.scan(ORDERS)) == locked
    supply_agrid = minted.minted_agrid - minted.burned_agrid
    return Supply(
        aip_total_aaip=total,
        aip_expected_aaip=expected,
        locked_aaip=locked,
        owed_aaip=owed,
        grid_supply_agrid=supply_agrid,
        grid_minted_agrid=minted.minted_agrid,
        grid_burned_agrid=minted.burned_agrid,
        grid_held_agrid=held,
        import_wh=imported,
        export_wh=exported,
        grid_supplied_wh=supplied,
        grid_absorbed_wh=absorbed,
        is_energy_conserved=exported + supplied == imported + absorbed
        and minted.minted_agrid == exported * AGRID_PER_WH,
        is_money_conserved=total == expected and is_owed and is_locked,
        is_grid_conserved=held == supply_agrid,
    )
