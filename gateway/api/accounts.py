"""Operations on sessions, people, API keys and the audit log. Every write is audited in its own transaction."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.issuing import allow_scope, keys_of, owner_of_new, require_owner
from gateway.access.keys import DEFAULT_DAYS, MAX_DAYS, MAX_METERS, Key, Scope
from gateway.access.passwords import MAX_CHARACTERS
from gateway.access.people import MAX_NAME, Person, require_another
from gateway.access.roles import Access, Permission, Role
from gateway.api.doors import access_of, actor_of, require
from gateway.api.entrance import clear_cookie, set_cookie
from gateway.api.gate import address_of
from gateway.api.parameters import Before, Limit
from gateway.api.problems import too_many
from gateway.readings.overview import Overview
from gateway.settings import ApiSettings, Identifier


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credentials(_Body):
    """Who wants to log in."""

    name: Annotated[str, Field(max_length=MAX_NAME)]
    password: Annotated[str, Field(max_length=MAX_CHARACTERS)]


class NewPerson(_Body):
    """Somebody to add; `account` is the ledger account of a tenant, and of nobody else."""

    name: Annotated[str, Field(max_length=MAX_NAME)]
    role: Role
    account: Identifier | None = None


class NewRole(_Body):
    """Another role for somebody; `account` is the ledger account of a tenant, and of nobody else."""

    role: Role
    account: Identifier | None = None


class NewKey(_Body):
    """An API key to make. Only an admin gives another role than the own one, and `account`, a tenant's."""

    name: Annotated[str, Field(max_length=MAX_NAME)]
    role: Role | None = None
    account: Identifier | None = None
    meters: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_METERS)] | None = None
    read_only: bool = True
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] = DEFAULT_DAYS

    def scope(self, access: Access) -> Scope:
        """Return what is asked for by *access*."""
        meters = None if self.meters is None else frozenset(bytes.fromhex(meter) for meter in self.meters)
        account = None if self.account is None else bytes.fromhex(self.account)
        return Scope(self.name, self.role or access.role, account, meters, self.read_only, self.days)


def add(application: FastAPI, overview: Overview, door: Doorkeeper, settings: ApiSettings) -> None:
    """Add the operations to *application*."""
    _add_session(application, door, settings)
    _add_people(application, overview, door, settings)
    _add_keys(application, overview, door)
    _add_audit(application, door)


def _add_session(application: FastAPI, door: Doorkeeper, settings: ApiSettings) -> None:
    @application.get("/api/session", tags=["session"])
    async def who_am_i(request: Request) -> dict[str, Any]:
        """Who is logged in, with which role and permissions."""
        access = access_of(request)
        if access is None:
            raise HTTPException(401, "nobody is logged in; POST name and password here, or send an API key")
        return {"name": access.name, "role": access.role, "permissions": sorted(one.name for one in access.permissions)}

    @application.post("/api/session", tags=["session"], status_code=201)
    async def log_in(request: Request, credentials: Credentials) -> Response:
        """Log in; the answer sets the session's cookie. What was wrong is not told: name or password."""
        address = address_of(request.scope)
        if wait_s := door.must_wait_to_log_in(address):
            return too_many(wait_s)
        token = await door.log_in(credentials.name, credentials.password, address)
        if token is None:
            raise HTTPException(401, "name or password is wrong")
        answer = JSONResponse({"name": credentials.name.casefold()}, 201)
        set_cookie(answer, token, settings)
        return answer

    @application.delete("/api/session", tags=["session"], status_code=204)
    async def log_out(request: Request) -> Response:
        """End the session."""
        access = access_of(request)
        if access is None or access.session is None:
            raise HTTPException(401, "there is no session to end")
        await door.sessions.close(access, address_of(request.scope))
        answer = Response(status_code=204)
        clear_cookie(answer, settings)
        return answer


def _add_people(application: FastAPI, overview: Overview, door: Doorkeeper, settings: ApiSettings) -> None:
    @application.get("/api/people", tags=["people"])
    async def people(_access: Access = require(Permission.PEOPLE)) -> dict[str, Any]:
        """Everybody who may log in."""
        return {"people": [_describe_person(person) for person in await door.people.all()]}

    @application.post("/api/people", tags=["people"], status_code=201)
    async def add_person(
        request: Request, new: NewPerson, access: Access = require(Permission.PEOPLE, to_write=True)
    ) -> dict[str, Any]:
        """Add somebody; `link` lets them choose a password, once, and is shown here alone."""
        account = _read_account(overview, new.account)
        link = await door.people.add(new.name, new.role, account, actor_of(request, access))
        return {"name": new.name.casefold(), "link": f"{settings.base_url}enrol/{link}"}

    @application.post("/api/people/{name}/link", tags=["people"], status_code=201)
    async def renew_link(
        request: Request, name: str, access: Access = require(Permission.PEOPLE, to_write=True)
    ) -> dict[str, Any]:
        """Give somebody a new link to choose a password with; the earlier link is worth nothing then."""
        link = await door.people.renew_link(name, actor_of(request, access))
        return {"name": name.casefold(), "link": f"{settings.base_url}enrol/{link}"}

    @application.post("/api/people/{name}/disable", tags=["people"])
    async def disable(
        request: Request, name: str, access: Access = require(Permission.PEOPLE, to_write=True)
    ) -> dict[str, Any]:
        """Shut somebody out at once."""
        require_another(access, name)
        await door.people.disable(name, actor_of(request, access))
        return _describe_person(await door.people.get(name))

    @application.post("/api/people/{name}/enable", tags=["people"])
    async def enable(
        request: Request, name: str, access: Access = require(Permission.PEOPLE, to_write=True)
    ) -> dict[str, Any]:
        """Let somebody in again who was shut out."""
        await door.people.enable(name, actor_of(request, access))
        return _describe_person(await door.people.get(name))

    @application.post("/api/people/{name}/role", tags=["people"])
    async def change_role(
        request: Request, name: str, new: NewRole, access: Access = require(Permission.PEOPLE, to_write=True)
    ) -> dict[str, Any]:
        """Give somebody another role; their sessions and own keys end."""
        require_another(access, name)
        account = _read_account(overview, new.account)
        await door.people.change_role(name, new.role, account, actor_of(request, access))
        return _describe_person(await door.people.get(name))


def _add_keys(application: FastAPI, overview: Overview, door: Doorkeeper) -> None:
    @application.get("/api/keys", tags=["keys"])
    async def keys(access: Access = require(Permission.KEYS)) -> dict[str, Any]:
        """The own API keys, without their secrets; for an admin, everybody's."""
        return {"keys": [_describe_key(key) for key in await door.keys.all(keys_of(access))]}

    @application.post("/api/keys", tags=["keys"], status_code=201)
    async def add_key(
        request: Request, new: NewKey, access: Access = require(Permission.KEYS, to_write=True)
    ) -> dict[str, Any]:
        """Make an API key; `key` is shown here alone. An admin's belong to nobody, others' to who makes them."""
        scope = allow_scope(overview.roster, access, new.scope(access))
        return {"key": await door.keys.add(scope, owner_of_new(access), actor_of(request, access))}

    @application.delete("/api/keys/{key_id}", tags=["keys"], status_code=204)
    async def revoke(
        request: Request, key_id: str, access: Access = require(Permission.KEYS, to_write=True)
    ) -> Response:
        """Make a key worth nothing, from the next request on."""
        await door.keys.revoke(key_id, actor_of(request, access), keys_of(access))
        return Response(status_code=204)


def _add_audit(application: FastAPI, door: Doorkeeper) -> None:
    @application.get("/api/audit", tags=["audit"])
    async def audit(
        before: Before = None, limit: Limit = 100, _access: Access = require(Permission.AUDIT)
    ) -> dict[str, Any]:
        """Every write, the newest first: who, what, when, from where. `campusgrid gateway audit --verify` checks it."""
        rows = await door.audit.page(before, limit)
        return {
            "rows": [
                {
                    "id": row.id, "at": row.at, "who": row.who, "origin": row.origin, "action": row.action,
                    "subject": row.subject, "detail": row.detail, "hash": row.hash.hex(),
                }
                for row in rows
            ],
            "next": rows[-1].id if len(rows) == limit else None,
        }  # fmt: skip


def _read_account(overview: Overview, account: str | None) -> bytes | None:
    found = None if account is None else bytes.fromhex(account)
    require_owner(overview.roster, found)
    return found


def _describe_person(person: Person) -> dict[str, Any]:
    return {
        "name": person.name, "role": person.role, "account": person.account.hex() if person.account else None,
        "state": person.state, "created_at": person.created_at,
    }  # fmt: skip


def _describe_key(key: Key) -> dict[str, Any]:
    scope = key.scope
    return {
        "id": key.id, "name": scope.name, "owner": key.owner, "role": scope.role,
        "account": scope.account.hex() if scope.account else None,
        "meters": None if scope.meters is None else sorted(meter.hex() for meter in scope.meters),
        "read_only": scope.is_read_only, "created_at": key.created_at, "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }  # fmt: skip
