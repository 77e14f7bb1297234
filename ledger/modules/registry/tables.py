"""The registry's tables: users and the persons behind them, delegations to agents, replacements of lost keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ledger.modules import accounts, meters
from ledger.modules.module import Module
from ledger.state import Table

MAX_METERS_PER_USER: Final = 10
MAX_ACCOUNTS_PER_PERSON: Final = 10
MAX_AGENTS_PER_USER: Final = 8
USER_TYPES: Final = ("prosumer", "consumer", "utility")
GENESIS_LOCATION: Final = "campus"


class UserStatus(IntEnum):
    """How far a user has come."""

    REGISTERED = 0
    VERIFIED = 1
    SUSPENDED = 2


@dataclass(frozen=True, slots=True)
class User:
    """A user of the market. `location` is a label of the site, never a name or an address.

    `person` is the first of the accounts that admins linked to one person; empty where it is the only one.
    """

    user_type: str
    location: str
    status: int
    registered_at_ms: int
    meters: int
    person: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """The accounts that are one person's, ascending, under the first of them."""

    accounts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class UserTotals:
    """How many persons have an account that may trade."""

    verified: int


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a user lets an agent do, under the agent's account: order for `meters`, until `until_ms`.

    `limit_aaip` is how much its orders of one delivery epoch may lock and cost in fees.
    """

    user: bytes
    meters: tuple[bytes, ...]
    limit_aaip: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Agent:
    """A mark under user ‖ agent that the agent's account was opened for that user; it stays, and is used again."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What an agent's orders of a delivery epoch lock and cost so far, under agent ‖ epoch."""

    amount_aaip: int


@dataclass(frozen=True, slots=True)
class Operator:
    """A mark that an account answers the oracle's requests."""


@dataclass(frozen=True, slots=True)
class KeyReplacement:
    """A lost key's replacement, under the account. `due_ms` is 0 until a second admin has approved it."""

    public_key: bytes
    proposed_by: bytes
    proposed_at_ms: int
    approved_by: bytes
    due_ms: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mark that something falls due: a key's replacement under time ‖ account, a revocation under height ‖ key."""


USERS: Final = Table("registry.users", User)
PERSONS: Final = Table("registry.persons", Person)
TOTALS: Final = Table("registry.totals", UserTotals)
DELEGATIONS: Final = Table("registry.delegations", Delegation)
AGENTS: Final = Table("registry.agents", Agent)
SPENT: Final = Table("registry.spent", Spent)
KEY_REPLACEMENTS: Final = Table("registry.key_replacements", KeyReplacement)
DUE_REPLACEMENTS: Final = Table("registry.due_replacements", Waiting)
DUE_REVOCATIONS: Final = Table("registry.due_revocations", Waiting)
OPERATORS: Final = Table("registry.operators", Operator)
TOTALS_KEY: Final = b"users"

module = Module(
    "registry",
    tables=(
        accounts.ACCOUNTS, accounts.KEYS, USERS, PERSONS, TOTALS, DELEGATIONS, AGENTS, SPENT, KEY_REPLACEMENTS,
        DUE_REPLACEMENTS, DUE_REVOCATIONS, OPERATORS, meters.METERS, meters.METER_KEYS, meters.MARKS,
        meters.MARK_COUNTS, meters.BOUNDARIES,
    ),
)  # fmt: skip
