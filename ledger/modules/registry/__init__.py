"""Who takes part: users and the persons behind them, their agents and keys, meters, and those who serve them all."""

from __future__ import annotations

from ledger.genesis import Role
from ledger.modules import accounts
from ledger.modules.module import Context, Look
from ledger.modules.registry import delegations, lost_keys, metering, services, users
from ledger.modules.registry.tables import GENESIS_LOCATION, USER_TYPES, USERS, User, UserStatus, module
from ledger.modules.registry.users import count_verified_users, list_accounts, owns_meters

__all__ = [
    "count_verified_users", "delegations", "list_accounts", "lost_keys", "metering", "module", "owns_meters",
    "services", "users",
]  # fmt: skip


def _genesis(context: Context) -> None:
    for account in sorted(context.genesis.accounts, key=lambda account: account.id):
        accounts.open_account(context.state, account.id, account.public_key, account.roles & ~Role.USER)
        if Role.OPERATOR in account.roles:
            services.list_operator(context.state, account.id)
        if Role.USER in account.roles:
            user = User(USER_TYPES[0], GENESIS_LOCATION, int(UserStatus.REGISTERED), context.time_ms, 0, b"")
            context.state.put(USERS, account.id, user)
            users.set_status(context.state, account.id, UserStatus.VERIFIED)


def _begin(context: Context) -> None:
    metering.suspend_keyless(context)
    lost_keys.replace_due_keys(context)


def _due(look: Look) -> int | None:
    return lost_keys.find_due_ms(look.state)


module.genesis = _genesis
module.begin = _begin
module.due = _due
