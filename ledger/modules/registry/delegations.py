"""Delegations: a user's agent (on the gateway, say) orders for them within bounds, and can do nothing else.

The agent has its own key and account. It creates and cancels orders for the meters named, until a time, and may lock
and spend so much for each delivery epoch. It can never transfer: no call but those for agents is open to its account.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import accounts, meters
from ledger.modules.kinds import AccountId, Amount, MeterIds, PublicKey, TimeMs
from ledger.modules.meters import epoch_key
from ledger.modules.module import Context, Look
from ledger.modules.registry.tables import (
    AGENTS,
    DELEGATIONS,
    MAX_AGENTS_PER_USER,
    SPENT,
    Agent,
    Delegation,
    Spent,
    module,
)  # fmt: skip
from ledger.state import Overlay, Reader

MAX_TERM_MS: Final = 400 * 86_400_000


@module.call(Role.USER)
def delegate(
    context: Context,
    agent: AccountId,
    agent_key: PublicKey,
    for_meters: MeterIds,
    limit_aaip: Amount,
    until_ms: TimeMs,
) -> Refusal | None:
    """Let an agent order for *for_meters* until *until_ms*, locking and spending at most *limit_aaip* for each epoch.

    The first time this opens the agent's account; later it replaces what it may do, and its key if that differs.
    """
    state, key = context.state, context.sender + agent
    refusal = _refuse_meters(context, for_meters)
    if refusal is not None:
        return refusal
    if not context.time_ms < until_ms <= context.time_ms + MAX_TERM_MS:
        return Refusal(Code.DELEGATION_TERM, f"until {until_ms} is not within {MAX_TERM_MS} ms from now")
    known = accounts.find(state, agent)
    is_own = state.get(AGENTS, key) is not None
    if not is_own and sum(1 for _ in state.scan(AGENTS, context.sender)) >= MAX_AGENTS_PER_USER:
        return Refusal(
            Code.TOO_MANY_AGENTS, f"you have {MAX_AGENTS_PER_USER} agents' accounts; delegate to one of them"
        )
    if not (is_own and known is not None and known.public_key == agent_key):
        change = accounts.change_key if is_own else _open_agent
        refusal = change(state, agent, agent_key)
        if refusal is not None:
            return refusal
    state.put(AGENTS, key, Agent())
    state.put(DELEGATIONS, agent, Delegation(context.sender, tuple(for_meters), limit_aaip, until_ms))
    context.emit("registry", "delegated", user=context.sender, agent=agent, limit_aaip=limit_aaip, until_ms=until_ms)
    return None


@module.call(Role.USER)
def end_delegation(context: Context, agent: AccountId) -> Refusal | None:
    """Take back from an agent all it may do; its orders stay until they are cancelled.

    Its account stays the user's: `delegate` gives it something to do again, with another key if that is wanted.
    """
    row = context.state.get(DELEGATIONS, agent)
    if row is None or row.user != context.sender:
        return Refusal(Code.NO_DELEGATION, f"account {agent.hex()} is no agent of yours")
    context.state.delete(DELEGATIONS, agent)
    _forget_past(context.state, agent, context.time_s // context.parameters.epoch_s)  # later orders still count
    context.emit("registry", "delegation_ended", user=context.sender, agent=agent)
    return None


@module.query()
def read_delegation(look: Look, agent: AccountId) -> dict[str, Any] | None:
    """Return what an agent may do, for whom, and what its orders of each epoch cost so far; null if nothing."""
    row = look.state.get(DELEGATIONS, agent)
    if row is None:
        return None
    spent = {int.from_bytes(key[len(agent) :], "big"): found for key, found in look.state.scan(SPENT, agent)}
    return {
        "user": row.user,
        "meters": list(row.meters),
        "limit_aaip": row.limit_aaip,
        "until_ms": row.until_ms,
        "spent": [{"epoch": epoch, "amount_aaip": one.amount_aaip} for epoch, one in spent.items()],
    }


@module.query()
def list_agents(look: Look, user: AccountId) -> list[bytes]:
    """Return the accounts of a user's agents, of those too whose delegation is over."""
    return [key[len(user) :] for key, _ in look.state.scan(AGENTS, user)]


def act_for_user(context: Context, meter: bytes) -> Context | Refusal:
    """Return *context* as the sender's user has it, if the sender is an agent that may order for *meter*.

    Whoever is no agent acts for themselves.
    """
    if Role.AGENT not in context.roles:
        return context
    row, agent = context.state.get(DELEGATIONS, context.sender), context.sender.hex()
    if row is None:
        return Refusal(Code.NO_DELEGATION, f"nobody lets account {agent} order for them")
    if context.time_ms > row.until_ms:
        return Refusal(Code.DELEGATION_OVER, f"the delegation to account {agent} ended at {row.until_ms}")
    if meter not in row.meters:
        return Refusal(Code.METER_NOT_DELEGATED, f"account {agent} may not order for meter {meter.hex()}")
    if not accounts.has_role(context.state, row.user, Role.USER):
        return Refusal(Code.USER_NOT_VERIFIED, f"user {row.user.hex()} may not trade")
    return replace(context, sender=row.user)


def find_user(context: Context, agent: bytes) -> bytes | None:
    """Return the user for whom *agent* may act now, or None."""
    row = context.state.get(DELEGATIONS, agent)
    return row.user if row is not None and context.time_ms <= row.until_ms else None


def spend(context: Context, agent: bytes, epoch: int, amount_aaip: int) -> Refusal | None:
    """Charge what *agent* locks or spends to its limit for *epoch*."""
    state, row = context.state, context.state.get(DELEGATIONS, agent)
    key = agent + epoch_key(epoch)
    before = state.get(SPENT, key) or Spent(0)
    limit_aaip = row.limit_aaip if row is not None else 0
    if before.amount_aaip + amount_aaip > limit_aaip:
        return Refusal(
            Code.DELEGATION_SPENT, f"{amount_aaip} on top of {before.amount_aaip} is more than {limit_aaip} aAIP"
        )
    _forget_past(state, agent, context.time_s // context.parameters.epoch_s)
    state.put(SPENT, key, Spent(before.amount_aaip + amount_aaip))
    return None


def give_back(state: Overlay, agent: bytes, epoch: int, amount_aaip: int) -> None:
    """Give back to an agent's limit what a cancelled order of it had locked."""
    key = agent + epoch_key(epoch)
    before = state.get(SPENT, key)
    if before is not None:
        state.put(SPENT, key, Spent(before.amount_aaip - amount_aaip))


def _forget_past(state: Overlay, agent: bytes, epoch: int) -> None:
    for key, _ in state.scan(SPENT, agent):
        if int.from_bytes(key[len(agent) :], "big") >= epoch:
            break
        state.delete(SPENT, key)


def _refuse_meters(context: Context, for_meters: list[bytes]) -> Refusal | None:
    for meter in for_meters:
        row = meters.find(context.state, meter)
        if row is None:
            return Refusal(Code.UNKNOWN_METER, f"there is no meter {meter.hex()}")
        if row.owner != context.sender:
            return Refusal(Code.NOT_METER_OWNER, f"meter {meter.hex()} belongs to another account")
    return None


def _open_agent(state: Overlay, agent: bytes, agent_key: bytes) -> Refusal | None:
    return accounts.open_account(state, agent, agent_key, Role.AGENT)


def is_agent(view: Reader, account: bytes) -> bool:
    """Tell whether *account* is an agent's: it can never hold or move anything."""
    return accounts.has_role(view, account, Role.AGENT)
