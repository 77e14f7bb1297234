"""Routes of a running node's own condition: how it is, its metrics, and what keeps it from deciding."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ledger.api import metrics
from ledger.api.access import find_viewer
from ledger.api.block_result import BlockResult
from ledger.api.condition import Condition, Health
from ledger.api.parameters import Height
from ledger.api.problems import ProblemError
from ledger.api.results import list_results
from ledger.api.source import Source
from ledger.node.reporting.condition import describe_condition
from ledger.node.reporting.health import describe_health
from ledger.node.service import Node


def routes(node: Node, source: Source) -> APIRouter:
    """Return the routes; *source* says whom rows of the state are shown to: there are intervals among them."""
    router = APIRouter()

    @router.get("/condition")
    async def read_condition() -> Condition:
        return describe_condition(node)

    @router.get("/health")
    async def read_health() -> Health:
        return await describe_health(node)

    @router.get("/blocks/{height}/results")
    async def read_results(request: Request, height: Height) -> dict[str, list[BlockResult]]:
        if not (await find_viewer(source, request.headers)).sees_all:
            text = "what a block changed is shown to authorities and admins: show a viewing pass (`--account`, `--key`)"
            raise ProblemError(HTTPStatus.FORBIDDEN, "not_yours", text)
        return {"results": list(list_results(node, height))}

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(await metrics.render(node), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
