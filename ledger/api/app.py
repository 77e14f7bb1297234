"""The application of the ledger's API: every subject's routes, one form of error, limits on everything."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from ledger.api import accounts, blocks, bulk, epochs, events, log, proofs, queries, stream, transactions
from ledger.api.limits import Limits
from ledger.api.problems import documented, install
from ledger.api.source import Source
from ledger.node.addresses import ApiSettings

DESCRIPTION: Final = """Ids, hashes and keys are lower-case hex, amounts of base units are strings of digits.

The WebSocket /v1/stream follows events, heads and receipts; ledger/README.md has its messages. What was measured at a
meter is shown to its owner, who says so by `Authorization: Pass BASE64` (ledger/viewing_pass.py).
"""


def make_app(source: Source, settings: ApiSettings | None = None) -> FastAPI:
    """Return the API that *source* answers: reading and submitting, nothing that is the operator's alone.

    Without *settings*, no address is held to a rate and no web page of elsewhere is let in.
    """
    app = FastAPI(
        title="campusgrid ledger", description=DESCRIPTION, docs_url=None, redoc_url=None, responses=documented()
    )
    install(app)
    for subject in (blocks, transactions, bulk, accounts, epochs, queries, log, proofs, events, stream):
        app.include_router(subject.routes(source), prefix="/v1")
    origins = settings.cors if settings else ()
    app.add_middleware(Limits, requests_per_s=settings.requests_per_s if settings else None, origins=origins)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"])
    return app
