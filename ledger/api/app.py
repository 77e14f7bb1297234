"""The application of the ledger's API: every subject's routes, one form of error."""

from __future__ import annotations

from fastapi import FastAPI

from ledger.api import accounts, blocks, bulk, epochs, log, proofs, queries, transactions
from ledger.api.problems import install
from ledger.api.source import Source


def make_app(source: Source) -> FastAPI:
    """Return the API that *source* answers: reading and submitting, nothing that is the operator's alone."""
    app = FastAPI(title="campusgrid ledger", docs_url=None, redoc_url=None)
    install(app)
    for subject in (blocks, transactions, bulk, accounts, epochs, queries, log, proofs):
        app.include_router(subject.routes(source), prefix="/v1")
    return app
