"""Routes of a running node's own condition: what keeps it from deciding."""

from __future__ import annotations

from fastapi import APIRouter

from ledger.api.condition import Condition
from ledger.node.condition import describe_condition
from ledger.node.service import Node


def routes(node: Node) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/condition")
    async def read_condition() -> Condition:
        return describe_condition(node)

    return router
