"""Routes of a running node's own condition: how it is, its metrics, and what keeps it from deciding."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ledger.api import metrics
from ledger.api.block_result import BlockResult
from ledger.api.condition import Condition, Health
from ledger.api.parameters import Height
from ledger.api.results import list_results
from ledger.node.condition import describe_condition
from ledger.node.health import describe_health
from ledger.node.service import Node


def routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/condition")
    async def read_condition() -> Condition:
        return describe_condition(node)

    @router.get("/health")
    async def read_health() -> Health:
        return await describe_health(node)

    @router.get("/blocks/{height}/results")
    async def read_results(height: Height) -> dict[str, list[BlockResult]]:
        return {"results": list(list_results(node, height))}

    @router.get("/metrics")
    async def read_metrics() -> Response:
        return Response(await metrics.render(node), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
