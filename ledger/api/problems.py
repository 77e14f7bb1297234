"""Error answers: application/problem+json (RFC 9457) with a `code` that programs can act on."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE: Final = "application/problem+json"


class ProblemError(Exception):
    """Ends a request with an error answer."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


def not_found(code: str, detail: str) -> ProblemError:
    """Return the error for a thing that the ledger does not know."""
    return ProblemError(HTTPStatus.NOT_FOUND, code, detail)


def install(app: FastAPI) -> None:
    """Make *app* answer every error as a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return _answer(error.status, error.code, error.detail)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _answer(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_request", f"{place}: {first['msg']}")


async def _on_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return _answer(status, status.phrase.lower().replace(" ", "_"), str(error.detail))


def _answer(status: HTTPStatus, code: str, detail: str) -> JSONResponse:
    content = {
        "type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail, "code": code,
    }  # fmt: skip
    return JSONResponse(content, int(status), media_type=MEDIA_TYPE)
