"""Routes of transactions: submit one, ask what became of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ledger.api import resources, views
from ledger.api.access import find_viewer
from ledger.api.limits import read_body
from ledger.api.parameters import Hash, documented_body
from ledger.api.problems import ProblemError
from ledger.api.source import Source
from ledger.codes import Refusal
from ledger.node.admission import Admitted
from ledger.rehearsal import rehearse
from ledger.transaction import MAX_TRANSACTION_BYTES

MAX_BODY_BYTES: Final = MAX_TRANSACTION_BYTES * 4 // 3 + 1024


class SubmissionBody(BaseModel):
    """What a client posts: a transaction's envelope in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)
    transaction: str


_SUBMISSION: Final = TypeAdapter(SubmissionBody)


def routes(source: Source) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post("/transactions", status_code=HTTPStatus.ACCEPTED, openapi_extra=documented_body(SubmissionBody))
    async def submit(request: Request) -> resources.Submission:
        raw = _decode_submission(await read_body(request, MAX_BODY_BYTES))
        answer = await source.submit(raw)
        if isinstance(answer, Admitted):
            return resources.Submission(answer.id, "pending")
        known = hashlib.sha256(raw).digest()  # submitted again after it became final: not an error
        if await source.disk.read(lambda store: store.result(known)) is not None:
            return resources.Submission(known, "final")
        code = answer.code.name.lower()
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, code, answer.text)

    @router.post("/transactions/dry-run", openapi_extra=documented_body(SubmissionBody))
    async def dry_run(request: Request) -> resources.DryRun:
        raw = _decode_submission(await read_body(request, MAX_BODY_BYTES))
        now_ms = time.time_ns() // 10**6
        answer = await source.ledger.run(lambda chain: rehearse(chain.runtime, chain.state, raw, now_ms))
        if isinstance(answer, Refusal):
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, answer.code.name.lower(), answer.text)
        return views.show_rehearsal(answer)

    @router.get("/transactions/{transaction_id}")
    async def read_transaction(request: Request, transaction_id: Hash) -> resources.Receipt:
        wanted = bytes.fromhex(transaction_id)
        result = await source.disk.read(lambda store: store.result(wanted))
        if result is not None:
            return views.show_receipt(result, await find_viewer(source, request.headers))
        return resources.Receipt(wanted, "pending" if await source.is_waiting(wanted) else "unknown")

    return router


def _decode_submission(body: bytes) -> bytes:
    try:
        return base64.b64decode(_SUBMISSION.validate_json(body).transaction, validate=True)
    except (ValidationError, binascii.Error) as error:
        text = "the body is no submission: give an object with the one key `transaction`, base64 of an envelope"
        raise ProblemError(HTTPStatus.BAD_REQUEST, "bad_request", text) from error
