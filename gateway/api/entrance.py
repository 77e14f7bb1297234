"""The pages before the dashboard: log in, log out, and choose a password with a one-time link. No script in them."""

from __future__ import annotations

import sqlite3
from html import escape
from importlib import resources
from string import Template
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gateway.access.doorkeeper import Doorkeeper
from gateway.access.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from gateway.access.people import MAX_NAME, Invitation
from gateway.access.sessions import LIFETIME_S
from gateway.api.doors import access_of
from gateway.api.gate import address_of, cookie_name
from gateway.errors import AccessError, BusyError
from gateway.settings import ApiSettings

MAX_FIELDS: Final = 8
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
_WRONG: Final = "Name or password is wrong."
_USED: Final = "This link was used already, is too old, or was replaced by a newer one. Ask an admin for a new link."
_UNWRITABLE: Final = "Nobody can log in now, for that could not be logged: {}. Is the gateway's disk full?"
_CHOOSE: Final = f"At least {MIN_CHARACTERS} characters. A few words that do not belong together are easy to remember."


def add(application: FastAPI, door: Doorkeeper, settings: ApiSettings) -> None:
    """Add the pages to *application*."""
    _add_log_in(application, door, settings)
    _add_enrolment(application, door, settings)


def set_cookie(answer: Response, token: str, settings: ApiSettings) -> None:
    """Have the browser keep *token*: out of reach of scripts, never sent from another site's page."""
    answer.set_cookie(
        cookie_name(settings), token, LIFETIME_S, path="/", secure=settings.is_secure, httponly=True, samesite="strict"
    )


def clear_cookie(answer: Response, settings: ApiSettings) -> None:
    """Have the browser forget its token."""
    answer.delete_cookie(cookie_name(settings), secure=settings.is_secure, httponly=True, samesite="strict")


def _add_log_in(application: FastAPI, door: Doorkeeper, settings: ApiSettings) -> None:
    @application.get("/login", include_in_schema=False)
    async def show(request: Request, to: str = "/") -> Response:
        if access_of(request) is not None:
            return RedirectResponse(_own_path(to), 303)
        return _log_in_page(to)

    @application.post("/login", include_in_schema=False)
    async def log_in(request: Request, to: str = "/") -> Response:
        address = address_of(request.scope)
        form = await _read_form(request)
        if wait_s := door.must_wait_to_log_in(address):
            return _log_in_page(to, form, f"Too many tries. Try again in {int(wait_s) + 1} s.", 429)
        try:
            token = await door.log_in(form.get("name", ""), form.get("password", ""), address)
        except BusyError as error:
            return _log_in_page(to, form, _sentence(str(error)), 503)
        except sqlite3.OperationalError as error:
            return _log_in_page(to, form, _UNWRITABLE.format(error), 503)
        if token is None:
            return _log_in_page(to, form, _WRONG, 401)
        return _enter(token, settings, _own_path(to))

    @application.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        access = access_of(request)
        if access is not None and access.session is not None:
            await door.sessions.close(access, address_of(request.scope))
        answer = RedirectResponse("/login", 303)
        clear_cookie(answer, settings)
        return answer


def _add_enrolment(application: FastAPI, door: Doorkeeper, settings: ApiSettings) -> None:
    @application.get("/enrol/{link}", include_in_schema=False)
    async def show(link: str) -> Response:
        invitation = await door.people.read_link(link)
        return _notice_page(_USED, 404) if invitation is None else _enrolment_page(invitation)

    @application.post("/enrol/{link}", include_in_schema=False)
    async def enrol(request: Request, link: str) -> Response:
        invitation = await door.people.read_link(link)
        if invitation is None:
            return _notice_page(_USED, 404)
        form = await _read_form(request)
        if form.get("password") != form.get("again"):
            return _enrolment_page(invitation, form, "The two passwords differ. Type the same one twice.", 422)
        try:
            token = await door.enrol(
                invitation, form.get("name", ""), form.get("password", ""), address_of(request.scope)
            )
        except (AccessError, BusyError) as error:
            return _enrolment_page(invitation, form, _sentence(str(error)), 422)
        except sqlite3.OperationalError as error:
            return _enrolment_page(invitation, form, _UNWRITABLE.format(error), 503)
        return _enter(token, settings, "/")


def _enter(token: str, settings: ApiSettings, path: str) -> Response:
    answer = RedirectResponse(path, 303)
    set_cookie(answer, token, settings)
    return answer


async def _read_form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _own_path(path: str) -> str:
    """Return *path* if it is one of ours, else the first page: nobody is sent elsewhere after a log-in."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


def _log_in_page(to: str, form: dict[str, str] | None = None, fault: str = "", status: int = 200) -> Response:
    name = (form or {}).get("name", "")[:MAX_NAME]
    fields = _field("Name", "name", name, "username") + _field("Password", "password", "", "current-password")
    return _page("Log in", "", fields, "Log in", fault=fault, status=status, to=_own_path(to))


def _enrolment_page(
    invitation: Invitation, form: dict[str, str] | None = None, fault: str = "", status: int = 200
) -> Response:
    if invitation.person is None:
        lead = "This gateway has no admin yet. Whoever fills this in becomes its admin. "
        fields = _field("Name", "name", (form or {}).get("name", "")[:MAX_NAME], "username")
    else:
        lead = f"Welcome, {invitation.person.name}. Your role here is {invitation.person.role}. "
        fields = f'<input type="hidden" autocomplete="username" name="name" value="{escape(invitation.person.name)}">'
    fields += _field("Password", "password", "", "new-password", _CHOOSE)
    fields += _field("The same password again", "again", "", "new-password")
    return _page("Choose a password", lead, fields, "Save and log in", fault=fault, status=status)


def _notice_page(text: str, status: int) -> Response:
    return _page("This link does not work", text, "", "", status=status)


def _field(label: str, name: str, value: str, autocomplete: str, hint: str = "") -> str:
    kind = "text" if name == "name" else "password"
    focus = "" if value or name == "again" else " autofocus"
    note = f'<span class="hint" id="{name}-hint">{escape(hint)}</span>' if hint else ""
    described = f' aria-describedby="{name}-hint"' if hint else ""
    return (
        f'<label for="{name}">{escape(label)}</label>{note}'
        f'<input id="{name}" name="{name}" type="{kind}" value="{escape(value)}" autocomplete="{autocomplete}"'
        f' maxlength="{MAX_CHARACTERS}" required spellcheck="false" autocapitalize="none"{described}{focus}>'
    )


def _page(
    title: str, lead: str, fields: str, button: str, *, fault: str = "", status: int = 200, to: str = ""
) -> Response:
    """Return a page with one form, which posts to its own address; *fields* is HTML, all else plain text."""
    folder = resources.files("gateway.api")
    action = f' action="/login?to={escape(to)}"' if to and to != "/" else ""
    form = f'<form method="post"{action}>{fields}<button type="submit">{escape(button)}</button></form>'
    content = Template(folder.joinpath("entrance.html").read_text("utf-8")).substitute(
        title=escape(title), style=folder.joinpath("entrance.css").read_text("utf-8"),
        lead=f"<p>{escape(lead)}</p>" if lead else "", form=form if fields else "",
        fault=f'<p class="fault" role="alert">{escape(fault)}</p>' if fault else "",
    )  # fmt: skip
    return HTMLResponse(content, status, {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
