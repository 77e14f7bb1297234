"""AIP, the market's money: balances, locks for orders, and what is owed where a debtor lacks money.

No balance is ever negative. `pay` always succeeds: what the payer lacks becomes an `owed` row, paid first in, first out
from whatever reaches the payer. Two accounts never owe each other: a new debt is set off against an opposite one first,
so that money cannot run in circles. All amounts are aAIP (10^-18 AIP).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.errors import LedgerError
from ledger.modules import accounts
from ledger.modules.module import AccountId, Amount, Context, Module
from ledger.state import Overlay, Reader, Table

_ACCOUNT_BYTES: Final = 8
_SEQUENCE_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Holding:
    """An account's money: free, locked in orders, what it owes others and what others owe it.

    `last_debt` is the sequence number of its newest row of `owed`, which may be paid by now.
    """

    balance_aaip: int = 0
    locked_aaip: int = 0
    owes_aaip: int = 0
    claims_aaip: int = 0
    last_debt: int = 0

    @property
    def worth_aaip(self) -> int:
        """Money and claims less debts: what a payment changes and the paying of a debt does not."""
        return self.balance_aaip + self.locked_aaip + self.claims_aaip - self.owes_aaip


@dataclass(frozen=True, slots=True)
class Debt:
    """A row of `owed` under debtor ‖ sequence: whom the debtor owes, and how much is left of it."""

    creditor: bytes
    amount_aaip: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A mark under creditor ‖ debtor ‖ sequence that there is such a debt, so that setting off need not search."""


@dataclass(frozen=True, slots=True)
class Totals:
    """All money ever issued, and the sequence number of the next debt."""

    issued_aaip: int
    next_debt: int


HOLDINGS: Final = Table("money.holdings", Holding)
OWED: Final = Table("money.owed", Debt)
CLAIMS: Final = Table("money.claims", Claim)
TOTALS: Final = Table("money.totals", Totals)
TOTALS_KEY: Final = b"aip"

module = Module("money", tables=(HOLDINGS, OWED, CLAIMS, TOTALS))


class MoneyError(LedgerError):
    """Money would appear, vanish or fall below zero: a fault of the program, at which a node must stop."""


@module.call()
def transfer(context: Context, to: AccountId, amount_aaip: Amount) -> Refusal | None:
    """Move *amount_aaip* from the sender to the account *to*. A sender in arrears may not."""
    state, sender = context.state, context.sender
    if to == sender:
        return Refusal(Code.SAME_ACCOUNT, "sender and receiver are one account")
    if accounts.find(state, to) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {to.hex()}")
    refusal = refuse_spending(state, sender, amount_aaip)
    if refusal is not None:
        return refusal
    pay(state, sender, to, amount_aaip)
    context.emit("money", "transferred", sender=sender, to=to, amount_aaip=amount_aaip)
    return None


def find(view: Reader, account: bytes) -> Holding:
    """Return what *account* holds; nothing where it never held anything."""
    return view.get(HOLDINGS, account) or Holding()


def refuse_spending(view: Reader, account: bytes, amount_aaip: int) -> Refusal | None:
    """Return why *account* may not spend *amount_aaip* of its own will, or None."""
    holding = find(view, account)
    if holding.owes_aaip:
        return Refusal(Code.IN_ARREARS, f"account {account.hex()} owes {holding.owes_aaip} aAIP")
    if holding.balance_aaip < amount_aaip:
        return Refusal(
            Code.BALANCE_TOO_LOW, f"account {account.hex()} has {holding.balance_aaip} of {amount_aaip} aAIP"
        )
    return None


def pay(state: Overlay, payer: bytes, payee: bytes, amount_aaip: int) -> int:
    """Pay from the free balance; what is lacking becomes a debt. Return the amount that became one."""
    if payer == payee:
        return 0
    due = _set_off(state, payer, payee, amount_aaip)
    paid = min(find(state, payer).balance_aaip, due)
    _change(state, payer, balance=-paid)
    receive(state, payee, paid)
    if paid < due:
        _owe(state, payer, payee, due - paid)
    return due - paid


def lock(state: Overlay, account: bytes, amount_aaip: int) -> None:
    """Move money that the account has from its balance into its locks."""
    _change(state, account, balance=-amount_aaip, locked=amount_aaip)


def unlock(state: Overlay, account: bytes, amount_aaip: int) -> None:
    """Give locked money back to its owner, whose arrears come first."""
    _change(state, account, locked=-amount_aaip)
    receive(state, account, amount_aaip)


def take_locked(state: Overlay, account: bytes, amount_aaip: int) -> None:
    """Take money out of an account's locks; the caller passes all of it on with `receive`."""
    _change(state, account, locked=-amount_aaip)


def receive(state: Overlay, account: bytes, amount_aaip: int) -> None:
    """Credit money that was taken elsewhere; the receiver's debts are paid from it, oldest first, and so on."""
    arriving = deque([(account, amount_aaip)])
    while arriving:
        receiver, amount = arriving.popleft()
        _change(state, receiver, balance=amount)
        if find(state, receiver).owes_aaip:
            arriving.extend(_pay_debts(state, receiver))


def _pay_debts(state: Overlay, debtor: bytes) -> list[tuple[bytes, int]]:
    """Take what *debtor* has for its oldest debts; return (creditor, amount) still to be credited."""
    payments: list[tuple[bytes, int]] = []
    for key, debt in state.scan(OWED, debtor):
        paid = min(find(state, debtor).balance_aaip, debt.amount_aaip)
        if not paid:
            break
        _change(state, debtor, balance=-paid)
        _reduce(state, key, debt, paid)
        payments.append((debt.creditor, paid))
    return payments


def _owe(state: Overlay, debtor: bytes, creditor: bytes, amount_aaip: int) -> None:
    _change(state, debtor, owes=amount_aaip)
    _change(state, creditor, claims=amount_aaip)
    holding = find(state, debtor)
    newest = debtor + holding.last_debt.to_bytes(_SEQUENCE_BYTES, "big")
    last = state.get(OWED, newest)
    if last is not None and last.creditor == creditor:
        state.put(OWED, newest, replace(last, amount_aaip=last.amount_aaip + amount_aaip))
        return
    totals = state.get(TOTALS, TOTALS_KEY) or Totals(0, 0)
    key = debtor + totals.next_debt.to_bytes(_SEQUENCE_BYTES, "big")
    state.put(OWED, key, Debt(creditor, amount_aaip))
    state.put(CLAIMS, creditor + key, Claim())
    state.put(HOLDINGS, debtor, replace(holding, last_debt=totals.next_debt))
    state.put(TOTALS, TOTALS_KEY, replace(totals, next_debt=totals.next_debt + 1))


def _set_off(state: Overlay, debtor: bytes, creditor: bytes, amount_aaip: int) -> int:
    """Set a new debt off against what *creditor* owes *debtor*; return what is left of it."""
    if not (find(state, debtor).claims_aaip and find(state, creditor).owes_aaip):
        return amount_aaip
    for claim, _ in state.scan(CLAIMS, debtor + creditor):
        key = claim[_ACCOUNT_BYTES:]
        debt = state.get(OWED, key)
        if debt is not None and amount_aaip:
            part = min(debt.amount_aaip, amount_aaip)
            _reduce(state, key, debt, part)
            amount_aaip -= part
    return amount_aaip


def _reduce(state: Overlay, key: bytes, debt: Debt, amount_aaip: int) -> None:
    """Take *amount_aaip* off a debt that was paid or set off."""
    left = debt.amount_aaip - amount_aaip
    if left:
        state.put(OWED, key, replace(debt, amount_aaip=left))
    else:
        state.delete(OWED, key)
        state.delete(CLAIMS, debt.creditor + key)
    _change(state, key[:_ACCOUNT_BYTES], owes=-amount_aaip)
    _change(state, debt.creditor, claims=-amount_aaip)


def _change(state: Overlay, account: bytes, balance: int = 0, locked: int = 0, owes: int = 0, claims: int = 0) -> None:
    before = find(state, account)
    after = Holding(
        before.balance_aaip + balance, before.locked_aaip + locked,
        before.owes_aaip + owes, before.claims_aaip + claims, before.last_debt,
    )  # fmt: skip
    if min(after.balance_aaip, after.locked_aaip, after.owes_aaip, after.claims_aaip) < 0:
        raise MoneyError(f"account {account.hex()} would fall below zero: {after}; stop and compare the nodes")
    state.put(HOLDINGS, account, after)


def _genesis(context: Context) -> None:
    for account in sorted(context.genesis.accounts, key=lambda account: account.id):
        _change(context.state, account.id, balance=account.balance_aaip)
    issued = sum(account.balance_aaip for account in context.genesis.accounts)
    context.state.put(TOTALS, TOTALS_KEY, Totals(issued, 0))


module.genesis = _genesis
