"""Each error becomes the problem that says whose it is."""

from __future__ import annotations

import sqlite3

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.problems import MEDIA_TYPE, RESPONSES, add_handlers
from gateway.errors import AccessError, BusyError, ForbiddenError, UnknownError


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (AccessError("choose another"), 422, "choose another"),
        (ForbiddenError("not for you"), 403, "not for you"),
        (UnknownError("there is nobody"), 404, "there is nobody"),
        (BusyError("try again"), 503, "try again"),
        (sqlite3.OperationalError("database or disk is full"), 503, "the database refuses: database or disk is full"),
        (ZeroDivisionError("secret"), 500, "the gateway failed at this request; its log says why"),
    ],
)
async def test_an_error_is_answered_as_the_problem_that_it_is(error: Exception, status: int, said: str) -> None:
    application = FastAPI()
    add_handlers(application)

    @application.get("/")
    async def fail() -> None:
        raise error

    served = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=served, base_url="http://gateway") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE)
    assert answer.json()["detail"].startswith(said)
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    assert status in RESPONSES
