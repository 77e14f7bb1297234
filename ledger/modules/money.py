"""AIP, the market's money: balances, locks for orders, and what is owed where a debtor lacks money.

No balance is ever negative. `pay` always succeeds: what the payer lacks becomes an `owed` row, paid first in, first out
from whatever reaches the payer. Two accounts never owe each other: a new debt is set off against an opposite one first,
so that money cannot run in circles. All amounts are aAIP (10^-18 AIP).

Its surface is that of PSP22 (name to decrease_allowance). The authorities issue it, up to a cap each day; whoever
holds it may redeem it with the utility, which takes it out of the ledger.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

from ledger.codes import Code, Refusal
from ledger.errors import LedgerError
from ledger.genesis import MAX_SUPPLY_AAIP
from ledger.modules import accounts, allowances
from ledger.modules.allowances import Allowance
from ledger.modules.approvals import decision
from ledger.modules.kinds import AccountId, Amount, AmountOrNone, Reference
from ledger.modules.module import Context, Look, Module
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
    """All money ever issued and redeemed, the sequence number of the next debt, and what a day (UTC) saw issued."""

    issued_aaip: int = 0
    next_debt: int = 0
    redeemed_aaip: int = 0
    issue_day: int = 0
    issued_on_day_aaip: int = 0

    @property
    def supply_aaip(self) -> int:
        """All money that there is."""
        return self.issued_aaip - self.redeemed_aaip


HOLDINGS: Final = Table("money.holdings", Holding)
OWED: Final = Table("money.owed", Debt)
CLAIMS: Final = Table("money.claims", Claim)
TOTALS: Final = Table("money.totals", Totals)
ALLOWANCES: Final = Table("money.allowances", Allowance)
TOTALS_KEY: Final = b"aip"
DECIMALS: Final = 18
MAX_LISTED_DEBTS: Final = 1_000
_DAY_S: Final = 86_400

module = Module("money", tables=(HOLDINGS, OWED, CLAIMS, TOTALS, ALLOWANCES))


class MoneyError(LedgerError):
    """Money would appear, vanish or fall below zero: a fault of the program, at which a node must stop."""


@module.call()
def transfer(context: Context, to: AccountId, amount_aaip: Amount) -> Refusal | None:
    """Move *amount_aaip* from the sender to the account *to*. A sender in arrears may not."""
    return _transfer(context, context.sender, to, amount_aaip)


@module.call()
def transfer_from(context: Context, owner: AccountId, to: AccountId, amount_aaip: Amount) -> Refusal | None:
    """Move *amount_aaip* of *owner*'s to *to*, out of what the sender may move. Not of an owner in arrears."""
    refusal = allowances.reduce(context.state, ALLOWANCES, owner, context.sender, amount_aaip)
    return refusal or _transfer(context, owner, to, amount_aaip)


@module.call()
def approve(context: Context, spender: AccountId, amount_aaip: AmountOrNone) -> Refusal | None:
    """Let *spender* move up to *amount_aaip* of the sender's, whatever was allowed before; 0 takes it back."""
    return _allow(context, spender, amount_aaip)


@module.call()
def increase_allowance(context: Context, spender: AccountId, by_aaip: Amount) -> Refusal | None:
    """Let *spender* move *by_aaip* more of the sender's than before."""
    return _allow(context, spender, allowances.find(context.state, ALLOWANCES, context.sender, spender) + by_aaip)


@module.call()
def decrease_allowance(context: Context, spender: AccountId, by_aaip: Amount) -> Refusal | None:
    """Let *spender* move *by_aaip* less of the sender's than before; refused where it is less than that."""
    refusal = allowances.reduce(context.state, ALLOWANCES, context.sender, spender, by_aaip)
    return refusal or _allow(context, spender, allowances.find(context.state, ALLOWANCES, context.sender, spender))


@decision(module)
def issue(context: Context, to: AccountId, amount_aaip: Amount) -> Refusal | None:
    """Issue *amount_aaip* to an account, within the cap of each day (UTC)."""
    if accounts.find(context.state, to) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {to.hex()}")
    totals, today = read_totals(context.state), context.time_s // _DAY_S
    issued_today = amount_aaip + (totals.issued_on_day_aaip if totals.issue_day == today else 0)
    cap_aaip = context.parameters.daily_issue_cap_aaip
    if issued_today > cap_aaip:
        return Refusal(Code.ISSUE_ABOVE_CAP, f"today's issues would be {issued_today} of at most {cap_aaip} aAIP")
    if totals.supply_aaip + amount_aaip > MAX_SUPPLY_AAIP:
        return Refusal(Code.SUPPLY_TOO_LARGE, f"there would be more than {MAX_SUPPLY_AAIP} aAIP")
    after = replace(
        totals, issued_aaip=totals.issued_aaip + amount_aaip, issue_day=today, issued_on_day_aaip=issued_today
    )
    context.state.put(TOTALS, TOTALS_KEY, after)
    receive(context.state, to, amount_aaip)
    context.emit("money", "issued", to=to, amount_aaip=amount_aaip)
    return None


@module.call()
def redeem(context: Context, amount_aaip: Amount, reference: Reference) -> Refusal | None:
    """Take *amount_aaip* of the sender's out of the ledger; the utility pays it out, by *reference*."""
    refusal = refuse_spending(context.state, context.sender, amount_aaip)
    if refusal is not None:
        return refusal
    totals = read_totals(context.state)
    _change(context.state, context.sender, balance=-amount_aaip)
    context.state.put(TOTALS, TOTALS_KEY, replace(totals, redeemed_aaip=totals.redeemed_aaip + amount_aaip))
    context.emit("money", "redeemed", account=context.sender, amount_aaip=amount_aaip, reference=reference)
    return None


@module.query()
def name(look: Look) -> str:  # noqa: ARG001 (every token has the same name on every chain)
    """Return the token's name."""
    return "campusgrid money"


@module.query()
def symbol(look: Look) -> str:  # noqa: ARG001
    """Return the token's symbol."""
    return "AIP"


@module.query()
def decimals(look: Look) -> int:  # noqa: ARG001
    """Return how many decimals one token has: 10^18 base units are one AIP."""
    return DECIMALS


@module.query()
def total_supply(look: Look) -> Amount:
    """Return how much there is, in aaip."""
    return read_totals(look.state).supply_aaip


@module.query()
def balance_of(look: Look, account: AccountId) -> Amount:
    """Return how much *account* holds free of locks, in aaip."""
    return find(look.state, account).balance_aaip


@module.query()
def allowance(look: Look, owner: AccountId, spender: AccountId) -> Amount:
    """Return how much of *owner*'s *spender* may move, in aaip."""
    return allowances.find(look.state, ALLOWANCES, owner, spender)


@module.query()
def read_holding(look: Look, account: AccountId) -> dict[str, Any]:
    """Return an account's money: free, locked in orders, owed to others and owed by others."""
    holding = find(look.state, account)
    return {
        "balance_aaip": holding.balance_aaip,
        "locked_aaip": holding.locked_aaip,
        "owes_aaip": holding.owes_aaip,
        "claims_aaip": holding.claims_aaip,
    }


@module.query()
def list_debts(look: Look, account: AccountId) -> list[dict[str, Any]]:
    """Return what *account* owes, in the order in which it will be paid: creditor and amount; at most 1,000 rows."""
    rows = islice(look.state.scan(OWED, account), MAX_LISTED_DEBTS)
    return [{"creditor": row.creditor, "amount_aaip": row.amount_aaip} for _, row in rows]


def find(view: Reader, account: bytes) -> Holding:
    """Return what *account* holds; nothing where it never held anything."""
    return view.get(HOLDINGS, account) or Holding()


def read_totals(view: Reader) -> Totals:
    """Return what was issued and redeemed so far."""
    return view.get(TOTALS, TOTALS_KEY) or Totals()


def refuse_arrears(view: Reader, account: bytes) -> Refusal | None:
    """Return that *account* is in arrears, or None."""
    owes_aaip = find(view, account).owes_aaip
    return Refusal(Code.IN_ARREARS, f"account {account.hex()} owes {owes_aaip} aAIP") if owes_aaip else None


def refuse_spending(view: Reader, account: bytes, amount_aaip: int) -> Refusal | None:
    """Return why *account* may not spend *amount_aaip* of its own will, or None."""
    balance_aaip = find(view, account).balance_aaip
    refusal = refuse_arrears(view, account)
    if refusal is None and balance_aaip < amount_aaip:
        text = f"account {account.hex()} has {balance_aaip} of {amount_aaip} aAIP"
        return Refusal(Code.BALANCE_TOO_LOW, text)
    return refusal


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


def _transfer(context: Context, owner: bytes, to: bytes, amount_aaip: int) -> Refusal | None:
    state = context.state
    if to == owner:
        return Refusal(Code.SAME_ACCOUNT, "sender and receiver are one account")
    if accounts.find(state, to) is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {to.hex()}")
    refusal = refuse_spending(state, owner, amount_aaip)
    if refusal is not None:
        return refusal
    pay(state, owner, to, amount_aaip)
    context.emit("money", "transferred", sender=owner, to=to, amount_aaip=amount_aaip)
    return None


def _allow(context: Context, spender: bytes, amount_aaip: int) -> Refusal | None:
    refusal = allowances.set_to(context.state, ALLOWANCES, context.sender, spender, amount_aaip)
    if refusal is None:
        context.emit("money", "approved", owner=context.sender, spender=spender, amount_aaip=amount_aaip)
    return refusal


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
    totals = read_totals(state)
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
    context.state.put(TOTALS, TOTALS_KEY, Totals(issued))


module.genesis = _genesis
