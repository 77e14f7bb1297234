"""Errors as problem details (RFC 9457): what was wrong, and what to do about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gateway.errors import AccessError, BusyError, ForbiddenError, UnknownError

MEDIA_TYPE: Final = "application/problem+json"
log = structlog.get_logger()


class Problem(BaseModel):
    """An error, by RFC 9457: `detail` says what happened and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


_MEANINGS: Final = {
    401: "Not logged in, or the session or key does not hold (any more).",
    403: "The role does not allow this, or the request comes from another site.",
    404: "There is no such thing, or none that this role sees.",
    408: "The request's body did not come in time.",
    413: "The body is larger than any request needs.",
    422: "The request is not well-formed; the detail names the parameter.",
    429: "Too many requests; Retry-After says when to try again.",
    431: "Address and headers are larger than any request needs.",
    500: "The gateway failed; its log says why.",
    503: "Busy, or the database cannot be written; Retry-After says when to try again.",
}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
    for status, text in _MEANINGS.items()
}
"""For the OpenAPI document: what every operation may answer."""


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as a response."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(content.model_dump(), status, headers, media_type=MEDIA_TYPE)


def too_many(wait_s: float) -> Response:
    """Return the answer to one who asks too often."""
    seconds = int(wait_s) + 1
    return problem(429, f"too many requests; try again in {seconds} s", {"Retry-After": str(seconds)})


def add_handlers(application: FastAPI) -> None:
    """Have *application* answer its errors as problems."""
    application.add_exception_handler(HTTPException, _answer_refusal)
    application.add_exception_handler(RequestValidationError, _answer_invalid)
    application.add_exception_handler(AccessError, _answer_access)
    application.add_exception_handler(ForbiddenError, _answer_forbidden)
    application.add_exception_handler(UnknownError, _answer_unknown)
    application.add_exception_handler(BusyError, _answer_busy)
    application.add_exception_handler(sqlite3.OperationalError, _answer_unwritable)
    application.add_exception_handler(Exception, _answer_fault)


async def _answer_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), error.headers)


async def _answer_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}")


async def _answer_access(_request: Request, error: Exception) -> Response:
    return problem(422, str(error))


async def _answer_forbidden(_request: Request, error: Exception) -> Response:
    return problem(403, str(error))


async def _answer_unknown(_request: Request, error: Exception) -> Response:
    return problem(404, str(error))


async def _answer_unwritable(request: Request, error: Exception) -> Response:
    """Answer where the database refuses: with a full disk nothing is written that the audit log could not tell of."""
    log.warning("a request could not be written", path=request.url.path, cause=str(error))
    detail = f"the database refuses: {error}; is the disk full? campusgrid doctor --config gateway.toml says more"
    return problem(503, detail, {"Retry-After": "60"})


async def _answer_busy(_request: Request, error: Exception) -> Response:
    return problem(503, str(error), {"Retry-After": "3"})


async def _answer_fault(request: Request, error: Exception) -> Response:
    log.error("a request failed", path=request.url.path, cause=repr(error))
    return problem(500, "the gateway failed at this request; its log says why")
