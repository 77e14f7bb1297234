"""An account's key: changed by its owner at once; if it is lost, by two admins after a delay, for all to see.

While the delay runs, the owner (who has the key after all) or any admin can stop it with `keep_key`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any, Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.kinds import AccountId, PublicKey
from ledger.modules.module import Context, Look
from ledger.modules.registry.tables import DUE_REPLACEMENTS, KEY_REPLACEMENTS, KeyReplacement, Waiting, module
from ledger.state import Overlay, Reader

APPROVAL_PERIOD_MS: Final = 7 * 86_400_000
"""How long one admin's proposal waits for the second admin."""
MAX_REPLACEMENTS_PER_BLOCK: Final = 64
_TIME_BYTES: Final = 8


@module.call(is_free=True)
def change_key(context: Context, public_key: PublicKey) -> Refusal | None:
    """Have another key sign for the sender's account from the next transaction on; ends a replacement that waits."""
    refusal = accounts.change_key(context.state, context.sender, public_key)
    if refusal is None:
        _withdraw(context.state, context.sender)
        context.emit("registry", "key_changed", account=context.sender, public_key=public_key)
    return refusal


@module.call(Role.ADMIN)
def replace_key(context: Context, account: AccountId, public_key: PublicKey) -> Refusal | None:
    """Replace the key that the owner of *account* lost: once two admins have sent this, and the delay is over."""
    state, name = context.state, f"account {account.hex()}"
    if account == context.sender:
        return Refusal(
            Code.SAME_ACCOUNT, "your own key you change with change_key; a lost one, two other admins replace"
        )
    row = state.get(KEY_REPLACEMENTS, account)
    if row is not None and not row.due_ms and context.time_ms > row.proposed_at_ms + APPROVAL_PERIOD_MS:
        row = None
    refusal = _refuse(context, row, account, public_key)
    if refusal is not None:
        return refusal
    if row is None:
        state.put(KEY_REPLACEMENTS, account, KeyReplacement(public_key, context.sender, context.time_ms, b"", 0))
        context.emit("registry", "key_replacement_proposed", account=account, public_key=public_key)
        return None
    if row.public_key != public_key or row.due_ms:
        return Refusal(Code.KEY_REPLACEMENT_WAITS, f"another key is proposed for {name}, or two admins have approved")
    due_ms = context.time_ms + context.parameters.key_replacement_delay_s * 1000
    state.put(KEY_REPLACEMENTS, account, replace(row, approved_by=context.sender, due_ms=due_ms))
    state.put(DUE_REPLACEMENTS, _due_key(due_ms, account), Waiting())
    context.emit("registry", "key_replacement_approved", account=account, public_key=public_key, due_ms=due_ms)
    return None


@module.call(is_free=True)
def keep_key(context: Context, account: AccountId) -> Refusal | None:
    """Stop the replacement of an account's key: by its owner, or by any admin."""
    if context.sender != account and Role.ADMIN not in context.roles:
        return Refusal(Code.NOT_PERMITTED, f"only an admin or account {account.hex()} itself keeps its key")
    if not _withdraw(context.state, account):
        return Refusal(Code.NO_KEY_REPLACEMENT, f"no replacement of the key of account {account.hex()} waits")
    context.emit("registry", "key_kept", account=account, by=context.sender)
    return None


@module.query()
def list_key_replacements(look: Look) -> list[dict[str, Any]]:
    """Return the replacements of lost keys that wait, for the owners to see; `due_ms` is null until two approved."""
    return [
        {
            "account": key,
            "public_key": row.public_key,
            "proposed_by": row.proposed_by,
            "approved_by": row.approved_by or None,
            "due_ms": row.due_ms or None,
        }
        for key, row in look.state.scan(KEY_REPLACEMENTS)
    ]


def replace_due_keys(context: Context) -> None:
    """Replace the keys whose delay is over; the rest of a crowd comes in the next block."""
    for key, _ in list(islice(context.state.scan(DUE_REPLACEMENTS), MAX_REPLACEMENTS_PER_BLOCK)):
        if int.from_bytes(key[:_TIME_BYTES], "big") > context.time_ms:
            break
        account = key[_TIME_BYTES:]
        row = context.state.get(KEY_REPLACEMENTS, account)
        _withdraw(context.state, account)
        if row is not None:
            refusal = accounts.change_key(context.state, account, row.public_key)
            outcome = "key_replaced" if refusal is None else "key_replacement_failed"
            context.emit("registry", outcome, account=account, public_key=row.public_key)


def find_due_ms(view: Reader) -> int | None:
    """Return when the next key is to be replaced, or None."""
    return next((int.from_bytes(key[:_TIME_BYTES], "big") for key, _ in view.scan(DUE_REPLACEMENTS)), None)


def _refuse(context: Context, row: KeyReplacement | None, account: bytes, public_key: bytes) -> Refusal | None:
    if row is not None and context.sender in (row.proposed_by, row.approved_by):
        return Refusal(Code.ALREADY_APPROVED, "you have approved it already; another admin must, too")
    mark = context.state.mark()
    refusal = accounts.change_key(context.state, account, public_key)
    context.state.roll_back(mark)
    return refusal


def _withdraw(state: Overlay, account: bytes) -> bool:
    row = state.get(KEY_REPLACEMENTS, account)
    if row is None:
        return False
    state.delete(KEY_REPLACEMENTS, account)
    if row.due_ms:
        state.delete(DUE_REPLACEMENTS, _due_key(row.due_ms, account))
    return True


def _due_key(due_ms: int, account: bytes) -> bytes:
    return due_ms.to_bytes(_TIME_BYTES, "big") + account
