"""Senders and arguments that a call takes, and what must have been called before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ledger import cbor, keys
from ledger.costing.campus import Campus, CannotMakeError
from ledger.genesis import Role
from ledger.modules.grid import AGRID_PER_WH
from ledger.modules.kinds import Many
from ledger.modules.module import CallDefinition
from ledger.statements import sign_meter_key
from ledger.transaction import Call

REFERENCE: Final = "bench-call"
_SENDERS: Final = {
    Role.USER: "user0", Role.ADMIN: "admin", Role.AUTHORITY: "authority0", Role.GATEWAY: "gateway",
    Role.MARKET_MAKER: "maker", Role.GRID: "grid", Role.OPERATOR: "operator0",
}  # fmt: skip
_SENT_BY: Final = {
    "money.transfer_from": "user1", "grid.transfer_from": "user1", "market.report_intervals": "gateway",
    "oracle.fulfill_energy_data": "gateway",
}  # fmt: skip
_NEWCOMERS: Final = frozenset({
    "registry.register_user", "registry.register_gateway", "registry.register_operator",
    "registry.register_market_maker", "registry.appoint_admin", "registry.delegate",
})  # fmt: skip
"""Calls that open an account: theirs is one that the chain does not know."""
_OF_USER1: Final = ("to", "spender", "other", "account")
_PRICE: Final = 3_000_000
_ORDERED_WH: Final = 1_000
_FIRST_NEW_SEQUENCE: Final = 1_000

Value = Callable[[Campus, int], cbor.Value]


def longest_list(definition: CallDefinition) -> int:
    """Return how many items the call's list may have; 1 for a call without one."""
    return max((kind.highest for _, kind in definition.arguments if isinstance(kind, Many)), default=1)


def prepare(campus: Campus, definition: CallDefinition) -> dict[str, cbor.Value]:
    """Make the calls that must come before, and return arguments that follow from them; raises CannotMakeError."""
    name = f"{definition.module}.{definition.name}"
    before = _BEFORE.get(name)
    return before(campus) if before is not None else {}


def make_call(campus: Campus, definition: CallDefinition, size: int, known: dict[str, cbor.Value]) -> tuple[str, Call]:
    """Return a sender and a call with *size* items in its list; raises CannotMakeError.

    *known* are the arguments that `prepare` returned.
    """
    name = f"{definition.module}.{definition.name}"
    arguments = []
    for label, _ in definition.arguments:
        own, make = _VALUES.get(f"{name}:{label}"), _VALUES.get(label)
        if label in known:
            arguments.append(known[label])
        elif own is not None:
            arguments.append(own(campus, size))
        elif label in ("account", "agent") and name in _NEWCOMERS:
            arguments.append(campus.fresh().id)
        elif label in _OF_USER1:
            arguments.append(campus.people["user1"].id)
        elif make is not None:
            arguments.append(make(campus, size))
        else:
            raise CannotMakeError(f"no argument {label!r} of {name} can be made; add one to ledger/costing/samples.py")
    return _choose_sender(name, definition), Call(definition.module, definition.name, tuple(arguments))


def is_decision(definition: CallDefinition) -> bool:
    """Tell whether the call takes effect once a quorum of authorities has made it alike."""
    return definition.roles == Role.AUTHORITY and definition.arguments[0][0] == "reference"


def _choose_sender(name: str, definition: CallDefinition) -> str:
    sender = _SENT_BY.get(name)
    roles = (who for role, who in _SENDERS.items() if role in definition.roles)
    return sender or next(roles, "user0")


# ---- what must come before


def _approve(module: str) -> Callable[[Campus], dict[str, cbor.Value]]:
    def before(campus: Campus) -> dict[str, cbor.Value]:
        campus.run("user0", module, "approve", campus.people["user1"].id, 10**6)
        return {}

    return before


def _order(campus: Campus) -> dict[str, cbor.Value]:
    made = campus.run("user0", "market", "create_buy_order", campus.meters[0].id, campus.epoch + 1, _PRICE, _ORDERED_WH)
    return {"order": made[:8]}


def _request(campus: Campus) -> dict[str, cbor.Value]:
    made = campus.run("user0", "oracle", "request_energy_data", campus.meters[0].id, campus.epoch - 1)
    return {"request": made[:8]}


def _operators(campus: Campus) -> dict[str, cbor.Value]:
    for number in range(3):
        person = campus.people[f"operator{number}"] = campus.fresh()
        campus.run("admin", "registry", "register_operator", person.id, person.key.public_key)
    return {}


def _question(campus: Campus) -> dict[str, cbor.Value]:
    _operators(campus)
    return {"request": campus.run("user0", "oracle", "request_data", "index", campus.epoch)[:8]}


def _service(campus: Campus) -> dict[str, cbor.Value]:
    person = campus.fresh()
    campus.run("admin", "registry", "register_gateway", person.id, person.key.public_key)
    return {"account": person.id}


def _unverified(campus: Campus) -> dict[str, cbor.Value]:
    person = campus.fresh()
    campus.run("admin", "registry", "register_user", person.id, person.key.public_key, "prosumer", "a")
    return {"account": person.id}


def _delegated(campus: Campus) -> dict[str, cbor.Value]:
    agent, until_ms = campus.fresh(), campus.state.header.time_ms + 86_400_000
    meters = [campus.meters[0].id]
    campus.run("user0", "registry", "delegate", agent.id, agent.key.public_key, meters, 10**18, until_ms)
    return {"agent": agent.id}


def _suspended(campus: Campus) -> dict[str, cbor.Value]:
    campus.run("admin", "registry", "suspend_meter", campus.meters[0].id)
    return {}


def _lost(campus: Campus) -> dict[str, cbor.Value]:
    account = campus.people["user0"].id
    fresh = campus.fresh().key.public_key
    for admin in ("admin", "admin2"):
        campus.run(admin, "registry", "replace_key", account, fresh)
    return {"account": account}


def _new_meter_key(campus: Campus) -> dict[str, cbor.Value]:
    meter, fresh = campus.meters[0], campus.fresh().key.public_key
    consent = sign_meter_key(campus.genesis.chain_id, meter.id, fresh, _FIRST_NEW_SEQUENCE, meter.key)
    return {"public_key": fresh, "first_sequence": _FIRST_NEW_SEQUENCE, "consent": consent}


def _revoked(campus: Campus) -> dict[str, cbor.Value]:
    key, height = keys.key_id(campus.meters[0].key.public_key), campus.state.header.height
    campus.run("admin", "registry", "revoke_meter_key", key, height + 2)
    campus.block([])
    return {}


def _paused(campus: Campus) -> dict[str, cbor.Value]:
    for number in range(campus.genesis.authorities.quorum):
        campus.run(f"authority{number}", "governance", "pause", REFERENCE, "market")
    return {}


def _keep_grid(campus: Campus) -> dict[str, cbor.Value]:
    """Let user0 keep what its meter exported: the epoch settles when all meters have reported."""
    campus.run("user0", "market", "keep_surplus", campus.meters[0].id, True)
    campus.run("gateway", "market", "report_intervals", _readings(campus, len(campus.meters)))
    return {}


def _allow_grid(campus: Campus) -> dict[str, cbor.Value]:
    _keep_grid(campus)
    campus.run("user0", "grid", "approve", campus.people["user1"].id, AGRID_PER_WH)
    return {}


def _calendar(campus: Campus) -> dict[str, cbor.Value]:
    from_epoch = campus.epoch + 200
    call = Call("tariffs", "set_calendar", (REFERENCE, 0, _periods(campus, 1), from_epoch))
    for number in range(campus.genesis.authorities.quorum):
        campus.run(f"authority{number}", call.module, call.function, *call.arguments)
    return {"from_epoch": from_epoch + 200}


def _second_admin(campus: Campus) -> dict[str, cbor.Value]:
    return {"account": campus.people["admin2"].id}


_BEFORE: Final[dict[str, Callable[[Campus], dict[str, cbor.Value]]]] = {
    "money.transfer_from": _approve("money"),
    "money.decrease_allowance": _approve("money"),
    "grid.decrease_allowance": _approve("grid"),
    "grid.transfer": _keep_grid,
    "grid.retire": _keep_grid,
    "grid.transfer_from": _allow_grid,
    "governance.resume": _paused,
    "tariffs.end_calendar": _calendar,
    "registry.replace_meter_key": _revoked,
    "market.cancel_order": _order,
    "market.roll_over": _order,
    "oracle.fulfill_energy_data": _request,
    "oracle.request_data": _operators,
    "oracle.fulfill_data": _question,
    "registry.dismiss": _service,
    "registry.dismiss_admin": _second_admin,
    "registry.verify_user": _unverified,
    "registry.end_delegation": _delegated,
    "registry.reinstate_meter": _suspended,
    "registry.keep_key": _lost,
    "registry.rotate_meter_key": _new_meter_key,
}


# ---- arguments by name, or by call and name


def _fresh_key(campus: Campus, _: int) -> bytes:
    return campus.fresh().key.public_key


def _readings(campus: Campus, size: int) -> list[bytes]:
    return [campus.read(meter, campus.epoch) for meter in campus.meters[:size]]


def _periods(_: Campus, size: int) -> list[cbor.Value]:
    """Return *size* periods of ten minutes, one after the other."""
    starts = (divmod(10 * number, 60) for number in range(size))
    return [f"mon-sun {hour:02}:{minute:02}-{hour:02}:{minute + 9:02} 5800000/2400000" for hour, minute in starts]


_VALUES: Final[dict[str, Value]] = {
    "reference": lambda _, __: REFERENCE,
    "amount_aaip": lambda _, __: 1,
    "amount_agrid": lambda _, __: AGRID_PER_WH,
    "by_aaip": lambda _, __: 1,
    "by_agrid": lambda _, __: 1,
    "owner": lambda campus, _: campus.people["user0"].id,
    "registry.assign_meter:owner": lambda campus, _: campus.idle.id,
    "registry.link_accounts:account": lambda campus, _: campus.people["user0"].id,
    "authority": lambda campus, _: campus.fresh().id,
    "authorities.remove:authority": lambda campus, _: campus.people["authority3"].id,
    "public_key": _fresh_key,
    "account_key": _fresh_key,
    "agent_key": _fresh_key,
    "vote_key": _fresh_key,
    "cosign_key": _fresh_key,
    "log_key": _fresh_key,
    "name": lambda _, __: "market",
    "authorities.admit:name": lambda _, __: "newcomer",
    "governance.set_parameter:name": lambda _, __: "heartbeat_ms",
    "governance.set_parameter:value": lambda _, __: 60_000,
    "governance.upgrade:version": lambda _, __: 2,
    "rule": lambda _, __: "price-time",
    "from_height": lambda campus, _: campus.state.header.height + 1_000,
    "meter": lambda campus, _: campus.meters[0].id,
    "registry.assign_meter:meter": lambda campus, _: campus.fresh().id,
    "epoch": lambda campus, _: campus.epoch + 1,
    "until_epoch": lambda campus, _: campus.epoch + 10,
    "oracle.request_energy_data:epoch": lambda campus, _: campus.epoch - 1,
    "price_uaip_per_kwh": lambda _, __: _PRICE,
    "quantity_wh": lambda _, __: _ORDERED_WH,
    "is_kept": lambda _, __: True,
    "user_type": lambda _, __: "prosumer",
    "location": lambda _, __: "a",
    "site": lambda _, __: "a",
    "profile": lambda _, __: "eastron_sdm120",
    "rated_power_w": lambda _, __: 10_000,
    "can_export": lambda _, __: True,
    "reading": lambda campus, _: campus.read(campus.meters[0], campus.epoch),
    "readings": _readings,
    "anchors": lambda campus, size: campus.make_anchors(size),
    "for_meters": lambda campus, size: [meter.id for meter in campus.meters[:size]],
    "limit_aaip": lambda _, __: 10**18,
    "until_ms": lambda campus, _: campus.state.header.time_ms + 86_400_000,
    "key": lambda campus, _: keys.key_id(campus.meters[0].key.public_key),
    "utc_offset_min": lambda _, __: 0,
    "periods": _periods,
    "from_epoch": lambda campus, _: campus.epoch + 200,
    "topic": lambda _, __: "index",
    "value": lambda _, __: 1,
}  # fmt: skip
