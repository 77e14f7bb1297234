"""Many transactions in one request, for those who have many: a gateway after an outage, an import, a bench."""

from __future__ import annotations

import base64
import binascii
import hashlib
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ledger.api import resources
from ledger.api.limits import read_body
from ledger.api.parameters import documented_body
from ledger.api.problems import ProblemError
from ledger.api.source import Source
from ledger.node.admission import Admitted, Answer

MAX_TRANSACTIONS: Final = 500
MAX_BODY_BYTES: Final = 512 * 1024


class BulkBody(BaseModel):
    """What a client posts: transactions' envelopes in base64."""

    model_config = ConfigDict(extra="forbid", strict=True)
    transactions: list[str] = Field(min_length=1, max_length=MAX_TRANSACTIONS)


_BODY: Final = TypeAdapter(BulkBody)


def routes(source: Source) -> APIRouter:
    """Return the route of submissions in bulk."""
    router = APIRouter()

    @router.post("/transactions/bulk", status_code=HTTPStatus.ACCEPTED, openapi_extra=documented_body(BulkBody))
    async def submit_all(request: Request) -> resources.BulkSubmission:
        """Take in each transaction by itself; the answers stand in the order of the transactions."""
        raws = _decode(await read_body(request, MAX_BODY_BYTES))
        answers = await source.submit_all(raws)
        return resources.BulkSubmission(tuple(map(_show, raws, answers)))

    return router


def _show(raw: bytes, answer: Answer) -> resources.BulkAnswer:
    if isinstance(answer, Admitted):
        return resources.BulkAnswer(answer.id, None, None)
    return resources.BulkAnswer(hashlib.sha256(raw).digest(), answer.code.name.lower(), answer.text)


def _decode(body: bytes) -> list[bytes]:
    try:
        return [base64.b64decode(one, validate=True) for one in _BODY.validate_json(body).transactions]
    except (ValidationError, binascii.Error) as error:
        text = (
            "the body is no submission in bulk: give an object with the one key `transactions`, a list of"
            f" 1 to {MAX_TRANSACTIONS} envelopes in base64"
        )
        raise ProblemError(HTTPStatus.BAD_REQUEST, "bad_request", text) from error
