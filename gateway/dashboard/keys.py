"""The page on API keys: one's own, and for an admin everybody's; make one, and revoke it."""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from fastapi import Request
from nicegui import ui

from gateway.access.issuing import allow_scope, keys_of, owner_of_new
from gateway.access.keys import DEFAULT_DAYS, MAX_DAYS, MAX_METERS, Key, Scope
from gateway.access.roles import Permission, Role
from gateway.dashboard import text
from gateway.dashboard.frame import Site, keep_fresh
from gateway.dashboard.parts import RolePicker, Secret, field, row_button
from gateway.dashboard.visit import Visit
from gateway.errors import AccessError, UnknownError

MAX_SHOWN: Final = 200


def add(site: Site) -> None:
    """Add the page."""

    @ui.page("/keys", title="API keys · campusgrid gateway")
    async def show(request: Request) -> None:
        with site.page(request, "/keys") as visit:
            page = KeysPage(site, visit)
        await page.refresh()
        keep_fresh(visit, page.refresh)


class KeysPage:
    """Which programs may ask, and what their keys open."""

    def __init__(self, site: Site, visit: Visit) -> None:
        self._keys = site.door.keys
        self._site = site
        self._visit = visit
        self._shown: tuple[object, ...] = ()
        is_admin = visit.access.may(Permission.PEOPLE)
        with ui.element("section").classes("cg-panel"):
            ui.html("<h2>Make a key for a program</h2>", sanitize=False)
            with ui.element("div").classes("cg-form"):
                self._name = field("What it is for", maxlength=64)
                self._role = RolePicker(tuple(Role), Role.METRICS, site.overview.roster) if is_admin else None
                self._meters = field("Only these meters", maxlength=4096, example="labels or ids, with commas")
                self._days = ui.number("Days it holds", value=DEFAULT_DAYS, min=1, max=MAX_DAYS, precision=0)
                self._days.classes("cg-field").props("outlined dense")
                self._may_write = ui.checkbox("It may also write")
                ui.button("Make key", on_click=visit.guarded(self._make)).props("unelevated no-caps")
            self._secret = Secret()
        with ui.element("section").classes("cg-panel"):
            ui.html(f"<h2>{'All keys' if is_admin else 'Your keys'}</h2>", sanitize=False)
            self._with_ended = ui.checkbox("Show those that have ended", on_change=self.refresh)
            self._rows = ui.element("ul").classes("cg-rows")
            self._note = ui.label().classes("cg-soft")

    async def refresh(self) -> None:
        """Show the keys, if anything has changed."""
        found = await self._keys.all(keys_of(self._visit.access))
        keys = [key for key in found if self._with_ended.value or _state(key) == "valid"]
        shown = tuple((key.id, _state(key)) for key in keys)
        self._note.text = f"{len(keys) - MAX_SHOWN} more at /api/keys" if keys else "No key."
        self._note.visible = not 0 < len(keys) <= MAX_SHOWN
        if shown == self._shown:
            return
        self._shown = shown
        self._rows.clear()
        with self._rows:
            for key in keys[:MAX_SHOWN]:
                self._add_row(key)

    def _add_row(self, key: Key) -> None:
        state = _state(key)
        with ui.element("li"):
            with ui.element("div").classes("cg-what"):
                ui.label(key.scope.name).classes("cg-name")
                ui.label(state).classes("cg-good" if state == "valid" else "cg-bad")
                ui.label(_describe(key)).classes("cg-soft")
            if state == "valid":
                with ui.element("div").classes("cg-buttons"):
                    row_button("Revoke", key.scope.name, self._visit.guarded(partial(self._revoke, key)))

    async def _make(self) -> None:
        access = self._visit.access
        role, account = (self._role.role, self._role.account) if self._role else (access.role, None)
        days = self._days.value
        if days is None:
            raise AccessError(f"a key holds for 1 to {MAX_DAYS} days")
        wanted = Scope(
            (self._name.value or "").strip(), role, account, self._read_meters(), not self._may_write.value, int(days)
        )
        actor = await self._visit.actor(Permission.KEYS)
        scope = allow_scope(self._site.overview.roster, access, wanted)
        secret = await self._keys.add(scope, owner_of_new(access), actor)
        self._secret.show(f"The key “{scope.name}”: give it to the program. It is shown here alone.", secret)
        self._name.value = self._meters.value = ""
        self._may_write.value = False
        await self.refresh()

    async def _revoke(self, key: Key) -> None:
        if await self._visit.confirm(
            f"Revoke the key “{key.scope.name}”? Its program is refused from then on.", "Revoke"
        ):
            actor = await self._visit.actor(Permission.KEYS)
            await self._keys.revoke(key.id, actor, keys_of(self._visit.access))
            self._visit.tell("The key is revoked.")
            await self.refresh()

    def _read_meters(self) -> frozenset[bytes] | None:
        """Return the meters named in the form, by label or id, None where none is; raises AccessError."""
        names = [name.strip() for name in (self._meters.value or "").split(",") if name.strip()]
        if not names:
            return None
        if len(names) > MAX_METERS:
            raise AccessError(f"a key can be narrowed to 1 to {MAX_METERS} meters")
        seen = [meter for meter in self._site.overview.roster if self._visit.access.sees(meter)]
        found = {name: [one.meter_id for one in seen if name in {one.label, one.meter_id.hex()}] for name in names}
        for name, meters in found.items():
            if len(meters) != 1:
                raise UnknownError(f"{name[:64]!r} is {'no' if not meters else 'more than one'} meter that you see")
        return frozenset(meters[0] for meters in found.values())


def _state(key: Key) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.expires_at > time.time() else "expired"


def _describe(key: Key) -> str:
    scope = key.scope
    meters = "all meters of the role" if scope.meters is None else text.count(len(scope.meters), "meter")
    whose = f"{key.owner}'s" if key.owner else "belongs to nobody"
    may = "reads only" if scope.is_read_only else "may write"
    return f"{scope.role}, {meters}, {may}, {whose}, until {text.day(key.expires_at)}, id {key.id}"
