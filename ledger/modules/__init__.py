"""The ledger's modules, in the order in which their genesis and hooks run.

`module` says what a module is; `accounts` and `meters` hold rows that several of them use.
"""

from __future__ import annotations

from typing import Final

from ledger.codes import Code, Refusal
from ledger.modules import anchors, authorities, grid, market, money, registry
from ledger.modules.module import CallDefinition, Module

MODULES: Final[tuple[Module, ...]] = (
    authorities.module,
    registry.module,
    money.module,
    grid.module,
    anchors.module,
    market.module,
)


_BY_NAME: Final = {module.name: module for module in MODULES}


def find_call(module: str, function: str) -> CallDefinition | Refusal:
    """Return the call `module.function`, or the refusal that says what does not exist."""
    part = _BY_NAME.get(module)
    if part is None:
        return Refusal(Code.UNKNOWN_MODULE, f"there is no module {module!r}")
    call = part.calls.get(function)
    return call or Refusal(Code.UNKNOWN_FUNCTION, f"module {module} has no call {function!r}")


def describe_calls() -> list[dict[str, object]]:
    """Return every call with its arguments, roles and documentation, as the API shows them."""
    return [
        {
            "module": call.module,
            "function": call.name,
            "arguments": [{"name": name, "kind": str(kind)} for name, kind in call.arguments],
            "roles": [str(role.name).lower() for role in call.roles],
            "documentation": call.documentation,
        }
        for part in MODULES
        for call in part.calls.values()
    ]
