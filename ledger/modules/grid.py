"""GRID, the energy token: 1 Wh is 10^15 aGRID. Settlements alone mint and burn; retiring burns what one holds.

Its surface is that of PSP22 (name to decrease_allowance); all amounts are aGRID (10^-18 GRID).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.errors import LedgerError
from ledger.modules import accounts, allowances, money
from ledger.modules.allowances import Allowance
from ledger.modules.kinds import AccountId, Amount, AmountOrNone
from ledger.modules.module import Context, Look, Module
from ledger.state import Overlay, Reader, Table

AGRID_PER_WH: Final = 10**15


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's GRID."""

    amount_agrid: int


@dataclass(frozen=True, slots=True)
class Supply:
    """All GRID ever minted, and ever burned."""

    minted_agrid: int
    burned_agrid: int


BALANCES: Final = Table("grid.balances", Balance)
SUPPLY: Final = Table("grid.supply", Supply)
ALLOWANCES: Final = Table("grid.allowances", Allowance)
SUPPLY_KEY: Final = b"grid"
DECIMALS: Final = 18

module = Module("grid", tables=(BALANCES, SUPPLY, ALLOWANCES))


class GridError(LedgerError):
    """GRID would fall below zero: a fault of the program, at which a node must stop."""


@module.call()
def transfer(context: Context, to: AccountId, amount_agrid: Amount) -> Refusal | None:
    """Move *amount_agrid* from the sender to the account *to*. A sender in arrears may not."""
    return _transfer(context, context.sender, to, amount_agrid)


@module.call()
def transfer_from(context: Context, owner: AccountId, to: AccountId, amount_agrid: Amount) -> Refusal | None:
    """Move *amount_agrid* of *owner*'s to *to*, out of what the sender may move. Not of an owner in arrears."""
    refusal = allowances.reduce(context.state, ALLOWANCES, owner, context.sender, amount_agrid)
    return refusal or _transfer(context, owner, to, amount_agrid)


@module.call()
def approve(context: Context, spender: AccountId, amount_agrid: AmountOrNone) -> Refusal | None:
    """Let *spender* move up to *amount_agrid* of the sender's, whatever was allowed before; 0 takes it back."""
    return _allow(context, spender, amount_agrid)


@module.call()
def increase_allowance(context: Context, spender: AccountId, by_agrid: Amount) -> Refusal | None:
    """Let *spender* move *by_agrid* more of the sender's than before."""
    return _allow(context, spender, allowances.find(context.state, ALLOWANCES, context.sender, spender) + by_agrid)


@module.call()
def decrease_allowance(context: Context, spender: AccountId, by_agrid: Amount) -> Refusal | None:
    """Let *spender* move *by_agrid* less of the sender's than before; refused where it is less than that."""
    refusal = allowances.reduce(context.state, ALLOWANCES, context.sender, spender, by_agrid)
    return refusal or _allow(context, spender, allowances.find(context.state, ALLOWANCES, context.sender, spender))


@module.call()
def retire(context: Context, amount_agrid: Amount) -> Refusal | None:
    """Burn *amount_agrid* of the sender's GRID for good, in whole Wh: the energy is claimed as used."""
    if amount_agrid % AGRID_PER_WH:
        return Refusal(Code.AMOUNT_NOT_WHOLE_WH, f"{amount_agrid} aGRID is no multiple of {AGRID_PER_WH}")
    if balance(context.state, context.sender) < amount_agrid:
        return _refuse_balance(context.state, context.sender, amount_agrid)
    burn(context.state, context.sender, amount_agrid)
    context.emit("grid", "retired", account=context.sender, amount_agrid=amount_agrid)
    return None


@module.query()
def name(look: Look) -> str:  # noqa: ARG001 (every token has the same name on every chain)
    """Return the token's name."""
    return "campusgrid energy"


@module.query()
def symbol(look: Look) -> str:  # noqa: ARG001
    """Return the token's symbol."""
    return "GRID"


@module.query()
def decimals(look: Look) -> int:  # noqa: ARG001
    """Return how many decimals one token has: 10^18 base units are one GRID."""
    return DECIMALS


@module.query()
def total_supply(look: Look) -> Amount:
    """Return how much there is, in agrid."""
    return supply(look.state).minted_agrid - supply(look.state).burned_agrid


@module.query()
def balance_of(look: Look, account: AccountId) -> Amount:
    """Return how much *account* holds, in agrid."""
    return balance(look.state, account)


@module.query()
def allowance(look: Look, owner: AccountId, spender: AccountId) -> Amount:
    """Return how much of *owner*'s *spender* may move, in agrid."""
    return allowances.find(look.state, ALLOWANCES, owner, spender)


def balance(view: Reader, account: bytes) -> int:
    """Return the aGRID that *account* holds."""
    row = view.get(BALANCES, account)
    return row.amount_agrid if row else 0


def supply(view: Reader) -> Supply:
    """Return what was minted and burned so far."""
    return view.get(SUPPLY, SUPPLY_KEY) or Supply(0, 0)


def mint(state: Overlay, account: bytes, amount_agrid: int) -> None:
    """Make GRID for energy that a meter proved to have exported."""
    _change(state, account, amount_agrid)
    before = supply(state)
    state.put(SUPPLY, SUPPLY_KEY, replace(before, minted_agrid=before.minted_agrid + amount_agrid))


def burn(state: Overlay, account: bytes, amount_agrid: int) -> None:
    """Unmake GRID whose energy was consumed."""
    _change(state, account, -amount_agrid)
    before = supply(state)
    state.put(SUPPLY, SUPPLY_KEY, replace(before, burned_agrid=before.burned_agrid + amount_agrid))


def move(state: Overlay, sender: bytes, receiver: bytes, amount_agrid: int) -> None:
    """Move GRID that *sender* has."""
    _change(state, sender, -amount_agrid)
    _change(state, receiver, amount_agrid)


def _transfer(context: Context, owner: bytes, to: bytes, amount_agrid: int) -> Refusal | None:
    state = context.state
    if to == owner:
        return Refusal(Code.SAME_ACCOUNT, "sender and receiver are one account")
    if accounts.find(state, to) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {to.hex()}")
    refusal = money.refuse_arrears(state, owner)
    if refusal is not None:
        return refusal
    if balance(state, owner) < amount_agrid:
        return _refuse_balance(state, owner, amount_agrid)
    move(state, owner, to, amount_agrid)
    context.emit("grid", "transferred", sender=owner, to=to, amount_agrid=amount_agrid)
    return None


def _allow(context: Context, spender: bytes, amount_agrid: int) -> Refusal | None:
    refusal = allowances.set_to(context.state, ALLOWANCES, context.sender, spender, amount_agrid)
    if refusal is None:
        context.emit("grid", "approved", owner=context.sender, spender=spender, amount_agrid=amount_agrid)
    return refusal


def _refuse_balance(view: Reader, account: bytes, amount_agrid: int) -> Refusal:
    return Refusal(
        Code.BALANCE_TOO_LOW, f"account {account.hex()} has {balance(view, account)} of {amount_agrid} aGRID"
    )


def _change(state: Overlay, account: bytes, change_agrid: int) -> None:
    after = balance(state, account) + change_agrid
    if after < 0:
        raise GridError(f"account {account.hex()} would hold {after} aGRID; stop and compare the nodes")
    if after:
        state.put(BALANCES, account, Balance(after))
    else:
        state.delete(BALANCES, account)
