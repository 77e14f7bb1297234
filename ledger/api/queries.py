"""Routes that come from the modules' declarations: calls and queries."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request

from ledger.api import views
from ledger.api.access import Viewer, find_viewer
from ledger.api.problems import ProblemError, not_found
from ledger.api.source import Source
from ledger.codes import Refusal
from ledger.modules import describe_calls, describe_queries, find_query
from ledger.modules.module import QueryDefinition
from ledger.node.chain import Chain


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/calls")
    async def list_calls() -> dict[str, list[dict[str, object]]]:
        return {"calls": describe_calls()}

    @router.get("/queries")
    async def list_queries() -> dict[str, list[dict[str, object]]]:
        return {"queries": describe_queries()}

    @router.get("/queries/{module}/{name}")
    async def query(module: str, name: str, request: Request) -> dict[str, Any]:
        definition = find_query(module, name)
        if isinstance(definition, Refusal):
            raise not_found(definition.code.name.lower(), definition.text)
        arguments = _read_arguments(definition, request)
        height, answer = await source.ledger.run(lambda chain: _ask(chain, definition, arguments))
        if Viewer().answered(answer) is not answer:
            answer = (await find_viewer(source, request.headers)).answered(answer)
        return {"height": height, "result": views.show_answer(definition, answer)}

    return router


def _read_arguments(definition: QueryDefinition, request: Request) -> tuple[Any, ...]:
    """Return the arguments that the query string writes, by name."""
    given, names = dict(request.query_params), [name for name, _ in definition.arguments]
    if sorted(given) != sorted(names) or len(request.query_params.multi_items()) != len(names):
        text = f"{definition.module}.{definition.name} takes exactly: {', '.join(names) or 'nothing'}"
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_arguments", text)
    values: list[Any] = []
    for name, kind in definition.arguments:
        try:
            values.append(kind.parse(given[name]))
        except ValueError as error:
            text = f"{name} is {kind}, not {given[name][:40]!r}"
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_arguments", text) from error
    return tuple(values)


def _ask(chain: Chain, definition: QueryDefinition, arguments: tuple[Any, ...]) -> tuple[int, Any]:
    look = chain.runtime.look(chain.state)
    answer = definition.ask(look, arguments)
    if isinstance(answer, Refusal):
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, answer.code.name.lower(), answer.text)
    return look.height, answer
