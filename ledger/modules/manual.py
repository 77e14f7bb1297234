"""The manual of the modules' calls and queries, written from their declarations and docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from textwrap import indent
from typing import Any

Description = Mapping[str, Any]


def write_manual(calls: Iterable[Description], queries: Iterable[Description]) -> str:
    """Return the text for what `describe_calls` and `describe_queries` return."""
    return "\n".join([*map(_write_call, calls), *map(_write_query, queries)])


def _write_call(call: Description) -> str:
    who = "accounts with the role " + " or ".join(call["roles"]) if call["roles"] else "any account but agents"
    fee = ", free of fees" if call["is_free"] else ""
    return _write(f"call {call['module']}.{call['function']}", f"for {who}{fee}", call)


def _write_query(query: Description) -> str:
    return _write(f"query {query['module']}.{query['name']}", "for everybody who may read the node's API", query)


def _write(title: str, who: str, description: Description) -> str:
    arguments = [f"{one['name']}: {one['kind']}" for one in description["arguments"]]
    text = "\n".join([who, *arguments, "", description["documentation"]])
    return f"{title}\n{indent(text, '    ')}\n"
