"""Users: who may trade, and which accounts are one person's. Names stay off the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.kinds import AccountId, Label, PublicKey
from ledger.modules.module import Context, Look
from ledger.modules.registry.tables import (
    MAX_ACCOUNTS_PER_PERSON,
    PERSONS,
    TOTALS,
    TOTALS_KEY,
    USER_TYPES,
    USERS,
    Person,
    User,
    UserStatus,
    UserTotals,
    module,
)  # fmt: skip
from ledger.state import Overlay, Reader


@module.call(Role.ADMIN)
def register_user(
    context: Context, account: AccountId, public_key: PublicKey, user_type: Label, location: Label
) -> Refusal | None:
    """Make an account for a user, not yet verified. *user_type* is prosumer, consumer or utility."""
    if user_type not in USER_TYPES:
        return Refusal(Code.UNKNOWN_USER_TYPE, f"{user_type!r} is none of {', '.join(USER_TYPES)}")
    refusal = accounts.open_account(context.state, account, public_key, Role(0))
    if refusal is not None:
        return refusal
    context.state.put(USERS, account, User(user_type, location, int(UserStatus.REGISTERED), context.time_ms, 0, b""))
    context.emit("registry", "user_registered", account=account, user_type=user_type)
    return None


@module.call(Role.ADMIN)
def verify_user(context: Context, account: AccountId) -> Refusal | None:
    """Let a user trade, who was registered or suspended; repeating it changes nothing."""
    user = context.state.get(USERS, account)
    if user is None:
        return _refuse_unknown(account)
    set_status(context.state, account, UserStatus.VERIFIED)
    context.emit("registry", "user_verified", account=account)
    return None


@module.call(Role.ADMIN)
def suspend_user(context: Context, account: AccountId) -> Refusal | None:
    """Stop a user's trading until `verify_user`. Orders that are in a book stay, and are settled."""
    user = context.state.get(USERS, account)
    if user is None:
        return _refuse_unknown(account)
    if user.status != UserStatus.VERIFIED:
        return Refusal(Code.USER_NOT_VERIFIED, f"user {account.hex()} may not trade anyway")
    set_status(context.state, account, UserStatus.SUSPENDED)
    context.emit("registry", "user_suspended", account=account)
    return None


@module.call(Role.ADMIN)
def link_accounts(context: Context, account: AccountId, other: AccountId) -> Refusal | None:
    """Note that two users' accounts are one person's: the limits of one user hold for both together, for good."""
    state = context.state
    for one in (account, other):
        if state.get(USERS, one) is None:
            return _refuse_unknown(one)
    ours, theirs = list_accounts(state, account), list_accounts(state, other)
    if ours == theirs:
        return Refusal(Code.ALREADY_LINKED, f"accounts {account.hex()} and {other.hex()} are one person's already")
    together = tuple(sorted({*ours, *theirs}))
    if len(together) > MAX_ACCOUNTS_PER_PERSON:
        return Refusal(Code.TOO_MANY_ACCOUNTS, f"a person has at most {MAX_ACCOUNTS_PER_PERSON} accounts")
    before = may_trade(state, ours) + may_trade(state, theirs)
    for group in (ours, theirs):
        state.delete(PERSONS, group[0])
    for one in together:
        user = state.get(USERS, one)
        if user is not None:
            state.put(USERS, one, replace(user, person=together[0]))
    state.put(PERSONS, together[0], Person(together))
    _count_verified(state, may_trade(state, together) - before)
    context.emit("registry", "accounts_linked", account=account, other=other, accounts=list(together))
    return None


@module.query()
def is_user_verified(look: Look, account: AccountId) -> bool:
    """Tell whether *account* is a user who may trade."""
    return may_trade(look.state, (account,))


@module.query()
def read_user(look: Look, account: AccountId) -> dict[str, Any] | None:
    """Return a user's type, location label, status, time of registration, meters and linked accounts, or null."""
    user = look.state.get(USERS, account)
    if user is None:
        return None
    return {
        "user_type": user.user_type,
        "location": user.location,
        "status": UserStatus(user.status).name.lower(),
        "registered_at_ms": user.registered_at_ms,
        "meters": user.meters,
        "linked_accounts": list(list_accounts(look.state, account)),
    }


@module.metric()
def verified_users(look: Look) -> int:
    """Persons who may trade."""
    return count_verified_users(look.state)


def list_accounts(view: Reader, account: bytes) -> tuple[bytes, ...]:
    """Return the accounts of the person whose account this is, ascending: itself alone where none is linked."""
    user = view.get(USERS, account)
    person = view.get(PERSONS, user.person) if user is not None and user.person else None
    return person.accounts if person is not None else (account,)


def count_meters(view: Reader, account: bytes) -> int:
    """Return how many meters the person has whose account this is."""
    users = (view.get(USERS, one) for one in list_accounts(view, account))
    return sum(user.meters for user in users if user is not None)


def owns_meters(view: Reader, account: bytes) -> bool:
    """Tell whether *account* is a user to whom a meter is assigned."""
    user = view.get(USERS, account)
    return user is not None and user.meters > 0


def count_verified_users(view: Reader) -> int:
    """Return how many persons may trade."""
    totals = view.get(TOTALS, TOTALS_KEY)
    return totals.verified if totals else 0


def may_trade(view: Reader, accounts_: tuple[bytes, ...]) -> bool:
    """Tell whether one of *accounts_* is a verified user's."""
    users = (view.get(USERS, one) for one in accounts_)
    return any(user is not None and user.status == UserStatus.VERIFIED for user in users)


def set_status(state: Overlay, account: bytes, status: UserStatus) -> None:
    """Let the user trade or not, by role and status; the number of persons who may trade follows."""
    user, group = state.get(USERS, account), list_accounts(state, account)
    if user is None:
        return
    before = may_trade(state, group)
    state.put(USERS, account, replace(user, status=int(status)))
    if status is UserStatus.VERIFIED:
        accounts.grant(state, account, Role.USER)
    else:
        accounts.withdraw(state, account, Role.USER)
    _count_verified(state, may_trade(state, group) - before)


def _count_verified(state: Overlay, change: int) -> None:
    if change:
        state.put(TOTALS, TOTALS_KEY, UserTotals(count_verified_users(state) + change))


def _refuse_unknown(account: bytes) -> Refusal:
    return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no user {account.hex()}")
