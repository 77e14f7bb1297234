"""Accounts: the key that signs for each, its next nonce and its roles. Other modules keep money, GRID and users."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ledger.codes import Code, Refusal
from ledger.errors import CorruptedError
from ledger.genesis import Role
from ledger.keys import key_id
from ledger.state import Overlay, Reader, Table


@dataclass(frozen=True, slots=True)
class Account:
    """Who may sign for an account, the nonce of its next transaction, and its `Role` flags."""

    public_key: bytes
    nonce: int
    roles: int


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """The account that a key belongs to."""

    account: bytes


ACCOUNTS: Final = Table("accounts.accounts", Account)
KEYS: Final = Table("accounts.keys", KeyOwner)


def find(view: Reader, account: bytes) -> Account | None:
    """Return the account with id *account*, or None."""
    return view.get(ACCOUNTS, account)


def has_role(view: Reader, account: bytes, role: Role) -> bool:
    """Tell whether *account* exists and has all of *role*."""
    row = find(view, account)
    return row is not None and role in Role(row.roles)


def open_account(state: Overlay, account: bytes, public_key: bytes, roles: Role) -> Refusal | None:
    """Make an account that *public_key* signs for; refuses an id or a key that is taken."""
    if state.get(ACCOUNTS, account) is not None:
        return Refusal(Code.ACCOUNT_EXISTS, f"account {account.hex()} exists already")
    if state.get(KEYS, key_id(public_key)) is not None:
        return Refusal(Code.KEY_IN_USE, f"the key {key_id(public_key).hex()} belongs to another account")
    state.put(ACCOUNTS, account, Account(public_key, 0, int(roles)))
    state.put(KEYS, key_id(public_key), KeyOwner(account))
    return None


def grant(state: Overlay, account: bytes, role: Role) -> Refusal | None:
    """Give *account* one more role."""
    row = find(state, account)
    if row is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {account.hex()}")
    state.put(ACCOUNTS, account, replace(row, roles=row.roles | int(role)))
    return None


def withdraw(state: Overlay, account: bytes, role: Role) -> None:
    """Take a role away from *account*, if it has it."""
    row = find(state, account)
    if row is not None:
        state.put(ACCOUNTS, account, replace(row, roles=row.roles & ~int(role)))


def change_key(state: Overlay, account: bytes, public_key: bytes) -> Refusal | None:
    """Have *public_key* sign for *account* from now on; no key, not even an old one, ever serves another account."""
    row, key = find(state, account), key_id(public_key)
    if row is None:
        return Refusal(Code.UNKNOWN_ACCOUNT, f"there is no account {account.hex()}")
    if state.get(KEYS, key) is not None:
        return Refusal(Code.KEY_IN_USE, f"the key {key.hex()} belongs to an account already, or did")
    state.put(ACCOUNTS, account, replace(row, public_key=public_key))
    state.put(KEYS, key, KeyOwner(account))
    return None


def use_nonce(state: Overlay, account: bytes) -> Role:
    """Use up the next nonce of an admitted sender and return its roles."""
    row = find(state, account)
    if row is None:
        raise CorruptedError(f"account {account.hex()} was admitted but does not exist; synchronise anew")
    state.put(ACCOUNTS, account, Account(row.public_key, row.nonce + 1, row.roles))
    return Role(row.roles)
