"""The ledger's modules, in the order in which their genesis and hooks run.

`module` says what a module is and `kinds` what its arguments are; `accounts`, `meters` and `requests` hold rows that
several of them use, `approvals` has decisions made by Q authorities. A new module is one file, and a line here.
"""

from __future__ import annotations

from typing import Final

from ledger.codes import Code, Refusal
from ledger.genesis import Role
from ledger.modules import anchors, authorities, governance, grid, market, money, oracle, registry, resumption, tariffs
from ledger.modules.module import CallDefinition, Module, QueryDefinition

MODULES: Final[tuple[Module, ...]] = (
    governance.module,
    authorities.module,
    registry.module,
    money.module,
    grid.module,
    anchors.module,
    tariffs.module,
    market.module,
    oracle.module,
    resumption.module,
)


_BY_NAME: Final = {module.name: module for module in MODULES}


def find_call(module: str, function: str) -> CallDefinition | Refusal:
    """Return the call `module.function`, or the refusal that says what does not exist."""
    part = _BY_NAME.get(module)
    if part is None:
        return Refusal(Code.UNKNOWN_MODULE, f"there is no module {module!r}")
    call = part.calls.get(function)
    return call or Refusal(Code.UNKNOWN_FUNCTION, f"module {module} has no call {function!r}")


def find_query(module: str, name: str) -> QueryDefinition | Refusal:
    """Return the query `module.name`, or the refusal that says what does not exist."""
    part = _BY_NAME.get(module)
    if part is None:
        return Refusal(Code.UNKNOWN_MODULE, f"there is no module {module!r}")
    query = part.queries.get(name)
    return query or Refusal(Code.UNKNOWN_FUNCTION, f"module {module} has no query {name!r}")


def describe_calls() -> list[dict[str, object]]:
    """Return every call with its arguments, roles, whether it is free, and documentation, as the API shows them."""
    return [
        {
            "module": call.module,
            "function": call.name,
            "arguments": [{"name": name, "kind": str(kind)} for name, kind in call.arguments],
            "roles": [str(role.name).lower() for role in Role if role in call.roles],
            "is_free": call.is_free,
            "documentation": call.documentation,
        }
        for part in MODULES
        for call in part.calls.values()
    ]


def describe_queries() -> list[dict[str, object]]:
    """Return every query with its arguments and documentation, as the API shows them."""
    return [
        {
            "module": query.module,
            "name": query.name,
            "arguments": [{"name": name, "kind": str(kind)} for name, kind in query.arguments],
            "documentation": query.documentation,
        }
        for part in MODULES
        for query in part.queries.values()
    ]
