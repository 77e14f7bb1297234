"""The API: which operations there are, behind one gate, described by OpenAPI; errors as problem details (RFC 9457)."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.roles import PERMISSIONS, Permission, Role
from gateway.api import accounts, alarms, anchors, entrance, export, operations, readings, stream
from gateway.api.cursors import Cursors
from gateway.api.doors import permission_of
from gateway.api.gate import Gate, cookie_name
from gateway.api.parameters import refuse_unknown
from gateway.api.problems import RESPONSES, add_handlers
from gateway.api.stream import Streams
from gateway.readings.faults import Faults
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings

METHODS: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_ABOUT: Final = """Meters, readings, intervals and what was refused. Energy in Wh, power in W, times in Unix
seconds, ids in lower-case hex.

Log in with a session (`POST /api/session`) or send an API key as `Authorization: Bearer cgk_…`. A role sees what it
may: a tenant the own meters alone. Lists come in pages: `next` is the `after` (or `before`) of the next page, null at
the end. Errors are problem details (RFC 9457)."""


def make_application(overview: Overview, door: Doorkeeper, settings: ApiSettings) -> FastAPI:
    """Return the API over *overview*; who may use it, *door* knows."""
    application = FastAPI(
        title="campusgrid gateway", description=_ABOUT, docs_url=None, redoc_url=None, responses=RESPONSES,
        dependencies=[Depends(refuse_unknown)],
    )  # fmt: skip
    add_handlers(application)
    cursors, faults = Cursors(door.secret), Faults(overview)
    operations.add(application, overview, door, faults)
    alarms.add(application, overview)
    readings.add(application, overview, cursors)
    anchors.add(application, overview)
    export.add(application, overview, cursors)
    application.state.streams = Streams(overview, cursors, faults, door, settings)
    stream.add(application, application.state.streams)
    accounts.add(application, overview, door, settings)
    entrance.add(application, door, settings)
    _add_fallback(application)
    application.add_middleware(Gate, door=door, settings=settings)
    application.openapi = lambda: _describe(application, settings)  # type: ignore[method-assign]
    return application


def _add_fallback(application: FastAPI) -> None:
    """Answer unknown addresses below /api as problems; the dashboard's own not-found page is for people."""

    @application.api_route("/api/{rest:path}", methods=METHODS, include_in_schema=False)
    async def unknown(request: Request, rest: str) -> Response:
        raise HTTPException(404, f"there is no {request.method} /api/{rest}; GET /openapi.json lists what there is")


def _describe(application: FastAPI, settings: ApiSettings) -> dict[str, Any]:
    """Return the OpenAPI document, with the two ways to log in and the roles that each operation is for."""
    if application.openapi_schema is None:
        schema = get_openapi(
            title=application.title, version="1", description=application.description, routes=application.routes
        )
        schema.setdefault("components", {})["securitySchemes"] = {
            "session": {"type": "apiKey", "in": "cookie", "name": cookie_name(settings)},
            "key": {"type": "http", "scheme": "bearer"},
        }
        schema["security"] = [{"session": []}, {"key": []}]
        for route in application.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                for method in route.methods or ():
                    _tell_roles(schema["paths"][route.path][method.lower()], permission_of(route))
        application.openapi_schema = schema
    return application.openapi_schema


def _tell_roles(operation: dict[str, Any], permission: Permission | None) -> None:
    """Add to the description of *operation* for whom it is: as text, and as `x-roles` for programs."""
    roles = [role for role in Role if permission is None or permission in PERMISSIONS[role]]
    operation["x-roles"] = [str(role) for role in roles]
    told = "everybody" if permission is None else ", ".join(roles)
    operation["description"] = f"{operation['description']}\n\nFor: {told}."
