"""GRID, the energy token: 1 Wh is 10^15 aGRID. Settlements alone mint and burn; retiring burns what one holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.errors import LedgerError
from ledger.modules import accounts
from ledger.modules.module import AccountId, Amount, Context, Module
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
SUPPLY_KEY: Final = b"grid"

module = Module("grid", tables=(BALANCES, SUPPLY))


class GridError(LedgerError):
    """GRID would fall below zero: a fault of the program, at which a node must stop."""


@module.call()
def transfer(context: Context, to: AccountId, amount_agrid: Amount) -> Refusal | None:
    """Move *amount_agrid* of GRID from the sender to the account *to*."""
    state, sender = context.state, context.sender
    if to == sender:
        return Refusal(Code.SAME_ACCOUNT, "sender and receiver are one account")
    if accounts.find(state, to) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {to.hex()}")
    if balance(state, sender) < amount_agrid:
        return _refuse_balance(state, sender, amount_agrid)
    move(state, sender, to, amount_agrid)
    context.emit("grid", "transferred", sender=sender, to=to, amount_agrid=amount_agrid)
    return None


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
