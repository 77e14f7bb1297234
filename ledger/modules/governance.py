"""Governance: what the authorities decide together about the rules themselves (each by Q approvals, see `approvals`).

Parameters change and protocol versions are taken up at a height agreed beforehand, so that every node does it in the
same block; the version of a block stands in its header, and a program that does not know it goes no further. A paused
module takes no calls and runs no hooks; what was due is made up for once it is resumed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from ledger import block, cbor
from ledger.codes import Code, Refusal
from ledger.genesis import Genesis, GenesisError, Parameters
from ledger.modules.approvals import DECISIONS, decision, list_decisions
from ledger.modules.kinds import Height, Integer, Label
from ledger.modules.module import Context, Look, Module
from ledger.state import Reader, Table

ALWAYS_ON: Final = ("authorities", "governance", "tariffs")
"""Modules that cannot be paused: nothing could be resumed without them, or no agreed tariff would take effect."""
FIXED_PARAMETERS: Final = ("epoch_s",)
"""Epochs are numbered by their length: it can never change on a chain."""
MIN_NOTICE_BLOCKS: Final = 10
MAX_NOTICE_BLOCKS: Final = 10**7
MAX_SCHEDULED_CHANGES: Final = 64
MAX_VERSION: Final = 2**16 - 1
_HEIGHT_BYTES: Final = 8
_PROTOCOL_KEY: Final = b"protocol"

Version = Annotated[int, Integer(1, MAX_VERSION)]
ParameterValue = Annotated[int, Integer(0, cbor.MAX_INTEGER)]


@dataclass(frozen=True, slots=True)
class Paused:
    """A module, by its name, that takes no calls."""

    since_height: int


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter's value where it is no longer that of the genesis: under its name, or height ‖ name if still due."""

    value: int | str


@dataclass(frozen=True, slots=True)
class Protocol:
    """The protocol version in force, and the one from `next_height` on (0: none is agreed)."""

    version: int
    next_version: int
    next_height: int


PAUSED: Final = Table("governance.paused", Paused)
PARAMETERS: Final = Table("governance.parameters", Value)
SCHEDULED: Final = Table("governance.scheduled", Value)
PROTOCOL: Final = Table("governance.protocol", Protocol)

module = Module("governance", tables=(DECISIONS, PAUSED, PARAMETERS, SCHEDULED, PROTOCOL))


@decision(module)
def pause(context: Context, name: Label) -> Refusal | None:
    """Stop the calls and hooks of a module, in an emergency.

    Modules authorities, governance and tariffs cannot be paused: their calls are decisions of the same quorum.
    """
    if not _is_pausable(name):
        return Refusal(Code.NOT_PAUSABLE, f"module {name} cannot be paused")
    if is_paused(context.state, name):
        return Refusal(Code.MODULE_PAUSED, f"module {name} is paused already")
    context.state.put(PAUSED, name.encode(), Paused(context.height))
    context.emit("governance", "paused", name=name)
    return None


@decision(module)
def resume(context: Context, name: Label) -> Refusal | None:
    """Let a paused module go on; its hooks make up for what was due meanwhile."""
    if not is_paused(context.state, name):
        return Refusal(Code.NOT_PAUSED, f"module {name!r} is not paused")
    context.state.delete(PAUSED, name.encode())
    context.emit("governance", "resumed", name=name)
    return None


@decision(module)
def set_parameter(context: Context, name: Label, value: ParameterValue, from_height: Height) -> Refusal | None:
    """Change a numeric parameter from block *from_height* on. See the genesis for names, units and ranges."""
    return _schedule(context, name, value, from_height)


@decision(module)
def set_clearing_rule(context: Context, rule: Label, from_height: Height) -> Refusal | None:
    """Change how the margin is shared from block *from_height* on: pro-rata or price-time."""
    return _schedule(context, "clearing_rule", rule, from_height)


@decision(module)
def upgrade(context: Context, version: Version, from_height: Height) -> Refusal | None:
    """Take up a protocol version at block *from_height*; programs that do not know it stop there. The last one holds.

    Give notice: every authority must have installed the release by then.
    """
    current = version_at(context.state, context.height)
    if version <= current:
        return Refusal(Code.VERSION_NOT_NEWER, f"version {version} is not newer than {current}")
    refusal = _refuse_height(context, from_height)
    if refusal is None:
        context.state.put(PROTOCOL, _PROTOCOL_KEY, Protocol(current, version, from_height))
        context.emit("governance", "upgrade_agreed", version=version, from_height=from_height)
    return refusal


@module.query()
def list_open_decisions(look: Look) -> list[dict[str, Any]]:
    """Return what the authorities are deciding on and have decided lately, with who approved. Times in ms."""
    return [
        {
            "call": row.call,
            "reference": row.reference,
            "arguments": cbor.decode(row.arguments),
            "opened_at_ms": row.opened_at_ms,
            "approved_by": list(row.approved_by),
            "decided_at": row.decided_at or None,
        }
        for row in list_decisions(look.state, look.time_ms)
    ]


@module.query()
def list_parameters(look: Look) -> dict[str, Any]:
    """Return the parameters in force, and the changes that are agreed for a later height."""
    scheduled = [
        {"name": name, "value": row.value, "from_height": height} for height, name, row in _scheduled(look.state)
    ]
    current = {name: getattr(look.parameters, name) for name in Parameters.__dataclass_fields__}
    return {"parameters": current, "scheduled": scheduled}


@module.query()
def read_protocol(look: Look) -> dict[str, Any]:
    """Return the protocol version of the next block, and what is agreed for a later one."""
    row = _protocol(look.state)
    is_ahead = row.next_height > look.height + 1
    return {
        "version": look.version,
        "next_version": row.next_version if is_ahead else None,
        "from_height": row.next_height if is_ahead else None,
    }


@module.query()
def list_paused(look: Look) -> list[str]:
    """Return the names of the modules that are paused."""
    return [key.decode() for key, _ in look.state.scan(PAUSED)]


def is_paused(view: Reader, name: str) -> bool:
    """Tell whether the module *name* takes no calls and runs no hooks now."""
    return name not in ALWAYS_ON and view.get(PAUSED, name.encode()) is not None


def parameters_in_force(view: Reader, genesis: Genesis) -> Parameters:
    """Return the parameters of the next block: those of the genesis, but for what was decided since."""
    changed: dict[str, Any] = {key.decode(): row.value for key, row in view.scan(PARAMETERS)}
    return replace(genesis.parameters, **changed) if changed else genesis.parameters


def version_at(view: Reader, height: int) -> int:
    """Return the protocol version that block *height* must have, as agreed so far."""
    row = _protocol(view)
    return row.next_version if row.next_height and height >= row.next_height else row.version


def _is_pausable(name: str) -> bool:
    from ledger.modules import MODULES  # noqa: PLC0415 - the list of modules has this one in it

    return name not in ALWAYS_ON and any(module.name == name for module in MODULES)


def _protocol(view: Reader) -> Protocol:
    return view.get(PROTOCOL, _PROTOCOL_KEY) or Protocol(block.VERSION, 0, 0)


def _schedule(context: Context, name: str, value: int | str, from_height: int) -> Refusal | None:
    refusal = _refuse_height(context, from_height) or _refuse_value(context.parameters, name, value)
    if refusal is not None:
        return refusal
    if sum(1 for _ in context.state.scan(SCHEDULED)) >= MAX_SCHEDULED_CHANGES:
        return Refusal(Code.TOO_MANY_DECISIONS, f"{MAX_SCHEDULED_CHANGES} changes of parameters wait already")
    context.state.put(SCHEDULED, from_height.to_bytes(_HEIGHT_BYTES, "big") + name.encode(), Value(value))
    context.emit("governance", "parameter_agreed", name=name, value=value, from_height=from_height)
    return None


def _refuse_height(context: Context, from_height: int) -> Refusal | None:
    lowest, highest = context.height + MIN_NOTICE_BLOCKS, context.height + MAX_NOTICE_BLOCKS
    if not lowest <= from_height <= highest:
        return Refusal(Code.WRONG_NOTICE, f"height {from_height} is not in {lowest} to {highest}")
    return None


def _refuse_value(parameters: Parameters, name: str, value: int | str) -> Refusal | None:
    if name not in Parameters.__dataclass_fields__ or name in FIXED_PARAMETERS:
        return Refusal(Code.BAD_PARAMETER, f"{name!r} is no parameter that can change")
    changes: dict[str, Any] = {name: value}
    try:
        replace(parameters, **changes)
    except GenesisError as error:
        return Refusal(Code.BAD_PARAMETER, str(error))
    return None


def _scheduled(view: Reader) -> list[tuple[int, str, Value]]:
    return [
        (int.from_bytes(key[:_HEIGHT_BYTES], "big"), key[_HEIGHT_BYTES:].decode(), row)
        for key, row in view.scan(SCHEDULED)
    ]


def _begin(context: Context) -> None:
    """Take up the parameters agreed for this height; one that no longer fits the others is dropped, and said."""
    for height, name, row in _scheduled(context.state):
        if height > context.height:
            break
        context.state.delete(SCHEDULED, height.to_bytes(_HEIGHT_BYTES, "big") + name.encode())
        refusal = _refuse_value(context.parameters, name, row.value)
        if refusal is None:
            context.state.put(PARAMETERS, name.encode(), row)
            context.parameters = parameters_in_force(context.state, context.genesis)
        outcome = "parameter_changed" if refusal is None else "parameter_dropped"
        context.emit("governance", outcome, name=name, value=row.value)


module.begin = _begin
