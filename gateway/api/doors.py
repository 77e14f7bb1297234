"""What an operation of the API demands of who asks: one line at each operation, checked by a test for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from gateway.access.audit import Actor
from gateway.access.roles import Access, Permission
from gateway.api.gate import address_of


def require(permission: Permission, *, to_write: bool = False, is_open_here: bool = False) -> Any:
    """Return the dependency that gives an operation the `Access` of who asks, or refuses them.

    One that *is_open_here* answers this machine without a log-in too, where the gate let it through: with None.
    """

    def check(request: Request) -> Access | None:
        access = access_of(request)
        if access is None and is_open_here:
            return None
        if access is None:
            raise HTTPException(401, "log in at /login, or send an API key as `Authorization: Bearer`")
        if not access.may(permission):
            raise HTTPException(403, f"{access.name} is {access.role} here, which does not allow to {permission}")
        if to_write and access.is_read_only:
            raise HTTPException(403, f"{access.name} may read only")
        return access

    marked: Callable[..., Access | None] = check
    marked.permission = permission  # type: ignore[attr-defined]
    return Depends(marked)


def permission_of(route: APIRoute) -> Permission | None:
    """Return what *route* demands, or None where it is for everybody."""
    found = (getattr(needed.call, "permission", None) for needed in route.dependant.dependencies)
    return next((permission for permission in found if permission is not None), None)


def access_of(request: Request) -> Access | None:
    """Return who asks, as the gate found out."""
    found: Access | None = getattr(request.state, "access", None)
    return found


def actor_of(request: Request, access: Access) -> Actor:
    """Return who writes, for the audit log."""
    return Actor(access.name if access.is_key else f"person {access.name}", address_of(request.scope))
