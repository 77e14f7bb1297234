"""What a chain starts from: its authorities, parameters, accounts and money, kept in `genesis.json`.

The JSON form is strict: every key is there, none is unknown, none is there twice. Ids and keys are lower-case hex,
amounts of money strings of digits in aAIP, prices integers in µAIP per kWh, energy integers in Wh.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, fields
from enum import IntFlag
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from ledger import cbor
from ledger.authority import Authority, AuthoritySet
from ledger.errors import LedgerError
from ledger.transaction import ACCOUNT_ID_BYTES, CHAIN_ID_BYTES

VERSION: Final = 1
SECRET_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
MAX_GENESIS_BYTES: Final = 64 * 2**20
MAX_NAME_CHARACTERS: Final = 64
MAX_SUPPLY_AAIP: Final = 10**36
"""All AIP together: 10^18 AIP, so that no sum of balances leaves 128 bits."""
MAX_EPOCH_S: Final = 86_400
MAX_DURATION_S: Final = 400 * 86_400
MAX_ENERGY_WH: Final = 10**9
MAX_PRICE_UAIP_PER_KWH: Final = 10**9
CLEARING_RULES: Final = ("pro-rata", "price-time")
_AMOUNTS: Final = ("order_fee_aaip", "call_fee_aaip", "daily_issue_cap_aaip")


class GenesisError(LedgerError):
    """A genesis that no chain can start from: whoever wrote the file must mend what the text names."""


class Role(IntFlag):
    """What an account may do. A user may trade once an admin has verified them; genesis users are verified.

    An operator answers the oracle's requests. An agent only orders, for a user who delegated that to it.
    """

    USER = 1
    ADMIN = 2
    GATEWAY = 4
    AUTHORITY = 8
    GRID = 16
    OPERATOR = 32
    MARKET_MAKER = 64
    AGENT = 128


@dataclass(frozen=True, slots=True)
class Parameters:
    """The rules' numbers. The defaults are those of a campus; a demo shortens the times and the smallest order.

    An order in k parts may gain k - 1 Wh at the margin: the fee is more than a Wh is worth between the tariffs.
    """

    epoch_s: int = 900
    settle_deadline_s: int = 21_600
    settle_deadline_blocks: int = 100
    block_interval_ms: int = 2_000
    heartbeat_ms: int = 60_000
    min_order_wh: int = 100
    max_order_wh: int = MAX_ENERGY_WH
    max_price_uaip_per_kwh: int = MAX_PRICE_UAIP_PER_KWH
    retail_uaip_per_kwh: int = 4_500_000
    feed_in_uaip_per_kwh: int = 2_200_000
    penalty_uaip_per_kwh: int = 1_000_000
    order_fee_aaip: int = 5 * 10**15
    clearing_rule: str = "pro-rata"
    call_fee_aaip: int = 0
    daily_issue_cap_aaip: int = 10**24
    key_replacement_delay_s: int = 86_400

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not lowest <= value <= highest:
                raise GenesisError(f"parameter {name} is {value!r}; give an integer from {lowest} to {highest}")
        if self.clearing_rule not in CLEARING_RULES:
            raise GenesisError(f"parameter clearing_rule is {self.clearing_rule!r}; give one of {CLEARING_RULES}")
        if self.min_order_wh > self.max_order_wh:
            raise GenesisError("parameter min_order_wh is above max_order_wh; lower it")
        if not self.feed_in_uaip_per_kwh <= self.retail_uaip_per_kwh <= self.max_price_uaip_per_kwh:
            raise GenesisError("tariffs do not ascend: make feed_in <= retail <= max_price (uaip_per_kwh)")


_RANGES: Final[dict[str, tuple[int, int]]] = {
    "epoch_s": (1, MAX_EPOCH_S),
    "settle_deadline_s": (0, MAX_DURATION_S),
    "settle_deadline_blocks": (0, 10**6),
    "block_interval_ms": (1, 600_000),
    "heartbeat_ms": (1, 86_400_000),
    "min_order_wh": (1, MAX_ENERGY_WH),
    "max_order_wh": (1, MAX_ENERGY_WH),
    "max_price_uaip_per_kwh": (0, MAX_PRICE_UAIP_PER_KWH),
    "retail_uaip_per_kwh": (0, MAX_PRICE_UAIP_PER_KWH),
    "feed_in_uaip_per_kwh": (0, MAX_PRICE_UAIP_PER_KWH),
    "penalty_uaip_per_kwh": (0, MAX_PRICE_UAIP_PER_KWH),
    "order_fee_aaip": (0, 10**24),
    "call_fee_aaip": (0, 10**24),
    "daily_issue_cap_aaip": (0, MAX_SUPPLY_AAIP),
    "key_replacement_delay_s": (1, MAX_DURATION_S),
}


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account that exists from the start, with its key, roles and money in aAIP."""

    id: bytes
    public_key: bytes
    roles: Role
    balance_aaip: int = 0


@dataclass(frozen=True)
class Genesis:
    """Everything that height 0 is made of; two chains differ in their `chain_id` if anything in it differs.

    A `development` chain may have a single authority: whoever runs it can rewrite it. The mark is part of the chain id,
    and of the file (where it says true), so that no such chain can be taken for a real one.
    """

    name: str
    time_ms: int
    secret: bytes
    authorities: AuthoritySet
    parameters: Parameters
    grid_account: bytes
    accounts: tuple[GenesisAccount, ...]
    development: bool = False

    def __post_init__(self) -> None:
        _require(0 < len(self.name) <= MAX_NAME_CHARACTERS, f"the name has 1 to {MAX_NAME_CHARACTERS} characters")
        _require(self.name.isprintable(), "the name holds a character that cannot be shown")
        _require(0 <= self.time_ms < 2**53, "time_ms is a Unix time in milliseconds")
        _require(len(self.secret) == SECRET_BYTES, f"the secret has {SECRET_BYTES} bytes")
        _check_accounts(self)

    @cached_property
    def chain_id(self) -> bytes:
        """The 8 bytes that name the chain in everything that is signed for it."""
        return hashlib.sha256(self.encode()).digest()[:CHAIN_ID_BYTES]

    def encode(self) -> bytes:
        """Return the canonical CBOR that the chain id is the hash of; accounts count in the order of their ids."""
        members = [member.fields() for member in self.authorities.members]
        ordered = sorted(self.accounts, key=lambda account: account.id)
        accounts = [[a.id, a.public_key, int(a.roles), a.balance_aaip] for a in ordered]
        values = [VERSION, self.name, self.time_ms, self.secret, members]
        mark: list[cbor.Value] = ["development"] if self.development else []
        return cbor.encode([*values, list(astuple(self.parameters)), self.grid_account, accounts, *mark])


def load(path: Path) -> Genesis:
    """Return the genesis in the JSON file *path*; raises GenesisError that names what is wrong, and where."""
    try:
        _require(path.stat().st_size <= MAX_GENESIS_BYTES, f"longer than the {MAX_GENESIS_BYTES} bytes of a genesis")
        return loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GenesisError(f"{path}: cannot be read ({error.strerror}); name the campus's genesis.json") from error
    except UnicodeDecodeError as error:
        raise GenesisError(f"{path}: is not UTF-8 text; name the campus's genesis.json") from error
    except GenesisError as error:
        raise GenesisError(f"{path}: {error}") from error


def loads(text: str) -> Genesis:
    """Return the genesis that JSON *text* describes; raises GenesisError."""
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise GenesisError(f"not JSON: {error}") from error
    try:
        mark = {"development": _flag} if type(document) is dict and "development" in document else {}
        return Genesis(**_members(document, "genesis", _GENESIS | mark))
    except GenesisError:
        raise
    except LedgerError as error:
        raise GenesisError(str(error)) from error


def dump(genesis: Genesis, path: Path) -> None:
    """Write *genesis* to the JSON file *path*."""
    path.write_text(dumps(genesis), encoding="utf-8")


def dumps(genesis: Genesis) -> str:
    """Return *genesis* as JSON text; `loads` gives it back equal."""
    document = {
        "name": genesis.name,
        "time_ms": genesis.time_ms,
        "secret": genesis.secret.hex(),
        "authorities": [authority_json(member) for member in genesis.authorities.members],
        "parameters": _parameters_json(genesis.parameters),
        "grid_account": genesis.grid_account.hex(),
        "accounts": [_account_json(account) for account in genesis.accounts],
    } | ({"development": True} if genesis.development else {})
    return json.dumps(document, indent=2) + "\n"


def _check_accounts(genesis: Genesis) -> None:
    seen: set[bytes] = set()
    keys: set[bytes] = set()
    authorities = {member.id for member in genesis.authorities.members}
    for account in genesis.accounts:
        name = f"account {account.id.hex()}"
        _require(len(account.id) == ACCOUNT_ID_BYTES, f"{name}: an id has {ACCOUNT_ID_BYTES} bytes")
        _require(len(account.public_key) == PUBLIC_KEY_BYTES, f"{name}: a public key has {PUBLIC_KEY_BYTES} bytes")
        _require(account.id not in seen, f"{name} is there twice; remove one")
        _require(account.public_key not in keys, f"{name} shares its key with another; give each its own")
        _require(account.balance_aaip >= 0, f"{name}: the balance is negative")
        is_authority = Role.AUTHORITY in account.roles
        _require(not is_authority or account.id in authorities, f"{name} is no authority; take the role away")
        is_grid = Role.GRID in account.roles
        _require(is_grid == (account.id == genesis.grid_account), f"{name}: the grid account alone has role grid")
        seen.add(account.id)
        keys.add(account.public_key)
    _require(genesis.grid_account in seen, "the grid account is not among the accounts; add it with role grid")
    total = sum(account.balance_aaip for account in genesis.accounts)
    _require(total <= MAX_SUPPLY_AAIP, f"all balances together exceed {MAX_SUPPLY_AAIP} aAIP")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise GenesisError(text)


def authority_json(member: Authority) -> dict[str, str]:
    """Return *member* as genesis files write it."""
    values = {field.name: getattr(member, field.name) for field in fields(member)}
    return {name: value if isinstance(value, str) else value.hex() for name, value in values.items()}


def _parameters_json(parameters: Parameters) -> dict[str, int | str]:
    values = {field.name: getattr(parameters, field.name) for field in fields(parameters)}
    return values | {name: str(values[name]) for name in _AMOUNTS}


def _account_json(account: GenesisAccount) -> dict[str, Any]:
    roles = [str(role.name).lower() for role in Role if role in account.roles]
    identity = {"id": account.id.hex(), "public_key": account.public_key.hex()}
    return identity | {"roles": roles, "balance_aaip": str(account.balance_aaip)}


Parser = Callable[[Any, str], Any]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise GenesisError(f"key {twice!r} is there twice in one object; remove one")
    return members


def _members(value: Any, where: str, parsers: Mapping[str, Parser]) -> dict[str, Any]:
    if type(value) is not dict:
        raise GenesisError(f"{where} is not a JSON object")
    unknown = sorted(set(value) - set(parsers))
    missing = [name for name in parsers if name not in value]
    if unknown:
        raise GenesisError(f"{where} has the unknown key {unknown[0]!r}; remove it")
    if missing:
        raise GenesisError(f"{where} lacks the key {missing[0]!r}; add it")
    return {name: parse(value[name], f"{where}.{name}") for name, parse in parsers.items()}


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise GenesisError(f"{where} is not a string")
    return value


def _flag(value: Any, where: str) -> bool:
    if type(value) is not bool:
        raise GenesisError(f"{where} is neither true nor false")
    return value


def _integer(value: Any, where: str) -> int:
    if type(value) is not int:
        raise GenesisError(f"{where} is not an integer")
    return value


def _amount(value: Any, where: str) -> int:
    if type(value) is not str or re.fullmatch("0|[1-9][0-9]{0,38}", value, re.ASCII) is None:
        raise GenesisError(f"{where} is not an amount: a string of at most 39 digits, in aAIP")
    return int(value)


def _bytes(size: int) -> Parser:
    def parse(value: Any, where: str) -> bytes:
        if type(value) is not str or re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value) is None:
            raise GenesisError(f"{where} is not {2 * size} lower-case hex digits")
        return bytes.fromhex(value)

    return parse


def _roles(value: Any, where: str) -> Role:
    if type(value) is not list:
        raise GenesisError(f"{where} is not a list of roles")
    names = {str(role.name).lower(): role for role in Role}
    roles = Role(0)
    for name in value:
        if type(name) is not str or name not in names:
            raise GenesisError(f"{where}: {name!r} is no role; give some of {', '.join(names)}")
        roles |= names[name]
    return roles


def _list_of(parse: Parser) -> Parser:
    def parse_all(value: Any, where: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise GenesisError(f"{where} is not a list")
        return tuple(parse(item, f"{where}[{place}]") for place, item in enumerate(value))

    return parse_all


def _authority(value: Any, where: str) -> Authority:
    return Authority(**_members(value, where, _AUTHORITY))


def parse_authorities(value: Any, where: str) -> AuthoritySet:
    """Return the set that a decoded JSON list describes; raises GenesisError that names *where* it is wrong."""
    return AuthoritySet(_list_of(_authority)(value, where))


def _parameters(value: Any, where: str) -> Parameters:
    return Parameters(**_members(value, where, _PARAMETERS))


def _account(value: Any, where: str) -> GenesisAccount:
    return GenesisAccount(**_members(value, where, _ACCOUNT))


_KEY: Final = _bytes(PUBLIC_KEY_BYTES)
_ID: Final = _bytes(ACCOUNT_ID_BYTES)
_AUTHORITY: Final[dict[str, Parser]] = {
    "id": _ID, "name": _text, "vote_key": _KEY, "cosign_key": _KEY, "log_key": _KEY,
}  # fmt: skip
_PARAMETERS: Final[dict[str, Parser]] = {
    field.name: _integer for field in fields(Parameters)
} | dict.fromkeys(_AMOUNTS, _amount) | {"clearing_rule": _text}  # fmt: skip
_ACCOUNT: Final[dict[str, Parser]] = {"id": _ID, "public_key": _KEY, "roles": _roles, "balance_aaip": _amount}
_GENESIS: Final[dict[str, Parser]] = {
    "name": _text, "time_ms": _integer, "secret": _bytes(SECRET_BYTES), "authorities": parse_authorities,
    "parameters": _parameters, "grid_account": _ID, "accounts": _list_of(_account),
}  # fmt: skip
