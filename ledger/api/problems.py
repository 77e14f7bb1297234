"""Error answers: application/problem+json (RFC 9457) with a `code` that programs can act on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ledger.api.resources import Problem

MEDIA_TYPE: Final = "application/problem+json"

log = structlog.get_logger("api")


class ProblemError(Exception):
    """Ends a request with an error answer; `retry_after_s` is when to ask again, where asking again helps."""

    def __init__(self, status: HTTPStatus, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


def documented() -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of every operation's errors."""
    schema = TypeAdapter(Problem).json_schema()
    return {"default": {"description": "A problem (RFC 9457)", "content": {MEDIA_TYPE: {"schema": schema}}}}


def not_found(code: str, detail: str) -> ProblemError:
    """Return the error for a thing that the ledger does not know."""
    return ProblemError(HTTPStatus.NOT_FOUND, code, detail)


def pruned(detail: str) -> ProblemError:
    """Return the error for a thing that the ledger knows and this node has given up, or never had."""
    return ProblemError(HTTPStatus.GONE, "pruned", detail)


def install(app: FastAPI) -> None:
    """Make *app* answer every error as a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_fault)


async def _on_gone(_request: Request, _error: Exception) -> Response:
    """Say nothing to a client that went before its body was there: nobody hears it, and it is no fault of the node."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def describe(problem: ProblemError) -> dict[str, Any]:
    """Return *problem* as RFC 9457 has it."""
    status = problem.status
    return {
        "type": "about:blank", "title": status.phrase, "status": int(status), "detail": problem.detail,
        "code": problem.code,
    }  # fmt: skip


def answer(problem: ProblemError) -> JSONResponse:
    """Return the answer that says *problem*."""
    headers = None if problem.retry_after_s is None else {"retry-after": str(problem.retry_after_s)}
    return JSONResponse(describe(problem), int(problem.status), headers, MEDIA_TYPE)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return answer(error)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return answer(ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_request", f"{place}: {first['msg']}"))


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    shown = answer(ProblemError(status, status.phrase.lower().replace(" ", "_"), str(error.detail)))
    shown.headers.update(error.headers or {})
    return shown


async def _on_fault(request: Request, error: Exception) -> JSONResponse:
    """A mistake of ours: the log has it whole, the client learns that it is not theirs."""
    log.error("a request failed", path=request.url.path, exc_info=error)
    text = "the node made a mistake; ask another one, and tell its operator, whose log has the cause"
    return answer(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", text))
